"""--histogram: how many nodes had answered after how long, drawn as bars. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

EDGES = tuple(round(step * 10.0**power, 3) for power in range(-3, 6) for step in (1, 2, 5))
"""Seconds that end a bar, each about twice the one before: answers are fast, or a little late, or very."""

BLOCKS = " ▏▎▍▌▋▊▉█"
"""An eighth of a column to a whole one."""


def histogram(times: Sequence[tuple[float, str]], columns: int) -> str:
    """Lines about seconds and the node that answered after them; no lines about no node."""
    if not times:
        return ""
    ordered = sorted(times)
    median, most = ordered[(len(ordered) - 1) // 2][0], ordered[(len(ordered) * 95 + 99) // 100 - 1][0]
    slowest, name = ordered[-1]
    told = f"{len(ordered):,} answered: half within {median:.3f} s, 95 % within {most:.3f} s"
    lines = [f"{told}, the last, {name}, after {slowest:.3f} s"]
    bars = Counter(min(bisect_left(EDGES, seconds), len(EDGES) - 1) for seconds, _ in ordered)
    drawn = range(min(bars), max(bars) + 1)
    counts, labels = [bars[place] for place in drawn], [f"{EDGES[place]:g}" for place in drawn]
    wide = max(map(len, labels))
    room = max(8, columns - wide - len(f"  to  s   {max(counts):,}"))
    for label, count in zip(labels, counts, strict=True):
        bar = _bar(count / max(counts) * room)
        lines.append(f"  to {label:>{wide}} s  {bar} {count:,}" if count else f"  to {label:>{wide}} s")
    return "".join(f"{line}\n" for line in lines)


def _bar(length: float) -> str:
    eighths = max(1, round(length * 8))
    return BLOCKS[-1] * (eighths // 8) + BLOCKS[eighths % 8].strip()
