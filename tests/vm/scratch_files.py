"""A file system in memory.

It is simple where a real one is not: symbolic links count only at the end of a path, all may do everything.
"""

import posixpath
import stat
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from errno import (
    EEXIST,
    EINVAL,
    EISDIR,
    ELOOP,
    ENOENT,
    ENOSPC,
    ENOTDIR,
    ENOTEMPTY,
    EOPNOTSUPP,
    EPERM,
)
from os import strerror

from vm.host.files import Contents, Status

FILES_LIMIT = 200
"""Files that there is room for."""

ROOM = 1 << 18
"""Bytes that there is room for in a file."""

BLOCK = 1_000
"""Bytes of one that are given at a time."""

LINKS_LIMIT = 8
"""Symbolic links that are followed, one after the other."""


def failing(number: int) -> OSError:
    return OSError(number, strerror(number))


def in_blocks(text: bytes) -> Iterator[bytes]:
    for start in range(0, len(text), BLOCK):
        yield text[start : start + BLOCK]


@dataclass
class File:
    number: int
    mode: int
    contents: bytes = b""
    """Of a symbolic link, its target."""
    owner: int = 0
    group: int = 0
    links: int = 1

    @property
    def kind(self) -> int:
        return stat.S_IFMT(self.mode)

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


class ScratchFiles:
    """vm.host.files.Files, by full path."""

    def __init__(self) -> None:
        kinds = {
            b"/": stat.S_IFDIR,
            b"/dev": stat.S_IFDIR,
            b"/dev/null": stat.S_IFCHR,
            b"/dev/sda": stat.S_IFBLK,
            b"/etc": stat.S_IFDIR,
            b"/etc/motd": stat.S_IFREG,
            b"/etc/link": stat.S_IFLNK,
            b"/etc/loop": stat.S_IFLNK,
            b"/tmp": stat.S_IFDIR,
            b"/tmp/fifo": stat.S_IFIFO,
            b"/tmp/socket": stat.S_IFSOCK,
        }
        self._files = {path: File(n, kind | 0o755) for n, (path, kind) in enumerate(kinds.items(), 2)}
        self._files[b"/etc/motd"].contents = b"Welcome\n" * 300
        self._files[b"/etc/link"].contents = b"motd"
        self._files[b"/etc/loop"].contents = b"/etc/loop"
        self._made = len(kinds)

    def lstat(self, path: bytes, links: bool = True) -> Status:
        del links  # they count only at the end
        return self._status(self._at(self._full(path)))

    def stat(self, path: bytes) -> Status:
        return self._status(self._at(self._followed(path)))

    def readlink(self, path: bytes) -> bytes:
        file = self._at(self._full(path))
        if file.kind != stat.S_IFLNK:
            raise failing(EINVAL)
        return file.contents

    def create(self, path: bytes, mode: int) -> None:
        self._put(path, self._new(stat.S_IFREG | mode))

    def mkdir(self, path: bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
        self._put(path, self._new(stat.S_IFDIR | mode))
        if owner is not None:
            self.chown(path, *owner)

    def link(self, target: bytes, name: bytes) -> None:
        file = self._at(self._full(target))
        if file.is_directory:
            raise failing(EPERM)
        self._put(name, file)
        file.links += 1

    def symlink(self, target: bytes, name: bytes) -> None:
        if not target:
            raise failing(ENOENT)
        self._put(name, self._new(stat.S_IFLNK | 0o777, target))

    def unlink(self, path: bytes) -> None:
        full = self._full(path)
        if self._at(full).is_directory:
            raise failing(EISDIR)
        self._files.pop(full).links -= 1

    def rmdir(self, path: bytes) -> None:
        full = self._full(path)
        self._empty(full)
        del self._files[full]

    def rename(self, path: bytes, name: bytes) -> None:
        old, new = self._full(path), self._full(name)
        moved, there = self._at(old), self._files.get(new)
        if there is moved:
            return
        if moved.is_directory and (new + b"/").startswith(old.rstrip(b"/") + b"/"):
            raise failing(EINVAL)
        if there is None:
            self._parent(new)
        elif moved.is_directory:
            self._empty(new)
        elif there.is_directory:
            raise failing(EISDIR)
        for full in [full for full in self._files if (full + b"/").startswith(old + b"/")]:
            self._files[new + full.removeprefix(old)] = self._files.pop(full)

    def chown(self, path: bytes, owner: int, group: int) -> None:
        file = self._at(self._full(path))
        file.owner = file.owner if owner < 0 else owner
        file.group = file.group if group < 0 else group

    def chmod(self, path: bytes, mode: int) -> None:
        file = self._at(self._full(path))
        if file.kind == stat.S_IFLNK:
            raise failing(EOPNOTSUPP)
        file.mode = file.kind | mode

    def contents(self, path: bytes, links: bool = True) -> AbstractContextManager[Contents]:
        file = self._at(self._followed(path) if links else self._full(path))
        if file.kind == stat.S_IFLNK:
            raise failing(ELOOP)
        if file.kind != stat.S_IFREG:
            raise failing(EISDIR if file.is_directory else EINVAL)
        return nullcontext(Contents(stat.S_IMODE(file.mode), in_blocks(file.contents)))

    def write(self, path: bytes, blocks: Iterable[bytes], mode: int) -> None:
        file = self._files.get(self._full(path))
        if file is not None and file.kind != stat.S_IFREG:
            raise failing({stat.S_IFDIR: EISDIR, stat.S_IFLNK: ELOOP}.get(file.kind, EINVAL))
        written = bytearray()
        for block in blocks:
            written += block
            if len(written) > ROOM:
                raise failing(ENOSPC)
        if file is None:
            file = self._new(stat.S_IFREG | mode)
            self._put(path, file)
        file.contents = bytes(written)

    def names(self, path: bytes) -> AbstractContextManager[Iterator[bytes]]:
        full = self._followed(path)
        if not self._at(full).is_directory:
            raise failing(ENOTDIR)
        return nullcontext(iter([posixpath.basename(below) for below in self._below(full)]))

    def _new(self, mode: int, contents: bytes = b"") -> File:
        if self._made >= FILES_LIMIT:
            raise failing(ENOSPC)
        self._made += 1
        return File(self._made + 1, mode, contents)

    def _put(self, path: bytes, file: File) -> None:
        full = self._full(path)
        self._parent(full)
        if full in self._files:
            raise failing(EEXIST)
        self._files[full] = file

    def _at(self, full: bytes) -> File:
        self._parent(full)
        file = self._files.get(full)
        if file is None:
            raise failing(ENOENT)
        return file

    def _parent(self, full: bytes) -> None:
        parent = self._files.get(posixpath.dirname(full))
        if parent is None or not parent.is_directory:
            raise failing(ENOENT if parent is None else ENOTDIR)

    def _below(self, full: bytes) -> list[bytes]:
        return [path for path in self._files if path != b"/" and posixpath.dirname(path) == full]

    def _empty(self, full: bytes) -> None:
        if not self._at(full).is_directory or self._below(full):
            raise failing(ENOTEMPTY if self._below(full) else ENOTDIR)

    def _followed(self, path: bytes) -> bytes:
        full = self._full(path)
        for _ in range(LINKS_LIMIT):
            file = self._files.get(full)
            if file is None or file.kind != stat.S_IFLNK:
                return full
            full = self._full(posixpath.join(posixpath.dirname(full), file.contents))
        raise failing(ELOOP)

    @staticmethod
    def _full(path: bytes) -> bytes:
        assert b"\0" not in path
        if not path:
            raise failing(ENOENT)
        return posixpath.normpath(b"/" + path.lstrip(b"/"))

    @staticmethod
    def _status(file: File) -> Status:
        device = (8, file.number) if file.kind in {stat.S_IFCHR, stat.S_IFBLK} else (0, 0)
        size, times = len(file.contents), (1_000_000_000, 1 << 33, 3)
        return Status(file.mode, file.number, 1, file.links, file.owner, file.group, *device, size, *times)
