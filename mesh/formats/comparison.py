"""Two jobs side by side: which nodes answer otherwise now, those that changed alike together. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from mesh.formats import names
from mesh.formats.difference import shown
from mesh.formats.look import Look
from mesh.printing import Answer, lines

ABSENT = "absent"
"""How a node that is not among a job's answers is called."""


class Said(NamedTuple):
    """What a node came to in one job: its status or outcome, and its output as LINE shows it."""

    state: str
    output: tuple[str, ...]


class Comparison(NamedTuple):
    """Nodes by what they said before and after, in the order of their names; and how many said the same."""

    changed: Mapping[tuple[Said, Said], Sequence[str]]
    same: int


def compared(before: Sequence[Answer], after: Sequence[Answer]) -> Comparison:
    """What the same nodes said in two jobs; of a node that is there twice the last word counts."""
    old, new = _by_node(before), _by_node(after)
    absent = Said(ABSENT, ())
    changed: dict[tuple[Said, Said], list[str]] = {}
    nodes = sorted({**old, **new}, key=lambda node: (names.natural(node[0]), node[1]))
    same = 0
    for node in nodes:
        pair = (old.get(node, absent), new.get(node, absent))
        if pair[0] == pair[1]:
            same += 1
        else:
            changed.setdefault(pair, []).append(node[0])
    return Comparison(changed, same)


def text_of(comparison: Comparison, look: Look) -> Iterator[str]:
    """The nodes that changed, each group behind a head, and how under it."""
    for (old, new), nodes in comparison.changed.items():
        state = old.state if old.state == new.state else f"{old.state} -> {new.state}"
        yield f"{names.fold(nodes)} ({len(nodes)}) {state}\n"
        if old.output != new.output:
            yield from shown(old.output, new.output, look)


def _by_node(answers: Sequence[Answer]) -> dict[tuple[str, str], Said]:
    return {
        (answer.fqdn, answer.uuid): Said(
            answer.outcome if answer.status is None else str(answer.status), tuple(lines(answer))
        )
        for answer in answers
    }
