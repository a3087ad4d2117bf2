"""In which order commands reach sessions: fair between requests, rising within a session. Pure.

Two requests at once are spread in turns of a few dozen sessions, so that one to a single node does not wait
for one to ten thousand. An agent takes a serial only if it is higher than the last (protocol.md "A request"
2), so where a younger message comes to a session first, everything older that the session is still to get is
sent right before it.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

TURN = 64
"""Sessions that one message goes to before it is another's turn (architecture.md "The fast paths")."""
TURN_BYTES = 256 << 10
"""A long message goes to fewer, so that a turn has at most so many bytes, or one session."""


class Spreading:
    """One message on its way to its sessions."""

    __slots__ = ("message", "order", "pending", "turn")

    def __init__(self, message: bytes, sessions: Collection[int]) -> None:
        self.message = message
        self.order = iter(sessions)
        self.pending = set(sessions)
        self.turn = min(TURN, TURN_BYTES // len(message)) or 1
        """Sessions that a turn has."""


class Fanout:
    """All messages on their way, oldest first."""

    def __init__(self) -> None:
        self._under_way: list[Spreading] = []
        self._next = 0
        """Whose turn it is."""

    def __bool__(self) -> bool:
        return bool(self._under_way)

    def add(self, message: bytes, sessions: Collection[int]) -> None:
        """Begin to spread `message` over `sessions`, which does not change after this."""
        self._under_way.append(Spreading(message, sessions))

    def turn(self) -> list[tuple[int, bytes]]:
        """The next sendings, (session, message) in order: a turn of one message, of the next one the next
        time.
        """
        if not self._under_way:
            return []
        self._next %= len(self._under_way)
        spreading, older = self._under_way[self._next], self._under_way[: self._next]
        sendings: list[tuple[int, bytes]] = []
        for session in islice(spreading.order, spreading.turn):
            if session not in spreading.pending:
                continue
            for earlier in older:
                if session in earlier.pending:
                    earlier.pending.discard(session)
                    sendings.append((session, earlier.message))
            spreading.pending.discard(session)
            sendings.append((session, spreading.message))
        if spreading.pending:
            self._next += 1
        else:
            del self._under_way[self._next]
        return sendings
