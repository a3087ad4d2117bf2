"""A program of `cw pn` at work: its output is seen at once; Ctrl-C ends it and all that it started."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import BinaryIO, Self

from conf.version import VERSION
from host.local import Local
from roles.log import Log
from vm.machine import Limits, Live, run
from vm.names import Names
from vm.program import Program
from vm.trace import Tracer

CANCELLED = "cancelled"
"""The fault of a run that was stopped."""

SIGNALLED = 128
"""What a shell adds to the number of the signal that ended a program, for an exit status."""


class ThisHost(Local):
    """The machine's host for a program that a user runs: facts of this host, no access rules."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def facts(self) -> Mapping[str, str]:
        """What is built in."""
        from net.builtin import builtin, host_fqdn, times

        return builtin(host_fqdn(), "", VERSION) | times(time.time())

    def acls(self) -> Sequence[str]:
        """None."""
        return ()

    def log(self, level: str, text: str) -> None:
        """To standard error."""
        self._log.info(f"{level}: {text}")


class Console:
    """Standard output and error, written as a run writes; an error that stands in the way is kept."""

    def __init__(self) -> None:
        self.failure: OSError | None = None
        self._midline: dict[object, bool] = {}
        """Where they lead to, and whether the last line there has no end yet."""

    def output(self, text: bytes) -> None:
        """To standard output."""
        self._write(sys.stdout.buffer, text)

    def errors(self, text: bytes) -> None:
        """To standard error."""
        self._write(sys.stderr.buffer, text)

    def remark(self, line: bytes) -> None:
        """A line of ours to standard error, which begins a line there."""
        midline = self._midline.get(_file_of(sys.stderr.buffer), False)
        self._write(sys.stderr.buffer, b"\n" * midline + line)

    def _write(self, stream: BinaryIO, text: bytes) -> None:
        if self.failure is not None or not text:
            return
        self._midline[_file_of(stream)] = not text.endswith(b"\n")
        try:
            stream.write(text)
            stream.flush()
        except OSError as error:
            self.failure = error


def _file_of(stream: BinaryIO) -> object:
    status = os.fstat(stream.fileno())
    return status.st_dev, status.st_ino


class Signals:
    """While it is entered, the first signal that asks to end only sets `number`; a second one ends at once.

    Those that were ignored, as SIGHUP is under nohup, stay so. For the main thread only.
    """

    ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.number = 0
        self._before = {number: signal.getsignal(number) for number in self.ASKING}

    def __enter__(self) -> Self:
        for number, before in self._before.items():
            if before is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_error: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.number:
            raise KeyboardInterrupt
        self.number = number


def run_here(
    program: Program, arguments: Sequence[str], limits: Limits, traced: Names | None, log: Log
) -> int:
    """Run a program on this host, under a trace with these names if there are any; the exit status.

    Raises OSError if what the program writes cannot be written; that ends it.
    """
    console = Console()
    tracer = Tracer(program, traced, lambda _, line: console.remark(line)) if traced else None
    live = Live(console.output, console.errors, tracer)
    sys.stdout.flush()
    sys.stderr.flush()
    with Signals() as signals:
        outcome = run(
            program,
            arguments,
            ThisHost(log),
            limits,
            lambda: bool(signals.number) or console.failure is not None,
            live,
        )
    if console.failure is not None:
        raise console.failure
    if outcome.fault == CANCELLED:
        return SIGNALLED + signals.number
    console.remark(outcome.error_output)
    if outcome.truncated:
        log.warning(f"output cut at {limits.output} bytes")
    return min(outcome.status, 255)
