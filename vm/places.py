"""Where something stands in a source, and how an error shows it: its line, with a caret under it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from errors import CwError

WIDTH = 100
"""The most columns that an excerpt takes."""

AFTER = 38
"""Columns that the place and what follows it may have, if what is in front of it needs the rest."""

TAB = 8


class Place(NamedTuple):
    """A token in a file."""

    file: str
    number: int
    """Of the line, from 1."""
    line: str
    column: int
    """Characters of the line in front of it."""

    def __str__(self) -> str:
        """`FILE:LINE`."""
        return f"{self.file}:{self.number}"

    @property
    def excerpt(self) -> str:
        """Two lines of at most 100 columns: the source's around the place, and a caret below it.

        Tabs are spaces here, and nothing acts on a terminal: the rest that cannot be printed is escaped.
        """
        begins, ends = max(0, self.column - 2 * WIDTH), self.column + 2 * WIDTH
        before = _cells(self.line[begins : self.column], 0)
        after = _cells(self.line[self.column : ends].rstrip(), _width(before))
        if begins or ends < len(self.line) or _width(before) + _width(after) > WIDTH:
            before = _last(before, WIDTH - min(_width(after), AFTER))
            after = _first(after, WIDTH - _width(before))
        line = "".join(shown for shown, _ in (*before, *after))
        return f"{line}\n{' ' * _width(before)}^"


class AssemblyError(CwError):
    """The Pendulum source has a mistake.

    Its `excerpt` is the line and a caret under the mistake; empty where no line is to blame.
    """

    def __init__(self, sentence: str, place: Place | None = None) -> None:
        super().__init__(sentence if place is None else f"{place}: {sentence}")
        if place is not None:
            self.excerpt = place.excerpt


class Remark(str):
    """A warning of the assembler: `FILE:LINE: …`, one line."""

    excerpt: str
    """As an AssemblyError has it."""

    def __new__(cls, sentence: str, place: Place) -> Remark:
        """The sentence with its place."""
        remark = super().__new__(cls, f"{place}: {sentence}")
        remark.excerpt = place.excerpt
        return remark


_Cells = list[tuple[str, int]]
"""What is shown of each character, and the columns that it takes."""


def _cells(text: str, column: int) -> _Cells:
    cells: _Cells = []
    for character in text:
        shown, width = _cell(character, column)
        cells.append((shown, width))
        column += width
    return cells


def _cell(character: str, column: int) -> tuple[str, int]:
    if character == "\t":
        spaces = TAB - column % TAB
        return " " * spaces, spaces
    if not character.isprintable():
        escaped = character.encode("unicode_escape").decode()
        return escaped, len(escaped)
    return character, 1 if character.isascii() else _columns(character)


def _columns(character: str) -> int:
    from unicodedata import category, east_asian_width

    if category(character) in {"Mn", "Me"}:
        return 0
    return 2 if east_asian_width(character) in {"W", "F"} else 1


def _width(cells: Sequence[tuple[str, int]]) -> int:
    return sum(width for _, width in cells)


def _first(cells: _Cells, room: int) -> _Cells:
    """As many as have room, with an ellipsis for the rest."""
    if _width(cells) <= room:
        return cells
    kept: _Cells = []
    for cell in cells:
        room -= cell[1]
        if room < 1:
            break
        kept.append(cell)
    return [*kept, ("…", 1)]


def _last(cells: _Cells, room: int) -> _Cells:
    return _first(cells[::-1], room)[::-1]
