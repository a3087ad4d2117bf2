"""Images back to source, which assembles to the same image wherever an assembler has made it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple, TypeGuard

from errors import CwError
from vm.assembler import ENDINGS, FUNCTION, MODULE, USER, AssemblyError, assemble, is_name
from vm.lexer import is_word
from vm.program import LITERAL, REGISTER, Instruction, Program
from vm.verifier import verify

LISTING_LIMIT = 16_777_216
"""Characters of the longest listing: an image can use one string again and again."""

_OCTAL = {("fs.chmod", 1), ("umask", 0)}
"""Operands that are permissions."""

_PERMISSIONS = 0o7777
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


class DisassemblyError(CwError):
    """The image cannot be shown as source."""


def disassemble(image: bytes) -> str:
    """The source of an image: functions, labels, strings; names are made of addresses where none are kept.

    `assemble(disassemble(image), …)` is the image if an assembler made it. If not, the listing begins with a
    comment that says where the image it makes differs, or why it makes none. Strings have their characters as
    they are, unprintable ones too. Raises VerifyError, and DisassemblyError: the listing would be too long.
    """
    program = verify(image)
    listing = _bounded(_Listing(program).lines())
    try:
        again = assemble(f"\n{listing}", "listing", lambda _: None)
    except AssemblyError as error:
        return f"; no assembler makes this image: {error}\n{listing}"
    if again == image:
        return listing
    differing = (n for n, (one, other) in enumerate(zip(image, again, strict=False)) if one != other)
    place = next(differing, min(len(image), len(again)))
    what = "code" if place < program.table else "strings"
    return f"; assembled, this has other {what} than the image from 0x{place:08x} on\n{listing}"


class _Annotation(NamedTuple):
    offset: int
    kind: int
    text: str


_Item = Instruction | _Annotation


class _Listing:
    """Works out what there is to name, then writes line after line."""

    def __init__(self, program: Program) -> None:
        self._program = program
        items = list(_items(program))
        main = _entry(items)
        self._items = items if main is None else items[1:]
        self._names: dict[int, str] = {}
        """Of functions, by the offset of what a call leads to."""
        self._opens: dict[int, str] = {}
        """The offset of an item to the function that begins there, with its annotation if it has one."""
        self._labels = {item.operands[0] for item in self._items if _leads(item, "l")}
        self._annotated = any(isinstance(item, _Annotation) for item in self._items)
        self._texts: dict[int, str] = {}
        if self._items:
            self._name(self._items[0].offset if main is None else main)

    def lines(self) -> Iterator[str]:
        """The listing."""
        if self._annotated:
            yield "#annotate"
        for item in self._items:
            name = self._opens.get(item.offset)
            if name is not None or _is_of_module(item):
                yield ""
            if name is not None:
                yield f"fn {name}"
            if item.offset in self._labels:
                yield f"{_label(item.offset)}:"
            if isinstance(item, Instruction):
                yield "  " + self._instruction(item)
            elif item.kind == MODULE:
                yield f"anno {MODULE} {_quoted(item.text)}"
            elif item.kind == USER:
                yield f"  anno {_quoted(item.text)}"
            elif item.kind != FUNCTION or item.text != name:
                yield f"  ; anno {item.kind} {_quoted(item.text)}"

    def _name(self, main: int) -> None:
        called = {item.operands[0] for item in self._items if _leads(item, "f")}
        annotated = {
            following.offset: item
            for item, following in zip(self._items, self._items[1:], strict=False)
            if isinstance(item, _Annotation) and item.kind == FUNCTION
        }
        if not self._annotated:
            called |= self._beginnings()
        taken = {"main"}
        for start in sorted({*called, *annotated, main}):
            annotation = annotated.get(start)
            name = annotation.text if annotation else ""
            if start == main:
                name = "main"
            elif not is_name(name) or name in taken:
                name = f"fn_{start:08x}"
            taken.add(name)
            self._names[start] = name
            self._opens[annotation.offset if annotation else start] = name

    def _beginnings(self) -> set[int]:
        """Where functions may begin that nothing calls: after an end, at a place that no jump passes."""
        offsets = [item.offset for item in self._items]
        jumps = [item.operands[0] if _leads(item, "l") else item.offset for item in self._items]
        furthest = accumulate(jumps, max)
        nearest = [*accumulate(reversed(jumps), min)][::-1]
        return {offsets[0]} | {
            offset
            for item, reach, back, offset in zip(
                self._items, furthest, nearest[1:], offsets[1:], strict=False
            )
            if reach < offset <= back and isinstance(item, Instruction) and item.form.opcode.name in ENDINGS
        }

    def _instruction(self, instruction: Instruction) -> str:
        opcode = instruction.form.opcode
        if opcode.name == "acl":
            return "acl " + _one_line(self._program.strings[instruction.operands[0]].decode())
        words = [opcode.name]
        for number, operand in enumerate(instruction.operands):
            words.append(self._operand(instruction, number, operand))
        return " ".join(words)

    def _operand(self, instruction: Instruction, number: int, operand: int) -> str:
        opcode, types, _ = instruction.form
        forms, kind = opcode.operands[number], types[number]
        if kind == REGISTER:
            return "%" + chr(ord("a") + operand)
        if kind == LITERAL:
            octal = (opcode.name, number) in _OCTAL and 0 < operand <= _PERMISSIONS
            return f"0{operand:o}" if octal else str(operand)
        if forms == "f":
            return self._names[operand]
        if forms == "l":
            return _label(operand)
        return self._string(operand, "i" in forms)

    def _string(self, address: int, may_be_bare: bool) -> str:
        text = self._program.strings[address].decode()
        if may_be_bare and is_word(text):
            return text
        if address not in self._texts:
            self._texts[address] = _quoted(text)
        return self._texts[address]


def _items(program: Program) -> Iterator[_Item]:
    """Instructions and annotations as they stand."""
    instructions, image = program.instructions, program.image
    for offset, position in program.positions.items():
        if position < len(instructions) and instructions[position].offset == offset:
            yield instructions[position]
        else:
            text = image[offset + 6 : image.index(0, offset + 6)].decode(errors="replace")
            yield _Annotation(offset, int.from_bytes(image[offset + 2 : offset + 6]), text)


def _entry(items: list[_Item]) -> int | None:
    """Where `main` is, if the image begins with a jump to it."""
    match items[:1]:
        case [Instruction(form=form, operands=(target,)) as first] if form.opcode.name == "jmp":
            return target if target > first.offset else None
    return None


def _leads(item: _Item, how: str) -> TypeGuard[Instruction]:
    """Is it an instruction that goes to a function (f) or a label (l)?"""
    return isinstance(item, Instruction) and item.form.opcode.operands == (how,)


def _is_of_module(item: _Item) -> bool:
    return isinstance(item, _Annotation) and item.kind == MODULE


def _label(offset: int) -> str:
    return f"l_{offset:08x}"


def _quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'


def _one_line(rule: str) -> str:
    """An access rule as it is; one that is not the rest of a line, as no assembler has it, is made one."""
    return rule.replace("\n", "\\n") + "\\" * rule.endswith("\r")


def _bounded(lines: Iterator[str]) -> str:
    kept: list[str] = []
    size = 0
    for line in lines:
        size += len(line) + 1
        if size > LISTING_LIMIT:
            raise DisassemblyError(
                f"the listing of the image would have more than {LISTING_LIMIT} characters"
            )
        kept.append(line)
    if kept and not kept[0]:
        kept = kept[1:]
    return "".join(f"{line}\n" for line in kept)
