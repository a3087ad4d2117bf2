"""The file system, as the fs.* instructions reach it: paths are bytes without NUL, failures are OSErrors.

Modes are exact: what the machine's own mask leaves of them, whatever the mask of the process is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol


class Status(NamedTuple):
    """What lstat(2) says of a file. The numbers may be of any size; times are whole seconds since 1970."""

    mode: int
    """Type and permissions, as st_mode."""
    inode: int
    device: int
    links: int
    owner: int
    group: int
    major: int
    minor: int
    """Of a character or block device, which one; 0 of others."""
    size: int
    accessed: int
    modified: int
    changed: int


class Contents(NamedTuple):
    """A regular file, open for reading."""

    mode: int
    """Its low 12 bits."""
    blocks: Iterator[bytes]
    """What is in it, in pieces of at most BLOCK bytes, each read when it is asked for."""


BLOCK = 131_072
"""Bytes of a file that are read or written between two looks at the clock."""


class Files(Protocol):
    """The file system. A symbolic link at the end of a path is followed only where that is said."""

    def lstat(self, path: bytes, links: bool = True) -> Status:
        """Of the path itself; without `links`, ELOOP where a directory on its way is a symbolic link."""
        ...

    def stat(self, path: bytes) -> Status:
        """Of what the path leads to; follows."""
        ...

    def readlink(self, path: bytes) -> bytes:
        """The target of a symbolic link; EINVAL of anything else."""
        ...

    def create(self, path: bytes, mode: int) -> None:
        """Make an empty file of this mode; EEXIST if anything has the name."""
        ...

    def mkdir(self, path: bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
        """Make a directory of this mode; EEXIST if anything has the name.

        With `owner`, a user and a group, it belongs to them; EPERM where the parent is not that user's.
        Without, it belongs to this process, and to the parent's group where the parent hands that down (its
        set-group-id bit, which is handed down as well).
        """
        ...

    def link(self, target: bytes, name: bytes) -> None:
        """Make `name` a hard link to `target`, be that a symbolic link; EPERM of a directory."""
        ...

    def symlink(self, target: bytes, name: bytes) -> None:
        """Make `name` a symbolic link to `target`."""
        ...

    def unlink(self, path: bytes) -> None:
        """Remove a name; EISDIR of a directory."""
        ...

    def rmdir(self, path: bytes) -> None:
        """Remove an empty directory."""
        ...

    def rename(self, path: bytes, name: bytes) -> None:
        """As rename(2): over a file of that name, or an empty directory, in one step."""
        ...

    def chown(self, path: bytes, owner: int, group: int) -> None:
        """Set owner and group; -1 leaves one as it is."""
        ...

    def chmod(self, path: bytes, mode: int) -> None:
        """Set the low 12 bits of the mode; EOPNOTSUPP of a symbolic link."""
        ...

    def contents(self, path: bytes, links: bool = True) -> AbstractContextManager[Contents]:
        """Open a regular file; follows. Nothing else is opened: EISDIR of a directory, or EINVAL.

        Without `links`, no symbolic link is followed, not even to a directory on the way: ELOOP.
        """
        ...

    def write(self, path: bytes, blocks: Iterable[bytes], mode: int) -> None:
        """Make `path` a file of these contents, in one step once all blocks are written.

        A regular file of that name is replaced by one with its owner, group, mode, access control list and
        security label; where there is none, the new one has `mode`. EISDIR of a directory, ELOOP of a
        symbolic link, EINVAL of anything else. What `blocks` raises leaves everything as it was.
        """
        ...

    def names(self, path: bytes) -> AbstractContextManager[Iterator[bytes]]:
        """What is in a directory but `.` and `..`, in any order, read as it is asked for; follows."""
        ...
