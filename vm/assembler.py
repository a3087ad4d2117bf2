"""Pendulum source to images: the same source always gives the same bytes, those of runtime 20150209. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import NoReturn

from errors import meant
from vm.layout import Function, Item, image_of, names_in
from vm.lexer import Lexeme, Token, brief, is_word, tokens
from vm.modules import Source
from vm.names import Names
from vm.opcodes import BY_NAME, Opcode
from vm.places import AssemblyError, Place, Remark
from vm.program import END, IMAGE_LIMIT, MAGIC

__all__ = ["AssemblyError", "Find", "Remark", "assemble", "assemble_named", "is_name"]

Find = Callable[[str], Source | None]
"""The source of the module that an #include names, or None."""

DEPTH_LIMIT = 64
"""How many files may be including each other."""

USER, MODULE, FUNCTION = 1, 2, 3
"""Kinds of annotations (pendulum.md "Image")."""

ENDINGS = frozenset({"ret", "retv", "bail"})
"""Instructions that end a function; behind any other a `ret` is added."""

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
    warn: Callable[[Remark], None] = lambda _: None,
) -> bytes:
    """The image of a source; `name` is what errors call the file. An #annotate does what `annotate` does.

    Raises AssemblyError: `FILE:LINE: expected: set %a (%b|<string>|<number>); found 'x'`; its `excerpt` shows
    the place. Warnings come in the same form.
    """
    return assemble_named(Source(name, source, None), find, annotate, warn)[0]


def assemble_named(
    source: Source, find: Find, annotate: bool, warn: Callable[[Remark], None]
) -> tuple[bytes, Names]:
    """The same, and what its functions and labels are called in the source; which does not include itself."""
    parser = _Parser(find, warn)
    parser.included.add(source.key)
    parser.file(source, "MAIN")
    if "main" not in parser.functions:
        hint = "; a module is for #include" if parser.functions else ""
        raise AssemblyError(f"{source.name}: no function main (expected: fn main{hint})")
    image = image_of(parser.items, parser.functions, annotate or parser.annotates)
    return image, names_in(parser.items, parser.functions)


def is_name(text: str) -> bool:
    """Can a function or a label be called so?"""
    return is_word(text) and not _is_reserved(text)


class _Parser:
    """Reads files into one list of items, annotations included, in the order of the image."""

    def __init__(self, find: Find, warn: Callable[[Remark], None]) -> None:
        self.find = find
        self.warn = warn
        self.annotates = False
        self.included: set[Hashable] = set()
        self.depth = 0
        self.items = [Item(BY_NAME["jmp"]._replace(operands=("f",)), (_word("main"),), "")]
        self.functions: dict[str, Function] = {}
        self.function = ""
        self.room = IMAGE_LIMIT - len(MAGIC) - len(END) - 6
        """Bytes that the image has left, annotations and strings aside."""

    def file(self, source: Source, title: str) -> None:
        """Read one file and, where it includes them, others; `title` annotates what comes after those."""
        _check_text(source)
        lexemes = tokens(source.text, source.name, self.warn)
        for lexeme in lexemes:
            if lexeme.token is Token.INCLUDE:
                self._close()
                self._include(lexeme, title)
            elif lexeme.token is Token.ANNOTATE:
                self.annotates = True
            elif lexeme.token is Token.LABEL:
                self._label(lexeme)
            elif lexeme.token is Token.ACL:
                self._add(BY_NAME["acl"], (lexeme._replace(token=Token.STRING),), lexeme)
            elif lexeme.token is not Token.WORD:
                _fail(lexeme, f"expected: an instruction, NAME: or fn NAME; found {lexeme.shown}")
            elif lexeme.text == "fn":
                self._open(_next(lexemes), lexeme)
            elif lexeme.text == "anno":
                self._annotate(lexeme, lexemes)
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
        if name is None or name.token is not Token.WORD or _is_reserved(name.text):
            _unexpected("fn NAME, which is no instruction's", name, fn)
        if name.text in self.functions:
            first = self.functions[name.text].place
            _fail(name, f"fn {brief(name.text)} again (expected: one; the first is at {first})")
        self.items.append(_annotation(FUNCTION, name.text))
        self.function = name.text
        self.functions[name.text] = Function(name.place, len(self.items))

    def _close(self) -> None:
        """End the function that is open, with `ret` unless what it ends in is a way back."""
        if not self.function:
            return
        function = self.functions[self.function]
        labelled = any(index == len(self.items) for index, _ in function.labels.values())
        empty = function.start == len(self.items)
        if labelled or empty or self.items[-1].opcode.name not in ENDINGS:
            self._append(Item(BY_NAME["ret"], (), self.function), function.place)
        function.end = len(self.items)
        self.function = ""

    def _label(self, lexeme: Lexeme) -> None:
        self._inside(lexeme)
        labels = self.functions[self.function].labels
        if lexeme.text in labels:
            first = labels[lexeme.text][1]
            _fail(lexeme, f"label {brief(lexeme.text)} again (expected: one; the first is at {first})")
        labels[lexeme.text] = len(self.items), lexeme.place

    def _instruction(self, lexeme: Lexeme, lexemes: Iterator[Lexeme]) -> None:
        opcode = BY_NAME.get(lexeme.text)
        if opcode is None:
            hint = meant(lexeme.text, BY_NAME) or " (expected: an instruction, NAME: or fn NAME)"
            _fail(lexeme, f"no instruction is called {brief(lexeme.text)}{hint}")
        operands: list[Lexeme] = []
        for forms in opcode.operands:
            operand = _next(lexemes)
            if operand is None or not any(_suits(operand, form) for form in forms):
                _unexpected(opcode.usage, operand, lexeme)
            operands.append(operand)
        if opcode.name == "swap" and operands[0].value == operands[1].value:
            twice = f"expected: {opcode.usage}, two different registers; found {operands[0].text} twice"
            _fail(operands[1] if _beside(operands[1], lexeme) else lexeme, twice)
        self._add(opcode, tuple(operands), lexeme)

    def _annotate(self, lexeme: Lexeme, lexemes: Iterator[Lexeme]) -> None:
        """`anno "…"` is the user's; `anno 2 "…"` says what file is next, as an #include does, and ends fn."""
        text = _next(lexemes)
        of_module = text is not None and text.token is Token.NUMBER and text.value == MODULE
        if of_module:
            text = _next(lexemes)
        if text is None or text.token is not Token.STRING:
            _unexpected(f"anno <string> or anno {MODULE} <string>", text, lexeme)
        if of_module:
            self._close()
            self._enter(text.text)
        else:
            self._add(BY_NAME["anno"], (text,), lexeme)

    def _add(self, opcode: Opcode, operands: tuple[Lexeme, ...], lexeme: Lexeme) -> None:
        self._inside(lexeme)
        annotation = USER if opcode.operands == ("e",) else 0
        self._append(Item(opcode, operands, self.function, annotation), lexeme.place)

    def _append(self, item: Item, place: Place) -> None:
        """The next item; a source whose image would be too large is not read to its end."""
        self.room -= 0 if item.annotation else 2 + 4 * len(item.operands)
        if self.room < 0:
            raise AssemblyError(f"no room for it in the image (expected: at most {IMAGE_LIMIT} bytes)", place)
        self.items.append(item)

    def _inside(self, lexeme: Lexeme) -> None:
        if not self.function:
            _fail(lexeme, f"{lexeme.shown} is in no function (expected: fn NAME before it)")


def _suits(lexeme: Lexeme, form: str) -> bool:
    """Names of labels and functions are not those of instructions, so that a missing operand is noticed."""
    named = form in "lf" and lexeme.token is Token.WORD and _is_reserved(lexeme.text)
    return lexeme.token in _TOKENS[form] and not named


def _is_reserved(word: str) -> bool:
    return word in BY_NAME or word == "fn"


def _next(lexemes: Iterator[Lexeme]) -> Lexeme | None:
    return next(lexemes, None)


def _word(text: str) -> Lexeme:
    return Lexeme(Token.WORD, text, 0, Place("", 0, "", 0))


def _annotation(kind: int, text: str) -> Item:
    return Item(BY_NAME["anno"], (_word(text),), "", kind)


def _check_text(source: Source) -> None:
    if "\0" in source.text:
        before = source.text[: source.text.index("\0")]
        line = source.text.split("\n")[before.count("\n")]
        place = Place(source.name, before.count("\n") + 1, line, len(before) - (before.rfind("\n") + 1))
        raise AssemblyError("a NUL character (expected: text)", place)
    try:
        source.text.encode()
    except UnicodeEncodeError as error:
        raise AssemblyError(f"{source.name}: not text that UTF-8 can hold (expected: UTF-8)") from error


def _beside(lexeme: Lexeme, other: Lexeme) -> bool:
    """Are both on one line?"""
    return (lexeme.place.file, lexeme.place.number) == (other.place.file, other.place.number)


def _unexpected(expected: str, found: Lexeme | None, after: Lexeme) -> NoReturn:
    """Blame what was found; where that is the end or on another line, what it should have followed."""
    shown = "the end of the file" if found is None else found.shown
    _fail(
        found if found is not None and _beside(found, after) else after,
        f"expected: {expected}; found {shown}",
    )


def _fail(lexeme: Lexeme, reason: str) -> NoReturn:
    raise AssemblyError(reason, lexeme.place)
