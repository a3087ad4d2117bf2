import os
import stat
from pathlib import Path

import pytest

from tests.vm.real_files import BLOCK, CHAR, KINDS, Filed, answer, attempted, done, made
from vm.host.files import Status
from vm.program import WORD


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    return made(tmp_path)


TYPES = {
    "file": b"regular file",
    "link": b"symbolic link",
    "dir": b"directory",
    "char": b"character device",
    "block": b"block device",
    "fifo": b"FIFO pipe",
    "socket": b"UNIX domain socket",
}

QUESTIONS = {
    "fs.file?": "file",
    "fs.symlink?": "link",
    "fs.dir?": "dir",
    "fs.chardev?": "char",
    "fs.blockdev?": "block",
    "fs.fifo?": "fifo",
    "fs.socket?": "socket",
}

FIELDS = {
    "fs.dev": "st_dev",
    "fs.inode": "st_ino",
    "fs.nlink": "st_nlink",
    "fs.uid": "st_uid",
    "fs.gid": "st_gid",
    "fs.size": "st_size",
}


@pytest.mark.parametrize("kind", KINDS)
def test_types_and_questions(paths: dict[str, Path], kind: str) -> None:
    assert attempted("fs.stat %a", paths[kind]) == ""
    assert answer("fs.type %a %i", "s", paths[kind]) == (0, TYPES[kind])
    for question, yes in QUESTIONS.items():
        assert attempted(f"{question} %a", paths[kind]) == ("" if kind == yes else "nothing"), question


MISSING = [
    (b"missing", "ENOENT"),
    (b"file/below", "ENOTDIR"),
    (b"", "ENOENT"),
    (b"x" * 256, "ENAMETOOLONG"),
    (b"x/" * 4096, "ENAMETOOLONG"),
    (b"file\0", "EINVAL"),
    (b"loop/x", "ELOOP"),
]


@pytest.mark.parametrize(("name", "error"), MISSING, ids=range(len(MISSING)))
def test_what_cannot_be_looked_at(paths: dict[str, Path], name: bytes, error: str) -> None:
    paths["file"].with_name("loop").symlink_to("loop")
    path = os.fsencode(paths["file"].parent) + b"/" + name if name else b""
    assert answer("fs.type %a %i", "s", path) == (1, b"non-existent file")
    assert attempted("fs.type %a %i", path) == error
    assert attempted("fs.stat %a", path) == error
    for question in QUESTIONS:
        assert attempted(f"{question} %a", path) == error
    for field in [*FIELDS, "fs.mode", "fs.major", "fs.atime", "fs.readlink"]:
        assert attempted(f"{field} %a %i", path) == error
        assert answer(f"{field} %a %i", "s", path) == (1, b"same")


def test_a_no_leaves_no_error_of_before(paths: dict[str, Path]) -> None:
    body = 'fs.stat "/nonexistent" perror "1" fs.dir? %a perror "2"'
    told = done(body, paths["file"]).error_output.decode().splitlines()
    assert told == ["1: (2) No such file or directory", "2: (0) Success"]


@pytest.mark.parametrize("kind", KINDS)
def test_fields(paths: dict[str, Path], kind: str) -> None:
    os.chown(paths[kind], 4_000_000_000, 1234, follow_symlinks=False)
    if kind != "link":
        paths[kind].chmod(0o7654)
    os.utime(paths[kind], ns=(1_600_000_000_999_999_999, 4_000_000_000_000_000_001), follow_symlinks=False)
    found = os.lstat(paths[kind])
    for field, name in FIELDS.items():
        assert answer(f"{field} %a %i", "u", paths[kind]) == (0, b"%d" % getattr(found, name)), field
    mode = b"0777" if kind == "link" else b"7654"
    assert answer("fs.mode %a %i", "04o", paths[kind]) == (0, mode)
    assert answer("fs.atime %a %i", "u", paths[kind]) == (0, b"1600000000")
    assert answer("fs.mtime %a %i", "u", paths[kind]) == (0, b"4000000000")
    assert answer("fs.ctime %a %i", "u", paths[kind]) == (0, b"%d" % (found.st_ctime_ns // 10**9))


DEVICES = {"char": CHAR, "block": BLOCK}


@pytest.mark.parametrize("kind", KINDS)
def test_major_and_minor_are_of_devices(paths: dict[str, Path], kind: str) -> None:
    for field, part in (("fs.major", os.major), ("fs.minor", os.minor)):
        if kind in DEVICES:
            assert answer(f"{field} %a %i", "u", paths[kind]) == (0, b"%d" % part(DEVICES[kind]))
        else:
            assert answer(f"{field} %a %i", "s", paths[kind]) == (1, b"same")
            assert attempted(f"{field} %a %i", paths[kind]) == "ENODEV"


TARGETS = [b"file", b"nowhere", b"a b\n%s", b"\xff\xfe", b"x" * 4095]


@pytest.mark.parametrize("target", TARGETS, ids=range(len(TARGETS)))
def test_readlink(tmp_path: Path, target: bytes) -> None:
    os.symlink(target, os.fsencode(tmp_path / "to"))
    assert answer("fs.readlink %a %i", "s", tmp_path / "to") == (0, target)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"link"}))
def test_readlink_of_anything_else(paths: dict[str, Path], kind: str) -> None:
    assert attempted("fs.readlink %a %i", paths[kind]) == "EINVAL"


class Odd:
    """A file system with one file, of this status."""

    def __init__(self, status: Status) -> None:
        self.status = status

    def lstat(self, path: bytes, links: bool = True) -> Status:
        return self.status


PLACES = [
    ("fs.inode", "inode"),
    ("fs.dev", "device"),
    ("fs.nlink", "links"),
    ("fs.uid", "owner"),
    ("fs.gid", "group"),
    ("fs.major", "major"),
    ("fs.minor", "minor"),
    ("fs.size", "size"),
    ("fs.atime", "accessed"),
    ("fs.mtime", "modified"),
    ("fs.ctime", "changed"),
]


@pytest.mark.parametrize(("field", "place"), PLACES)
def test_what_a_register_cannot_hold_is_no_other_number(field: str, place: str) -> None:
    device = Status(stat.S_IFCHR, *range(1, 12))

    def host(value: int) -> Filed:
        return Filed(Odd(device._replace(**{place: value})))

    assert answer(f"{field} %a %i", "u", "x", host=host(WORD)) == (0, b"%d" % WORD)
    for value in (WORD + 1, -1):
        assert answer(f"{field} %a %i", "s", "x", host=host(value)) == (1, b"same")
        assert attempted(f"{field} %a %i", "x", host=host(value)) == "EOVERFLOW"


def test_a_large_and_an_old_file(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.touch()
    os.truncate(path, 2**32)
    os.utime(path, ns=(-1, -2_000_000_000))
    assert attempted("fs.size %a %i", path) == "EOVERFLOW"
    assert attempted("fs.atime %a %i", path) == "EOVERFLOW"
    os.truncate(path, 2**32 - 1)
    assert answer("fs.size %a %i", "u", path) == (0, b"4294967295")


def test_a_file_of_no_known_kind() -> None:
    odd = Filed(Odd(Status(0o170000, *range(1, 12))))
    assert answer("fs.type %a %i", "s", "x", host=odd) == (0, b"unknown file")
    assert attempted("fs.file? %a", "x", host=odd) == "nothing"


def strict(instruction: str) -> str:
    return f"pragma fs.links off {instruction}"


@pytest.fixture
def through(tmp_path: Path) -> dict[str, Path]:
    """The same file by several ways: straight, by a link, and through a directory that is a link."""
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "file").write_text("content\n")
    (tmp_path / "dir" / "link").symlink_to("file")
    (tmp_path / "way").symlink_to("dir")
    (tmp_path / "nowhere").symlink_to("nothing")
    return {
        "straight": tmp_path / "dir" / "file",
        "by": tmp_path / "dir" / "link",
        "through": tmp_path / "way" / "file",
    }


ALONG = [
    ("fs.stat %a", "straight", ""),
    ("fs.stat %a", "by", ""),  # about the link itself
    ("fs.stat %a", "through", "ELOOP"),
    ("fs.size %a %i", "through", "ELOOP"),
    ("fs.sha1 %a %i", "straight", ""),
    ("fs.sha1 %a %i", "by", "ELOOP"),
    ("fs.sha1 %a %i", "through", "ELOOP"),
    ("fs.get %a %i", "straight", ""),
    ("fs.get %a %i", "by", "ELOOP"),
    ("fs.get %a %i", "through", "ELOOP"),
]


@pytest.mark.parametrize(("instruction", "way", "error"), ALONG)
def test_no_links_where_the_program_wants_none(
    through: dict[str, Path], instruction: str, way: str, error: str
) -> None:
    assert attempted(instruction, through[way]) == ""
    assert attempted(strict(instruction), through[way]) == error


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("dir/file/", "ENOTDIR"),
        ("dir/file/x", "ENOTDIR"),
        ("dir/nothing", "ENOENT"),
        ("nothing/x", "ENOENT"),
        ("nowhere/x", "ELOOP"),
        ("dir/link/", "ELOOP"),
        ("dir//file", ""),
        ("dir/../dir/./file", ""),
        ("dir/", ""),
    ],
)
def test_a_path_without_links_ends_as_others(through: dict[str, Path], path: str, error: str) -> None:
    top = through["straight"].parent.parent
    assert attempted(strict("fs.stat %a"), f"{top}/{path}") == error
    assert attempted(strict("fs.stat %a"), "/") == ""
    assert attempted(strict("fs.stat %a"), "") == "ENOENT"
