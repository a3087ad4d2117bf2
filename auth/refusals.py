"""Which refused keys are worth a line in the log: each once a minute, and so many in all. Pure."""

from __future__ import annotations

QUIET = 60.0
"""Seconds between two lines about the same key."""
CAPACITY = 1024
"""Keys that get a line within QUIET seconds; more are not named."""


class Refusals:
    """The keys that had their line, oldest first; `now` in seconds of any steady clock."""

    def __init__(self) -> None:
        self._since: dict[bytes, float] = {}

    def is_news(self, key: bytes, now: float) -> bool:
        """Whether the key gets a line now; if so, it had it."""
        while self._since and now - next(iter(self._since.values())) >= QUIET:
            del self._since[next(iter(self._since))]
        if key in self._since or len(self._since) >= CAPACITY:
            return False
        self._since[key] = now
        return True
