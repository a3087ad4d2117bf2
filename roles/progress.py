"""How far a request is, in one line on a terminal: it is gone before anything else is written there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress

from mesh.printing import Tally, progress
from roles.terminal import columns

PATIENCE = 0.5
"""Seconds before it is shown at all: it would only flicker where everybody answers at once."""

PACE = 0.1
"""Seconds between two of its states."""


class Progress:
    """The line on the terminal `descriptor`, about a request to so many `sessions`.

    `due` is when, by `clock`, it wants to be shown next.
    """

    def __init__(self, descriptor: int, sessions: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._descriptor = descriptor
        self._sessions = sessions
        self._clock = clock
        self._began = clock()
        self._shown = ""
        self.due = self._began + PATIENCE

    def show(self, tally: Tally) -> None:
        """Say how far it is, where that is due."""
        now = self._clock()
        if now < self.due:
            return
        self.due = now + PACE
        text = progress(tally, self._sessions, now - self._began)[: columns(self._descriptor) - 1]
        if text != self._shown and self._in_foreground():
            self._write(f"\r{text}\x1b[K")
            self._shown = text

    def hide(self) -> None:
        """Leave an empty line where it was."""
        if self._shown:
            self._write("\r\x1b[K")
            self._shown = ""

    def _in_foreground(self) -> bool:
        """Whether the terminal's user looks at this command; a terminal other than our own counts as such."""
        try:
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:
            return True

    def _write(self, text: str) -> None:
        with suppress(OSError):
            os.write(self._descriptor, text.encode("ascii"))
