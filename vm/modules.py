"""The Pendulum modules that ship with cw, read from beside this file, inside a zip too."""

from __future__ import annotations

from collections.abc import Hashable
from pkgutil import get_data
from typing import NamedTuple


class Source(NamedTuple):
    """A file of Pendulum source."""

    name: str
    """What errors call it."""
    text: str
    key: Hashable
    """What makes it this file and no other: two sources with the same key are included once."""


SHIPPED = frozenset(
    {
        "mesh",
        "mesh.account",
        "mesh.exec",
        "mesh.file",
        "mesh.package",
        "mesh.service",
        "stdlib",
        "res.authdb",
        "res.dir",
        "res.exec",
        "res.file",
        "res.group",
        "res.home",
        "res.host",
        "res.package",
        "res.path",
        "res.service",
        "res.symlink",
        "res.user",
    }
)


def source(name: str) -> str | None:
    """The text of a module that ships with cw; None: there is none of that name."""
    found = get_data("vm", f"pn/{name}.pn") if name in SHIPPED else None
    return found.decode() if found is not None else None


def find(name: str) -> Source | None:
    """The same as the assembler asks for it."""
    text = source(name)
    return None if text is None else Source(f"{name}.pn", text, ("shipped", name))
