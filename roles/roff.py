"""A page of the manual as roff, man(7) macros: every text is escaped, no line of it is a request. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap

WIDTH = 78
"""Characters of a line of running text; a longer word has one of its own."""

_SPELLED = {
    "\\": "\\(rs",
    "-": "\\-",
    "'": "\\(aq",
    "`": "\\(ga",
    "^": "\\(ha",
    "~": "\\(ti",
    '"': "\\(dq",
}


def escaped(text: str) -> str:
    """The text so that a formatter shows each character as it is, ready to be copied into a shell."""
    line = "".join(_SPELLED.get(c) or (c if c.isascii() else f"\\[u{ord(c):04X}]") for c in text)
    return f"\\&{line}" if line.startswith(".") else line


class Page:
    """A page that grows section by section; `str` is the whole of it."""

    def __init__(self, name: str, section: int, date: str, source: str) -> None:
        self._lines = [f".TH {escaped(name.upper())} {section} {date} {escaped(source)}"]

    def section(self, title: str) -> None:
        """Begin a section."""
        self._lines.append(f".SH {title}")

    def part(self, title: str) -> None:
        """Begin a part of a section."""
        self._lines.append(f".SS {escaped(title)}")

    def text(self, sentences: str) -> None:
        """A paragraph."""
        self._lines += [*self._space(), *_wrapped(sentences)]

    def row(self, tag: str, sentences: str) -> None:
        """What stands in bold, and below it, further right, what there is to say of it."""
        self._lines += [".TP", f".B {escaped(tag)}", *_wrapped(sentences)]

    def line(self, words: str) -> None:
        """A command on a line of its own, in bold."""
        self._lines += [*self._space(), f".B {escaped(words)}"]

    def references(self, pages: Iterable[tuple[str, int]]) -> None:
        """Other pages, each with its section."""
        named = [f".BR {escaped(name)} ({section})" for name, section in pages]
        self._lines += [f"{line}," for line in named[:-1]] + named[-1:]

    def _space(self) -> list[str]:
        """In front of a paragraph, unless it is the first of its section."""
        return [] if self._lines[-1].startswith((".SH ", ".SS ")) else [".PP"]

    def __str__(self) -> str:
        return "".join(f"{line}\n" for line in self._lines)


def _wrapped(sentences: str) -> list[str]:
    lines = wrap(escaped(" ".join(sentences.split())), WIDTH, break_on_hyphens=False, break_long_words=False)
    return [f"\\&{line}" if line.startswith(".") else line for line in lines]
