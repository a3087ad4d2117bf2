from pathlib import Path

import pytest

from auth.keys import ENCRYPTION, SIGNING, KeyFileError, read_public, read_secret
from roles.arguments import UsageError
from roles.cert import main


@pytest.mark.parametrize(
    ("type_", "kind"), [("user", SIGNING), ("agent", ENCRYPTION), ("broker", ENCRYPTION)]
)
def test_a_key_for_each(type_: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my.key"
    assert main(["-t", type_, "-i", "web01.example.com", "-f", str(path)]) == 0
    key = read_secret(path, kind)
    assert read_public(tmp_path / "my.key.pub") == key[:3]
    assert key.name == "web01.example.com"
    assert capsys.readouterr().out == f"made {path} and {path}.pub: {key.public.hex()} web01.example.com\n"


def test_no_two_keys_are_the_same(tmp_path: Path) -> None:
    for name in ("one", "two"):
        main(["-t", "user", "-i", "alice", "-f", str(tmp_path / name)])
    assert read_public(tmp_path / "one.pub").public != read_public(tmp_path / "two.pub").public


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "my.key").write_text("precious")
    with pytest.raises(KeyFileError, match="File exists"):
        main(["-t", "user", "-i", "alice", "-f", str(tmp_path / "my.key")])
    assert (tmp_path / "my.key").read_text() == "precious"


@pytest.mark.parametrize(
    "words",
    [[], ["-t", "user"], ["-t", "nobody", "-i", "x", "-f", "x"], ["-t", "user", "-i", "x", "-f", "x", "y"]],
)
def test_a_wrong_command_line_is_one_line(words: list[str]) -> None:
    with pytest.raises(UsageError, match=r"\(see cw cert --help\)\Z"):
        main(words)
