"""The modules that ship with cw as texts: names, comments, arguments, effects."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.vm.hosts import program_of
from vm import modules
from vm.effects import effect_of
from vm.lexer import Lexeme, Token, tokens
from vm.opcodes import BY_NAME

TYPES = {
    "file", "dir", "symlink", "user", "group", "package", "service", "host", "exec",
    "path",    # what file, dir and symlink share
    "authdb",  # what user and group share
}  # fmt: skip

MODULES = sorted(name for name in modules.SHIPPED if name.startswith("res."))

ALSO_READ = {"add", "sub", "mult", "div", "mod", "string.cut", "fs.readdir", "fs.closedir"}
"""Instructions that do not just set their first operand, although it can only be a register."""


class Function(NamedTuple):
    """A function as its module has it."""

    comment: str
    body: list[Lexeme]

    @property
    def documented(self) -> set[str]:
        """The registers that its comment says are its arguments."""
        lines = re.findall(r"^;   .*", self.comment, re.MULTILINE)
        return set(re.findall(r"%[a-p]\b", " ".join(lines)))


def functions() -> Iterator[tuple[str, Function]]:
    for module in MODULES:
        text = modules.source(module)
        assert text is not None
        for comment, name, body in re.findall(
            r"((?:^;.*\n)*)^fn (\S+)\n((?:(?!;|fn ).*\n)*)", text, re.MULTILINE
        ):
            yield name, Function(comment, list(tokens(body, module, pytest.fail)))


FUNCTIONS = dict(functions())


def instructions(body: list[Lexeme]) -> Iterator[tuple[str, list[Lexeme]]]:
    rest = iter([lexeme for lexeme in body if lexeme.token is not Token.LABEL])
    for lexeme in rest:
        yield lexeme.text, [next(rest) for _ in BY_NAME[lexeme.text].operands]


def read(name: str, operands: list[Lexeme]) -> Iterator[str]:
    """The registers that an instruction reads, those of a function that it calls included."""
    if name == "call":
        yield from FUNCTIONS[operands[0].text].documented
    for number, (lexeme, forms) in enumerate(zip(operands, BY_NAME[name].operands, strict=True)):
        sets = forms == "r" and (number or name not in ALSO_READ)
        if lexeme.token is Token.REGISTER and not sets:
            yield lexeme.text
        elif lexeme.token is Token.STRING:
            yield from (f"%{register}" for register in re.findall(r"%\[([a-p])\]", lexeme.text))


def needed(function: Function) -> set[str]:
    """The registers that are read before anything is put into them."""
    found: set[str] = set()
    filled: set[str] = set()
    for name, operands in instructions(function.body):
        found |= set(read(name, operands)) - filled
        forms = BY_NAME[name].operands
        filled |= {lexeme.text for lexeme, form in zip(operands, forms, strict=True) if form == "r"}
    return found


def test_all_functions_are_seen_here() -> None:
    whole = [line for module in MODULES for line in (modules.source(module) or "").splitlines()]
    assert len(FUNCTIONS) == sum(line.startswith("fn ") for line in whole)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_what_it_is_about(name: str) -> None:
    assert re.fullmatch(r"res\.[a-z]+\.[a-z]+", name)
    assert name.split(".")[1] in TYPES
    assert re.match(r"; [A-Z]", FUNCTIONS[name].comment)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_what_it_is_called_with(name: str) -> None:
    assert FUNCTIONS[name].documented == needed(FUNCTIONS[name])


@pytest.mark.parametrize("module", [*MODULES, "stdlib"])
def test_a_module_includes_what_it_calls(module: str) -> None:
    program_of(f"#include {module}\nfn main\n  ret\n")


def test_the_stdlib_has_all_of_it() -> None:
    calls = "\n".join(f"  call {name}" for name in FUNCTIONS)
    program_of(f"#include stdlib\nfn main\n{calls}\n")


def test_only_functions_that_are_called_count_for_the_effect() -> None:
    assert effect_of(program_of("#include stdlib\nfn main\n  ret\n")).word == "pure"


EFFECTS = {
    "res.authdb": "writes", "res.dir": "writes", "res.exec": "executes", "res.file": "writes",
    "res.group": "pure", "res.host": "writes", "res.package": "executes", "res.path": "writes",
    "res.service": "executes", "res.symlink": "writes", "res.user": "pure",
}  # fmt: skip
"""Of the functions of a type; users and groups are changed in memory, and new contents can be verified."""

OTHER_EFFECTS = {
    "res.authdb.open": "reads", "res.dir.require": "reads",
    "res.exec.return": "pure", "res.file.contents": "executes", "res.file.copy": "executes",
    "res.file.differs": "reads", "res.file.exists": "reads", "res.file.fetch": "executes",
    "res.file.replace": "executes", "res.file.require": "reads", "res.group.absent": "writes",
    "res.group.create": "reads", "res.group.gidof": "reads", "res.group.present": "reads",
    "res.group.save": "writes", "res.group.setgid": "reads",
    "res.host.end": "reads", "res.host.entry": "reads", "res.host.line": "reads", "res.host.open": "reads",
    "res.path.expect": "reads", "res.path.require": "reads", "res.user.absent": "writes",
    "res.user.copyall": "writes", "res.user.copyone": "writes", "res.user.furnish": "writes",
    "res.user.gidof": "reads", "res.user.lookup": "reads", "res.user.makehome": "writes",
    "res.user.create": "reads", "res.user.owngroup": "reads", "res.user.present": "reads",
    "res.user.save": "writes", "res.user.setuid": "reads", "res.user.uidof": "reads",
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_effects(name: str) -> None:
    effect = effect_of(program_of(f"#include stdlib\nfn main\n  call {name}\n"))
    assert effect.word == OTHER_EFFECTS.get(name, EFFECTS[name.rpartition(".")[0]])
