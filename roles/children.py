"""Processes that are ended with the one that started them, whatever ends it: a signal, an error, success."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple, Self

from errors import CwError

READY_WITHIN = 60.0
"""Seconds that a daemon has to say that it is ready, on the busiest of hosts."""

LOOK = 0.01
"""Seconds between two looks at a log that something is expected in."""

ENDED_WITHIN = 5.0
"""Seconds that daemons have to end after SIGTERM, before they are killed."""

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ChildFailed(CwError):
    """A process that should be running ended, or never became ready."""

    status = 1


class Stopped(Exception):
    """A signal asks this process to end; `number` is the signal's, 128 + number the exit status."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Child(NamedTuple):
    """A daemon of ours: `log` is the file that its standard error goes to."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Children:
    """The daemons of one process, for its main thread. Leaving the block stops all that are left.

    Inside, SIGINT, SIGTERM and SIGHUP raise Stopped from whatever waits here, and nowhere else: so no process
    is started and not yet written down when they come. Signals that were ignored stay ignored.
    """

    def __init__(self) -> None:
        self.daemons: list[Child] = []
        self._asked: int | None = None
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        self._awake, self._waker = os.pipe()
        os.set_blocking(self._awake, False)
        os.set_blocking(self._waker, False)
        self._waker_before = signal.set_wakeup_fd(self._waker)
        for number in (*ENDING, signal.SIGCHLD):
            handler = signal.getsignal(number)
            self._before[number] = handler
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._waker_before)
        os.close(self._awake)
        os.close(self._waker)

    def start(self, name: str, words: Sequence[str], log: Path) -> Child:
        """Start a daemon in a session of its own, so that Ctrl-C reaches it only through us."""
        with open(log, "wb") as stream:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
            )
        child = Child(name, process, log)
        self.daemons.append(child)
        return child

    def wait_for(self, child: Child, line: str) -> None:
        """Wait until the daemon's log says `line`; ChildFailed if any daemon ends, or it never does."""
        deadline = time.monotonic() + READY_WITHIN
        while line not in child.log.read_text(errors="replace"):
            for one in self.daemons:
                status = one.process.poll()
                if status is not None:
                    raise ChildFailed(f"{one.name} ended with status {status}: {_last_line(one.log)}")
            if time.monotonic() > deadline:
                raise ChildFailed(f"{child.name} is not ready: {_last_line(child.log)}")
            self._wait(LOOK)

    def run(self, words: Sequence[str]) -> int:
        """Run a command in the foreground, both its outputs on our standard output; its exit status."""
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        try:
            while True:
                status = process.poll()
                if status is not None:
                    return status
                self._wait(None)
        finally:
            self._end([process])

    def release(self) -> None:
        """Let the daemons run on when the block is left."""
        self.daemons.clear()

    def stop(self) -> None:
        """End all daemons; no signal interrupts this."""
        self._end([child.process for child in self.daemons])
        self.daemons.clear()

    def _end(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        """Ask the processes to end, kill those that do not, and wait for all."""
        running = [process for process in processes if process.poll() is None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + ENDED_WITHIN
        while any(process.poll() is None for process in running) and time.monotonic() < deadline:
            self._sleep(deadline - time.monotonic())
        for process in running:
            if process.poll() is None:
                _kill(process)
                process.wait()

    def _wait(self, seconds: float | None) -> None:
        """Until a child ends, or so many seconds have passed; raises Stopped."""
        if self._asked is None:
            self._sleep(seconds)
        if self._asked is not None:
            raise Stopped(self._asked)

    def _sleep(self, seconds: float | None) -> None:
        if select.select([self._awake], [], [], seconds)[0]:
            os.read(self._awake, 4096)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD and self._asked is None:
            self._asked = number


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The process and, if it leads a group, all that it has started."""
    if os.getpgid(process.pid) == process.pid:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return lines[-1] if lines else "it said nothing"
