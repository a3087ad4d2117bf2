"""Ctrl-C as something to wait for: the first wakes whoever waits, the second ends everything at once."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Self

INTERRUPTED = 130
"""Exit status of a command that Ctrl-C ended, as shells report it."""


class Interrupts:
    """While it is entered, SIGINT makes `descriptor` readable instead of raising KeyboardInterrupt.

    So a session is never left between two steps. A second SIGINT raises KeyboardInterrupt after all. Where
    SIGINT was ignored, as in a shell's background, it stays so. For the main thread only.
    """

    def __init__(self) -> None:
        self._count = 0
        self.descriptor, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        self._before = signal.getsignal(signal.SIGINT)

    @property
    def pressed(self) -> bool:
        """Whether Ctrl-C was."""
        return self._count > 0

    def __enter__(self) -> Self:
        if self._before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_error: object) -> None:
        if self._before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._before)
        os.close(self.descriptor)
        os.close(self._write_end)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
        if self._count > 1:
            raise KeyboardInterrupt
        os.write(self._write_end, b"!")
