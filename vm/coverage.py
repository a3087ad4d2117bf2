"""Which instructions of a program have run, as lines for a file and as per cents for people. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vm.names import Names
from vm.program import Program, Step
from vm.trace import shortened

if TYPE_CHECKING:
    from vm.machine import Machine


class Coverage:
    """Watches runs of `program`, which is the one that it was made with in every other respect."""

    def __init__(self, program: Program) -> None:
        self._seen = bytearray(len(program.instructions))
        steps = [self._noted(position, step) for position, step in enumerate(program.steps[:-1])]
        self.program = program._replace(steps=(*steps, program.steps[-1]))

    def _noted(self, position: int, step: Step) -> Step:
        seen = self._seen

        def noted(machine: Machine, slots: list[int]) -> int:
            seen[position] = 1
            return step(machine, slots)

        return noted

    def executed(self) -> Iterator[str]:
        """A line for each instruction that ran, in the image's order: address, opcode, name.

        `0x00000008 03 set`: the address has eight hexadecimal digits, the opcode two.
        """
        for instruction, seen in zip(self.program.instructions, self._seen, strict=True):
            if seen:
                opcode = instruction.form.opcode
                yield f"0x{instruction.offset:08x} {opcode.number:02x} {opcode.name}"

    def summary(self, names: Names) -> Iterator[str]:
        """How much ran of each function, in the image's order, and of all: `  75%     3/4     main`."""
        size, ran = Counter[str](), Counter[str]()
        for position, seen in enumerate(self._seen):
            function = names.function(position)
            size[function] += 1
            ran[function] += seen
        for function, count in size.items():
            if function:
                yield _line(ran[function], count, shortened(function))
        yield _line(ran.total(), size.total(), "in all")


def _line(ran: int, count: int, name: str) -> str:
    """Per cents are rounded down, so that 100% is all of it."""
    return f"{100 * ran // max(count, 1):4}%  {f'{ran}/{count}':>11}  {name}"
