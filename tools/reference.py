"""Writes docs/pendulum.md: what docs/pendulum.md.in says, with the instructions as vm/opcodes.py has them.

    python -m tools.reference

In it, `{{instructions fs.* sha1}}` stands for the rows of those instructions, `{{own}}` for the names of
those that only this project has, `{{limits}}` for the limits and their defaults, `{{help}}` for what
`cw pn --help` prints. Each instruction must be asked for exactly once.
"""

import os
import re
import sys
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

from roles.pn import BOUNDS, parser
from vm.machine import Limits
from vm.opcodes import TABLE, Opcode

DOCS = Path(__file__).parent.parent / "docs"
SOURCE, RESULT = DOCS / "pendulum.md.in", DOCS / "pendulum.md"

HEAD = "<!-- Made by 'make reference' from docs/pendulum.md.in and vm/opcodes.py: change those. -->\n\n"

OURS = 0xE0
"""The first opcode that runtime 20150209 does not have."""

_MARK = re.compile(r"\{\{(\w+) ?(.*?)\}\}")


class Unusable(Exception):
    """The text asks for what is not there, or leaves something out."""


def reference(source: str) -> str:
    """The whole text. Raises Unusable."""
    asked = Counter[str]()

    def filled(mark: re.Match[str]) -> str:
        match mark.groups():
            case "instructions", patterns:
                rows = [row for row in TABLE if any(fnmatchcase(row.name, one) for one in patterns.split())]
                asked.update(row.name for row in rows)
                return _instructions(rows)
            case "own", "":
                return ", ".join(f"`{row.name}`" for row in TABLE if row.number >= OURS)
            case "limits", "":
                return _limits()
            case "help", "":
                return _help()
        raise Unusable(f"nothing is known of {mark[0]}")

    text = HEAD + _MARK.sub(filled, source)
    for row in TABLE:
        if asked[row.name] != 1:
            raise Unusable(f"{row.name} is asked for {asked[row.name]} times (expected: once)")
    return text


def _instructions(rows: list[Opcode]) -> str:
    lines = ["| op | instruction | effect | what it does |", "| --- | --- | --- | --- |"]
    for row in rows:
        usage = row.usage.replace("|", "\\|")
        lines.append(f"| {row.number:02x} | `{usage}` | {row.effect.word} | {row.sentence} |")
    return "\n".join(lines)


def _limits() -> str:
    lines = ["| limit | default | option of `cw pn` |", "| --- | --- | --- |"]
    for bound in BOUNDS:
        default = getattr(Limits(), bound.field)
        lines.append(f"| {bound.sentence} | {default:,.10g} | `{bound.option} {bound.value}` |")
    return "\n".join(lines)


def _help() -> str:
    os.environ["COLUMNS"] = "80"
    return f"```\n{parser().format_help()}```"


def main() -> int:
    """Write it; 1 and one line if that cannot be."""
    try:
        RESULT.write_text(reference(SOURCE.read_text("utf-8")), "utf-8")
    except Unusable as error:
        print(f"{SOURCE}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
