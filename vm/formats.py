"""Format strings (pendulum.md "Machine"): numbers come out exactly as C's printf writes them. Pure."""

from __future__ import annotations

import re
from itertools import islice
from typing import NamedTuple

from vm.faults import Fault
from vm.program import WORD

WIDEST = 4_096
"""The largest width or precision, in bytes."""

PARTS_LIMIT = 4_096
"""The most directives that a format may have, and the most words."""

_DIRECTIVE = re.compile(
    rb"%(?:(?P<bare>[%T])"
    rb"|\[(?P<register>[a-p])\](?P<flags>[-+ #0]*)(?P<width>\d{0,9})(?:\.(?P<precision>\d{0,9}))?"
    rb"(?P<letter>[sdiouxX]))"
)
_WORD = re.compile(rb"(?:" + _DIRECTIVE.pattern + rb"|\S)++")  # with one + it would keep 100 bytes for each
_SIGNED = b"di"


class Topic(NamedTuple):
    """Where %T stands."""


class Field(NamedTuple):
    """Where a register's string or number stands."""

    register: int
    letter: bytes
    left: bool
    zeros: bool
    alternate: bool
    sign: bytes
    """What stands before a number that is not negative: nothing, a plus or a space."""
    width: int
    precision: int | None

    def of_text(self, text: bytes) -> bytes:
        """A string, cut to the precision and padded with spaces to the width, both in bytes."""
        return self._padded(text if self.precision is None else text[: self.precision])

    def of_number(self, value: int) -> bytes:
        """A 32-bit number; d and i read it as signed."""
        sign, prefix = b"", b""
        if self.letter in _SIGNED:
            negative = value > WORD >> 1
            sign = b"-" if negative else self.sign
            digits = b"%d" % (WORD + 1 - value if negative else value)
        elif self.letter == b"u":
            digits = b"%d" % value
        elif self.letter == b"o":
            digits = b"%o" % value
        else:
            digits = b"%x" % value if self.letter == b"x" else b"%X" % value
            prefix = b"0" + self.letter if self.alternate and value else b""
        if self.precision is not None:
            digits = b"" if not self.precision and not value else digits.rjust(self.precision, b"0")
        if self.letter == b"o" and self.alternate and not digits.startswith(b"0"):
            digits = b"0" + digits
        if self.zeros and self.precision is None and not self.left:
            digits = digits.rjust(self.width - len(sign) - len(prefix), b"0")
        return self._padded(sign + prefix + digits)

    def _padded(self, text: bytes) -> bytes:
        return text.ljust(self.width) if self.left else text.rjust(self.width)


Part = bytes | Topic | Field


def parse(template: bytes) -> tuple[Part, ...]:
    """What a format is made of, in order. Faults on what is not a format."""
    parts: list[Part] = []
    at = 0
    while (percent := template.find(b"%", at)) >= 0:
        found = _DIRECTIVE.match(template, percent)
        if found is None:
            shown = template[percent : percent + 16].decode(errors="replace")
            raise Fault(f"bad format at {shown!r} (expected %[a]s, %[a]d and the like, %T or %%)")
        if len(parts) >= 2 * PARTS_LIMIT:
            raise Fault(f"bad format: more than {PARTS_LIMIT} directives")
        if percent > at:
            parts.append(template[at:percent])
        at = found.end()
        bare = found["bare"]
        parts.append(_field(found) if bare is None else Topic() if bare == b"T" else b"%")
    if at < len(template):
        parts.append(template[at:])
    return tuple(parts)


def words_of(template: bytes) -> list[bytes]:
    """The words of a format, each a format; spaces inside a directive separate none. Faults at too many."""
    words = [found[0] for found in islice(_WORD.finditer(template), PARTS_LIMIT + 1)]
    if len(words) > PARTS_LIMIT:
        raise Fault(f"bad format: more than {PARTS_LIMIT} words")
    return words


def _field(found: re.Match[bytes]) -> Field:
    flags = found["flags"]
    width = int(found["width"] or b"0")
    precision = None if found["precision"] is None else int(found["precision"] or b"0")
    if max(width, precision or 0) > WIDEST:
        raise Fault(f"bad format: a width or precision over {WIDEST}")
    return Field(
        register=found["register"][0] - ord("a"),
        letter=found["letter"],
        left=b"-" in flags,
        zeros=b"0" in flags,
        alternate=b"#" in flags,
        sign=b"+" if b"+" in flags else b" " if b" " in flags else b"",
        width=width,
        precision=precision,
    )
