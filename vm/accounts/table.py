"""One account file, edited in place: every byte outside the lines that change stays as it is. Pure.

The file is one string and no line is kept apart, so it costs no more memory than it has bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from vm.program import HEAP, WORD

ID_LIMIT = HEAP
"""Ids that are given out or set are below it: from there on a number may be the address of a string."""

_RESERVED = 65_535
"""What 16-bit systems take for no id at all."""

_ID = re.compile(rb"^[^#:\n][^:\n]*:[^:\n]*:([0-9]{1,10}):", re.MULTILINE)
"""The third field of passwd or group, which is an id, of any line but a comment."""


class Shape(NamedTuple):
    """What makes a line an entry; others are kept and not looked at, as the system's tools do it."""

    widths: tuple[int, ...]
    """How many fields it may have, the most first; when changed it is written with the most."""
    ids: tuple[int, ...] = ()
    """Which fields are numbers, or empty while no id was given."""


SHAPES = {
    "passwd": Shape((7,), (2, 3)),
    "shadow": Shape((9, 8, 5)),
    "group": Shape((4,), (2,)),
    "gshadow": Shape((4,)),
}
"""passwd(5), shadow(5) with its older forms, group(5), gshadow(5)."""


class Budget(NamedTuple):
    """Who is told of the work and the memory that an edit takes, before it takes them."""

    labour: Callable[[int], None]
    """Bytes gone through."""
    grow: Callable[[int], None]
    """Bytes that are kept from now on."""


class Table:
    """One file. Names are not empty and hold no colon or newline; of several equal ones the first counts."""

    def __init__(self, shape: Shape, content: bytes, budget: Budget) -> None:
        self.content = content
        self._shape = shape
        self._budget = budget

    def find(self, name: bytes) -> list[bytes] | None:
        """The fields of the entry of this name, the name first."""
        return next((fields for _, _, fields in self._entries(name)), None)

    def taken(self, name: bytes) -> bool:
        """Whether any line, an entry or not, begins with this name."""
        return next(self._lines(name), None) is not None

    def put(self, name: bytes, fields: list[bytes]) -> None:
        """Make the entry of this name, or else a new one, of these fields."""
        line = b":".join(fields)
        start, end, _ = next(self._entries(name), (None, None, None))
        if start is None or end is None:
            self._add(line)
            return
        self._budget.grow(len(line) - (end - start))
        self.content = b"".join([self.content[:start], line, self.content[end:]])

    def remove(self, name: bytes) -> None:
        """Remove every entry of this name."""
        pieces, kept = [], 0
        for start, end, _ in self._entries(name):
            pieces.append(self.content[kept:start])
            kept = end + 1
        self.content = b"".join([*pieces, self.content[kept:]])

    def rewrite(self, word: bytes, growth: int, change: Callable[[list[bytes]], list[bytes]]) -> None:
        """Change every entry that has `word` in it; each time that it has, the line may grow by `growth`."""
        content, pieces, kept = self.content, [], 0
        self._budget.labour(4 * len(content))
        self._budget.grow(content.count(word) * growth)
        at = content.find(word)
        while at >= 0:
            start = content.rfind(b"\n", kept, at) + 1 or kept
            end = _end(content, at)
            fields = self._parse(content[start:end])
            if fields is not None:
                pieces += [content[kept:start], b":".join(change(fields))]
                kept = end
            at = content.find(word, end)
        self.content = b"".join([*pieces, content[kept:]])

    def lowest_free(self, least: int) -> int:
        """The lowest id from `least` on that no line has; at most ID_LIMIT."""
        self._budget.labour(16 * len(self.content))
        lines = self.content.count(b"\n") + 1
        used = bytearray(lines + 2)  # the lines and _RESERVED cannot use them all up
        for found in _ID.finditer(self.content):
            number = int(found[1]) - least
            if 0 <= number < len(used):
                used[number] = 1
        if 0 <= _RESERVED - least < len(used):
            used[_RESERVED - least] = 1
        return min(least + used.index(0), ID_LIMIT)

    def _add(self, line: bytes) -> None:
        """Add a line at the end, or before the entries for NIS, after which nothing is looked for."""
        before = min((at for at in map(self._first, (b"+", b"-")) if at >= 0), default=len(self.content))
        ended = b"" if before == 0 or self.content[before - 1 : before] == b"\n" else b"\n"
        self._budget.grow(len(line) + 2)
        self.content = b"".join([self.content[:before], ended, line, b"\n", self.content[before:]])

    def _entries(self, name: bytes) -> Iterator[tuple[int, int, list[bytes]]]:
        for start, end in self._lines(name):
            fields = self._parse(self.content[start:end])
            if fields is not None:
                yield start, end, fields

    def _lines(self, name: bytes) -> Iterator[tuple[int, int]]:
        """Where lines of this name begin and end, the newline not counted."""
        self._budget.labour(len(self.content))
        start = self._first(name + b":")
        while start >= 0:
            end = _end(self.content, start)
            yield start, end
            at = self.content.find(b"\n" + name + b":", end)
            start = at + 1 if at >= 0 else -1

    def _first(self, beginning: bytes) -> int:
        """Where the first line begins that begins so, or -1."""
        if self.content.startswith(beginning):
            return 0
        at = self.content.find(b"\n" + beginning)
        return at + 1 if at >= 0 else -1

    def _parse(self, line: bytes) -> list[bytes] | None:
        widths, ids = self._shape
        fields = line.split(b":", widths[0])
        if len(fields) not in widths or not all(_is_id(fields[n]) for n in ids):
            return None
        return fields + [b""] * (widths[0] - len(fields))


def _end(content: bytes, at: int) -> int:
    """Where the line ends that has a place."""
    end = content.find(b"\n", at)
    return end if end >= 0 else len(content)


def _is_id(text: bytes) -> bool:
    return not text or (text.isdigit() and len(text) <= 10 and int(text) <= WORD)
