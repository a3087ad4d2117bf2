"""Pendulum source to images: the same source always gives the same bytes, those of runtime 20150209. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import NoReturn

from vm.layout import Function, Item, image_of
from vm.lexer import AssemblyError, Lexeme, Token, tokens
from vm.modules import Source
from vm.opcodes import BY_NAME, Opcode

__all__ = ["AssemblyError", "Find", "assemble"]

Find = Callable[[str], Source | None]
"""The source of the module that an #include names, or None."""

DEPTH_LIMIT = 64
"""How many files may be including each other."""

USER, MODULE, FUNCTION = 1, 2, 3
"""Kinds of annotations (pendulum.md "Image")."""

_ENDINGS = frozenset({"ret", "retv", "bail"})

_TOKENS = {
    "r": {Token.REGISTER},
    "n": {Token.NUMBER},
    "s": {Token.STRING},
    "e": {Token.STRING},
    "i": {Token.WORD},
    "f": {Token.WORD},
    "l": {Token.WORD, Token.OFFSET},
}
"""What each form of operand is written as."""


def assemble(
    source: str,
    name: str,
    find: Find,
    annotate: bool = False,
    warn: Callable[[str], None] = lambda _: None,
) -> bytes:
    """The image of a source; `name` is what errors call the file.

    Raises AssemblyError: `FILE:LINE: expected: set %a (%b|<string>|<number>); found 'x'`.
    """
    parser = _Parser(find, warn)
    parser.file(Source(name, source, None), "MAIN")
    if "main" not in parser.functions:
        hint = "; a module is for #include" if parser.functions else ""
        raise AssemblyError(f"{name}: no function main (expected: fn main{hint})")
    return image_of(parser.items, parser.functions, annotate)


class _Parser:
    """Reads files into one list of items, annotations included, in the order of the image."""

    def __init__(self, find: Find, warn: Callable[[str], None]) -> None:
        self.find = find
        self.warn = warn
        self.included: set[Hashable] = set()
        self.depth = 0
        self.items = [Item(BY_NAME["jmp"]._replace(operands=("f",)), (_word("main"),), "")]
        self.functions: dict[str, Function] = {}
        self.function = ""

    def file(self, source: Source, title: str) -> None:
        """Read one file and, where it includes them, others; `title` annotates what comes after those."""
        _check_text(source)
        lexemes = tokens(source.text, source.name, self.warn)
        for lexeme in lexemes:
            if lexeme.token is Token.INCLUDE:
                self._close()
                self._include(lexeme, title)
            elif lexeme.token is Token.LABEL:
                self._label(lexeme)
            elif lexeme.token is Token.ACL:
                self._add(BY_NAME["acl"], (lexeme._replace(token=Token.STRING),), lexeme)
            elif lexeme.token is not Token.WORD:
                _fail(lexeme, f"expected: an instruction, NAME: or fn NAME; found {lexeme.shown}")
            elif lexeme.text == "fn":
                self._open(_next(lexemes), lexeme)
            else:
                self._instruction(lexeme, lexemes)
        self._close()

    def _include(self, lexeme: Lexeme, title: str) -> None:
        source = self.find(lexeme.text)
        if source is None:
            _fail(lexeme, f"no module {lexeme.text} (expected: {lexeme.text}.pn on the include path)")
        if source.key in self.included:
            return
        self.included.add(source.key)
        if self.depth == DEPTH_LIMIT:
            _fail(lexeme, f"#include is nested too deep (expected: at most {DEPTH_LIMIT} files)")
        self.depth += 1
        own_title = f"module : {lexeme.text}"
        self._enter(own_title)
        self.file(source, own_title)
        self._enter(title)
        self.depth -= 1

    def _enter(self, title: str) -> None:
        """Annotate that what follows is of another file; of several such in a row, only the last."""
        if self.items[-1].annotation == MODULE:
            self.items.pop()
        self.items.append(_annotation(MODULE, title))

    def _open(self, name: Lexeme | None, fn: Lexeme) -> None:
        self._close()
        if name is None or name.token is not Token.WORD or name.text in BY_NAME or name.text == "fn":
            found = "the end of the file" if name is None else name.shown
            _fail(name or fn, f"expected: fn NAME, which is no instruction's; found {found}")
        if name.text in self.functions:
            _fail(
                name,
                f"fn {name.text} again (expected: one; the first is at {self.functions[name.text].where})",
            )
        self.items.append(_annotation(FUNCTION, name.text))
        self.function = name.text
        self.functions[name.text] = Function(name.where, len(self.items))

    def _close(self) -> None:
        """End the function that is open, with `ret` unless what it ends in is a way back."""
        if not self.function:
            return
        function = self.functions[self.function]
        labelled = any(index == len(self.items) for index, _ in function.labels.values())
        empty = function.start == len(self.items)
        if labelled or empty or self.items[-1].opcode.name not in _ENDINGS:
            self.items.append(Item(BY_NAME["ret"], (), self.function))
        function.end = len(self.items)
        self.function = ""

    def _label(self, lexeme: Lexeme) -> None:
        self._inside(lexeme)
        labels = self.functions[self.function].labels
        if lexeme.text in labels:
            _fail(
                lexeme, f"label {lexeme.text} again (expected: one; the first is at {labels[lexeme.text][1]})"
            )
        labels[lexeme.text] = len(self.items), lexeme.where

    def _instruction(self, lexeme: Lexeme, lexemes: Iterator[Lexeme]) -> None:
        opcode = BY_NAME.get(lexeme.text)
        if opcode is None:
            _fail(
                lexeme, f"no instruction is called {lexeme.text} (expected: an instruction, NAME: or fn NAME)"
            )
        if opcode.handler is None:
            _fail(lexeme, f"{opcode.name}: this cw does not have that instruction yet")
        operands: list[Lexeme] = []
        for forms in opcode.operands:
            operand = _next(lexemes)
            if operand is None or not any(_suits(operand, form) for form in forms):
                found = "the end of the file" if operand is None else operand.shown
                _fail(lexeme, f"expected: {opcode.usage}; found {found}")
            operands.append(operand)
        if opcode.name == "swap" and operands[0].value == operands[1].value:
            _fail(
                lexeme, f"expected: {opcode.usage}, two different registers; found {operands[0].text} twice"
            )
        self._add(opcode, tuple(operands), lexeme)

    def _add(self, opcode: Opcode, operands: tuple[Lexeme, ...], lexeme: Lexeme) -> None:
        self._inside(lexeme)
        self.items.append(Item(opcode, operands, self.function, USER if opcode.operands == ("e",) else 0))

    def _inside(self, lexeme: Lexeme) -> None:
        if not self.function:
            _fail(lexeme, f"{lexeme.shown} is in no function (expected: fn NAME before it)")


def _suits(lexeme: Lexeme, form: str) -> bool:
    """Names of labels and functions are not those of instructions, so that a missing operand is noticed."""
    named = form in "lf" and lexeme.token is Token.WORD and (lexeme.text in BY_NAME or lexeme.text == "fn")
    return lexeme.token in _TOKENS[form] and not named


def _next(lexemes: Iterator[Lexeme]) -> Lexeme | None:
    return next(lexemes, None)


def _word(text: str) -> Lexeme:
    return Lexeme(Token.WORD, text, 0, "")


def _annotation(kind: int, text: str) -> Item:
    return Item(BY_NAME["anno"], (_word(text),), "", kind)


def _check_text(source: Source) -> None:
    if "\0" in source.text:
        line = source.text.count("\n", 0, source.text.index("\0")) + 1
        raise AssemblyError(f"{source.name}:{line}: a NUL character (expected: text)")
    try:
        source.text.encode()
    except UnicodeEncodeError as error:
        raise AssemblyError(f"{source.name}: not text that UTF-8 can hold (expected: UTF-8)") from error


def _fail(lexeme: Lexeme, reason: str) -> NoReturn:
    raise AssemblyError(f"{lexeme.where}: {reason}")
