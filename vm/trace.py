r"""Tells each instruction as it is done, and what it changed; costs a program nothing until it is traced.

    + main         0x00000018 add %a 3                        ; %a = 7
    + main         0x00000022 print "%[a]d\n"

A line begins with the function. What an instruction changed stands behind it; behind one that is seen from
outside, or that may take its time, on a line of its own, since its own line is written before it is done.
Nothing in a line acts on a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

from vm.names import Names
from vm.program import ACC, HEAP, LITERAL, REGISTER, Instruction, Program, Step

if TYPE_CHECKING:
    from vm.machine import Machine

SHOWN = 40
"""Bytes of a string that a trace shows."""

NAME_SHOWN = 24
"""Characters of the name of a function or a label."""

WIDTH = 40
"""Columns of an instruction and its address; changes stand after them."""

SPEAKING = frozenset({"print", "error", "perror", "syslog", "dump", "show.acls", "show.acl"})
"""Pure instructions that are seen from outside."""

_IDENTIFIER = re.compile(rb"[A-Za-z][A-Za-z0-9._?:-]*")
_SPELLED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

Write = Callable[["Machine", bytes], None]
"""Takes one line of a trace, its newline included."""


class Tracer:
    """Tells a run of `program` to `write`, with the names that are known of it."""

    def __init__(self, program: Program, names: Names, write: Write) -> None:
        self._program = program
        self._names = names
        self._write = write
        self._width = min(NAME_SHOWN, max(map(len, names.functions), default=1))

    def steps(self) -> list[Step]:
        """The program's steps, each of which tells of itself."""
        steps = zip(count(), self._program.instructions, self._program.steps, strict=False)
        traced = [self._told(position, instruction, step) for position, instruction, step in steps]
        return [*traced, self._program.steps[-1]]

    def _told(self, position: int, instruction: Instruction, step: Step) -> Step:
        opcode = instruction.form.opcode
        beforehand = opcode.effect > 0 or opcode.name in SPEAKING

        def told(machine: Machine, slots: list[int]) -> int:
            line = self._line(position, instruction)
            if beforehand:
                self._tell(machine, line)
                line = "+"
            before = slots[: ACC + 1]
            try:
                return step(machine, slots)
            finally:
                changes = self._changes(machine, before, slots)
                if changes:
                    self._tell(machine, f"{line:{self._width + WIDTH}} ; {changes}")
                elif not beforehand:
                    self._tell(machine, line)

        return told

    def _tell(self, machine: Machine, line: str) -> None:
        self._write(machine, line.encode(errors="replace") + b"\n")

    def _line(self, position: int, instruction: Instruction) -> str:
        name = shortened(self._names.function(position)) or "-"
        words = [f"+ {name:{self._width}} 0x{instruction.offset:08x}", *self._spelling(instruction)]
        return " ".join(words)

    def _spelling(self, instruction: Instruction) -> list[str]:
        """The words of an instruction, as source would have them where their names are known."""
        form = instruction.form
        words = [form.opcode.name]
        for forms, kind, operand in zip(form.opcode.operands, form.types, instruction.operands, strict=True):
            if kind == REGISTER:
                words.append(_register(operand))
            elif kind == LITERAL:
                words.append(str(operand))
            elif forms in {"l", "f"}:
                words.append(
                    shortened(self._names.target(self._program.positions[operand], operand, forms == "f"))
                )
            else:
                text = self._program.strings[operand]
                bare = "i" in forms and len(text) <= SHOWN and _IDENTIFIER.fullmatch(text)
                words.append(text.decode() if bare else quoted(text))
        return words

    def _changes(self, machine: Machine, before: list[int], after: list[int]) -> str:
        changed = (number for number in (ACC, *range(ACC)) if before[number] != after[number])
        return "  ".join(f"{_register(number)} = {self._value(machine, after[number])}" for number in changed)

    def _value(self, machine: Machine, value: int) -> str:
        """A number, and the string that it is the address of, if it is one's."""
        if value & HEAP:
            number = value & ~HEAP
            known = machine.heap[number] if number < len(machine.heap) else None
            shown = str(value) if known is None else f"0x{value:08x}"
        else:
            known = self._program.strings.get(value)
            shown = str(value)
        return shown if known is None else f"{shown} {quoted(known)}"


def quoted(text: bytes) -> str:
    r"""A string as source has it, cut after SHOWN bytes; what is not printable, or not UTF-8, as \xNN."""
    shown = text[:SHOWN].decode(errors="surrogateescape")
    return f'"{_harmless(shown)}"' + "…" * (len(text) > SHOWN)


def _harmless(text: str) -> str:
    return "".join(
        _SPELLED.get(c) or (c if c.isprintable() else "".join(f"\\x{byte:02x}" for byte in _bytes_of(c)))
        for c in text
    )


def _bytes_of(character: str) -> bytes:
    return character.encode(errors="surrogateescape")


def shortened(name: str) -> str:
    """The name of a function or a label, cut after NAME_SHOWN characters, harmless to a terminal."""
    return _harmless(name if len(name) <= NAME_SHOWN else name[: NAME_SHOWN - 1] + "…")


def _register(number: int) -> str:
    return "acc" if number == ACC else "%" + chr(ord("a") + number)
