import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from host.files import LocalFiles
from tests.vm.real_files import KINDS, attempted, done, entries, made, process_umask

FILES = LocalFiles()

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
ANYBODY = 0xFFFFFFFF
OWNER, USER, GROUP, MASK, OTHER = 1, 2, 4, 16, 32


def acl(*rules: tuple[int, int, int]) -> bytes:
    """An access control list as the kernel has it: tag, permissions and id of each rule."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *rule) for rule in rules)


FOR_ONE_MORE = acl(
    (OWNER, 6, ANYBODY), (USER, 6, 1234), (GROUP, 4, ANYBODY), (MASK, 6, ANYBODY), (OTHER, 0, ANYBODY)
)


def test_a_file_keeps_its_access_control_list(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    os.setxattr(path, ACCESS, FOR_ONE_MORE)
    mode = path.stat().st_mode
    FILES.write(bytes(path), [b"new"], 0o644)
    assert os.getxattr(path, ACCESS) == FOR_ONE_MORE
    assert (path.read_bytes(), path.stat().st_mode) == (b"new", mode)


def test_a_file_does_not_get_the_list_that_its_directory_gives_new_ones(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.touch()
    old.chmod(0o640)
    os.setxattr(tmp_path, DEFAULT, FOR_ONE_MORE)
    for path in (old, new):
        FILES.write(bytes(path), [b"x"], 0o640)
        assert path.stat().st_mode == 0o100640
    assert ACCESS not in os.listxattr(old)
    assert ACCESS in os.listxattr(new)


@pytest.mark.parametrize("error", [errno.EOPNOTSUPP, errno.EIO])
def test_a_file_system_may_have_no_attributes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "listxattr", refuse)
    told = attempted('fs.put %a "new"', path)
    assert (told, path.read_bytes()) == (("", b"new") if error == errno.EOPNOTSUPP else ("EIO", b"old"))
    assert entries(tmp_path) == ["file"]


def test_what_takes_the_name_meanwhile_is_not_written_through(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"old")
    other.write_bytes(b"precious")

    def swapped() -> Iterator[bytes]:
        yield b"n"
        path.unlink()
        path.symlink_to("other")
        yield b"ew"

    FILES.write(bytes(path), swapped(), 0o600)
    assert (path.read_bytes(), other.read_bytes()) == (b"new", b"precious")
    assert not path.is_symlink()


def test_what_takes_the_directorys_name_meanwhile_is_not_written_to(tmp_path: Path) -> None:
    here, trap = tmp_path / "here", tmp_path / "trap"
    here.mkdir()
    trap.mkdir()

    def swapped() -> Iterator[bytes]:
        here.rename(tmp_path / "moved")
        here.symlink_to("trap")
        yield b"x"

    FILES.write(bytes(here / "file"), swapped(), 0o600)
    assert (entries(tmp_path / "moved"), entries(trap)) == (["file"], [])


def test_what_was_looked_at_is_what_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = made(tmp_path)
    real = os.open

    def opened(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        descriptor = real(path, flags, *rest, **named)
        if path == bytes(paths["file"]):
            paths["char"].rename(paths["file"])
        return descriptor

    monkeypatch.setattr(os, "open", opened)
    with FILES.contents(bytes(paths["file"])) as contents:
        assert list(contents.blocks) == [b"content\n"]
    monkeypatch.undo()
    with pytest.raises(OSError, match="not a regular file"), FILES.contents(bytes(paths["file"])):
        pass


def test_what_is_not_allowed_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "no")

    monkeypatch.setattr(os, "fchown", refuse)
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(PermissionError):
        FILES.mkdir(bytes(tmp_path / "dir"), 0o755, (0, 1))
    with pytest.raises(PermissionError):
        FILES.write(bytes(tmp_path / "file"), [b"new"], 0o644)
    assert entries(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_nobody_is_given_a_directory_in_anothers(tmp_path: Path) -> None:
    """As when a user puts a link where fs.mkparent has just made the user a directory."""
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").symlink_to("ours")
    with pytest.raises(PermissionError, match="of another owner"):
        FILES.mkdir(bytes(tmp_path / "theirs" / "x"), 0o755, (1234, 1234))
    assert entries(tmp_path / "ours") == []


def test_new_files_are_never_open_to_others_meanwhile(tmp_path: Path) -> None:
    seen: list[int] = []

    def watched() -> Iterator[bytes]:
        (draft,) = tmp_path.iterdir()
        seen.append(draft.stat().st_mode & 0o777)
        yield b"secret"

    with process_umask(0):
        FILES.write(bytes(tmp_path / "file"), watched(), 0o644)
    assert seen == [0o600]


EVERYTHING = [
    "fs.stat %a", "fs.type %a %i", "fs.file? %a", "fs.readlink %a %i", "fs.size %a %i", "fs.major %a %i",
    "fs.touch %b", "fs.mkdir %b", "fs.link %a %b", "fs.symlink %a %b", "fs.rename %a %b", "fs.copy %a %b",
    "fs.chown %a 1", "fs.chgrp %a 1", "fs.chmod %a 0600", "fs.sha1 %a %i", "fs.get %a %i", 'fs.put %a "x"',
    'fs.put %b "x"', "fs.opendir %a %i", "fs.mkparent %c", "fs.unlink %a", "fs.rmdir %a",
]  # fmt: skip


@pytest.mark.parametrize("kind", [*KINDS, "missing"])
def test_the_process_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the process was changed")

    for name in ("umask", "chdir", "fchdir", "chroot", "seteuid", "setegid", "setgroups"):
        monkeypatch.setattr(os, name, refuse)
    before = sorted(os.listdir("/proc/self/fd"))
    for number, instruction in enumerate(EVERYTHING):
        here = tmp_path / str(number)
        here.mkdir()
        path = made(here).get(kind, here / "missing")
        attempted(instruction, path, here / "new", here / "a" / "b" / "c")
        assert not [name for name in entries(here) if name.startswith(".cw")], instruction
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_relative_paths_are_the_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    body = """
        fs.mkparent "a/b" fs.put "file" "x" fs.put "a/b" "y"
        fs.copy "a/b" "a/c" fs.rename "file" "f" fs.get "a/c" %a print "%[a]s"
    """
    assert done(body).output == b"y"
    assert (entries(tmp_path), entries(tmp_path / "a")) == (["a", "f"], ["b", "c"])
