"""What the functions and jump targets of a program are called, as far as anything tells. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import NamedTuple

from vm.program import EMBED, LITERAL, Instruction, Program

FUNCTION = 3
"""The kind of an annotation that names the function after it (pendulum.md "Image")."""

_ANNOTATION = bytes([0x08, LITERAL << 4 | EMBED]) + FUNCTION.to_bytes(4)
_CALLS = frozenset({"call", "try"})


class Names(NamedTuple):
    """Names by position: that of a step among a program's steps, with and without annotations the same."""

    starts: tuple[int, ...]
    """Where functions begin, ascending."""
    functions: tuple[str, ...]
    """What each of them is called: any text at all, if the image says so."""
    labels: Mapping[int, str]
    """Of positions inside functions, those that are known to have a name."""

    def function(self, position: int) -> str:
        """The function that a step is in; empty in front of the first."""
        index = bisect_right(self.starts, position)
        return self.functions[index - 1] if index else ""

    def target(self, position: int, offset: int, called: bool) -> str:
        """What a jump or a call to a step is written with; `offset` is where in the image that is."""
        index = bisect_right(self.starts, position)
        name = self.functions[index - 1] if index and self.starts[index - 1] == position else ""
        label = self.labels.get(position, "")
        return (name if called or not label else label) or f"l_{offset:08x}"


def names_of(program: Program) -> Names:
    """The names in an image's annotations; without those, made of addresses as vm.disassembler makes them."""
    named = dict(_annotated(program)) or dict(_called(program))
    starts = sorted(named)
    return Names(tuple(starts), tuple(named[start] for start in starts), {})


def _annotated(program: Program) -> list[tuple[int, str]]:
    image = program.image
    return [
        (position, image[offset + 6 : image.index(0, offset + 6)].decode(errors="replace"))
        for offset, position in program.positions.items()
        if image.startswith(_ANNOTATION, offset) and position < len(program.instructions)
    ]


def _called(program: Program) -> list[tuple[int, str]]:
    """Where calls lead, and where the program begins: after the jump that an assembler puts in front."""
    instructions = program.instructions
    main = program.positions[instructions[0].operands[0]] if _jumps(instructions[:1]) else 0
    called = {program.positions[one.operands[0]] for one in instructions if one.form.opcode.name in _CALLS}
    return [
        (position, "main" if position == main else f"fn_{instructions[position].offset:08x}")
        for position in {main, *called}
        if position < len(instructions)
    ]


def _jumps(first: tuple[Instruction, ...]) -> bool:
    return bool(first) and first[0].form.opcode.name == "jmp"
