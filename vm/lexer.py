"""Pendulum source, token by token (pendulum.md "Source"). Pure: an include is a token, nothing is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import NamedTuple, NoReturn

from vm.places import AssemblyError, Place, Remark
from vm.program import WORD


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
    ANNOTATE = auto()


class Lexeme(NamedTuple):
    """One token in its place."""

    token: Token
    text: str
    """A string's own characters, the name of a label, the rule of an `acl`, the module of an include, else as
    written."""
    value: int
    """Of a register, a number or an offset."""
    place: Place

    @property
    def shown(self) -> str:
        """As an error quotes it, shortened."""
        return repr(brief(self.text))


_SPACE = re.compile(r"\s*")
_HEREDOC = re.compile(r"<<(\S+)\s*$")
_STRING = re.compile(r'"((?:[^"\\]++|\\.)*+)("|\\?$)')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_ACL = re.compile(r"acl(?:\s|$)")
_PLAIN = re.compile(
    r"(?:%(?P<register>[a-p])"
    r"|\+(?P<offset>[0-9]+)"
    r"|(?P<number>0x[0-9a-fA-F]+|[0-9]+)"
    r"|(?P<word>[A-Za-z][A-Za-z0-9._?:-]*))(?=[\s;]|$)"
)
_DIRECTIVE = re.compile(r"#(?:include\s+(?P<module>[A-Za-z0-9_][A-Za-z0-9._/-]*)|annotate)\s*$")


def tokens(source: str, file: str, warn: Callable[[Remark], None]) -> Iterator[Lexeme]:
    """The tokens of a file, in order. Raises AssemblyError, `FILE:LINE: …`; warns in the same form."""
    lines = iter(enumerate(source.split("\n"), 1))
    for number, line in lines:
        line = line.rstrip("\r")
        at = _space(line, 0)
        while at < len(line) and line[at] != ";":
            place = Place(file, number, line, at)
            if line[at] == "#":
                yield _directive(place)
                break
            if _ACL.match(line, at):
                yield Lexeme(Token.ACL, line[at + 4 :], 0, place)
                break
            heredoc = _HEREDOC.match(line, at)
            if heredoc is not None:
                yield Lexeme(Token.STRING, _heredoc(lines, heredoc[1], place), 0, place)
                break
            string = _STRING.match(line, at)
            lexeme, at = _string(string, place, warn) if string else _plain(place)
            yield lexeme
            at = _space(line, at)


def is_word(text: str) -> bool:
    """Can this be written as a word: the name of a function or a label, an identifier?"""
    return _PLAIN.fullmatch(text) is not None and text[0].isalpha() and text[-1] != ":" and text != "acl"


def brief(text: str) -> str:
    """Short enough for an error."""
    return text if len(text) <= 40 else text[:39] + "…"


def _space(line: str, at: int) -> int:
    found = _SPACE.match(line, at)
    return found.end() if found else at


def _directive(place: Place) -> Lexeme:
    found = _DIRECTIVE.match(place.line, place.column)
    if found is None or ".." in found[0]:
        _fail(place, "expected: #include NAME or #annotate, alone on its line")
    if found["module"] is None:
        return Lexeme(Token.ANNOTATE, "#annotate", 0, place)
    return Lexeme(Token.INCLUDE, found["module"], 0, place._replace(column=found.start("module")))


def _heredoc(lines: Iterator[tuple[int, str]], mark: str, place: Place) -> str:
    kept: list[str] = []
    for _, line in lines:
        if line.rstrip("\r") == mark:
            return "".join(kept)
        kept.append(line + "\n")
    mark = brief(mark)
    return _fail(place, f"the text of <<{mark} has no end (expected: a line that is just {mark})")


def _string(found: re.Match[str], place: Place, warn: Callable[[Remark], None]) -> tuple[Lexeme, int]:
    if found[2] != '"':
        warn(Remark('a string without its closing " ends at the end of the line', place))
    text = _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), found[1])
    return Lexeme(Token.STRING, text, 0, place), found.end()


def _plain(place: Place) -> tuple[Lexeme, int]:
    found = _PLAIN.match(place.line, place.column)
    if found is None:
        word = Lexeme(Token.WORD, place.line[place.column :].split(maxsplit=1)[0], 0, place)
        _fail(
            place,
            f"expected: an instruction, NAME:, %a to %p, +N, a number or a string; found {word.shown}",
        )
    text = found[0]
    if found["register"] is not None:
        lexeme = Lexeme(Token.REGISTER, text, ord(found["register"]) - ord("a"), place)
    elif found["offset"] is not None:
        lexeme = Lexeme(Token.OFFSET, text, _number(found["offset"].lstrip("0") or "0", place), place)
    elif found["number"] is not None:
        lexeme = Lexeme(Token.NUMBER, text, _number(text, place), place)
    elif text.endswith(":"):
        lexeme = Lexeme(Token.LABEL, text[:-1], 0, place)
    else:
        lexeme = Lexeme(Token.WORD, text, 0, place)
    return lexeme, found.end()


def _number(text: str, place: Place) -> int:
    """Decimal, 0x hexadecimal, or octal after a 0."""
    shown = text if len(text) <= 24 else text[:23] + "…"
    try:
        value = int(text, 16) if text.startswith("0x") else int(text, 8 if text.startswith("0") else 10)
    except ValueError:
        _fail(place, f"not a number: {shown} (expected: decimal, 0x and hexadecimal, or 0 and octal)")
    if value > WORD:
        _fail(place, f"number too large: {shown} (expected: at most {WORD})")
    return value


def _fail(place: Place, reason: str) -> NoReturn:
    raise AssemblyError(reason, place)
