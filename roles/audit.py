"""The audit log: append-only JSON lines, each in one write, so that nothing is lost or mixed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

from conf.kinds import brief
from errors import CwError

if TYPE_CHECKING:
    from roles.log import Log


class AuditError(CwError):
    """The audit log cannot be written."""


def timestamp(seconds: float) -> str:
    """A moment (seconds since the epoch) as RFC 3339 in UTC, to the millisecond."""
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{thousandths:03d}Z"


class Audit:
    """One file of events, made with its directory if need be; None: nothing is kept.

    Each event says which `node` it is of, if that is given, since the logs of many are read together. Raises
    AuditError when the file cannot be opened.
    """

    def __init__(self, path: Path | None, now: Callable[[], float] = time.time, node: str = "") -> None:
        self.path = path
        self._now = now
        self._whose = {"node": node} if node else {}
        self._descriptor = self._open()
        self._torn = False
        """Whether the last line could be written in part only."""

    def write(self, event: str, **fields: object) -> None:
        """Add an event: `time`, `event`, the fields; no password, key or output. Raises AuditError."""
        self.write_together((event, fields))

    def write_together(self, *events: tuple[str, Mapping[str, object]]) -> None:
        """Add events of one moment, each with its fields, in one write. Raises AuditError."""
        if self._descriptor is None:
            return
        now = timestamp(self._now())
        lines = "".join(
            [
                json.dumps({"time": now, "event": event, **self._whose, **fields}) + "\n"
                for event, fields in events
            ]
        )
        if self._torn:
            lines = "\n" + lines
        try:
            written = os.write(self._descriptor, lines.encode())
        except OSError as error:
            raise AuditError(f"cannot write to the audit log {self.path}: {error.strerror}") from error
        self._torn = written != len(lines)
        if self._torn:
            raise AuditError(f"cannot write to the audit log {self.path}: no space for a whole line")

    def reopen(self) -> None:
        """Go on in a new file of the same name, the old one having been moved. Raises AuditError."""
        old, self._descriptor = self._descriptor, self._open()
        if old is not None:
            os.close(old)

    def __enter__(self) -> Self:
        """The audit log itself; leaving the block closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write no more."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int | None:
        if self.path is None:
            return None
        try:
            with contextlib.suppress(FileExistsError):
                self.path.parent.mkdir(mode=0o750)
            return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unopened(self.path, error) from error


def reopen(audit: Audit, log: Log) -> None:
    """Go on in a new audit log; one that cannot be opened leaves the old one in use."""
    try:
        audit.reopen()
    except AuditError as error:
        log.error(f"{error}; the old one stays in use")


def place_of(path: Path) -> Path:
    """What opening the log at `path` would write to: the file, or the directory where it and its own would be
    made. Makes nothing. Raises AuditError where it would.
    """
    try:
        for place in (path, path.parent, path.parent.parent):
            if os.path.lexists(place):
                _insist_on_writing(place, directory=place != path)
                return place
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    except OSError as error:
        raise _unopened(path, error) from error


def _insist_on_writing(place: Path, directory: bool) -> None:
    code = 0
    if directory != stat.S_ISDIR(os.stat(place).st_mode):
        code = errno.ENOTDIR if directory else errno.EISDIR
    elif not os.access(place, os.W_OK | directory * os.X_OK, effective_ids=True):
        code = errno.EROFS if os.statvfs(place).f_flag & os.ST_RDONLY else errno.EACCES
    if code:
        raise OSError(code, os.strerror(code))


def _unopened(path: Path, error: OSError) -> AuditError:
    return AuditError(f"cannot open the audit log {brief(path)}: {error.strerror} (audit.file names it)")
