"""New contents of files: written beside, dressed, checked, renamed; a text, a copy, or a policy master's."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from errno import EIO
from pathlib import Path

import pytest

from host.files import LocalFiles
from tests.vm.resources import ANY, CHANGED, NONE, ThisHost, call, enforce, put, refuses, seen, settles, stays


@pytest.fixture(params=["contents", "copy"])
def holds(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """A call that has a file hold a text, given its path and text, owner, group, mode, verify, status."""
    source = tmp_path.with_name("source")

    def of(path: Path, text: str, *rest: str | int | None) -> str:
        rest = rest or (None, None, None, NONE, 0)
        if request.param == "contents":
            return call("res.file.contents", path, text, *rest)
        source.write_text(text)
        return call("res.file.copy", path, source, *rest)

    yield of
    source.unlink(missing_ok=True)


Holds = Callable[..., str]


def test_new_contents(tmp_path: Path, holds: Holds) -> None:
    settles(tmp_path, holds(tmp_path / "a" / "motd", "hello\n"))
    made = seen(tmp_path)["a/motd"]
    assert (made.holds, made.mode, made.owner, made.group) == (b"hello\n", 0o644, 0, 0)
    assert os.listdir(tmp_path / "a") == ["motd"]


def test_new_contents_with_everything(tmp_path: Path, holds: Holds) -> None:
    check = """grep -q hello "$FILE" && exit 7"""
    settles(tmp_path, holds(tmp_path / "motd", "hello\n", 12, 34, 0o4750, check, 7))
    made = seen(tmp_path)["motd"]
    assert (made.holds, made.mode, made.owner, made.group) == (b"hello\n", 0o4750, 12, 34)


def test_other_contents_keep_the_rest(tmp_path: Path, holds: Holds) -> None:
    put(tmp_path / "motd", "old\n", 0o4751, (12, 34))
    settles(tmp_path, holds(tmp_path / "motd", "new\n"))
    made = seen(tmp_path)["motd"]
    assert (made.holds, made.mode, made.owner, made.group) == (b"new\n", 0o4751, 12, 34)


def test_other_contents_with_another_mode_alone(tmp_path: Path, holds: Holds) -> None:
    put(tmp_path / "motd", "old\n", 0o644, (12, 34))
    settles(tmp_path, holds(tmp_path / "motd", "new\n", None, None, 0o600, NONE, 0))
    made = seen(tmp_path)["motd"]
    assert (made.holds, made.mode, made.owner, made.group) == (b"new\n", 0o600, 12, 34)


def test_the_same_contents(tmp_path: Path, holds: Holds) -> None:
    put(tmp_path / "motd", "same\n", 0o600, (12, 34))
    stays(tmp_path, holds(tmp_path / "motd", "same\n", 0, 0, 0o644, "exit 1", 0))


def test_contents_of_every_byte(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * 1_000)
    settles(tmp_path, call("res.file.copy", tmp_path / "x", source, None, None, None, NONE, 0))
    assert (tmp_path / "x").read_bytes() == source.read_bytes()


def test_an_open_file_keeps_its_old_contents(tmp_path: Path, holds: Holds) -> None:
    with put(tmp_path / "motd", "old\n").open() as old:
        settles(tmp_path, holds(tmp_path / "motd", "new\n"))
        assert old.read() == "old\n"


def test_what_a_killed_run_left_is_cleared(tmp_path: Path, holds: Holds) -> None:
    put(tmp_path / "precious", "precious")
    (tmp_path / "motd.cw-new").symlink_to("precious")
    settles(tmp_path, holds(tmp_path / "motd", "new\n"))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "motd": "new\n",
        "precious": "precious",
    }


def test_a_directory_where_new_contents_are_made(tmp_path: Path, holds: Holds) -> None:
    (tmp_path / "motd.cw-new").mkdir()
    refuses(
        tmp_path,
        f"cannot clear {tmp_path}/motd.cw-new, where its successor is made: (21) Is a directory",
        holds(tmp_path / "motd", "new\n"),
    )


@pytest.mark.parametrize("before", [None, "old\n"])
def test_contents_that_the_verify_command_refuses(tmp_path: Path, holds: Holds, before: str | None) -> None:
    if before:
        put(tmp_path / "motd", before, 0o640, (12, 34))
    refuses(
        tmp_path,
        "the new contents are refused: the verify command ended with 3 (expected: 0)",
        holds(tmp_path / "motd", "new\n", 0, 0, 0o644, "exit 3", 0),
    )


def test_a_name_is_no_part_of_the_verify_command(tmp_path: Path, holds: Holds) -> None:
    settles(
        tmp_path, holds(tmp_path / "$(touch x); touch y", "new\n", None, None, None, 'test -s "$FILE"', 0)
    )
    assert os.listdir(tmp_path) == ["$(touch x); touch y"]


def test_a_percent_sign_is_only_itself(tmp_path: Path, holds: Holds) -> None:
    settles(tmp_path, holds(tmp_path / "50%[z]s", "100%[z]s\n"))
    assert (tmp_path / "50%[z]s").read_text() == "100%[z]s\n"


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    refuses(
        tmp_path,
        f"cannot read {tmp_path}/source: (2) No such file or directory",
        call("res.file.copy", tmp_path / "motd", tmp_path / "source", None, None, None, NONE, 0),
    )


class Watching(LocalFiles):
    """Notes of each file that gets contents what it was like at that time."""

    def __init__(self) -> None:
        self.written: list[tuple[str, int, int]] = []

    def write(self, path: bytes, blocks: Iterable[bytes], mode: int) -> None:
        status = Path(os.fsdecode(path)).lstat()
        super().write(path, blocks, mode)
        if Path(os.fsdecode(path)).read_bytes():
            self.written.append((os.fsdecode(path)[-7:], stat.S_IMODE(status.st_mode), status.st_uid))


@pytest.mark.parametrize("before", [None, 0o644])
def test_nobody_can_open_new_contents_before_their_mode_is_set(
    tmp_path: Path, holds: Holds, before: int | None
) -> None:
    if before:
        put(tmp_path / "motd", "old\n", before)
    host = ThisHost()
    host.files = files = Watching()
    assert enforce(holds(tmp_path / "motd", "secret\n", 12, 34, 0o400, NONE, 0), host=host) == CHANGED
    assert files.written == [(".cw-new", 0o400, 12)]


class Full(LocalFiles):
    """A disk on which only empty files find room."""

    def write(self, path: bytes, blocks: Iterable[bytes], mode: int) -> None:
        pieces = list(blocks)
        if any(pieces):
            raise OSError(28, os.strerror(28))
        super().write(path, pieces, mode)


def test_a_full_disk(tmp_path: Path, holds: Holds) -> None:
    put(tmp_path / "motd", "old\n")
    host = ThisHost()
    host.files = Full()
    refuses(
        tmp_path,
        "cannot write the new contents: (28) No space left on device",
        holds(tmp_path / "motd", "new\n"),
        host=host,
    )


class Garbling(LocalFiles):
    """Loses what it is given to write."""

    def write(self, path: bytes, blocks: Iterable[bytes], mode: int) -> None:
        super().write(path, [b"x"] if any(blocks) else [], mode)


def test_contents_that_arrive_garbled(tmp_path: Path, holds: Holds) -> None:
    put(tmp_path / "motd", "old\n")
    host = ThisHost()
    host.files = Garbling()
    sought, found = (hashlib.sha1(text).hexdigest() for text in (b"new\n", b"x"))
    refuses(
        tmp_path,
        f"the new contents are not what they should be (expected: SHA-1 {sought}; found: {found})",
        holds(tmp_path / "motd", "new\n"),
        host=host,
    )


class Linkless(LocalFiles):
    """A file system without hard links."""

    def link(self, target: bytes, name: bytes) -> None:
        raise PermissionError(1, os.strerror(1))


def test_a_file_system_without_hard_links(tmp_path: Path, holds: Holds) -> None:
    put(tmp_path / "motd", "old\n", 0o640, (12, 34))
    host = ThisHost()
    host.files = Linkless()
    settles(tmp_path, holds(tmp_path / "motd", "new\n"), host=host)
    made = seen(tmp_path)["motd"]
    assert (made.holds, made.mode, made.owner, made.group) == (b"new\n", 0o640, 12, 34)


def test_access_control_lists_stay(tmp_path: Path, holds: Holds) -> None:
    path = put(tmp_path / "motd", "old\n")
    # Version 2; owner rw, user 12 r, group r, mask r, others r.
    entries = [(1, 6, ANY), (2, 4, 12), (4, 4, ANY), (16, 4, ANY), (32, 4, ANY)]
    listed = (2).to_bytes(4, "little") + b"".join(
        tag.to_bytes(2, "little") + may.to_bytes(2, "little") + who.to_bytes(4, "little")
        for tag, may, who in entries
    )
    os.setxattr(path, "system.posix_acl_access", listed)
    settles(tmp_path, holds(path, "new\n"))
    assert os.getxattr(path, "system.posix_acl_access") == listed


# -- contents that the policy master has


class Master:
    """Has one file; `gives` is what arrives of it."""

    def __init__(self, text: bytes, gives: bytes | None = None, reached: bool = True) -> None:
        self.text = text
        self.gives = text if gives is None else gives
        self.reached = reached
        self.fetched = 0

    def live(self) -> bool:
        return self.reached

    def sha1(self, name: bytes) -> bytes:
        if name != b"file:motd":
            raise FileNotFoundError(2, os.strerror(2))
        return hashlib.sha1(self.text).hexdigest().encode()

    def contents(self, name: bytes) -> Iterator[bytes]:
        self.fetched += 1
        yield from (self.gives[:3], self.gives[3:])
        if self.gives == b"broken":
            raise OSError(EIO, os.strerror(EIO))


def with_master(master: Master) -> ThisHost:
    host = ThisHost()
    host.remote = master
    return host


def fetch(path: Path, name: str = "file:motd", check: str = NONE) -> str:
    return call("res.file.fetch", path, name, 12, 34, 0o640, check, 0)


def test_contents_from_the_policy_master(tmp_path: Path) -> None:
    master = Master(b"hello\n")
    settles(tmp_path, fetch(tmp_path / "motd"), host=with_master(master))
    made = seen(tmp_path)["motd"]
    assert (made.holds, made.mode, made.owner, made.group) == (b"hello\n", 0o640, 12, 34)
    assert master.fetched == 1


GARBLED = (
    "the new contents are not what they should be (expected: SHA-1 f572d396fae9206628714fb2ce00f72e94f2258f; "
    "found: bea43e7033e19327183416f23fe2ee1b64c25f4a)"
)
FAILING_MASTERS = [
    (Master(b"", reached=False), "file:motd", "the policy master cannot be reached"),
    (Master(b""), "file:x", "cannot get file:x from the policy master: (2) No such file or directory"),
    (Master(b"hello\n", b"broken"), "file:motd", "cannot write the new contents: (5) Input/output error"),
    (
        Master(b"hello\n", b"other\n"),
        "file:motd",
        GARBLED,
    ),
]


@pytest.mark.parametrize(("master", "name", "sentence"), FAILING_MASTERS)
def test_a_policy_master_that_fails(tmp_path: Path, master: Master, name: str, sentence: str) -> None:
    put(tmp_path / "motd", "old\n")
    refuses(tmp_path, sentence, fetch(tmp_path / "motd", name), host=with_master(master))


def test_no_policy_master(tmp_path: Path) -> None:
    refuses(tmp_path, "the policy master cannot be reached", fetch(tmp_path / "motd"))


def test_contents_from_the_policy_master_are_verified(tmp_path: Path) -> None:
    put(tmp_path / "motd", "old\n")
    refuses(
        tmp_path,
        "the new contents are refused: the verify command ended with 1 (expected: 0)",
        fetch(tmp_path / "motd", check='! grep hello "$FILE" >/dev/null'),
        host=with_master(Master(b"hello\n")),
    )
