"""What a user sees of the requests of one command: answers, progress, remarks, the summary."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from mesh.printing import LINE, Answer, Printer, Tally, error_lines, exit_status, harmless, summary, timing
from roles.interrupts import INTERRUPTED

if TYPE_CHECKING:
    from mesh.formats import Collector
    from roles.conversation import Ended
    from roles.options import Asked
    from roles.progress import Progress
    from roles.records import Record

TELLING = ("json", "jsonl", "pretty", "xml", "yaml")
"""Forms that have the error output of nodes in them."""


class Screen:
    """Standard output and standard error, as the options want them; and the `record` of what came.

    `tally` has the counts of requests that are over.
    """

    def __init__(self, asked: Asked, record: Record) -> None:
        self._asked = asked
        self.record = record
        self.tally = Tally()
        self._on_terminal = sys.stdout.isatty()
        self._printer = self._chosen_printer()
        self._progress: Progress | None = None
        self._times: list[tuple[float, str]] = []
        self._unseen = 0
        """Nodes that failed, and wrote to their error output what is not shown."""

    @property
    def due(self) -> float | None:
        """When progress is to be shown next."""
        return self._progress.due if self._progress else None

    def remark(self, text: str) -> None:
        """A line about what the client does, for who wants to know."""
        if self._asked.verbose:
            self.tell(text)

    def tell(self, text: str) -> None:
        """A line on standard error, whatever is in the text."""
        self._put_aside(f"cw: {harmless(os.fsencode(text))}\n")

    def accepted(self, sessions: int) -> None:
        """So many are to answer from now on."""
        self._hide_progress()
        self.record.begin()
        if not self._asked.quiet and sys.stderr.isatty():
            from roles.progress import Progress
            from roles.terminal import able

            self._progress = Progress(sys.stderr.fileno(), sessions) if able(sys.stderr) else None

    def answers(self, answers: Sequence[Answer], elapsed: float) -> None:
        """Keep them, and print those that are wanted."""
        self.record.add(answers, elapsed)
        if self._asked.histogram:
            self._times += [(elapsed, answer.fqdn) for answer in answers if answer.status is not None]
        if self._asked.only:
            answers = [answer for answer in answers if answer.outcome in self._asked.only]
        if not answers:
            return
        self._printer.print(answers)
        verbose, stderr = self._asked.verbose, self._asked.verbose or self._asked.stderr
        if not stderr and self._asked.form not in TELLING:
            self._unseen += sum(bool(answer.status and answer.error_output) for answer in answers)
        told = (timing(one, elapsed) * verbose + error_lines(one) * stderr for one in answers)
        self._put_aside("".join(told))

    def progress(self, tally: Tally) -> None:
        """Say how far it is, if that is due."""
        if self._progress:
            self._progress.show(self.tally.plus(tally))

    def over(self, tally: Tally) -> Tally:
        """Another request has ended, with these counts; those of all so far."""
        self._hide_progress()
        self.tally = self.tally.plus(tally)
        return self.tally

    def close(self) -> None:
        """Print what stands behind the last answer, and what it all came to."""
        self._hide_progress()
        self._printer.close()
        if self._asked.histogram:
            from mesh.formats.histogram import histogram
            from roles.terminal import columns

            self._put_aside(histogram(self._times, columns(sys.stderr.fileno())))
        if not self._asked.quiet:
            self._put_aside(f"{summary(self.tally)}\n")
            if self._unseen and sys.stderr.isatty():
                failed = "a node" if self._unseen == 1 else f"{self._unseen} nodes"
                self.tell(f"--stderr shows what {failed} that failed wrote to the error output")

    def write(self, text: str) -> None:
        """To standard output; an OSError of that ends the command."""
        if text:
            if self._on_terminal:
                self._hide_progress()
            _put(sys.stdout.fileno(), text)

    def _chosen_printer(self) -> Printer | Collector:
        """What prints in the form that was asked for; plain lines need nothing that is not here already."""
        if self._asked.form == "line" and not self._asked.sort and not self._on_terminal:
            return Printer(LINE, self.write)
        from mesh.formats import printer
        from roles.terminal import look

        return printer(self._asked.form, look(sys.stdout, self._asked.sort), self.write)

    def _put_aside(self, text: str) -> None:
        """To standard error, if that takes it: the answers and the exit status do not depend on it."""
        if text:
            self._hide_progress()
            with suppress(OSError):
                _put(sys.stderr.fileno(), text)

    def _hide_progress(self) -> None:
        if self._progress:
            self._progress.hide()


def concluded(ended: Ended, screen: Screen) -> int:
    """The exit status of a single request, once everything that came of it is printed.

    Raises what ended the request early.
    """
    tally = screen.over(ended.tally)
    if ended.sessions is not None:
        screen.close()
    if ended.interrupted:
        return INTERRUPTED
    if ended.failure:
        raise ended.failure
    return exit_status(tally)


def _put(descriptor: int, text: str) -> None:
    """Write in UTF-8 whatever the locale: the same bytes for every script.

    Not through Python's buffers: what could not be written would be tried again, and complained of, at exit.
    """
    rest = memoryview(text.encode("utf-8", "backslashreplace"))
    while rest:
        rest = rest[os.write(descriptor, rest) :]
