"""Images become programs here, or are refused with the offset and the reason; nothing else makes one run."""

from __future__ import annotations

from typing import NoReturn

from errors import CwError
from vm.faults import Fault
from vm.machine import Machine
from vm.opcodes import BY_NUMBER, FORMS
from vm.program import (
    EMBED,
    END,
    IMAGE_LIMIT,
    LITERAL,
    MAGIC,
    REGISTER,
    REGISTERS,
    Instruction,
    Program,
    Site,
    Step,
)

__all__ = ["Program", "VerifyError", "verify"]


class VerifyError(CwError):
    """The image is not one that may run."""

    status = 126


def verify(image: bytes) -> Program:
    """The program that an image is (pendulum.md "Image", verifier).

    Raises VerifyError: `image refused at 0x0000001c: REASON`. Takes time and memory in proportion to the
    image, whose size is limited.
    """
    if len(image) > IMAGE_LIMIT:
        _refuse(IMAGE_LIMIT, f"it has {len(image)} bytes (expected at most {IMAGE_LIMIT})")
    if not image.startswith(MAGIC):
        _refuse(0, "not a Pendulum image (expected the magic bytes 70 6e)")
    instructions, positions, table = _decode(image)
    _check_table(image, table)
    layout = _Layout(image, table, positions)
    steps = tuple(layout.step(instruction, n + 1) for n, instruction in enumerate(instructions))
    return Program(
        image=image,
        instructions=instructions,
        positions=positions,
        steps=(*steps, _past_the_end),
        constants=tuple(layout.constants),
        table=table,
        strings=layout.strings,
    )


def _refuse(offset: int, reason: str) -> NoReturn:
    raise VerifyError(f"image refused at 0x{offset:08x}: {reason}")


def _past_the_end(_machine: Machine, _slots: list[int]) -> int:
    raise Fault("no instruction left")


def _decode(image: bytes) -> tuple[tuple[Instruction, ...], dict[int, int], int]:
    """The instructions but annotations, the position of each offset, and where the string table begins."""
    instructions: list[Instruction] = []
    positions: dict[int, int] = {}
    at, size = len(MAGIC), len(image)
    while not image.startswith(END, at):
        if at + 2 > size:
            _refuse(at, "the image ends before its string table (expected ff 00)")
        form = FORMS.get(image[at] << 8 | image[at + 1])
        if form is None:
            _refuse_form(at, image[at], image[at + 1])
        opcode, types, _ = form
        positions[at] = len(instructions)
        start, at = at, at + 2
        if types and types[-1] == EMBED:
            at = image.find(0, at + 4) + 1
            if not at:
                _refuse(start, f"{opcode.name}: its text has no end")
            continue
        end = at + 4 * len(types)
        if end > size:
            _refuse(start, f"{opcode.name}: the image ends inside it")
        operands = tuple([int.from_bytes(image[n : n + 4]) for n in range(at, end, 4)])
        instructions.append(Instruction(start, form, operands))
        at = end
    return tuple(instructions), positions, at + len(END)


def _refuse_form(at: int, number: int, types: int) -> NoReturn:
    rows = BY_NUMBER.get(number)
    if rows is None:
        _refuse(at, f"unknown opcode {number:02x}")
    names = " or ".join(opcode.name for opcode in rows)
    usages = " or ".join(opcode.usage for opcode in rows)
    _refuse(at, f"{names}: illegal operand types {types:02x} (expected: {usages})")


def _check_table(image: bytes, table: int) -> None:
    if table < len(image) and image[-1] != 0:
        _refuse(len(image) - 1, "the last string has no end")
    try:
        image[table:].decode()
    except UnicodeDecodeError as error:
        raise VerifyError(f"image refused at 0x{table + error.start:08x}: a string is not UTF-8") from error


class _Layout:
    """Checks operands against an image's layout and builds the steps, gathering what they share."""

    def __init__(self, image: bytes, table: int, positions: dict[int, int]) -> None:
        self.image = image
        self.table = table
        self.positions = positions
        self.constants: dict[int, int] = {}
        """Each to its slot."""
        self.strings: dict[int, bytes] = {}

    def step(self, instruction: Instruction, after: int) -> Step:
        """The step of one instruction. Raises VerifyError."""
        offset, (opcode, types, code), operands = instruction
        slots: list[int] = []
        texts: list[bytes | None] = []
        for kind, is_code, operand in zip(types, code, operands, strict=True):
            text = None
            if kind == REGISTER:
                if operand >= REGISTERS:
                    _refuse(offset, f"{opcode.name}: no register {operand} (expected 0 to {REGISTERS - 1})")
                slots.append(operand)
            elif is_code:
                slots.append(self._position(offset, opcode.name, operand))
            else:
                if kind != LITERAL:
                    text = self._string(offset, opcode.name, operand)
                slots.append(self._constant(operand))
            texts.append(text)
        if opcode.name == "swap" and slots[0] == slots[1]:
            _refuse(offset, "swap: the same register twice (expected two different ones)")
        return opcode.handler(Site(tuple(slots), tuple(texts), after))

    def _constant(self, value: int) -> int:
        return self.constants.setdefault(value, REGISTERS + 1 + len(self.constants))

    def _position(self, offset: int, name: str, address: int) -> int:
        position = self.positions.get(address)
        if position is None:
            _refuse(offset, f"{name}: no instruction at 0x{address:08x}")
        return position

    def _string(self, offset: int, name: str, address: int) -> bytes:
        text = self.strings.get(address)
        if text is None:
            begins = address == self.table or self.image[address - 1 : address] == b"\0"
            if not self.table <= address < len(self.image) or not begins:
                _refuse(offset, f"{name}: no string at 0x{address:08x}")
            text = self.image[address : self.image.index(0, address)]
            self.strings[address] = text
        return text
