"""Files that are all made in one go, or not at all: none may be there, and after a failure none is left."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from auth.keys import public_of, public_path, write_pair
from conf.kinds import brief
from errors import CwError


class DraftError(CwError):
    """The files cannot be made."""


class Drafts:
    """What is to be made in a directory, which is made too."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._steps: list[tuple[tuple[Path, ...], Callable[[], None]]] = []

    def text(self, name: str, text: str) -> None:
        """A file that all may read."""
        path = self._directory / name
        self._steps.append(((path,), lambda: _write(path, text)))

    def directory(self, name: str, mode: int) -> None:
        """An empty directory."""
        path = self._directory / name
        self._steps.append(((path,), lambda: _make_directory(path, mode)))

    def key(self, name: str, kind: str, holder: str, secret: bytes, owner: int | None = None) -> bytes:
        """A key pair from 32 random bytes; its public half.

        Where root makes it, the private half belongs to the user of the number `owner`.
        """
        path = self._directory / name

        self._steps.append(((path, public_path(path)), lambda: _write_pair(path, kind, holder, secret)))
        if owner is not None and os.geteuid() == 0:
            self._steps.append(((), lambda: os.chown(path, owner, -1)))
        return public_of(kind, secret)

    def write(self, then: Callable[[], object] = lambda: None) -> None:
        """Make everything, then do what depends on it. Raises DraftError, or what `then` raises."""
        there = [path.name for paths, _ in self._steps for path in paths if os.path.lexists(path)]
        if there:
            raise DraftError(
                f"nothing made in {brief(self._directory)}: {', '.join(there)} would be overwritten"
            )
        made: list[Path] = []
        making = self._directory
        try:
            if not self._directory.is_dir():
                self._directory.mkdir(0o755, parents=True)
                made.append(self._directory)
            for paths, make in self._steps:
                making = paths[0] if paths else making
                make()
                made.extend(paths)
            then()
        except BaseException as error:
            _remove(made)
            if isinstance(error, OSError):
                where = brief(error.filename or making)  # what is written through a descriptor has no name
                raise DraftError(f"cannot make {where}: {error.strerror}; nothing is left") from error
            raise


def _write(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as stream:
        try:
            os.fchmod(stream.fileno(), 0o644)
            stream.write(text)
            stream.flush()
        except OSError:
            path.unlink()
            raise


def _write_pair(path: Path, kind: str, holder: str, secret: bytes) -> None:
    write_pair(path, kind, holder, secret)


def _make_directory(path: Path, mode: int) -> None:
    path.mkdir(mode)
    path.chmod(mode)


def _remove(made: list[Path]) -> None:
    for path in reversed(made):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
