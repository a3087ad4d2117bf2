"""The text forms of a list of words: canonical for logs and rules, a shell's for `cw mesh '…'`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from errors import CwError

SHOWN = 80
"""Characters of somebody's text that an error quotes at most."""


class QuotingError(CwError):
    """Quotes or backslashes that do not add up."""


class Token(NamedTuple):
    """One word of a canonical text, and whether it stood in quotes (`*`, `ALL`, `#` are plain text)."""

    word: str
    quoted: bool


_TOKEN = re.compile(r'(?:"((?:[^"\\]++|\\["\\])*+)"|([^\s"\\]++))(\s*+)')
_NEEDS_QUOTES = re.compile(r'[\s"\\*\0]|^#|^$')
_ESCAPE = re.compile(r'(["\\])')
_UNESCAPE = re.compile(r'\\(["\\])')

_SHELL = re.compile(
    r"""(?P<space>[ \t\n]++)
      | (?P<plain>[^ \t\n'"\\]++)
      | '(?P<single>[^']*+)'
      | "(?P<double>(?:[^"\\]++|\\.)*+)"
      | \\(?P<escaped>.)""",
    re.VERBOSE | re.DOTALL,
)
_SHELL_DOUBLE = re.compile(r'\\(?:([$`"\\])|\n)')


def quote(text: str) -> str:
    r"""`text` in double quotes, with `"` and `\` escaped by a backslash and nothing else."""
    return '"' + _ESCAPE.sub(r"\\\1", text) + '"'


def canonical(words: Iterable[str]) -> str:
    r"""Words as one text that `split` takes apart again (mesh.md "Commands that go to nodes").

    Joined by one space; in double quotes if empty, if there is white space, `"`, `\` or `*` in it, or if it
    begins with `#`: so a command copied from a log into a rules file matches itself and nothing more.
    """
    return " ".join(quote(word) if _NEEDS_QUOTES.search(word) else word for word in words)


def tokens(text: str) -> Iterator[Token]:
    """The words of a canonical text one by one; what follows a word is looked at when the next is asked for.

    Raises QuotingError.
    """
    at = len(text) - len(text.lstrip())
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise QuotingError(f"expected a word or a whole quoted string at: {shown(text[at:])}")
        inside, plain, space = found.groups()
        yield Token(plain, False) if inside is None else Token(_UNESCAPE.sub(r"\1", inside), True)
        at = found.end()
        if not space and at < len(text):
            raise QuotingError(f"expected a space before: {shown(text[at:])}")


def split(text: str) -> tuple[str, ...]:
    """The words of a canonical text: `split(canonical(words)) == words`. Raises QuotingError."""
    if "\0" in text:
        raise QuotingError("words cannot hold a NUL")
    return tuple(word for word, _ in tokens(text))


def split_shell(text: str) -> tuple[str, ...]:
    r"""The words of `cw mesh 'TEXT'`, as a POSIX shell quotes (XCU §2.2); nothing is expanded.

    Raises QuotingError for an open quote and for a backslash at the end.
    """
    words: list[str] = []
    word: str | None = None
    at = 0
    while at < len(text):
        found = _SHELL.match(text, at)
        if found is None:
            raise QuotingError(f"open quote or trailing backslash at: {shown(text[at:])}")
        at = found.end()
        piece = found.group(found.lastgroup or 0)
        if found.lastgroup == "space":
            if word is not None:
                words.append(word)
            word = None
        elif found.lastgroup == "double":
            word = (word or "") + _SHELL_DOUBLE.sub(r"\1", piece)
        elif found.lastgroup != "escaped" or piece != "\n":  # backslash and newline: the line goes on
            word = (word or "") + piece
    return (*words, word) if word is not None else tuple(words)


def brief(words: Sequence[str]) -> str:
    """The start of words in the canonical form, as `shown`; quoting 128 KiB to show a line would be waste."""
    return shown(canonical(word[: SHOWN + 1] for word in words[: SHOWN + 1]))


def shown(text: str) -> str:
    r"""`text` on one short line for an error: what does not print is escaped, what is past SHOWN cut."""
    cut = text[:SHOWN]
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)
    return line + "…" if len(text) > SHOWN else line
