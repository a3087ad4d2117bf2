"""Files, directories and links made, moved, removed, and given owners and modes.

The mask of what is made is the machine's own. A symbolic link that has the name given is never gone through,
but by fs.copy, which reads what its first one leads to.
"""

from __future__ import annotations

import stat as kinds
from errno import EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR

from vm.host.files import Status
from vm.machine import Machine
from vm.ops.build import NUMBER, PATH
from vm.ops.fs_attempt import attempts, polled
from vm.ops.fs_status import PERMISSIONS
from vm.program import WORD

FILE_MODE = 0o666
DIRECTORY_MODE = 0o777
"""What the mask is taken from (pendulum.md "Instructions", 39 and 3a)."""

COPIED = 0o777
"""What a copy has of the mode of its source: whoever owns the copy gives nobody else's rights away."""

UNCHANGED = -1


@attempts(PATH)
def touch(machine: Machine, path: bytes) -> None:
    """Create an empty file, unless anything but a directory is there: that is left alone, times and all."""
    files = machine.host.files
    try:
        files.create(path, FILE_MODE & ~machine.umask)
    except FileExistsError:
        if kinds.S_ISDIR(files.lstat(path).mode):
            raise OSError(EISDIR, "a directory") from None


@attempts(PATH)
def mkdir(machine: Machine, path: bytes) -> None:
    """Create a directory, unless one is there."""
    _make_directory(machine, path, DIRECTORY_MODE & ~machine.umask, None)


def _make_directory(machine: Machine, path: bytes, mode: int, owner: tuple[int, int] | None) -> None:
    files = machine.host.files
    try:
        files.mkdir(path, mode, owner)
    except FileExistsError:
        if not kinds.S_ISDIR(files.lstat(path).mode):
            raise OSError(EEXIST, "not a directory") from None


@attempts(PATH, PATH)
def link(machine: Machine, target: bytes, name: bytes) -> None:
    """Make a hard link; one to a symbolic link is to the link itself."""
    machine.host.files.link(target, name)


@attempts(PATH, PATH)
def symlink(machine: Machine, target: bytes, name: bytes) -> None:
    """Make a symbolic link; its target need not exist."""
    machine.host.files.symlink(target, name)


@attempts(PATH)
def unlink(machine: Machine, path: bytes) -> None:
    """Remove a file of any kind but a directory."""
    machine.host.files.unlink(path)


@attempts(PATH)
def rmdir(machine: Machine, path: bytes) -> None:
    """Remove an empty directory."""
    machine.host.files.rmdir(path)


@attempts(PATH, PATH)
def rename(machine: Machine, path: bytes, name: bytes) -> None:
    """Rename, over what has the new name if rename(2) can."""
    machine.host.files.rename(path, name)


@attempts(PATH, PATH)
def copy(machine: Machine, path: bytes, name: bytes) -> None:
    """Copy contents; a new file gets the mode too, less the mask, while one that is there keeps its own."""
    files = machine.host.files
    with files.contents(path) as source:
        files.write(name, polled(machine, source.blocks), source.mode & COPIED & ~machine.umask)


@attempts(PATH, NUMBER)
def chown(machine: Machine, path: bytes, owner: int) -> None:
    """Set the owner; a symbolic link's own, if it is one."""
    machine.host.files.chown(path, _id(owner), UNCHANGED)


@attempts(PATH, NUMBER)
def chgrp(machine: Machine, path: bytes, group: int) -> None:
    """Set the group; a symbolic link's own, if it is one."""
    machine.host.files.chown(path, UNCHANGED, _id(group))


def _id(number: int) -> int:
    """A user or group id. All bits set is none: chown(2) would change nothing and call that success."""
    if number == WORD:
        raise OSError(EINVAL, "not an id")
    return number


@attempts(PATH, NUMBER)
def chmod(machine: Machine, path: bytes, mode: int) -> None:
    """Set the low 12 bits of the mode. A symbolic link has no mode, and is not gone through."""
    machine.host.files.chmod(path, mode & PERMISSIONS)


@attempts(PATH)
def mkparent(machine: Machine, path: bytes) -> None:
    """Create the directories that lead to a path, like the nearest that exists."""
    if not path:
        raise OSError(ENOENT, "no path")
    nearest, missing = _nearest(machine, path)
    if not kinds.S_ISDIR(nearest.mode):
        raise OSError(ENOTDIR, "not a directory")
    for directory in reversed(missing):
        mode, owner = nearest.mode & PERMISSIONS, (nearest.owner, nearest.group)
        _make_directory(machine, directory, mode, owner)


def _nearest(machine: Machine, path: bytes) -> tuple[Status, list[bytes]]:
    """What the nearest parent that exists is like, and the missing ones, the nearest to `path` first."""
    missing: list[bytes] = []
    parent = _parent(path)
    while True:
        machine.poll()
        try:
            return machine.host.files.stat(parent), missing
        except FileNotFoundError:
            missing.append(parent)
            path, parent = parent, _parent(parent)
            if parent == path:
                raise


def _parent(path: bytes) -> bytes:
    """What a path is in: `/a` of `/a//b/`, `.` of `a`, `/` of `/`."""
    head = path.rstrip(b"/").rpartition(b"/")[0]
    return head.rstrip(b"/") or (b"/" if path.startswith(b"/") else b".")
