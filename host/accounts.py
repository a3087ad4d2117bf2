"""The account files of any directory, read and saved as the system's own tools do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import EFBIG, EINVAL, ENOENT, ESTALE
from stat import S_ISREG

from host.account_locks import PATIENCE, locked
from host.files import Kept
from vm.host.accounts import NAMES, NEEDED

_BLOCK = 65_536
_ORDER = ("shadow", "gshadow", "group", "passwd")
"""In which files are replaced: whoever appears in passwd has a password and a group by then."""


class LocalAccounts:
    """vm.host.accounts.Accounts on real files; `patience` are the seconds that save waits for others."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience

    def read(self, root: bytes, limit: int) -> dict[str, bytes]:
        """See the Protocol."""
        contents = {}
        with _directory(root) as directory:
            for name in NAMES:
                content = _content(directory, name, limit)
                if content is not None:
                    contents[name] = content
                    limit -= len(content)
                elif name in NEEDED:
                    raise _failure(ENOENT)
                if limit < 0:
                    raise _failure(EFBIG)
        return contents

    def save(
        self, root: bytes, before: Mapping[str, bytes], after: Mapping[str, bytes], poll: Callable[[], None]
    ) -> None:
        """See the Protocol."""
        changed = [name for name in _ORDER if name in after and after[name] != before[name]]
        with _directory(root) as directory, locked(directory, NAMES, self._patience, poll):
            for name in NAMES:
                if _content(directory, name, len(before.get(name, b""))) != before.get(name):
                    raise _failure(ESTALE)
            try:
                for name in changed:
                    _write_beside(directory, name, after[name])
                for name in changed:
                    _replace(directory, name)
            finally:
                for name in changed:
                    _unlink(directory, _beside(name))
            os.fsync(directory)


@contextmanager
def _directory(path: bytes) -> Iterator[int]:
    """A descriptor of a directory, which stays the same one whatever becomes of the path."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _opened(directory: int, name: str) -> Iterator[int]:
    """A descriptor of a regular file, for reading. ELOOP of a symbolic link, EINVAL of anything else."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=directory)
    try:
        if not S_ISREG(os.fstat(descriptor).st_mode):
            raise _failure(EINVAL)
        yield descriptor
    finally:
        os.close(descriptor)


def _content(directory: int, name: str, limit: int) -> bytes | None:
    """What is in a file, cut off one byte after the limit; None if there is no such file."""
    pieces, left = [], limit + 1
    try:
        with _opened(directory, name) as descriptor:
            while left and (piece := os.read(descriptor, min(left, _BLOCK))):
                pieces.append(piece)
                left -= len(piece)
    except FileNotFoundError:
        return None
    return b"".join(pieces)


def _write_beside(directory: int, name: str, content: bytes) -> None:
    """Write what is to replace a file, with its owner, group, mode, access control list and label."""
    _unlink(directory, _beside(name))
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(_beside(name), flags, 0o600, dir_fd=directory)
    with open(descriptor, "wb") as file, _opened(directory, name) as old:
        Kept.of(old).give(descriptor)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _replace(directory: int, name: str) -> None:
    """Keep the old file as `passwd-`, owner, mode and times and all, and give the new one its name."""
    kept = f"{name}-"
    _unlink(directory, kept)
    os.link(name, kept, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    os.rename(_beside(name), name, src_dir_fd=directory, dst_dir_fd=directory)


def _beside(name: str) -> str:
    """What the system's tools name a file while they write it; one found under their locks is left over."""
    return f"{name}+"


def _unlink(directory: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def _failure(number: int) -> OSError:
    return OSError(number, os.strerror(number))
