"""Names of hosts: in the order that people expect, and many as ranges: web[01-03,07].example.com. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

NUMBERS = 4
"""Numbers in a name that may become ranges, from the left; what follows is taken as text."""

_NUMBER = re.compile(r"([0-9]+)")

Box = tuple[tuple[str, ...], ...]
"""For each number of a name the texts that it takes: it stands for the names with every combination."""


def natural(name: str) -> tuple[object, ...]:
    """A key to sort by that has web2 before web10."""
    parts: list[object] = list(_NUMBER.split(name))
    parts[1::2] = [(int(digits), digits) for digits in _NUMBER.findall(name)]
    return tuple(parts)


def fold(names: Iterable[str]) -> str:
    """The names, each once, behind one another with commas; those that differ in numbers alone as ranges.

    `a-b` in brackets stands for every number from a to b, with zeros in front to the width of a. No name may
    have a comma or a bracket in it, which host names do not.
    """
    shapes: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for name in dict.fromkeys(names):
        parts = _NUMBER.split(name, maxsplit=NUMBERS)
        shapes.setdefault(tuple(parts[::2]), []).append(tuple(parts[1::2]))
    folded = [(shape, box) for shape, numbers in shapes.items() for box in _boxes(numbers)]
    folded.sort(key=lambda one: natural(_joined(one[0], [texts[0] for texts in one[1]])))
    return ",".join(_joined(shape, [_ranges(texts) for texts in box]) for shape, box in folded)


def _joined(texts: Sequence[str], numbers: Sequence[str]) -> str:
    return "".join(text + number for text, number in zip(texts, (*numbers, ""), strict=True))


def _boxes(numbers: Iterable[tuple[str, ...]]) -> list[Box]:
    """Boxes that hold just these rows of numbers, each once; rows that differ in one place come together."""
    boxes: list[Box] = [tuple((text,) for text in row) for row in numbers]
    for place in reversed(range(len(boxes[0]))):
        alike: dict[Box, list[str]] = {}
        for box in boxes:
            alike.setdefault(box[:place] + box[place + 1 :], []).extend(box[place])
        boxes = [
            (*rest[:place], tuple(sorted(texts, key=lambda text: (len(text), text))), *rest[place:])
            for rest, texts in alike.items()
        ]
    return boxes


def _ranges(texts: Sequence[str]) -> str:
    """Numbers in order of width and size, as `01-03,07` in brackets, or one alone without."""
    if len(texts) == 1:
        return texts[0]
    runs: list[tuple[str, str]] = []
    for text in texts:
        if runs and text == str(int(runs[-1][1]) + 1).zfill(len(runs[-1][0])):
            runs[-1] = (runs[-1][0], text)
        else:
            runs.append((text, text))
    return f"[{','.join(first if first == last else f'{first}-{last}' for first, last in runs)}]"
