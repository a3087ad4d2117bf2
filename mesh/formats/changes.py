"""What makes one list of lines of another, in the fewest lines (Myers 1986, the greedy algorithm). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

SAME, REMOVED, ADDED = " ", "-", "+"

MOST = 200
"""Changes that are looked for. Beyond, all between the common ends is replaced: the work grows with the
square, and what differs so much is no easier to read for it.
"""


class Change(NamedTuple):
    """A line and its mark: in both lists, in the old one only, in the new one only."""

    mark: str
    line: str


def changes(old: Sequence[str], new: Sequence[str]) -> list[Change]:
    """Those marked SAME and REMOVED are the old list, those SAME and ADDED the new one, each in order."""
    least = min(len(old), len(new))
    begin = next((at for at in range(least) if old[at] != new[at]), least)
    least -= begin
    end = next((at for at in range(least) if old[-1 - at] != new[-1 - at]), least)
    middle_old, middle_new = old[begin : len(old) - end], new[begin : len(new) - end]
    return [
        *(Change(SAME, line) for line in old[:begin]),
        *_shortest(middle_old, middle_new),
        *(Change(SAME, line) for line in old[len(old) - end :]),
    ]


def _shortest(old: Sequence[str], new: Sequence[str]) -> list[Change]:
    furthest = _search(old, new)
    if furthest is None:
        return [*(Change(REMOVED, line) for line in old), *(Change(ADDED, line) for line in new)]
    return list(_walked_back(old, new, furthest))[::-1]


def _search(old: Sequence[str], new: Sequence[str]) -> list[dict[int, int]] | None:
    """For each number of changes: how far in `old` they lead on each diagonal (x - y) before the next one.

    None if MOST are not enough.
    """
    rounds: list[dict[int, int]] = []
    reached = {1: 0}
    for count in range(MOST + 1):
        rounds.append(reached)
        reached = dict(reached)
        for diagonal in range(-count, count + 1, 2):
            x = _entered(rounds[-1], diagonal, count)
            while x < len(old) and 0 <= x - diagonal < len(new) and old[x] == new[x - diagonal]:
                x += 1
            reached[diagonal] = x
            if x >= len(old) and x - diagonal >= len(new):
                return rounds
    return None


def _entered(reached: dict[int, int], diagonal: int, count: int) -> int:
    """Where a diagonal is entered: by a line added, or by one removed, from whichever side leads further."""
    added, removed = reached.get(diagonal + 1, -1), reached.get(diagonal - 1, -1) + 1
    if diagonal == -count or (diagonal != count and removed <= added):
        return added
    return removed


def _walked_back(old: Sequence[str], new: Sequence[str], rounds: list[dict[int, int]]) -> Iterator[Change]:
    """The path that the search found, from its end."""
    x, y = len(old), len(new)
    for count in range(len(rounds) - 1, -1, -1):
        diagonal = x - y
        start = _entered(rounds[count], diagonal, count)
        while x > start:
            x, y = x - 1, y - 1
            yield Change(SAME, old[x])
        if count == 0:
            return
        if start == rounds[count].get(diagonal + 1, -1):
            y -= 1
            yield Change(ADDED, new[y])
        else:
            x -= 1
            yield Change(REMOVED, old[x])
