"""What a broker counts of its requests and strangers. Names of users and nodes are nobody's business here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from mesh.exposition import Histogram
from mesh.messages import Done
from mesh.router import Router
from net.hub import Hub
from net.serve import Door
from roles.authority import Authority

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 300.0, 3600.0)
"""Seconds: from a ping within a rack to the longest that limits.request_time allows by default."""

OUTCOMES = ("closed", "deadline", "bye", "connection lost", "key revoked", "the broker stops", "refused")
"""How requests end, in the words of the audit log's `ended`; but for the first two, before all nodes have."""
UNHEARD = "unheard"
"""The outcome of entries that were open when nobody listened any more."""
ANSWERS = ("result", "optout", "denied", "expired", "lost", "silent", UNHEARD)
"""How entries of ledgers end: in the order of Done."""
CODES = (
    *("authentication", "busy", "closing", "denied", "failed", "invalid", "unrecognised", "untrusted"),
    "version",
)
"""Codes of ERROR that peers are told."""


class Handshake(StrEnum):
    """How a stranger's handshake went, the first message included."""

    COMPLETED = "completed"
    FAILED = "failed"
    LATE = "not in time"


def _zeros(words: Iterable[str]) -> Counter[str]:
    """Counts that are there, as zeros, before anything has happened: a rate needs a start."""
    return Counter(dict.fromkeys(words, 0))


class Tally:
    """Numbers that only rise, changed once a request or a stranger."""

    def __init__(self) -> None:
        self.requests = _zeros(OUTCOMES)
        self.refusals = _zeros(CODES)
        self.answers = _zeros(ANSWERS)
        self.handshakes = _zeros(Handshake)
        self.joined = 0
        """Sessions that agents began."""
        self.latency = Histogram(BOUNDS)
        """Seconds from a COMMAND on the wire to its closed ledger."""

    def ledger(self, done: Done) -> None:
        """The counts of a request that was on the wire, at its end."""
        sessions, *closed = done
        for outcome, count in zip(ANSWERS, (*closed, sessions - sum(closed)), strict=True):
            self.answers[outcome] += count


class Measured(NamedTuple):
    """The parts of a broker that count; `clients` is how many users are connected."""

    door: Door
    hub: Hub
    router: Router
    authority: Authority
    tally: Tally
    clients: int
