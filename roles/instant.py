"""Runs in its place what only touches memory and is over in a moment: a `ping` costs half of what a thread
costs then, `show facts` a tenth of what a child does.

A program of the node's own is tried under limits of a few milliseconds, and one that needs more begins again
where commands run (roles/runner.py): what was tried has done nothing that another run would repeat. A program
that may log would have, so it is not tried.
"""

from __future__ import annotations

from functools import cache

from mesh.admission import Admit
from vm.host import Host
from vm.machine import Limits, Outcome, run
from vm.opcodes import Effect, Opcode
from vm.verifier import verify

INSTRUCTIONS = 5_000
SECONDS = 0.005
HEAP = 65_536
FACTS = 1_000
"""What a run may use to be over in a moment: instructions, time, bytes of strings, facts to go through."""


def at_once(admitted: Admit, limits: Limits, host: Host) -> Outcome | None:
    """How an admitted command ends within `limits`; None where that takes more than a moment to know."""
    program = admitted.program
    if program is None or not _only_touches_memory(program.image):
        return None
    if admitted.effect is not Effect.PURE and (admitted.run_as or len(host.facts()) > FACTS):
        return None
    brief = limits._replace(
        instructions=min(limits.instructions, INSTRUCTIONS),
        seconds=min(limits.seconds, SECONDS),
        heap=min(limits.heap, HEAP),
    )
    try:
        outcome = run(program, admitted.arguments, host, brief, lambda: False)
    except Exception:  # noqa: BLE001 - a fault of the machine's own, which the runner tells and survives
        return None
    return None if outcome.fault.startswith("limit: ") else outcome


@cache
def _only_touches_memory(image: bytes) -> bool:
    """Whether an image of the node's own, of which there is one a verb, does nothing but compute and look
    facts up: they read the host, but were gathered before.
    """
    return all(_is_in_memory(instruction.form.opcode) for instruction in verify(image).instructions)


def _is_in_memory(opcode: Opcode) -> bool:
    if opcode.effect is Effect.PURE:
        return opcode.name != "syslog"
    return opcode.name in ("fact.get", "fact.next")
