"""--diff: the most common answer, and how every other one differs from it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mesh.formats import look as styles
from mesh.formats.changes import ADDED, REMOVED, SAME, changes
from mesh.formats.folding import groups
from mesh.formats.look import Look
from mesh.printing import Answer, block, lines

CONTEXT = 3
"""Lines that are shown before and after a change."""

STYLES = {ADDED: styles.ADDED, REMOVED: styles.REMOVED}


def diff(answers: Sequence[Answer], look: Look) -> Iterator[str]:
    """The largest group of nodes that ran the command, as --fold shows it; of the others, only changes.

    Of groups as large as each other the first by name counts as the most common.
    """
    found = groups(answers, look.sort)
    ran = [group for group in found if group.answer.status is not None]
    common = max(ran, key=lambda group: len(group.names), default=None)
    for group in found if common is None else [common, *(group for group in found if group is not common)]:
        if common is None or group is common or group.answer.status is None:
            yield block(group.head(look), group.answer)
        else:
            yield f"{group.head(look)}\n"
            yield from shown(lines(common.answer), lines(group.answer), look)


def shown(before: Sequence[str], after: Sequence[str], look: Look) -> Iterator[str]:
    """The changes with a little of what is around them, after 4 spaces: no line is another node's head."""
    found = changes(before, after)
    near = {
        place
        for at, change in enumerate(found)
        if change.mark != SAME
        for place in range(at - CONTEXT, at + CONTEXT + 1)
    }
    if not near:
        yield "    the same output\n"
    old = new = 1
    skipped = False
    for at, change in enumerate(found):
        if at in near:
            if skipped:
                yield f"    @@ -{old} +{new} @@\n"
            skipped = False
            yield f"    {look.paint(STYLES.get(change.mark, ''), f'{change.mark}{change.line}')}\n"
        else:
            skipped = True
        old += change.mark != ADDED
        new += change.mark != REMOVED
