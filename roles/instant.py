"""Runs in its place what is pure and over in a moment: a `ping` costs a node half as much as in a thread.

A program of the node's own is tried under limits of a few milliseconds, and one that needs more begins again
where commands run (roles/runner.py): what is pure has done nothing that another run would repeat. Except
that it may have logged, so a program that may is not tried.
"""

from __future__ import annotations

from functools import cache

from mesh.admission import Admit
from vm.host import Host
from vm.machine import Limits, Outcome, run
from vm.opcodes import Effect
from vm.verifier import verify

INSTRUCTIONS = 5_000
SECONDS = 0.005
HEAP = 65_536
"""What a run may use to be over in a moment: instructions, time, bytes of strings."""


def at_once(admitted: Admit, limits: Limits, host: Host) -> Outcome | None:
    """How an admitted command ends within `limits`; None where that takes more than a moment to know."""
    program = admitted.program
    if admitted.effect is not Effect.PURE or program is None:
        return None
    if not _is_silent(program.image):
        return None
    brief = limits._replace(
        instructions=min(limits.instructions, INSTRUCTIONS),
        seconds=min(limits.seconds, SECONDS),
        heap=min(limits.heap, HEAP),
    )
    outcome = run(program, admitted.arguments, host, brief, lambda: False)
    return None if outcome.fault.startswith("limit: ") else outcome


@cache
def _is_silent(image: bytes) -> bool:
    """Whether an image of the node's own, of which there is one a verb, can log nothing."""
    return all(instruction.form.opcode.name != "syslog" for instruction in verify(image).instructions)
