"""What an image may do to a host, from its instructions alone. Pure."""

from __future__ import annotations

from vm.opcodes import Effect
from vm.program import Program

ENDS_HERE = frozenset({"jmp", "ret", "retv", "bail", "halt"})
"""Instructions after which the next one does not run, unless something else leads there."""


def effect_of(program: Program) -> Effect:
    """The worst effect among the instructions that `main` can reach (pendulum.md "Machine", Effects)."""
    worst = Effect.PURE
    seen = bytearray(len(program.instructions) + 1)
    waiting = [0]
    while waiting:
        position = waiting.pop()
        if seen[position] or position == len(program.instructions):
            continue
        seen[position] = 1
        opcode, _, code = program.instructions[position].form
        worst = max(worst, opcode.effect)
        operands = program.instructions[position].operands
        waiting += [
            program.positions[address] for address, is_code in zip(operands, code, strict=True) if is_code
        ]
        if opcode.name not in ENDS_HERE:
            waiting.append(position + 1)
    return worst
