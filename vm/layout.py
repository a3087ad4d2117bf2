"""From instructions to bytes: addresses, the string table, the image (pendulum.md "Image"). Pure."""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

from errors import meant
from vm.lexer import Lexeme, Token, brief
from vm.names import Names
from vm.opcodes import Opcode
from vm.places import AssemblyError, Place
from vm.program import ADDRESS, EMBED, END, IMAGE_LIMIT, LITERAL, MAGIC, REGISTER


class Item(NamedTuple):
    """An instruction or an annotation, in the order of the image."""

    opcode: Opcode
    operands: tuple[Lexeme, ...]
    function: str
    """The function that it is in."""
    annotation: int = 0
    """The kind of an annotation, whose text is the operand; 0: an instruction."""


class Function:
    """Where a function is among the items, and the labels in it."""

    def __init__(self, place: Place, start: int) -> None:
        self.place = place
        self.start = start
        self.end = start
        self.labels: dict[str, tuple[int, Place]] = {}
        """Name to the item that it is in front of, and where it was written."""


def image_of(items: list[Item], functions: dict[str, Function], annotate: bool) -> bytes:
    """The image of a program; without `annotate`, annotations take no room in it. Raises AssemblyError."""
    return _Layout(items, functions, annotate).image()


def names_in(items: list[Item], functions: dict[str, Function]) -> Names:
    """The names of functions and labels by position, which counts items but annotations."""
    positions = list(accumulate((not item.annotation for item in items), initial=0))
    starts = {positions[function.start]: name for name, function in functions.items()}
    labels = {
        positions[item]: label
        for function in functions.values()
        for label, (item, _) in function.labels.items()
    }
    return Names(tuple(sorted(starts)), tuple(starts[start] for start in sorted(starts)), labels)


class _Layout:
    def __init__(self, items: list[Item], functions: dict[str, Function], annotate: bool) -> None:
        self.items = items
        self.functions = functions
        self.annotate = annotate
        self.offsets: list[int] = []
        self.strings: dict[str, int] = {}
        self.table = bytearray()

    def image(self) -> bytes:
        """All of it."""
        at = len(MAGIC)
        for item in self.items:
            self.offsets.append(at)
            at += self._size(item)
        table = at + len(END)
        code = [self._encoded(number, item, table) for number, item in enumerate(self.items)]
        image = b"".join([MAGIC, *code, END, self.table])
        if len(image) > IMAGE_LIMIT:
            raise AssemblyError(f"the image would have {len(image)} bytes (expected: at most {IMAGE_LIMIT})")
        return image

    def _size(self, item: Item) -> int:
        if item.annotation:
            return 6 + len(item.operands[0].text.encode()) + 1 if self.annotate else 0
        return 2 + 4 * len(item.operands)

    def _encoded(self, number: int, item: Item, table: int) -> bytes:
        if item.annotation:
            text = item.operands[0].text.encode() + b"\0"
            head = bytes([item.opcode.number, LITERAL << 4 | EMBED]) + item.annotation.to_bytes(4)
            return head + text if self.annotate else b""
        types, words = 0, b""
        for shift, forms, operand in zip((4, 0), item.opcode.operands, item.operands, strict=False):
            kind, value = self._operand(number, item, forms, operand, table)
            types |= kind << shift
            words += value.to_bytes(4)
        return bytes([item.opcode.number, types]) + words

    def _operand(self, number: int, item: Item, forms: str, operand: Lexeme, table: int) -> tuple[int, int]:
        if operand.token is Token.REGISTER:
            return REGISTER, operand.value
        if operand.token is Token.NUMBER:
            return LITERAL, operand.value
        if forms == "f":
            return ADDRESS, self.offsets[self._function(operand)]
        if forms == "l":
            return ADDRESS, self.offsets[self._target(number, item, operand)]
        return ADDRESS, table + self._string(operand.text)

    def _function(self, operand: Lexeme) -> int:
        function = self.functions.get(operand.text)
        if function is None:
            hint = meant(operand.text, self.functions) or " (expected: one that a fn opens)"
            raise AssemblyError(f"no function {brief(operand.text)}{hint}", operand.place)
        return function.start

    def _target(self, number: int, item: Item, operand: Lexeme) -> int:
        function = self.functions[item.function]
        if operand.token is Token.OFFSET:
            target = number + 1 + operand.value
            if target >= function.end:
                raise AssemblyError(
                    f"{brief(operand.text)} leads out of fn {brief(item.function)} (expected: at most "
                    f"+{function.end - number - 2})",
                    operand.place,
                )
            return target
        if operand.text not in function.labels:
            name = brief(operand.text)
            hint = meant(operand.text, function.labels) or f" (expected: {name}:)"
            raise AssemblyError(f"no label {name} in fn {brief(item.function)}{hint}", operand.place)
        return function.labels[operand.text][0]

    def _string(self, text: str) -> int:
        """Its offset in the table, where it stands once."""
        if text not in self.strings:
            self.strings[text] = len(self.table)
            self.table += text.encode() + b"\0"
        return self.strings[text]
