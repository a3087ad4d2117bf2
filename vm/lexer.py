"""Pendulum source, token by token (pendulum.md "Source"). Pure: an include is a token, nothing is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import NamedTuple, NoReturn

from errors import CwError
from vm.program import WORD


class AssemblyError(CwError):
    """The Pendulum source has a mistake."""


class Token(Enum):
    """Kinds of tokens."""

    REGISTER = auto()
    NUMBER = auto()
    OFFSET = auto()
    STRING = auto()
    WORD = auto()
    LABEL = auto()
    ACL = auto()
    INCLUDE = auto()


class Lexeme(NamedTuple):
    """One token in its place."""

    token: Token
    text: str
    """A string's own characters, the name of a label, the rule of an `acl`, the module of an include, else as
    written."""
    value: int
    """Of a register, a number or an offset."""
    where: str
    """`FILE:LINE`."""

    @property
    def shown(self) -> str:
        """As an error quotes it, shortened."""
        return repr(self.text if len(self.text) <= 40 else self.text[:39] + "…")


_SPACE = re.compile(r"[ \t\r\f\v]*")
_HEREDOC = re.compile(r"<<(\S+)\s*$")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)("|\\?$)')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_ACL = re.compile(r"acl(?:\s|$)")
_PLAIN = re.compile(
    r"(?:%(?P<register>[a-p])"
    r"|\+(?P<offset>[0-9]+)"
    r"|(?P<number>0x[0-9a-fA-F]+|[0-9]+)"
    r"|(?P<word>[A-Za-z][A-Za-z0-9._?:-]*))(?=[\s;]|$)"
)
_MODULE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]*")


def tokens(source: str, file: str, warn: Callable[[str], None]) -> Iterator[Lexeme]:
    """The tokens of a file, in order. Raises AssemblyError, `FILE:LINE: …`; warns in the same form."""
    lines = iter(enumerate(source.split("\n"), 1))
    for number, line in lines:
        where, line = f"{file}:{number}", line.rstrip("\r")
        at = _space(line, 0)
        while at < len(line) and line[at] != ";":
            if line[at] == "#":
                yield Lexeme(Token.INCLUDE, _included(line[at:], where), 0, where)
                break
            if _ACL.match(line, at):
                yield Lexeme(Token.ACL, line[at + 4 :], 0, where)
                break
            heredoc = _HEREDOC.match(line, at)
            if heredoc is not None:
                yield Lexeme(Token.STRING, _heredoc(lines, heredoc[1], where), 0, where)
                break
            string = _STRING.match(line, at)
            lexeme, at = _string(string, where, warn) if string else _plain(line, at, where)
            yield lexeme
            at = _space(line, at)


def _space(line: str, at: int) -> int:
    found = _SPACE.match(line, at)
    return found.end() if found else at


def _included(line: str, where: str) -> str:
    words = line.split()
    if len(words) != 2 or words[0] != "#include" or not _MODULE.fullmatch(words[1]) or ".." in words[1]:
        _fail(where, "expected: #include NAME, alone on its line")
    return words[1]


def _heredoc(lines: Iterator[tuple[int, str]], mark: str, where: str) -> str:
    kept: list[str] = []
    for _, line in lines:
        if line.rstrip("\r") == mark:
            return "".join(kept)
        kept.append(line + "\n")
    return _fail(where, f"the text of <<{mark} has no end (expected: a line that is just {mark})")


def _string(found: re.Match[str], where: str, warn: Callable[[str], None]) -> tuple[Lexeme, int]:
    if found[2] != '"':
        warn(f'{where}: a string without its closing " ends at the end of the line')
    text = _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), found[1])
    return Lexeme(Token.STRING, text, 0, where), found.end()


def _plain(line: str, at: int, where: str) -> tuple[Lexeme, int]:
    found = _PLAIN.match(line, at)
    if found is None:
        word = Lexeme(Token.WORD, line[at:].split(maxsplit=1)[0], 0, where)
        _fail(
            where,
            f"expected: an instruction, NAME:, %a to %p, +N, a number or a string; found {word.shown}",
        )
    text = found[0]
    if found["register"] is not None:
        lexeme = Lexeme(Token.REGISTER, text, ord(found["register"]) - ord("a"), where)
    elif found["offset"] is not None:
        lexeme = Lexeme(Token.OFFSET, text, _number(found["offset"].lstrip("0") or "0", where), where)
    elif found["number"] is not None:
        lexeme = Lexeme(Token.NUMBER, text, _number(text, where), where)
    elif text.endswith(":"):
        lexeme = Lexeme(Token.LABEL, text[:-1], 0, where)
    else:
        lexeme = Lexeme(Token.WORD, text, 0, where)
    return lexeme, found.end()


def _number(text: str, where: str) -> int:
    """Decimal, 0x hexadecimal, or octal after a 0."""
    shown = text if len(text) <= 24 else text[:23] + "…"
    try:
        value = int(text, 16) if text.startswith("0x") else int(text, 8 if text.startswith("0") else 10)
    except ValueError:
        _fail(where, f"not a number: {shown} (expected: decimal, 0x and hexadecimal, or 0 and octal)")
    if value > WORD:
        _fail(where, f"number too large: {shown} (expected: at most {WORD})")
    return value


def _fail(where: str, reason: str) -> NoReturn:
    raise AssemblyError(f"{where}: {reason}")
