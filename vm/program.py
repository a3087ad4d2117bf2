"""A verified image in the form that runs: a step an instruction. Immutable: threads may share it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from vm.machine import Machine
    from vm.opcodes import Form

MAGIC = b"pn"
END = b"\xff\x00"
IMAGE_LIMIT = 262_144
"""The largest image in bytes that is assembled, sent or verified."""

LITERAL, REGISTER, ADDRESS, EMBED = 1, 2, 3, 4
"""Operand types as an image has them, a nybble each (pendulum.md "Image"); 0 is no operand."""

REGISTERS = 16
ACC = REGISTERS
"""Where the accumulator stands among the slots, after the registers; the constants of a program follow it."""

WORD = 0xFFFFFFFF
HEAP = 0x80000000
"""The top bit, which tells the address of a heap string from one in the image."""

Step = Callable[["Machine", list[int]], int]
"""Does one instruction on the machine and its slots; the position of the next step."""


class Site(NamedTuple):
    """An instruction where it stands, as its handler needs it to build the step.

    Registers and constants are one list of slots while a program runs, so an operand is always a place in
    that list and no step asks what kind it has.
    """

    slots: tuple[int, ...]
    """For each operand the slot of its value; of code addresses, the position of the step."""
    texts: tuple[bytes | None, ...]
    """For each operand its string, if it is a constant one."""
    after: int
    """The position of the step that follows."""


Handler = Callable[[Site], Step]
"""Builds the step of one kind of instruction, once for each place where it stands."""


class Instruction(NamedTuple):
    """One instruction as the image has it, operands undecoded (an address is an offset in the image)."""

    offset: int
    form: Form
    operands: tuple[int, ...]


class Program(NamedTuple):
    """What `vm.verifier.verify` makes of an image. Annotations have no step; positions count steps."""

    image: bytes
    instructions: tuple[Instruction, ...]
    positions: Mapping[int, int]
    """Offset of an instruction to the position of its step; of an annotation, to that of the next one."""
    steps: tuple[Step, ...]
    """One more than instructions: the last is a fault, for a program that runs past its end."""
    constants: tuple[int, ...]
    table: int
    """Offset of the string table."""
    strings: Mapping[int, bytes]
    """Address to string, for the strings that instructions name."""

    def place(self, position: int) -> str:
        """Where a step is, for people: `0x00000008 (add)`."""
        if position >= len(self.instructions):
            return "the end"
        instruction = self.instructions[position]
        return f"0x{instruction.offset:08x} ({instruction.form.opcode.name})"
