import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.keys import (
    ENCRYPTION,
    SIGNING,
    KeyFileError,
    broker_key,
    is_name,
    public_of,
    public_path,
    read_public,
    read_secret,
    write_pair,
)

SEED = bytes(range(32))

# Published pairs: RFC 8032 §7.1 test 1, RFC 7748 §6.1 (Bob).
PUBLISHED = [
    (
        SIGNING,
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    ),
    (
        ENCRYPTION,
        "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
    ),
]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[SIGNING, ENCRYPTION])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_pair_is_what_was_written(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "my.key"
    key = write_pair(path, kind, "web01.example.com", SEED)
    public = public_of(kind, SEED)
    text = f"%{kind} v1\nid web01.example.com\npub {public.hex()}\n"
    assert public_path(path).read_text() == text
    assert path.read_text() == f"{text}sec {SEED.hex()}\n"
    assert read_secret(path, kind) == key == (kind, "web01.example.com", public, SEED)
    assert read_public(public_path(path)) == (kind, "web01.example.com", public)


@pytest.mark.parametrize(("kind", "secret", "public"), PUBLISHED)
def test_published_key_pairs(kind: str, secret: str, public: str) -> None:
    assert public_of(kind, bytes.fromhex(secret)).hex() == public


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_modes_do_not_depend_on_the_umask(umask: int, tmp_path: Path) -> None:
    path = tmp_path / "my.key"
    before = os.umask(umask)
    try:
        write_pair(path, SIGNING, "alice", SEED)
    finally:
        os.umask(before)
    assert (mode_of(path), mode_of(public_path(path))) == (0o600, 0o644)


@pytest.mark.parametrize("there", ["my.key", "my.key.pub"])
def test_neither_half_is_ever_overwritten(there: str, tmp_path: Path) -> None:
    (tmp_path / there).write_text("precious")
    with pytest.raises(KeyFileError, match=f"cannot make {tmp_path}/{there}: File exists"):
        write_pair(tmp_path / "my.key", SIGNING, "alice", SEED)
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "precious"


def test_a_link_is_not_followed_to_be_overwritten(tmp_path: Path) -> None:
    (tmp_path / "my.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError, match="File exists"):
        write_pair(tmp_path / "my.key", SIGNING, "alice", SEED)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666])
def test_a_private_key_that_others_can_touch_is_refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "my.key"
    write_pair(path, SIGNING, "alice", SEED)
    path.chmod(mode)
    with pytest.raises(
        KeyFileError, match=rf"others can read this private key \(mode 0{mode:o}\): chmod 600 {path}"
    ):
        read_secret(path, SIGNING)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_private_key_of_its_owner_alone_is_read(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "my.key"
    write_pair(path, SIGNING, "alice", SEED)
    path.chmod(mode)
    assert read_secret(path, SIGNING).secret == SEED


def test_a_key_of_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    write_pair(tmp_path / "user.key", SIGNING, "alice", SEED)
    with pytest.raises(KeyFileError, match=r"expected a broker's or an agent's key .*, got a user's key"):
        read_secret(tmp_path / "user.key", ENCRYPTION)
    with pytest.raises(KeyFileError, match=r"expected a broker's or an agent's key .*, got a user's key"):
        broker_key("user.key.pub", tmp_path)


def test_halves_are_not_taken_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "my.key"
    write_pair(path, SIGNING, "alice", SEED)
    with pytest.raises(KeyFileError, match="expected the public half of a key"):
        read_public(path)
    for mode in (0o600, 0o644):  # what it is comes before who may read it
        public_path(path).chmod(mode)
        with pytest.raises(KeyFileError) as caught:
            read_secret(public_path(path), SIGNING)
        assert str(caught.value) == (
            f"{path}.pub: expected a private key ({path}?), got only its public half"
        )


def test_what_is_no_key_file_need_not_be_private(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("milk\n")
    with pytest.raises(KeyFileError, match=f"{path}:1: expected %signing v1 or %encryption v1"):
        read_secret(path, SIGNING)


GOOD = f"%signing v1\nid alice\npub {public_of(SIGNING, SEED).hex()}\nsec {SEED.hex()}\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "%signing v2\n" + GOOD.partition("\n")[2],
        GOOD.partition("\n")[2],
        GOOD.replace("id alice\n", ""),
        GOOD.replace("id alice", "id"),
        GOOD.replace("id alice", "id "),
        GOOD.replace("id alice", "id al ice"),
        GOOD.replace("id alice", "id alice\nid bob"),
        GOOD.replace("id alice", "id " + "x" * 256),
        GOOD.replace("pub ", "pub 0"),
        GOOD.replace("pub ", "pub  "),
        GOOD.replace("sec ", "sec g"),
        GOOD.replace("sec 00", "sec 01"),
        GOOD + "more x\n",
        GOOD + GOOD,
        GOOD + "x" * 5000,
    ],
)
def test_what_is_no_key_file_is_refused_with_its_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "my.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeyFileError) as caught:
        read_secret(path, SIGNING)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).isprintable()
    assert SEED.hex() not in str(caught.value)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_key_or_a_declared_error(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.key"
    path.write_bytes(raw)
    path.chmod(0o600)
    with pytest.raises(KeyFileError):
        read_secret(path, SIGNING)


def test_what_is_not_a_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(KeyFileError, match=f"{path}: expected a key file"):
            read_secret(path, SIGNING)
    with pytest.raises(KeyFileError, match=r"cannot read the key .*/none: No such file or directory"):
        read_secret(tmp_path / "none", SIGNING)


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "a#b", "\x1b[1m", "x" * 256, "a\u2028b"])
def test_names_that_would_break_a_line_are_refused(name: str, tmp_path: Path) -> None:
    assert not is_name(name)
    with pytest.raises(KeyFileError, match="expected the name of a key's holder"):
        write_pair(tmp_path / "my.key", SIGNING, name, SEED)
    assert not any(tmp_path.iterdir())


def test_a_brokers_key_is_hex_or_a_path(tmp_path: Path) -> None:
    key = write_pair(tmp_path / "broker.key", ENCRYPTION, "mesh", SEED)
    assert broker_key(key.public.hex().upper(), tmp_path) == key.public
    assert broker_key("broker.key.pub", tmp_path) == key.public
    assert broker_key(str(tmp_path / "broker.key.pub"), Path("/")) == key.public
    with pytest.raises(KeyFileError, match="cannot read the key"):
        broker_key("ab" * 31, tmp_path)


def test_the_text_of_a_key_does_not_show_its_secret(tmp_path: Path) -> None:
    key = write_pair(tmp_path / "my.key", SIGNING, "alice", SEED)
    assert SEED.hex() not in f"{key!r} {key}"
    assert repr(SEED) not in f"{key!r} {key}"


def test_a_huge_name_is_cut(tmp_path: Path) -> None:
    for use in (read_public, lambda path: write_pair(path, SIGNING, "alice", bytes(32))):
        with pytest.raises(KeyFileError, match=r" x{196} \.\.\.: File name too long\Z"):
            use(Path("x" * 5000))
