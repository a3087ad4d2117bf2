"""The files of this host, as the machine reaches them.

Nothing is opened before it is known to be a regular file: a path is first made a handle (O_PATH), which
opens no device and wakes no FIFO, and /proc/self/fd makes a descriptor of that very file. New files are made
private, and get owner and mode through their descriptor, so that neither the process's umask nor what happens
to the name meanwhile matters.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import EINVAL, EISDIR, ELOOP, EOPNOTSUPP, EPERM
from typing import NamedTuple

from vm.host.files import BLOCK, Contents, Status

SECOND = 1_000_000_000
"""Nanoseconds."""

ATTRIBUTES = ("security.selinux", "system.posix_acl_access")
"""Extended attributes that a file keeps when it is replaced: those that say who may use it."""

REFUSED = {stat.S_IFDIR: EISDIR, stat.S_IFLNK: ELOOP}
"""Errors of files that are not regular, where they are; EINVAL of all others."""

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
PRIVATE = 0o600
PRIVATE_DIRECTORY = 0o700


class LocalFiles:
    """vm.host.files.Files on the real file system."""

    def lstat(self, path: bytes, links: bool = True) -> Status:
        """Of the path itself."""
        if links:
            return _status(os.lstat(path))
        with _straight(path) as handle:
            return _status(os.fstat(handle))

    def stat(self, path: bytes) -> Status:
        """Of what the path leads to; follows."""
        return _status(os.stat(path))

    def readlink(self, path: bytes) -> bytes:
        """The target of a symbolic link."""
        return os.readlink(path)

    def create(self, path: bytes, mode: int) -> None:
        """Make an empty file."""
        descriptor = os.open(path, NEW, PRIVATE)
        with _closing(descriptor):
            os.fchmod(descriptor, mode)

    def mkdir(self, path: bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
        """Make a directory; where it cannot be given its owner and mode, none is left."""
        os.mkdir(path, PRIVATE_DIRECTORY)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            with _closing(descriptor):
                if owner is None:
                    mode |= os.fstat(descriptor).st_mode & stat.S_ISGID
                else:
                    _check_parent(descriptor, owner[0])
                    os.fchown(descriptor, *owner)
                os.fchmod(descriptor, mode)
        except OSError:
            with suppress(OSError):
                os.rmdir(path)
            raise

    def link(self, target: bytes, name: bytes) -> None:
        """Make a hard link."""
        os.link(target, name, follow_symlinks=False)

    def symlink(self, target: bytes, name: bytes) -> None:
        """Make a symbolic link."""
        os.symlink(target, name)

    def unlink(self, path: bytes) -> None:
        """Remove a name."""
        os.unlink(path)

    def rmdir(self, path: bytes) -> None:
        """Remove an empty directory."""
        os.rmdir(path)

    def rename(self, path: bytes, name: bytes) -> None:
        """As rename(2)."""
        os.rename(path, name)

    def chown(self, path: bytes, owner: int, group: int) -> None:
        """Set owner and group."""
        os.chown(path, owner, group, follow_symlinks=False)

    def chmod(self, path: bytes, mode: int) -> None:
        """Set the low 12 bits of the mode."""
        with _handle(path, os.O_NOFOLLOW) as handle:
            if stat.S_ISLNK(os.fstat(handle).st_mode):
                raise OSError(EOPNOTSUPP, "a symbolic link has no mode")
            os.chmod(_file_of(handle), mode)

    @contextmanager
    def contents(self, path: bytes, links: bool = True) -> Iterator[Contents]:
        """Open a regular file. It may be one whose reads block, as some in /proc do: those fail."""
        with _handle(path) if links else _straight(path) as handle:
            _check_regular(os.fstat(handle))
            descriptor = os.open(_file_of(handle), os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        with _closing(descriptor):
            mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
            yield Contents(mode, iter(lambda: os.read(descriptor, BLOCK), b""))

    def write(self, path: bytes, blocks: Iterable[bytes], mode: int) -> None:
        """Write a draft beside a file, and rename it over the file; after a failure no draft is left."""
        head, slash, name = path.rpartition(b"/")
        with _handle(head + slash if slash or not path else b".", os.O_DIRECTORY) as parent:
            kept = _kept(name, parent)
            draft = b".cw." + os.urandom(8).hex().encode()
            descriptor = os.open(draft, NEW, PRIVATE, dir_fd=parent)
            try:
                with _closing(descriptor):
                    for block in blocks:
                        _write(descriptor, block)
                    if kept is None:
                        os.fchmod(descriptor, mode)
                    else:
                        kept.give(descriptor)
                    os.fsync(descriptor)
                os.rename(draft, name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                with suppress(OSError):
                    os.unlink(draft, dir_fd=parent)
                raise

    @contextmanager
    def names(self, path: bytes) -> Iterator[Iterator[bytes]]:
        """Read a directory; no other kind of file is opened."""
        with os.scandir(path) as entries:
            yield (entry.name for entry in entries)


class Kept(NamedTuple):
    """What a file that is replaced hands on."""

    owner: int
    group: int
    mode: int
    attributes: Mapping[str, bytes]

    @classmethod
    def of(cls, file: int | bytes) -> Kept:
        """Of a file, by descriptor or path. Raises OSError."""
        found = os.stat(file)
        attributes = {attribute: os.getxattr(file, attribute) for attribute in _attributes(file)}
        return cls(found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode), attributes)

    def give(self, descriptor: int) -> None:
        """Make another file like it; what its directory has given that one by default is taken away."""
        os.fchown(descriptor, self.owner, self.group)
        for attribute in _attributes(descriptor) - self.attributes.keys():
            os.removexattr(descriptor, attribute)
        for attribute, content in self.attributes.items():
            os.setxattr(descriptor, attribute, content)
        os.fchmod(descriptor, self.mode)


def _kept(name: bytes, parent: int) -> Kept | None:
    """Of the file that has a name in a directory, None if nothing has. Raises OSError of one not regular."""
    if not name:
        raise OSError(EISDIR, "a directory")
    try:
        with _handle(name, os.O_NOFOLLOW, parent) as handle:
            _check_regular(os.fstat(handle))
            return Kept.of(_file_of(handle))
    except FileNotFoundError:
        return None


def _attributes(file: int | bytes) -> set[str]:
    """Those of ATTRIBUTES that a file has; none where the file system has no extended attributes."""
    try:
        return set(os.listxattr(file)).intersection(ATTRIBUTES)
    except OSError as error:
        if error.errno != EOPNOTSUPP:
            raise
        return set()


@contextmanager
def _handle(path: bytes, flags: int = 0, parent: int | None = None) -> Iterator[int]:
    """A descriptor that stands for whatever has a path, without opening it."""
    handle = os.open(path, os.O_PATH | flags, dir_fd=parent)
    with _closing(handle):
        yield handle


@contextmanager
def _straight(path: bytes) -> Iterator[int]:
    """A handle of a path that leads through no symbolic link; it may be one. Whoever moves links meanwhile
    changes nothing: each step is taken from the directory that the one before it has found.
    """
    handle = os.open(b"/" if path.startswith(b"/") else path and b".", os.O_PATH)
    try:
        for step in path.split(b"/"):
            if stat.S_ISLNK(os.fstat(handle).st_mode):
                raise OSError(ELOOP, "through a symbolic link")
            before, handle = handle, os.open(step or b".", os.O_PATH | os.O_NOFOLLOW, dir_fd=handle)
            os.close(before)
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    """Closes it at the end."""
    try:
        yield
    finally:
        os.close(descriptor)


def _file_of(handle: int) -> bytes:
    """A path to what a handle stands for, whatever has become of its name."""
    return b"/proc/self/fd/%d" % handle


def _check_regular(found: os.stat_result) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        raise OSError(REFUSED.get(kind, EINVAL), "not a regular file")


def _check_parent(directory: int, owner: int) -> None:
    """Refuse to give one a directory that is not in one's own: somebody's link may have led us there."""
    with _handle(b"..", 0, directory) as parent:
        if os.fstat(parent).st_uid != owner:
            raise OSError(EPERM, "in a directory of another owner")


def _status(found: os.stat_result) -> Status:
    return Status(
        mode=found.st_mode,
        inode=found.st_ino,
        device=found.st_dev,
        links=found.st_nlink,
        owner=found.st_uid,
        group=found.st_gid,
        major=os.major(found.st_rdev),
        minor=os.minor(found.st_rdev),
        size=found.st_size,
        accessed=found.st_atime_ns // SECOND,
        modified=found.st_mtime_ns // SECOND,
        changed=found.st_ctime_ns // SECOND,
    )


def _write(descriptor: int, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
