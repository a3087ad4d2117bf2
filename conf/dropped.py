"""A directory whose files are used for as long as they make sense: the last good value stays in force."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from conf.guarded import insist_on_keepers, insist_on_writers
from conf.kinds import ConfError, brief, escaped

FILES_LIMIT = 256
"""Files that count in a directory, at most."""

MAX_FILE = 256 << 10
"""Bytes of each, at most."""

T = TypeVar("T")


class Dropped(Generic[T]):
    """What the files of a directory say together.

    Those count whose names end in one of `endings` and do not begin with a dot. `value` is the last good one;
    `empty` before the first, and always if `path` is None. `key` is the `section.key` that names the
    directory, for errors.
    """

    def __init__(
        self,
        path: Path | None,
        endings: tuple[str, ...],
        parse: Callable[[Mapping[str, bytes], str], T],
        empty: T,
        key: str = "",
    ) -> None:
        self.path = path
        self.value = empty
        self._endings = endings
        self._parse = parse
        self._named = f" ({key} names it)" if key else ""
        self._seen: object = None

    def refresh(self) -> bool:
        """Look again; True if there is a new value.

        Raises ConfError if a file cannot be read or others can write it, or what `parse(contents by name of
        file, name of the directory)` raises; what does not parse is complained of once, not each time.
        """
        if self.path is None:
            return False
        try:
            files = self._files(self.path)
            seen = [(name, *_signature(status)) for name, (_, status) in files.items()]
            if seen == self._seen:
                return False
            contents = {name: _contents(path, status) for name, (path, status) in files.items()}
        except OSError as error:
            where = brief(escaped(str(error.filename or self.path)))
            raise ConfError(f"cannot read {where}: {error.strerror}{self._named}") from error
        self._seen = seen
        self.value = self._parse(contents, str(self.path))
        return True

    def _files(self, directory: Path) -> dict[str, tuple[Path, os.stat_result]]:
        insist_on_keepers(directory, os.stat(directory))
        names = sorted(
            name for name in os.listdir(directory) if name.endswith(self._endings) and name[0] != "."
        )
        if len(names) > FILES_LIMIT:
            raise ConfError(f"{directory}: expected at most {FILES_LIMIT} files, got {len(names)}")
        return {name: (path := directory / name, os.stat(path)) for name in names}


def _signature(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_dev, status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )  # fmt: skip


def _contents(path: Path, status: os.stat_result) -> bytes:
    """All of a file; a pipe is not even opened, which could take for ever."""
    where = escaped(str(path))
    if not stat.S_ISREG(status.st_mode):
        raise ConfError(f"{where}: expected a regular file")
    with path.open("rb") as stream:
        insist_on_writers(path, os.fstat(stream.fileno()))
        contents = stream.read(MAX_FILE + 1)
    if len(contents) > MAX_FILE:
        raise ConfError(f"{where}: expected at most {MAX_FILE} bytes, got more")
    return contents
