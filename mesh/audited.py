"""What the lines of an audit log say: who, what and how it ended, and which of them are wanted. Pure.

Both daemons write them: the broker `request`, `done`, `refused` and `agent refused`, an agent `ran`, `ended`,
`denied`, `expired`, `refused` and `cancelled`. An event that this version does not know is shown as it is
called.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple

from mesh.printing import harmless
from mesh.words import QuotingError, canonical, tokens

LONGEST = 1 << 20
"""Bytes of a line at most: a request of 128 KiB takes six times as many where every character is escaped."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

OUTCOMES: Mapping[str, str] = {
    "begun": "accepted: nothing is known yet of how it ended",
    "ok": "ran on a node, and ended with status 0",
    "failed": "ran on a node, and ended otherwise",
    "answered": "a node answered, whatever its status was",
    "optout": "a node's facts did not match",
    "denied": "the access rules of a node, or the broker's, denied it",
    "expired": "came to a node too late to run",
    "lost": "a node's session broke before it answered",
    "silent": "a node had not answered by the deadline",
    "nobody": "no node was connected",
    "refused": "the broker or a node refused it for another reason than its access rules",
    "cancelled": "stopped before its turn came",
    "left": "the user left, or was made to, before all had answered",
}
"""How something ended, as users ask for it. The broker's last line about a request has one for each way in
which any of its nodes closed.
"""

_COUNTS = {
    "answered": "results",
    "optout": "optouts",
    "denied": "denied",
    "expired": "expired",
    "lost": "lost",
    "silent": "silent",
}
"""The field of `done` that counts an outcome."""

_IN_FULL = ("closed", "deadline")
"""How a request ends whose user stays."""


class Entry(NamedTuple):
    """One line: `time` as both daemons write it, so that times compare as text; fields may be anything."""

    time: str
    event: str
    fields: Mapping[str, object]

    def text(self, name: str) -> str:
        """A field that is text; empty where it is none."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else ""

    def count(self, name: str) -> int:
        """A field that is a whole number; 0 where it is none."""
        value = self.fields.get(name)
        return value if isinstance(value, int) else 0

    @property
    def node(self) -> str:
        """The one node that the line is about; empty for a request, which is about many."""
        return self.text("node") or self.text("fqdn")


class Wanted(NamedTuple):
    """Those entries that fit all that is not empty; `since` and `until` are like an entry's time."""

    user: str = ""
    node: str = ""
    verb: tuple[str, ...] = ()
    since: str = ""
    until: str = ""
    outcome: str = ""


def entry_of(line: bytes) -> Entry | None:
    """The entry that a line is; None for half of one, and for one that no daemon has written.

    What they write is printable ASCII, all else being escaped: so what is taken for a line of theirs does
    nothing to a terminal.
    """
    if len(line) > LONGEST or not line.isascii() or not (text := line.decode("ascii")).isprintable():
        return None
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    time, event = fields.get("time"), fields.get("event")
    if not isinstance(time, str) or not isinstance(event, str) or not _TIME.fullmatch(time):
        return None
    return Entry(time, event, fields)


def wants(wanted: Wanted, entry: Entry) -> bool:
    """Whether an entry is one of those."""
    return (
        wanted.since <= entry.time
        and (not wanted.until or entry.time <= wanted.until)
        and wanted.user in ("", entry.text("user"))
        and wanted.node.lower() in ("", entry.node.lower())
        and (not wanted.verb or _begins(entry.text("command"), wanted.verb))
        and (not wanted.outcome or wanted.outcome in outcomes(entry))
    )


def outcomes(entry: Entry) -> list[str]:
    """Which of OUTCOMES it has; none if this version does not know the event."""
    match entry.event:
        case "request" | "ran":
            return ["begun"]
        case "ended":
            return ["ok" if entry.fields.get("status") == 0 else "failed"]
        case "done":
            return _closings(entry) + ["left"] * (entry.text("ended") not in _IN_FULL)
        case "refused" if entry.text("code") == "denied":
            return ["denied"]
        case "refused" | "agent refused":
            return ["refused"]
        case "denied" | "expired" | "cancelled":
            return [entry.event]
    return []


def line_of(entry: Entry) -> str:
    """The entry for people: when, who, what and how it ended, on one line that does nothing to a terminal."""
    parts = [entry.time, _who(entry), _what(entry), _how(entry)]
    line = "  ".join(part for part in parts if part)
    return harmless(line.encode("utf-8", "backslashreplace"))


def _closings(entry: Entry) -> list[str]:
    found = [outcome for outcome, field in _COUNTS.items() if entry.count(field) > 0]
    return found if entry.count("sessions") else ["nobody"]


def _begins(command: str, words: tuple[str, ...]) -> bool:
    """Whether a command begins with these words. Of one that was cut, only the beginning can be told."""
    try:
        return tuple(token.word for token in islice(tokens(command), len(words))) == words
    except QuotingError:
        return False


def _who(entry: Entry) -> str:
    user, address = entry.text("user"), entry.text("address")
    if entry.event == "agent refused":
        user = f"agent {entry.node}"
    elif entry.node:
        return f"{user} on {entry.node}"
    return f"{user} at {address}" if address else user


def _what(entry: Entry) -> str:
    filters = entry.fields.get("filters")
    texts = filters if isinstance(filters, list) else []
    where = "".join(f" -w {canonical([text])}" for text in texts if isinstance(text, str))
    plan = " (plan)" if entry.text("mode") == "plan" else ""
    return f"{entry.text('command')}{where}{plan}"


def _how(entry: Entry) -> str:
    """The words of `outcomes`, with all that the line says besides."""
    match entry.event:
        case "ran":
            run_as = entry.text("run_as")
            return f"begun: {entry.text('effect')}{run_as and ' as ' + run_as}"
        case "ended":
            return _ended(entry)
        case "done":
            return _done(entry)
        case "refused":
            why = entry.text("why") or entry.text("sentence")
            return f"{outcomes(entry)[0]}: {why}"
        case "agent refused":
            return f"refused: key {entry.text('key')}"
    return ", ".join(outcomes(entry)) or entry.event


def _ended(entry: Entry) -> str:
    seconds = entry.fields.get("seconds")
    took = f", {seconds:.3f} s" if isinstance(seconds, float) else ""
    if outcomes(entry) == ["ok"]:
        return f"ok{took}"
    fault = entry.text("fault")
    return f"failed: status {entry.count('status')}{took}{fault and ', ' + fault}"


def _done(entry: Entry) -> str:
    closed = [
        f"{entry.count(_COUNTS[outcome])} {outcome}" if outcome in _COUNTS else outcome
        for outcome in _closings(entry)
    ]
    if "left" in outcomes(entry):
        closed.append(f"left: {entry.text('ended')}")
    return ", ".join(closed)
