"""One request's account: who still owes an answer, and how each of the others closed. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from mesh.messages import Done, Kind

CLOSINGS = (Kind.RESULT, Kind.OPTOUT, Kind.DENIED, Kind.EXPIRED, Kind.LOST, Kind.SILENT)
"""The six ways in which an entry closes, each exactly once (mesh.md "Who answers: the ledger")."""


class Ledger:
    """The entries of one request, one for each session that it was sent to.

    `sessions` are the sessions' numbers; `absent` counts targets that had no session, which are LOST from
    the start.
    """

    __slots__ = ("counts", "sessions", "waiting")

    def __init__(self, sessions: Iterable[int], absent: int = 0) -> None:
        self.waiting: dict[int, bool] = dict.fromkeys(sessions, False)
        """Open entries: session → whether it has opted in."""
        self.sessions = len(self.waiting) + absent
        self.counts: dict[int, int] = dict.fromkeys(CLOSINGS, 0)
        self.counts[Kind.LOST] = absent

    def opt_in(self, session: int) -> bool:
        """Note an OPTIN; False where nothing is owed or it is the second one."""
        if self.waiting.get(session) is not False:
            return False
        self.waiting[session] = True
        return True

    def close(self, session: int, closing: int) -> bool | None:
        """Close an entry; whether the session had opted in, or None where it owed nothing (late, repeated,
        unknown).
        """
        opted_in = self.waiting.pop(session, None)
        if opted_in is not None:
            self.counts[closing] += 1
        return opted_in

    def done(self) -> Done:
        """The final counts, once nobody owes an answer."""
        return Done(self.sessions, *(self.counts[closing] for closing in CLOSINGS))
