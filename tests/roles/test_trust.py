from pathlib import Path

import pytest

from auth.keys import SIGNING, KeyFileError, write_pair
from auth.trust import TrustError
from roles.arguments import UsageError
from roles.trust import main

HEX = "5f" * 32


@pytest.fixture
def alice(tmp_path: Path) -> str:
    return write_pair(tmp_path / "alice", SIGNING, "alice", b"a" * 32).public.hex()


def test_keys_are_trusted_and_revoked_by_file_or_by_name(
    alice: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database, key = tmp_path / "db", str(tmp_path / "alice.pub")
    assert main(["-d", str(database), key, f"{HEX.upper()}=web01.example.com"]) == 0
    assert database.read_text() == f"{alice} alice\n{HEX} web01.example.com\n"
    assert main(["-d", str(database), key, f"{alice}=admin"]) == 0
    assert main(["-d", str(database), "--revoke", f"{HEX}=web01.example.com", key]) == 0
    assert database.read_text() == ""
    assert main(["-d", str(database), "--revoke", key]) == 0
    assert main(["-d", str(database), f"{HEX}=web01", f"{HEX}=web02", f"{alice}=admin"]) == 0
    assert main(["-d", str(database), "--revoke", HEX.upper()]) == 0
    assert database.read_text() == f"{alice} admin\n"
    assert capsys.readouterr().out.splitlines() == [
        f"made {database}",
        f"trusted: {alice} alice",
        f"trusted: {HEX} web01.example.com",
        f"already trusted: {alice} alice",
        f"trusted: {alice} admin",
        f"revoked: {HEX} web01.example.com",
        f"revoked: {alice} alice, admin",
        f"not listed: {alice}",
        f"trusted: {HEX} web01",
        f"trusted: {HEX} web02",
        f"trusted: {alice} admin",
        f"revoked: {HEX} web01, web02",
    ]


def test_a_private_key_is_not_taken(alice: str, tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="expected the public half of a key"):
        main(["-d", str(tmp_path / "db"), str(tmp_path / "alice")])
    assert not (tmp_path / "db").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        f"{HEX}=",
        f"{HEX}=a b",
        f"{HEX}=a#b",
        f"{HEX}=a\nb",
        f"{HEX[1:]}=web01",
        "=x",
        HEX,
        "alice",
        "x" * 9999,
    ],
)
def test_one_wrong_key_and_nothing_is_changed(wrong: str, alice: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        main(["-d", str(tmp_path / "db"), str(tmp_path / "alice.pub"), wrong])
    assert str(caught.value).isprintable()
    assert not (tmp_path / "db").exists()


def test_files_that_are_missing_are_named(alice: str, tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"cannot read the key .*/bob.pub: No such file"):
        main(["-d", str(tmp_path / "db"), str(tmp_path / "bob.pub")])
    with pytest.raises(TrustError, match=r"cannot edit .*/db: No such file"):
        main(["-d", str(tmp_path / "db"), "--revoke", str(tmp_path / "alice.pub")])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([HEX], f"expected KEY.pub or HEX=NAME, with 64 hex digits, got '{HEX}'"),
        (["--revoke", "alice"], "expected KEY.pub, HEX or HEX=NAME, with 64 hex digits, got 'alice'"),
    ],
)
def test_what_is_no_key_is_told_what_was_expected(words: list[str], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        main(["-d", str(tmp_path / "db"), *words])
    assert str(caught.value) == sentence


@pytest.mark.parametrize("words", [[], ["-d", "db"], ["key.pub"], ["-d", "db", "--x", "key.pub"]])
def test_a_wrong_command_line_is_one_line(words: list[str]) -> None:
    with pytest.raises(UsageError, match=r"\(see cw trust --help\)\Z"):
        main(words)


def test_huge_names_are_cut(tmp_path: Path) -> None:
    for words in (["-d", "x" * 5000, f"{'ab' * 32}=alice"], ["-d", "x", "y" * 5000 + "=alice"]):
        with pytest.raises((TrustError, UsageError)) as caught:
            main(words)
        assert len(str(caught.value)) < 300
