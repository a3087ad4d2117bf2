"""The locks that the system's own tools take before they change account files, taken in any directory.

Those are the record lock on .pwd.lock of lckpwdf(3), and for each file `passwd.lock`, a link to a file in
which its holder's process id stands: some tools take only one of the two kinds. A lock file of a process
that is no more is removed, as they do it.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from errno import EAGAIN
from functools import partial

PATIENCE = 15.0
"""Seconds that lckpwdf(3) waits, and shadow's tools for a lock file."""

_PAUSE = 0.05
_DIGITS = 10
_WHOLE = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
"""struct flock: all of the file, for writing."""


@contextmanager
def locked(
    directory: int, names: tuple[str, ...], patience: float, poll: Callable[[], None]
) -> Iterator[None]:
    """Hold the locks of the files `names` in the directory that this descriptor is of.

    All are taken or none. Others are waited for, and `poll` called meanwhile; EAGAIN once `patience`, in
    seconds, is over.
    """
    deadline = time.monotonic() + patience
    while True:
        with ExitStack() as held:
            if _take_all(directory, names, held):
                yield
                return
        poll()
        if time.monotonic() >= deadline:
            raise OSError(EAGAIN, os.strerror(EAGAIN))
        time.sleep(_PAUSE)


def _take_all(directory: int, names: tuple[str, ...], held: ExitStack) -> bool:
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(".pwd.lock", flags, 0o600, dir_fd=directory)
    held.callback(os.close, descriptor)
    try:
        # Of the open file, not of the process, whose other threads would have it too, and end it by a close.
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _WHOLE)
    except BlockingIOError:
        return False
    return all(_take(directory, name, held) for name in names)


def _take(directory: int, name: str, held: ExitStack) -> bool:
    """Make the lock file of one file, unless a living process has one."""
    lock, mine = f"{name}.lock", f"{name}.{os.getpid()}"
    unlink = partial(_unlink, directory)
    unlink(mine)
    held.callback(unlink, mine)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(mine, flags, 0o600, dir_fd=directory)
    with open(descriptor, "wb", buffering=0) as file:
        file.write(b"%d\0" % os.getpid())
        os.fdatasync(descriptor)
    if not _link(directory, mine, lock):
        if not _abandoned(directory, lock):
            return False
        unlink(lock)
        if not _link(directory, mine, lock):
            return False
    held.callback(unlink, lock)
    unlink(mine)
    return True


def _link(directory: int, name: str, lock: str) -> bool:
    try:
        os.link(name, lock, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    except FileExistsError:
        return False
    return True


def _abandoned(directory: int, lock: str) -> bool:
    """Whether the process named in a lock file has ended; one that names none is taken for another's."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(lock, flags, dir_fd=directory)
    except FileNotFoundError:
        return True
    try:
        digits = os.read(descriptor, 32).split(b"\0")[0].strip()
    finally:
        os.close(descriptor)
    if not digits.isdigit() or len(digits) > _DIGITS or not 0 < int(digits) < 1 << 31:
        return False
    try:
        os.kill(int(digits), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it is another user's
    return False


def _unlink(directory: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)
