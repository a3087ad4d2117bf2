"""Strategies for Pendulum sources: every form of everything that the assembler takes, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hypothesis import strategies as st

from vm.assembler import assemble, is_name
from vm.lexer import is_word
from vm.modules import Source
from vm.opcodes import TABLE, Opcode


class Written(NamedTuple):
    """A source with the modules that it includes."""

    text: str
    modules: Mapping[str, Source]

    def image(self, annotate: bool = False) -> bytes:
        return assemble(self.text, "written.pn", self.modules.get, annotate)


MODULES = ["a", "b.c", "d-e/f"]
LABELS = ["x", "again", "print.", "ret?", "l_00000008", "fn_00000008", "set:x", "main"]
NUMBERS = st.one_of(st.integers(0, 16), st.integers(0, 0o7777), st.integers(0, 2**32 - 1))

_CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")
_AWKWARD = st.sampled_from('"\\\n\r\t;#% <x\u2028\x85\x1b\ufeff😀')
TEXTS = st.one_of(
    st.sampled_from(
        ["", "x", "info", "main", "a\n", "one\ntwo\n", "\r\n", 'print "x"', "END\n", "%[a]s\n", "acl"]
    ),
    st.text(st.one_of(_AWKWARD, _CHARACTERS), max_size=12),
)
"""All that a string can hold, some of it again and again."""

NAMES = st.one_of(
    st.sampled_from(["print.", "ret?", "fn.", "acl.x", "fn_00000008", "l_00000008", "MAIN", "a:b"]),
    st.from_regex(r"[A-Za-z][A-Za-z0-9._?:-]{0,6}", fullmatch=True).filter(is_name),
)
WORDS = st.one_of(
    st.sampled_from(["info", "error", "test", "fn", "print", "x"]),
    st.from_regex(r"[A-Za-z][A-Za-z0-9._?:-]{0,6}", fullmatch=True).filter(is_word),
)
RULES = TEXTS.filter(lambda text: "\n" not in text and not text.endswith("\r"))

_OFTEN = frozenset(
    {"jmp", "jz", "jnz", "call", "try", "ret", "retv", "bail", "anno", "acl", "syslog", "pragma"}
)
"""What gives a program its shape, or is written like nothing else."""

_ESCAPED = {"\n": "n", "\r": "r", "\t": "t"}


@st.composite
def strings(draw: st.DrawFn) -> str:
    """A string as source has it: plain, with escapes that need not be, or a heredoc with its lines."""
    text = draw(TEXTS)
    if (not text or text.endswith("\n")) and "END" not in text and draw(st.booleans()):
        return f"<<END\n{text}END\n"
    needless = draw(st.sampled_from(["", "\t\r", "q;x%"]))
    return '"' + "".join(_character(character, needless) for character in text) + '"'


def _character(character: str, needless: str) -> str:
    if character in '"\\\n' or character in needless:
        return "\\" + _ESCAPED.get(character, character)
    return character


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """A number, decimal, hexadecimal or octal."""
    value = draw(NUMBERS)
    return draw(st.sampled_from([f"{value}", f"0x{value:x}", f"0x{value:X}", f"0{value:o}"]))


def _operand(form: str, labels: Sequence[str], functions: Sequence[str], room: int) -> st.SearchStrategy[str]:
    """An operand of a form; `room` is the largest offset that stays in the function."""
    match form:
        case "r":
            return st.sampled_from("abcp").map("%{}".format)
        case "n":
            return numbers()
        case "s" | "e":
            return strings()
        case "i":
            return WORDS
        case "f":
            return st.sampled_from(functions)
        case _:
            offsets = st.integers(0, room).map("+{}".format)
            return st.one_of(st.sampled_from(labels), offsets) if labels else offsets


@st.composite
def instructions(
    draw: st.DrawFn, opcodes: Sequence[Opcode], labels: Sequence[str], functions: Sequence[str], room: int
) -> str:
    """One instruction or annotation, ended by what may end it."""
    often = [opcode for opcode in opcodes if opcode.name in _OFTEN]
    opcode = draw(st.one_of(st.sampled_from(opcodes), st.sampled_from(often or opcodes)))
    if opcode.name == "swap":
        return "swap %a %b"
    if opcode.name == "acl":
        return f"acl {draw(RULES)}\n"
    forms = [draw(st.sampled_from(choices)) for choices in opcode.operands]
    words = [opcode.name, *(draw(_operand(form, labels, functions, room)) for form in forms)]
    return draw(st.sampled_from([" ", "\n", "\n  ; why\n\t"])).join(words)


@st.composite
def bodies(draw: st.DrawFn, opcodes: Sequence[Opcode], functions: Sequence[str]) -> str:
    """What a function has inside, labels anywhere, at its end too."""
    count = draw(st.integers(0, 6))
    labels = draw(st.lists(st.sampled_from(LABELS), unique=True, max_size=3))
    places = [draw(st.integers(0, count)) for _ in labels]
    lines = []
    for number in range(count + 1):
        lines += [f"{label}:" for label, place in zip(labels, places, strict=True) if place == number]
        if number < count:
            lines.append(draw(instructions(opcodes, labels, functions, max(0, count - 2 - number))))
    return draw(st.sampled_from([" ", "\n  "])).join(lines)


@st.composite
def sources(draw: st.DrawFn, opcodes: Sequence[Opcode] = TABLE) -> Written:
    """A whole program of these instructions, with modules that include each other and all annotations."""
    names = ["main", *draw(st.lists(NAMES.filter(lambda name: name != "main"), unique=True, max_size=4))]
    homes = ["", *(draw(st.sampled_from(["", *MODULES])) for _ in names[1:])]
    files = {"": [f"#include {module}" for module in MODULES if module in homes]}
    for module in draw(st.lists(st.sampled_from(MODULES), max_size=2)):
        files.setdefault(module, []).append(f"#include {draw(st.sampled_from(MODULES))}")
    for name, home in zip(names, homes, strict=True):
        files.setdefault(home, []).append(f"fn {name}\n  {draw(bodies(opcodes, names))}")
    texts = {}
    for home, parts in files.items():
        if draw(st.booleans()):
            parts.append(f"anno 2 {draw(strings())}")
        texts[home] = "\n".join(draw(st.permutations(parts)))
    if draw(st.integers(0, 9)) == 0:
        texts[""] += "\n#annotate"
    modules = {name: Source(name, texts.get(name, ""), name) for name in MODULES}
    return Written(texts[""], modules)
