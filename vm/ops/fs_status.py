"""What kind of file a path is, and the fields of its lstat: a symbolic link is seen, never looked through."""

from __future__ import annotations

import stat as kinds
from collections.abc import Callable
from errno import ENODEV, EOVERFLOW
from operator import attrgetter

from vm.host.files import Status
from vm.machine import Machine
from vm.ops.build import INTO, PATH, TEXT, takes
from vm.ops.fs_attempt import attempts, links, path_of
from vm.program import WORD, Handler

WORDS = {
    kinds.S_IFREG: b"regular file",
    kinds.S_IFLNK: b"symbolic link",
    kinds.S_IFDIR: b"directory",
    kinds.S_IFCHR: b"character device",
    kinds.S_IFBLK: b"block device",
    kinds.S_IFIFO: b"FIFO pipe",
    kinds.S_IFSOCK: b"UNIX domain socket",
}
"""What fs.type calls each kind of file."""

MISSING = b"non-existent file"
UNKNOWN = b"unknown file"

PERMISSIONS = 0o7777
"""The low 12 bits of a mode."""

DEVICES = (kinds.S_IFCHR, kinds.S_IFBLK)


@attempts(PATH)
def stat(machine: Machine, path: bytes) -> None:
    """Whether lstat can say anything of it."""
    machine.host.files.lstat(path, links(machine))


@takes(TEXT, INTO)
def type_of(machine: Machine, text: bytes) -> int:
    """The kind of a file in words; of a path that cannot be looked at too, with acc 1."""
    try:
        status = machine.host.files.lstat(path_of(text), links(machine))
    except OSError as error:
        machine.failed(error)
        return machine.keep(MISSING)
    machine.acc = 0
    return machine.keep(WORDS.get(kinds.S_IFMT(status.mode), UNKNOWN))


def _is(kind: int) -> Handler:
    """The handler of a question. A mere no leaves no error for perror to tell of, not even an old one."""

    @takes(TEXT)
    def question(machine: Machine, text: bytes) -> None:
        try:
            status = machine.host.files.lstat(path_of(text), links(machine))
        except OSError as error:
            machine.failed(error)
            return
        machine.acc = 0 if kinds.S_IFMT(status.mode) == kind else 1
        machine.errno = 0

    return question


is_file = _is(kinds.S_IFREG)
is_symlink = _is(kinds.S_IFLNK)
is_dir = _is(kinds.S_IFDIR)
is_chardev = _is(kinds.S_IFCHR)
is_blockdev = _is(kinds.S_IFBLK)
is_fifo = _is(kinds.S_IFIFO)
is_socket = _is(kinds.S_IFSOCK)


@attempts(PATH, INTO)
def readlink(machine: Machine, path: bytes) -> int:
    """The target of a symbolic link."""
    return machine.keep(machine.host.files.readlink(path))


def _field(of: Callable[[Status], int]) -> Handler:
    """The handler of a field. What a register cannot hold is a failure, not some other number."""

    @attempts(PATH, INTO)
    def field(machine: Machine, path: bytes) -> int:
        value = of(machine.host.files.lstat(path, links(machine)))
        if not 0 <= value <= WORD:
            raise OSError(EOVERFLOW, "more than 32 bits")
        return value

    return field


def _of_device(of: Callable[[Status], int]) -> Callable[[Status], int]:
    def number(status: Status) -> int:
        if kinds.S_IFMT(status.mode) not in DEVICES:
            raise OSError(ENODEV, "not a device")
        return of(status)

    return number


def _permissions(status: Status) -> int:
    return status.mode & PERMISSIONS


dev = _field(attrgetter("device"))
inode = _field(attrgetter("inode"))
mode = _field(_permissions)
nlink = _field(attrgetter("links"))
uid = _field(attrgetter("owner"))
gid = _field(attrgetter("group"))
major = _field(_of_device(attrgetter("major")))
minor = _field(_of_device(attrgetter("minor")))
size = _field(attrgetter("size"))
atime = _field(attrgetter("accessed"))
mtime = _field(attrgetter("modified"))
ctime = _field(attrgetter("changed"))
