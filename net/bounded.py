"""Ends a call of this process's main thread once it has used its time, whatever the call is doing."""

from __future__ import annotations

import gc
import signal
import time
from _thread import get_ident
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

from mesh.filters import TooSlow

T = TypeVar("T")

LIMIT = 0.005
"""Seconds of the thread's own processor time (mesh.md "Filters")."""

_TICK = 0.001
"""Seconds between looks at the clock once LIMIT has gone by on the wall."""


class _Guard:
    """The one owner of SIGALRM and of the real-time timer in this process.

    The handler stays installed, so that a signal that comes late finds it, and raises only while a call is
    guarded. It goes by the thread's processor time: a call that was kept waiting, by another thread with the
    interpreter's lock or by a busy host, is not to blame for it. It looks again until the call ends: an
    exception that surfaces in a finaliser is lost, the next is not.
    """

    def __init__(self) -> None:
        self._thread = 0
        self._deadline: float | None = None

    def run(self, call: Callable[[], T], /) -> T:
        """What `call` returns; TooSlow once it has used LIMIT seconds of processor time.

        Only in the main thread, the one that signals reach, and not inside itself: RuntimeError otherwise.
        """
        if get_ident() != self._thread:
            self._install()
        if self._deadline is not None:
            raise RuntimeError("a bounded call inside a bounded call")
        collecting = gc.isenabled()
        gc.disable()  # a collection runs finalisers and callbacks of anybody, where an exception is lost
        try:
            self._deadline = time.thread_time() + LIMIT
            signal.setitimer(signal.ITIMER_REAL, LIMIT, _TICK)
            return call()
        finally:
            self._deadline = (
                None  # first, and no call before it: from here on a pending signal raises nothing
            )
            signal.setitimer(signal.ITIMER_REAL, 0)
            if collecting:
                gc.enable()

    def _install(self) -> None:
        try:
            signal.signal(signal.SIGALRM, self._on_alarm)
        except ValueError as error:
            raise RuntimeError("a bounded call outside the main thread") from error
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})  # whoever started us may have blocked it
        self._thread = get_ident()

    def _on_alarm(self, _number: int, _frame: FrameType | None) -> None:
        if self._deadline is not None and time.thread_time() >= self._deadline:
            raise TooSlow


bounded = _Guard().run
