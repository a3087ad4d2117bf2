"""Images taken apart, changed and put together again: nearly all are in order, and so run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.vm import nonsense
from vm.assembler import assemble
from vm.opcodes import FORMS, Form
from vm.program import EMBED, END, LITERAL, MAGIC, REGISTER, REGISTERS, Program
from vm.verifier import VerifyError, verify

_OF_PROGRAMS = [nonsense.TEXTS, nonsense.WORDS, nonsense.RULES, *nonsense.FAMILIES.values()]
_PRAGMAS = ["on", "off", "test", "trace", "timeout", "authdb.root", "augeas.root"]
_FORMATS = ["%[p]s%[a]4096.4096x", "%[a", "%[a]4097d"]
TEXTS = sorted({text.encode() for texts in (*_OF_PROGRAMS, _PRAGMAS, _FORMATS) for text in texts})
"""Strings that some instruction may make something of."""

NUMBERS = [0, 1, 2, 3, 7, 0o644, 4_096, 65_535, 0x7FFFFFFF, 0x80000000, 0x80000001, 0x8000FFFF, 0xFFFFFFFF]


@dataclass(eq=False)
class Line:
    """One instruction: an operand is a number, a string, or the line that an address is of."""

    word: int
    operands: list[int | bytes | Line]

    @property
    def form(self) -> Form:
        return FORMS[self.word]

    @property
    def size(self) -> int:
        embedded = self.operands[1] if EMBED in self.form.types else None
        return 6 + len(embedded) + 1 if isinstance(embedded, bytes) else 2 + 4 * len(self.operands)


def mutated(image: bytes, random: Random) -> bytes:
    """An image that is like this one; one like no other, if this one is not in order."""
    try:
        lines = taken_apart(verify(image))
    except VerifyError:
        lines = []
    if not lines:
        return assemble(nonsense.program(random), "nonsense", lambda _: None, annotate=random.random() < 0.2)
    for _ in range(1 + random.randrange(4)):
        random.choice(CHANGES)(lines, random)
    return put_together(lines)


def taken_apart(program: Program) -> list[Line]:
    """Its instructions, without the annotations."""
    words = [int.from_bytes(program.image[at.offset : at.offset + 2]) for at in program.instructions]
    lines = [Line(word, []) for word in words]
    for line, instruction in zip(lines, program.instructions, strict=True):
        _, types, code = instruction.form
        for kind, is_code, operand in zip(types, code, instruction.operands, strict=True):
            if is_code:
                position = program.positions[operand]
                line.operands.append(lines[min(position, len(lines) - 1)])
            else:
                line.operands.append(operand if kind in {LITERAL, REGISTER} else program.strings[operand])
    return lines


def put_together(lines: list[Line]) -> bytes:
    """The image, laid out as an assembler does it. A line that is gone is the first, to what leads there."""
    offsets: dict[Line, int] = {}
    at = len(MAGIC)
    for line in lines:
        offsets[line] = at
        at += line.size
    table = at + len(END)
    strings: dict[bytes, int] = {}
    code = bytearray()
    for line in lines:
        code += line.word.to_bytes(2)
        for kind, operand in zip(line.form.types, line.operands, strict=True):
            if kind == EMBED and isinstance(operand, bytes):
                code += operand + b"\0"
                continue
            if isinstance(operand, Line):
                operand = offsets.get(operand, len(MAGIC))
            elif isinstance(operand, bytes):
                operand = strings.setdefault(operand, table + sum(len(text) + 1 for text in strings))
            code += operand.to_bytes(4)
    return MAGIC + bytes(code) + END + b"".join(text + b"\0" for text in strings)


def _insert(lines: list[Line], random: Random) -> None:
    word = random.choice(list(FORMS))
    form = FORMS[word]
    line = Line(word, [_operand(form, number, lines, random) for number in range(len(form.types))])
    lines.insert(random.randrange(len(lines) + 1), line)


def _open(lines: list[Line], random: Random) -> None:
    """Several, with which later ones find something to do."""
    source = f"fn main {random.choice(nonsense.OPENINGS)} ret"
    opening = taken_apart(verify(assemble(source, "opening", lambda _: None)))[1:-1]
    at = random.randrange(len(lines) + 1)
    lines[at:at] = opening


def _delete(lines: list[Line], random: Random) -> None:
    if len(lines) > 1:
        del lines[random.randrange(len(lines))]


def _copy(lines: list[Line], random: Random) -> None:
    start = random.randrange(len(lines))
    copied = [Line(line.word, list(line.operands)) for line in lines[start : start + 1 + random.randrange(4)]]
    at = random.randrange(len(lines) + 1)
    lines[at:at] = copied


def _exchange(lines: list[Line], random: Random) -> None:
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]


def _change(lines: list[Line], random: Random) -> None:
    line = random.choice(lines)
    if line.operands:
        number = random.randrange(len(line.operands))
        line.operands[number] = _operand(line.form, number, lines, random)


def _rename(lines: list[Line], random: Random) -> None:
    """Another instruction with operands of the same types."""
    line = random.choice(lines)
    alike = [
        word for word, form in FORMS.items() if (form.types, form.code) == (line.form.types, line.form.code)
    ]
    line.word = random.choice(alike)


CHANGES: list[Callable[[list[Line], Random], None]] = [
    _insert, _insert, _insert, _open, _delete, _copy, _exchange, _change, _change, _rename,
]  # fmt: skip


def _operand(form: Form, number: int, lines: list[Line], random: Random) -> int | bytes | Line:
    kind = form.types[number]
    if form.code[number]:
        return random.choice(lines)
    if kind == REGISTER:
        return random.randrange(REGISTERS if random.random() < 0.1 else 4)
    if kind == LITERAL:
        return random.choice(NUMBERS) if random.random() < 0.9 else random.getrandbits(32)
    if random.random() < 0.1:
        return random.choice(TEXTS) + random.choice(TEXTS)
    return random.choice(TEXTS)
