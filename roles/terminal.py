"""What a standard stream can show, where it is a terminal."""

from __future__ import annotations

import os
from typing import TextIO

from mesh.formats.look import Look

USUAL = 80
"""Columns of what does not say how many it has."""


def able(stream: TextIO) -> bool:
    """Whether it is a terminal that colours and erases (ECMA-48)."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def columns(descriptor: int) -> int:
    """How wide it is; USUAL for what is no terminal."""
    try:
        return os.get_terminal_size(descriptor).columns or USUAL
    except OSError:
        return USUAL


def look(stream: TextIO, sort: bool) -> Look:
    """How answers are to look there: in colours, unless NO_COLOR is set (no-color.org)."""
    if not stream.isatty():
        return Look(sort=sort)
    return Look(columns(stream.fileno()), able(stream) and not os.environ.get("NO_COLOR"), sort)
