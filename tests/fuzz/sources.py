"""Sources changed line by line: more of them assemble than after changes of bytes alone."""

from __future__ import annotations

from random import Random

from tests.vm import nonsense
from vm.opcodes import BY_NAME

ODDITIES = [
    *("fn main", "fn f", "one:", "jmp one", "jz +1", "jnz +2", "call f", "ret", "#annotate"),
    *("#include one", "#include loop", "#include missing", 'anno "x"', 'anno 2 "x"', "; a comment"),
    *(
        "acl allow ALL ALL",
        "print <<END\nx\nEND",
        "print <<END\nx",
        'print "\\n\\r\\t\\"\\x"',
        'print "no end',
    ),
    *("set %a 0x10", "set %b 010", "set %c 4294967295", "set %d 4294967296", "pragma test on"),
    *("\\", '"', "<<", "%", "%q", "+", "0x", "fn", ":", "\t\v\f\r", "\N{BOM}", "\N{LINE SEPARATOR}"),
]
"""Lines and pieces of lines that nonsense has not."""

WORDS = [
    *BY_NAME,
    "fn",
    "#include",
    "#annotate",
    "%a",
    "+1",
    "0x1",
    "0644",
    '"',
    "<<",
    ";",
    "\\n",
    "main",
    "one:",
]
"""For libFuzzer's dictionary."""

MODULES = {
    "one": 'fn one.f\n  print "one"\n',
    "loop": "#include loop\n#include one\nfn loop.f\n  call one.f\n",
}
"""What there is to include."""


def mutated(source: bytes, random: Random) -> bytes:
    """A source that is like this one."""
    lines = source.decode(errors="surrogateescape").split("\n")
    if len(lines) < 3:
        lines = nonsense.program(random).split("\n")
    for _ in range(1 + random.randrange(4)):
        at = random.randrange(len(lines))
        match random.randrange(6):
            case 0:
                del lines[at : at + 1 + random.randrange(3)]
            case 1:
                lines[at:at] = lines[random.randrange(len(lines)) :][: 1 + random.randrange(4)]
            case 2:
                lines[at] += " " + lines[random.randrange(len(lines))]
            case 3:
                lines.insert(at, random.choice(ODDITIES))
            case _:
                opcode = random.choice(nonsense.OPCODES)
                lines.insert(at, nonsense.instruction(random, opcode, addresses=True))
        lines = lines or [""]
    return "\n".join(lines).encode(errors="surrogateescape")
