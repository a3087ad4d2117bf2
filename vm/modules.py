"""The Pendulum modules that ship with cw, read from beside this file, inside a zip too. Light to import."""

from __future__ import annotations

import os.path
from collections.abc import Hashable
from typing import NamedTuple


class Source(NamedTuple):
    """A file of Pendulum source."""

    name: str
    """What errors call it."""
    text: str
    key: Hashable
    """What makes it this file and no other: two sources with the same key are included once."""


SHIPPED = frozenset({"mesh"})


def source(name: str) -> str | None:
    """The text of a module that ships with cw; None: there is none of that name."""
    if name not in SHIPPED or __spec__ is None:
        return None
    read = getattr(__spec__.loader, "get_data", None)
    if read is None:
        return None
    found: bytes = read(os.path.join(os.path.dirname(__file__), "pn", name + ".pn"))
    return found.decode()


def find(name: str) -> Source | None:
    """The same as the assembler asks for it."""
    text = source(name)
    return None if text is None else Source(f"{name}.pn", text, ("shipped", name))
