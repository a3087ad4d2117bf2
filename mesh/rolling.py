"""A command that goes to its nodes in turns: which first, how many at a time, and when to stop. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from mesh.formats.names import natural
from mesh.messages import Identity
from mesh.printing import Tally
from wire.primitives import blake2s

_SHARE = re.compile(r"(?P<number>[0-9]{1,6})(?P<percent>%?)")


class Share(NamedTuple):
    """So many nodes, or so many in a hundred of them."""

    number: int
    percent: bool = False

    def of(self, nodes: int) -> int:
        """How many that are of so many nodes: of a part of a node nothing."""
        return self.number * nodes // 100 if self.percent else self.number

    def __str__(self) -> str:
        return f"{self.number}{'%' * self.percent}"


def share(text: str, least: int) -> Share:
    """`N` or `N%` with N at least `least`. Raises ValueError, which says what was expected."""
    found = _SHARE.fullmatch(text)
    if found is not None:
        asked = Share(int(found["number"]), bool(found["percent"]))
        if asked.number >= least and not (asked.percent and asked.number > 100):
            return asked
    raise ValueError(f"a number of nodes or N%, from {least} on")


class Turns(NamedTuple):
    """How a command goes round.

    `canary` nodes come first and alone, then `batch` at a time, with `pause` seconds between two; it stops
    once more than `failures` have failed or are missing. None of canary and batch: all at once.
    """

    canary: int = 0
    batch: Share | None = None
    failures: Share = Share(0)
    pause: float = 0.0

    @property
    def several(self) -> bool:
        """Whether nodes take turns at all."""
        return bool(self.canary) or self.batch is not None

    def batches(self, nodes: Sequence[Identity]) -> list[Sequence[Identity]]:
        """The nodes, each in one batch, in their order. A part of a hundred is at least one node."""
        size = len(nodes) if self.batch is None else max(1, self.batch.of(len(nodes)))
        first, rest = nodes[: self.canary], nodes[self.canary :]
        return [*([first] if first else []), *(rest[at : at + size] for at in range(0, len(rest), size or 1))]

    def too_many(self, tally: Tally, nodes: int) -> bool:
        """Whether more of so many nodes have failed, or are missing, than may."""
        return tally.failed + tally.missing > self.failures.of(nodes)


def in_order(nodes: Sequence[Identity]) -> list[Identity]:
    """By name, as people count, whatever order they answered in."""
    return sorted(nodes, key=lambda node: (natural(node.fqdn), node.uuid))


def drawn(nodes: Sequence[Identity], limit: int, seed: str) -> list[Identity]:
    """At most `limit` of the nodes, in their order. The same seed draws the same, and nodes that come or go
    between two draws change it by no more than themselves.
    """
    lots = sorted(nodes, key=lambda node: blake2s(f"{seed}\0{node.uuid}\0{node.fqdn}".encode()))
    chosen = set(lots[:limit])
    return [node for node in nodes if node in chosen][:limit]
