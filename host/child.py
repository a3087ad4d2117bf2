"""A child that is ended with all below it: when that is wanted, its time is up, or it uses too much."""

from __future__ import annotations

import math
import os
import signal
import time
from contextlib import suppress

from host.descendants import end_below
from host.usage import Ceiling, Excess, excess

LOOK = 0.05
"""Seconds between two looks at what a child and all below it use."""

LAST_WORDS = 10.0
"""Seconds that a child which was told of an excess has to end."""


class Child:
    """A child that is alive or not reaped yet: so its process id cannot be anyone else's.

    It leads a process group of its own. It is killed with all below it after `limit` seconds. Once it and all
    below it use more than `ceiling` allows, all below it are killed, and it gets the signal that says so.
    """

    def __init__(self, pid: int, limit: float, ceiling: Ceiling) -> None:
        self.pid = pid
        self.ended = os.pidfd_open(pid)
        """A descriptor that is readable once the child has ended (pidfd_open(2))."""
        self._deadline = time.monotonic() + limit
        self._look = math.inf if ceiling == Ceiling() else time.monotonic() + LOOK
        self._ceiling = ceiling
        self._found: Excess | None = None
        """What the last look has found."""
        self._condemned = False
        """Whether it was to be ended; its own children are then not left over."""

    @property
    def due(self) -> float:
        """When, on the clock that never goes back, `attend` has something to do."""
        return min(self._deadline, self._look)

    def attend(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        if self._deadline <= now:
            self.kill()
        elif self._look <= now:
            self._weigh()

    def stop(self) -> None:
        """Ask the child's process group to end."""
        self._condemned = True
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End the child and all below it."""
        self._deadline = math.inf
        self._end_below()
        self._send(signal.SIGKILL)

    def bury(self) -> int:
        """Take leave of a child that has ended: its exit status, or minus the signal.

        Who traces it reaps it first (ptrace(2)), when they like: then the status is 0, and a zombie stays.
        """
        if self._condemned:
            self._send(signal.SIGKILL)
        os.close(self.ended)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, os.WNOHANG)[1])

    def _weigh(self) -> None:
        """Too much memory is what is too much at the next look too: a program that is being started counts
        twice for as long as it shares its parent's memory (vfork(2)).
        """
        before, self._found = self._found, excess(self.pid, self._ceiling)
        if self._found is Excess.PROCESSES or (self._found and before):
            self._end_below()
            self._deadline = min(self._deadline, time.monotonic() + LAST_WORDS)
            self._send(self._found)
            self._send(signal.SIGCONT)
        else:
            self._look = time.monotonic() + LOOK

    def _end_below(self) -> None:
        """In whatever groups they are: halted, the child starts nobody else meanwhile."""
        self._condemned = True
        self._look = math.inf
        self._send(signal.SIGSTOP)
        end_below(self.pid)

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):  # nobody of ours is left in it
            os.killpg(self.pid, number)
