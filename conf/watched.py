"""A file whose content is used for as long as it parses: the last good value stays in force."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from conf.guarded import insist_on_writers
from conf.kinds import ConfError, brief

MAX_FILE = 16 << 20
"""Bytes of a watched file at most: a trust database of 100,000 keys has ten million."""

T = TypeVar("T")
Signature = tuple[int, int, int, int, int]


class Watched(Generic[T]):
    """A parsed file. `value` is the last good one; `empty` before the first, and always if `path` is None.

    `key` is the `section.key` that names the file, for errors.
    """

    def __init__(self, path: Path | None, parse: Callable[[str, str], T], empty: T, key: str = "") -> None:
        self.path = path
        self.value = empty
        self.good = False
        """Whether `value` was ever in the file."""
        self._named = f" ({key} names it)" if key else ""
        self._parse = parse
        self._seen: Signature | None = None

    def refresh(self) -> bool:
        """Look again; True if there is a new value. Cheap when the file's status is the same.

        Raises ConfError if the file cannot be read or others can write it, or what `parse(text, name of the
        file)` raises; a text that does not parse is complained of once, not each time.
        """
        if self.path is None:
            return False
        try:
            if _signature(os.stat(self.path)) == self._seen:
                return False
            with self.path.open("rb") as stream:
                status = os.fstat(stream.fileno())
                seen = _signature(status)
                insist_on_writers(self.path, status)
                raw = stream.read(MAX_FILE + 1)
            if len(raw) > MAX_FILE:
                raise ConfError(f"{self.path}: expected at most {MAX_FILE} bytes, got more")
            text = raw.decode()
        except OSError as error:
            raise ConfError(f"cannot read {brief(self.path)}: {error.strerror}{self._named}") from error
        except UnicodeDecodeError as error:
            raise ConfError(f"{self.path}: expected UTF-8 text, got other bytes") from error
        self._seen = seen
        self.value = self._parse(text, str(self.path))
        self.good = True
        return True


def _signature(status: os.stat_result) -> Signature:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
