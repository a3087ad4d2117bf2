"""--table: a row a node, a column a key of `key=value` answers; what is no such line is in the last. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from mesh.formats.look import ODD, Look
from mesh.formats.names import natural
from mesh.printing import OK, Answer, lines

KEY = re.compile(r"([A-Za-z0-9_.:-]{1,64})=(.*)")
"""A line that belongs in a column: a name as facts have it, and its value."""

MOST_COLUMNS = 64
"""Keys that have a column, those of most nodes; one node that prints thousands is not to spoil the table."""

WIDEST = 60
"""What values are filled up to in a pipe; a longer one only moves the rest of its own row."""

NARROWEST = 6
"""What a column has at least, where a terminal is too narrow for all."""

GAP = "  "
MISSING = "-"
NODE, STATUS, OTHER = "NODE", "STATUS", "OUTPUT"


class Row(NamedTuple):
    """What a node said: its outcome, the values of its keys, and the other lines."""

    fqdn: str
    outcome: str
    status: str
    values: Mapping[str, str]
    other: Sequence[str]


def table(answers: Sequence[Answer], look: Look) -> Iterator[str]:
    """The rows in order of names, under a head; nothing where there are none.

    A terminal gets cells that are cut to fit, and values in colour that most others do not have.
    """
    rows = [_row(answer) for answer in sorted(answers, key=lambda answer: natural(answer.fqdn))]
    if not rows:
        return
    common = Counter(key for row in rows for key in row.values).most_common(MOST_COLUMNS)
    chosen = {key for key, _ in common}
    keys = [key for key in dict.fromkeys(key for row in rows for key in row.values) if key in chosen]
    grid = [[NODE, STATUS, *keys, OTHER], *(_cells(row, keys) for row in rows)]
    if not any(cells[-1] for cells in grid[1:]):
        grid = [cells[:-1] for cells in grid]
    widths = [max(map(width, column)) for column in zip(*grid, strict=True)]
    if look.columns is None:
        widths = [min(wide, WIDEST) for wide in widths]
    else:
        widths = _narrowed(widths, look.columns)
        grid = [[cut(cell, wide) for cell, wide in zip(cells, widths, strict=True)] for cells in grid]
    usual = {at: Counter(cells[at] for cells in grid[1:]).most_common(1)[0] for at in range(2, len(keys) + 2)}
    yield _line(grid[0], widths, {}, look)
    for row, cells in zip(rows, grid[1:], strict=True):
        styles = {0: row.outcome, 1: row.outcome}
        if row.outcome == OK:
            styles |= {at: ODD for at, (value, times) in usual.items() if times > 1 and cells[at] != value}
        yield _line(cells, widths, styles, look)


def _row(answer: Answer) -> Row:
    """A key that comes again adds to its value."""
    values: dict[str, list[str]] = {}
    other = []
    for line in lines(answer):
        found = KEY.fullmatch(line)
        if found is None:
            other.append(line)
        else:
            values.setdefault(found[1], []).append(found[2])
    status = answer.outcome if answer.status is None else str(answer.status)
    joined = {key: ", ".join(several) for key, several in values.items()}
    return Row(answer.fqdn, answer.outcome, status, joined, other)


def _cells(row: Row, keys: Sequence[str]) -> list[str]:
    known = set(keys)
    crowded_out = [f"{key}={value}" for key, value in row.values.items() if key not in known]
    cells = [row.fqdn, row.status, *(row.values.get(key, MISSING) for key in keys)]
    return [cell.replace("\t", " ") for cell in (*cells, "; ".join([*crowded_out, *row.other]))]


def _line(cells: Sequence[str], widths: Sequence[int], styles: Mapping[int, str], look: Look) -> str:
    padded = []
    for at, (cell, wide) in enumerate(zip(cells, widths, strict=True)):
        blanks = " " * (wide - width(cell)) if at < len(cells) - 1 else ""
        padded.append(look.paint(styles.get(at, ""), cell) + blanks)
    return GAP.join(padded).rstrip() + "\n"


def width(text: str) -> int:
    """Columns that a text without control characters takes on a screen."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def cut(text: str, columns: int) -> str:
    """The text, or as much of it as so many columns hold, the last of which says that it was cut."""
    if width(text) <= columns:
        return text
    kept = text[: columns - 1]
    while width(kept) > columns - 1:
        kept = kept[:-1]
    return f"{kept}…"


def _narrowed(widths: Sequence[int], columns: int) -> list[int]:
    """The widest columns made narrower, as little as it takes for all to fit; the first two stay whole."""
    whole, rest = list(widths[:2]), widths[2:]
    room = columns - sum(whole) - len(GAP) * (len(widths) - 1)
    most = min(max(rest, default=0), max(room, NARROWEST))
    while most > NARROWEST and sum(min(wide, most) for wide in rest) > room:
        most -= 1
    return whole + [min(wide, most) for wide in rest]
