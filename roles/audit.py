"""The audit log: append-only JSON lines, one write each, so that nothing is lost or mixed."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from conf.kinds import brief
from errors import CwError


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
        if self._descriptor is None:
            return
        line = json.dumps({"time": timestamp(self._now()), "event": event, **self._whose, **fields}) + "\n"
        if self._torn:
            line = "\n" + line
        try:
            written = os.write(self._descriptor, line.encode())
        except OSError as error:
            raise AuditError(f"cannot write to the audit log {self.path}: {error.strerror}") from error
        self._torn = written != len(line)
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
            raise AuditError(
                f"cannot open the audit log {brief(self.path)}: {error.strerror} (audit.file names it)"
            ) from error
