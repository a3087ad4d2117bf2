"""--fold: nodes with the same status and output together, so that the odd ones stand out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mesh.formats import names
from mesh.formats.look import Look
from mesh.printing import Answer, block, head


class Group(NamedTuple):
    """The nodes that answered alike: one of their answers, and all their names."""

    answer: Answer
    names: list[str]

    def head(self, look: Look) -> str:
        """`web[01-06].example.com (6) 0`."""
        who = f"{names.fold(self.names)} ({len(self.names)})"
        return look.paint(self.answer.outcome, head(who, self.answer))


def groups(answers: Sequence[Answer], sort: bool) -> list[Group]:
    """The largest first, so that the odd ones end up next to a terminal's prompt; or by their first names."""
    found: dict[tuple[object, ...], Group] = {}
    for answer in answers:
        # As LINE shows it: a final newline more or less is no difference.
        said = (answer.outcome, answer.status, answer.output.removesuffix(b"\n"), answer.truncated)
        group = found.get(said)
        if group is None:
            group = found[said] = Group(answer, [])
        group.names.append(answer.fqdn)
    first = {said: min(map(names.natural, group.names)) for said, group in found.items()}
    order = sorted(found, key=lambda said: (0 if sort else -len(found[said].names), first[said]))
    return [found[said] for said in order]


def fold(answers: Sequence[Answer], look: Look) -> Iterator[str]:
    """The groups, each as LINE has one node."""
    for group in groups(answers, look.sort):
        yield block(group.head(look), group.answer)
