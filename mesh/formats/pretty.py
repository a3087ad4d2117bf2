"""--pretty: node by node with what it wrote to its error output, in order of names, failures last. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mesh.formats.look import Look
from mesh.formats.names import natural
from mesh.printing import (
    DENIED,
    EXPIRED,
    FAILED,
    LOST,
    MALFORMED,
    OK,
    OPTOUT,
    SILENT,
    UNASKED,
    Answer,
    harmless,
    lines,
)

ORDER = (OPTOUT, OK, UNASKED, DENIED, EXPIRED, SILENT, LOST, MALFORMED, FAILED)
"""Outcomes as they follow each other: what wants attention is last, next to a terminal's prompt."""

_RANK = {outcome: rank for rank, outcome in enumerate(ORDER)}


def pretty(answers: Sequence[Answer], look: Look) -> Iterator[str]:
    """A paragraph a node, an empty line between two; with `look.sort` in order of names alone."""

    def place(answer: Answer) -> tuple[object, ...]:
        return 0 if look.sort else _RANK[answer.outcome], natural(answer.fqdn)

    for number, answer in enumerate(sorted(answers, key=place)):
        yield "\n" if number else ""
        yield f"{look.paint(answer.outcome, _head(answer))}\n"
        yield from (f"    {line}\n" for line in lines(answer))
        for line in answer.error_output.removesuffix(b"\n").split(b"\n") if answer.error_output else ():
            yield f"{look.paint(FAILED, f'  ! {harmless(line)}')}\n"


def _head(answer: Answer) -> str:
    status = f", status {answer.status}" if answer.status else ""
    took = "" if answer.duration is None else f", {answer.duration:.3f} s"
    return f"{answer.fqdn}: {answer.outcome}{status}{took}"
