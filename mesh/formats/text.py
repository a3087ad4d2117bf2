"""--text: `UUID FQDN success|failed STATUS`, then each line of output behind one space. Pure."""

from __future__ import annotations

from mesh.printing import FAILED, OK, Answer, Stream, lines

WORDS = {OK: "success", FAILED: "failed"}
"""What a node that ran the command is said to have had; any other outcome is its own word."""


def paragraph(answer: Answer) -> str:
    """The lines about one node; `-` is the status of one that did not run the command."""
    status = "-" if answer.status is None else answer.status
    head = f"{answer.uuid} {answer.fqdn} {WORDS.get(answer.outcome, answer.outcome)} {status}\n"
    return head + "".join(f" {line}\n" for line in lines(answer))


TEXT = Stream(paragraph)
