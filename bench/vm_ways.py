"""Two other ways to run a verified program, to measure ours against, for the instructions that bench.vm uses.

Both count instructions and look at the clock as the machine does, and know neither output, flags nor tries.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from vm import formats
from vm.machine import STRETCH, Limits
from vm.program import ADDRESS, HEAP, LITERAL, REGISTER, WORD, Program


class _Strings:
    """The heap and the image's strings, for both ways."""

    def __init__(self, program: Program, limits: Limits) -> None:
        self.program = program
        self.heap: list[bytes] = []
        self.left = limits.heap
        self._parsed: dict[bytes, tuple[formats.Part, ...]] = {}

    def text(self, address: int) -> bytes:
        return self.heap[address & ~HEAP] if address & HEAP else self.program.strings[address]

    def keep(self, text: bytes) -> int:
        self.left -= len(text) + 64
        if self.left < 0:
            raise SystemExit("heap")
        self.heap.append(text)
        return HEAP | len(self.heap) - 1

    def formatted(self, address: int, registers: list[int]) -> int:
        pieces = [
            part
            if isinstance(part, bytes)
            else part.of_text(self.text(registers[part.register]))
            if part.letter == b"s"
            else part.of_number(registers[part.register])
            for part in self._parts(self.text(address))
            if not isinstance(part, formats.Topic)
        ]
        return self.keep(b"".join(pieces))

    def _parts(self, template: bytes) -> tuple[formats.Part, ...]:
        if template not in self._parsed:
            self._parsed[template] = formats.parse(template)
        return self._parsed[template]


def tuples(program: Program, limits: Limits) -> int:  # noqa: C901 - one loop is the point
    """Decoded once to tuples, interpreted by one loop of comparisons, frequent ones first; acc at its end."""
    code = [_decoded(program, position) for position in range(len(program.instructions))]
    strings = _Strings(program, limits)
    slots = [0] * 17 + list(program.constants)
    frames: list[tuple[int, list[int]]] = []
    stack: list[int] = []
    left, deadline, at = limits.instructions, time.monotonic() + limits.seconds, 0
    while left > 0:
        for _ in range(STRETCH):
            name, first, second = code[at]
            at += 1
            if name == "add":
                slots[first] = (slots[first] + slots[second]) & WORD
            elif name == "lt":
                slots[16] = 0 if slots[first] < slots[second] else 1
            elif name == "jz":
                if not slots[16]:
                    at = first
            elif name == "jnz":
                if slots[16]:
                    at = first
            elif name == "set":
                slots[first] = slots[second]
            elif name == "mult":
                slots[first] = (slots[first] * slots[second]) & WORD
            elif name == "eq":
                slots[16] = 0 if slots[first] == slots[second] else 1
            elif name == "jmp":
                at = first
            elif name == "call":
                frames.append((at, slots[:16]))
                at = first
            elif name in {"ret", "retv"}:
                if name == "retv":
                    slots[16] = slots[first]
                if not frames:
                    return slots[16]
                at, slots[:16] = frames.pop()
            elif name == "acc":
                slots[first] = slots[16]
            elif name == "string":
                slots[second] = strings.formatted(slots[first], slots)
            elif name == "push":
                stack.append(slots[first])
            elif name == "pop":
                slots[first] = stack.pop()
            else:
                raise NotImplementedError(name)
        left -= STRETCH
        if time.monotonic() > deadline:
            raise SystemExit("time")
    raise SystemExit("instructions")


def _decoded(program: Program, position: int) -> tuple[str, int, int]:
    _, form, operands = program.instructions[position]
    places = []
    for kind, is_code, operand in zip(form.types, form.code, operands, strict=True):
        if is_code:
            places.append(program.positions[operand])
        elif kind == REGISTER:
            places.append(operand)
        else:
            places.append(17 + program.constants.index(operand))
    first, second = (*places, 0, 0)[:2]
    return form.opcode.name, first, second


_LINES: dict[str, str] = {
    "add": "{0} = ({0} + {1}) & 4294967295",
    "mult": "{0} = ({0} * {1}) & 4294967295",
    "set": "{0} = {1}",
    "acc": "{0} = z",
    "lt": "z = 0 if {0} < {1} else 1",
    "eq": "z = 0 if {0} == {1} else 1",
    "push": "stack.append({0})",
    "pop": "{0} = stack.pop()",
    "string": "{1} = strings.formatted({0}, [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p])",
}


def generated(program: Program, limits: Limits) -> Callable[[], int]:
    """A Python function of the program, registers as its locals and a branch for each block; it returns acc.

    Instructions are counted by blocks.
    """
    starts = {0}
    for position, instruction in enumerate(program.instructions):
        targets = [
            program.positions[operand]
            for operand, is_code in zip(instruction.operands, instruction.form.code, strict=True)
            if is_code
        ]
        if targets or instruction.form.opcode.name in {"ret", "retv"}:
            starts |= {*targets, position + 1}
    starts.discard(len(program.instructions))
    names = {start: number for number, start in enumerate(sorted(starts))}
    lines = ["def run():", " stack, frames, left, at = [], [], limit, 0"]
    lines += [" " + " = ".join("abcdefghijklmnopz") + " = 0", " checked = left", " while True:"]
    lines += ["  if checked - left >= 5000:", "   checked = left", "   check(left)"]
    for number, start in enumerate(sorted(starts)):
        end = sorted({*starts, len(program.instructions)})[number + 1]
        lines.append(f"  {'if' if not number else 'elif'} at == {number}:")
        lines.append(f"   left -= {end - start}")
        lines += ["   " + line for position in range(start, end) for line in _line(program, position, names)]
        last = program.instructions[end - 1].form.opcode.name
        if last not in {"jmp", "ret", "retv", "call", "jz", "jnz"}:
            lines.append(f"   at = {names[end]}")
    scope: dict[str, Any] = {
        "strings": _Strings(program, limits),
        "limit": limits.instructions,
        "check": _checker(limits),
    }
    exec("\n".join(lines), scope)  # noqa: S102 - of numbers that were verified, in a benchmark
    made: Callable[[], int] = scope["run"]
    return made


def _checker(limits: Limits) -> Callable[[int], None]:
    deadline = time.monotonic() + limits.seconds

    def check(left: int) -> None:
        if left < 0 or time.monotonic() > deadline:
            raise SystemExit("limit")

    return check


def _line(program: Program, position: int, names: dict[int, int]) -> list[str]:
    _, form, operands = program.instructions[position]
    words = [
        "abcdefghijklmnop"[operand] if kind == REGISTER else str(operand)
        for kind, operand in zip(form.types, operands, strict=True)
        if kind in {REGISTER, LITERAL, ADDRESS}
    ]
    name = form.opcode.name
    if name in _LINES:
        return [_LINES[name].format(*words)]
    if name in {"ret", "retv"}:
        first = [f"z = {words[0]}"] if words else []
        back = "at, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p = frames.pop()"
        return [*first, "if not frames:", " return z", back]
    target = names[program.positions[operands[0]]]
    after = names.get(position + 1, -1)
    if name == "jmp":
        return [f"at = {target}"]
    if name in {"jz", "jnz"}:
        return [f"at = {after} if z else {target}" if name == "jz" else f"at = {target} if z else {after}"]
    if name == "call":
        return [f"frames.append(({after}, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p))", f"at = {target}"]
    raise NotImplementedError(name)
