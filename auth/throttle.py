"""Refusals after too many failures: bounded memory of who failed from where. Pure: time is an argument."""

from __future__ import annotations

from typing import NamedTuple

FAILURES = 10
"""Failures in a row, tries under way among them, after which a user is refused at an address."""
WINDOW = 60.0
"""Seconds after the last of them until the user may try again there."""
CAPACITY = 4096
"""Pairs of user and address remembered; when full, the fewest and oldest failures are forgotten."""


class _Failures(NamedTuple):
    number: int
    last: float


class Throttle:
    """Counts failed passwords of each user at each address (without its port), or block of them."""

    def __init__(self, failures: int = FAILURES, window: float = WINDOW, capacity: int = CAPACITY) -> None:
        self._failures = failures
        self._window = window
        self._capacity = capacity
        self._table: dict[tuple[str, str], _Failures] = {}

    def admits(self, user: str, address: str, now: float) -> bool:
        """Whether a password may be tried, at `now` seconds.

        If so, it counts as failed until `succeeded` is called: hanging up before the answer is no free try.
        """
        past = self._table.get((user, address))
        if past is None or now - past.last >= self._window:
            past = _Failures(0, now)
        if past.number >= self._failures:
            return False
        if (user, address) not in self._table and len(self._table) >= self._capacity:
            self._forget(now)
        self._table[user, address] = _Failures(past.number + 1, now)
        return True

    def succeeded(self, user: str, address: str) -> None:
        """The password was right: the user's failures at the address are forgotten."""
        self._table.pop((user, address), None)

    def __len__(self) -> int:
        """How many pairs are remembered."""
        return len(self._table)

    def _forget(self, now: float) -> None:
        self._table = {pair: past for pair, past in self._table.items() if now - past.last < self._window}
        if len(self._table) >= self._capacity:
            del self._table[min(self._table, key=lambda pair: self._table[pair])]
