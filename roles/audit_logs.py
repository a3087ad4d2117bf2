"""`cw audit`: shows what audit logs of brokers and agents keep, or the part of it that is asked for."""

from __future__ import annotations

import os
import re
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime

from conf.kinds import brief
from errors import CwError
from mesh import acl
from mesh.audited import LONGEST, OUTCOMES, Entry, Wanted, entry_of, line_of, wants
from mesh.printing import harmless
from mesh.words import QuotingError, Token
from roles.arguments import Parser, UsageError
from roles.audit import timestamp

EXAMPLES = """\
  cw audit meshd.audit --user alice --since 2h
  cw audit web*/cogd.audit --verb 'package' --outcome failed
  zcat -f meshd.audit* | cw audit - --since 2026-01-01 --json
"""

READ = 256 << 10
"""Bytes read at once; what they tell is written out before more are waited for."""

STDIN = "-"
NOTHING_SHOWN, UNREADABLE = 1, 2
"""Exit statuses, as grep(1) has them."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO = re.compile(rf"(\d{{1,9}})([{''.join(_UNITS)}])")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")


class Unreadable(CwError):
    """The audit log cannot be read."""


def main(argv: Sequence[str]) -> int:
    """Show the entries that are wanted; 0 if there are any, 1 if not, 2 if a log could not be read."""
    options = parser().parse_intermixed_args(argv)
    show = Show(_wanted(options, time.time()), options.json)
    status = 0
    for name in options.files:
        try:
            show.log(name)
        except Unreadable as error:
            status = UNREADABLE
            _tell(f"cw: {error}")
    if show.foreign:
        lines = "1 line was" if show.foreign == 1 else f"{show.foreign} lines were"
        _tell(f"cw: {lines} passed over, not being of an audit log, or not whole (first: {show.first})")
    return status or (0 if show.shown else NOTHING_SHOWN)


def parser() -> Parser:
    """The command line."""
    words = Parser("audit", "Shows audit logs: when (UTC), who, what, and how it ended.", EXAMPLES)
    words.usage = "cw audit [OPTION…] FILE…"
    words.add_argument(
        "files", nargs="+", metavar="FILE", help="a log of a broker or an agent; - is standard input"
    )
    words.add_argument("--user", metavar="USER", help="who asked")
    words.add_argument("--node", metavar="FQDN", help="the one node that a line is about")
    words.add_argument("--verb", metavar="WORDS", help="how the command begins: 'show fact'")
    when = "2h, 30m, 7d ago, a date, or like 2026-01-31T23:00:00Z"
    words.add_argument("--since", metavar="TIME", help=when)
    words.add_argument("--until", metavar="TIME", help="the same; of a date, its end")
    outcomes = f"how it ended: {', '.join(OUTCOMES)}"
    words.add_argument("--outcome", choices=tuple(OUTCOMES), metavar="OUTCOME", help=outcomes)
    words.add_argument("--json", action="store_true", help="the lines as they are in the log")
    return words


def _wanted(options: Namespace, now: float) -> Wanted:
    """What the options ask for. Raises UsageError."""
    return Wanted(
        user=_given(options, "user"),
        node=_given(options, "node"),
        verb=_first_words(options.verb),
        since="" if options.since is None else moment("--since", options.since, now, "T00:00:00.000Z"),
        until="" if options.until is None else moment("--until", options.until, now, "T23:59:59.999Z"),
        outcome=options.outcome or "",
    )


def _given(options: Namespace, name: str) -> str:
    text: str | None = getattr(options, name)
    if text == "":
        raise UsageError(f"--{name}: expected a name, got none")
    return text or ""


def _first_words(text: str | None) -> tuple[str, ...]:
    """The words of a pattern as access rules have it, whose * at the end says what is so anyway."""
    if text is None:
        return ()
    try:
        return acl.pattern(Token(text, quoted=True))[0]
    except (acl.AclError, QuotingError) as error:
        raise UsageError(f"--verb: {error}") from error


def moment(option: str, text: str, now: float, of_a_date: str) -> str:
    """A time as audit logs write it; `now` in seconds since 1970, `of_a_date` what is put behind a date.

    Raises UsageError.
    """
    try:
        if ago := _AGO.fullmatch(text):
            return timestamp(max(0.0, now - int(ago[1]) * _UNITS[ago[2]]))
        if _DATE.fullmatch(text):
            return date.fromisoformat(text).isoformat() + of_a_date
        if _MOMENT.fullmatch(text):
            return timestamp(max(0.0, datetime.fromisoformat(text.upper()).timestamp()))
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{option}: there is no such time: {text[:40]!r}") from error
    raise UsageError(
        f"{option}: expected a time like 2h (ago; {', '.join(_UNITS)}), 2026-01-31 or "
        f"2026-01-31T23:00:00Z, got {text[:40]!r}"
    )


class Show:
    """Writes what is wanted of one log after the other, and counts: it holds no more than a line."""

    def __init__(self, wanted: Wanted, original: bool) -> None:
        self.shown = 0
        self.foreign = 0
        """Lines that are no entries."""
        self.first = ""
        """Where the first of them is: FILE:LINE."""
        self._wanted = wanted
        self._original = original

    def log(self, name: str) -> None:
        """One log, to its end. Raises Unreadable, and what writing raises."""
        for number, line in enumerate(_lines(name), 1):
            if not line.strip():
                continue
            entry = entry_of(line)
            if entry is None:
                self.foreign += 1
                self.first = self.first or f"{name}:{number}"
            elif wants(self._wanted, entry):
                self.shown += 1
                self._write(line, entry)

    def _write(self, line: bytes, entry: Entry) -> None:
        sys.stdout.buffer.write(line if self._original else line_of(entry).encode())
        sys.stdout.buffer.write(b"\n")


def _lines(name: str) -> Iterator[bytes]:
    """The lines of a log; of one that is too long the beginning, which is still too long. What was written
    meanwhile is sent on whenever more has to be read. Raises Unreadable.
    """
    rest = b""
    for piece in _pieces(name):
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
        rest = rest[: LONGEST + 1]
        sys.stdout.buffer.flush()
    if rest:
        yield rest


def _pieces(name: str) -> Iterator[bytes]:
    try:
        descriptor = 0 if name == STDIN else os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(name, error) from error
    try:
        while piece := _read(name, descriptor):
            yield piece
    finally:
        if name != STDIN:
            os.close(descriptor)


def _read(name: str, descriptor: int) -> bytes:
    try:
        return os.read(descriptor, READ)
    except OSError as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: OSError) -> Unreadable:
    return Unreadable(f"cannot read {brief(name)}: {error.strerror}")


def _tell(text: str) -> None:
    """A line on standard error, behind what was shown before; where that takes none, the status says it."""
    sys.stdout.buffer.flush()
    with suppress(OSError):
        print(harmless(os.fsencode(text)), file=sys.stderr, flush=True)
