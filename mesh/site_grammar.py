"""The grammar of a site's own commands, from its files `NAME.toml`: strict, each error a line. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from conf.document import toml
from conf.kinds import Kind, brief, choice, escaped, shown
from errors import CwError
from mesh.acl import EFFECTS
from mesh.grammar import GRAMMAR, KINDS, SITE, Argument, Verb

COMMANDS_LIMIT = 256
"""Commands of a site, at most."""

PARTS_LIMIT = 16
"""Words and arguments of a usage, at most."""

SENTENCE_LIMIT = 50
"""Characters of a sentence, at most: it is part of a line of the help."""

SUBCOMMANDS = frozenset(
    (
        *(
            "audit",
            "cc",
            "cert",
            "cfm",
            "cogd",
            "completion",
            "demo",
            "doctor",
            "fact",
            "init",
            "job",
            "jobs",
        ),
        *("localsys", "man", "mesh", "meshd", "pn", "trust"),
    )
)
"""First words that are not a site's to give: cw has another use for them, or will have."""

MODULE = re.compile(r"[a-z][a-z0-9_-]{0,31}")
"""What a site's modules may be called."""

_WORD = re.compile(r"[a-z][a-z0-9_.-]{0,31}")
_ARGUMENT = re.compile(r"(?P<open>\[)?(?P<name>[A-Z][A-Z0-9_]{0,31})(?P<repeats>…|\.\.\.)?(?P<close>\])?")
_FUNCTION = re.compile(r"[A-Za-z][A-Za-z0-9._?-]{0,127}")


class SiteError(CwError):
    """The site's commands cannot be used."""


class Row(NamedTuple):
    """A verb, and the file and table that it is written in."""

    verb: Verb
    where: str


class _Part(NamedTuple):
    """An argument as a usage has it."""

    name: str
    repeats: bool
    optional: bool


_Usage = tuple[_Part | str, ...]


def rows(files: Mapping[str, bytes], directory: str) -> tuple[Row, ...]:
    """The commands of a site: `files` are `NAME.toml` to contents, all of a directory. Raises CwError.

    The module of each is `site.NAME`. None can be meant by words that are another's, or one's of cw.
    """
    found: list[Row] = []
    for file, contents in sorted(files.items()):
        where = brief(escaped(f"{directory}/{file}"))
        module = file.removesuffix(".toml")
        if MODULE.fullmatch(module) is None:
            raise SiteError(
                f"{where}: expected a name of at most 32 of a-z, 0-9, _ and -, a letter first, before .toml"
            )
        for row in _rows(toml(contents, where), where, module):
            _insist_on_own_words(row, found)
            found.append(row)
            if len(found) > COMMANDS_LIMIT:
                raise SiteError(f"{where}: expected at most {COMMANDS_LIMIT} commands in the directory")
    return tuple(found)


def _rows(document: Mapping[str, object], where: str, module: str) -> Iterator[Row]:
    for name in document:
        if name != "command":
            raise SiteError(f"{where}: {shown(name)[1:-1]}: expected nothing but [[command]]")
    tables = document.get("command")
    if type(tables) is not list or not tables or not all(type(table) is dict for table in tables):
        raise SiteError(f"{where}: expected one [[command]] or more")
    for number, table in enumerate(tables, 1):
        yield _row(table, f"{where}: command {number}", module)


def _row(table: Mapping[str, object], where: str, module: str) -> Row:
    for name in table:
        if name not in _KEYS:
            known = ", ".join(_KEYS)
            raise SiteError(f"{where}: expected one of {known}, got {shown(name)[1:-1]}")
    usage: _Usage = _value(table, "usage", where)
    own = [part for part in usage if isinstance(part, str)]
    kinds: Mapping[str, str] = _value(table, "arguments", where, {})
    for part in usage:
        if isinstance(part, _Part) and part.name not in kinds:
            raise SiteError(
                f"{where}: arguments: expected the kind of {part.name}, one of {', '.join(KINDS)}"
            )
    names = [part.name for part in usage if isinstance(part, _Part)]
    for name in kinds:
        if name not in names:
            raise SiteError(
                f"{where}: arguments: expected none but those of its usage, got {shown(name)[1:-1]}"
            )
    form = tuple(
        part
        if isinstance(part, str)
        else KINDS[kinds[part.name]].argument(part.name, repeats=part.repeats, optional=part.optional)
        for part in usage
    )
    opening = next((place for place, part in enumerate(form) if isinstance(part, Argument)), len(form))
    verb = Verb(
        words=tuple(own[:opening]),
        arguments=form[opening:],
        module=SITE + module,
        function=_value(table, "function", where, "mesh." + ".".join(own)),
        effect=_value(table, "effect", where),
        sentence=_value(table, "sentence", where),
    )
    return Row(verb, where)


def _insist_on_own_words(row: Row, others: list[Row]) -> None:
    verb, where = row
    if verb.words[0] in SUBCOMMANDS:
        raise SiteError(f"{where}: usage: expected another first word, since cw {verb.words[0]} is cw's own")
    for other in GRAMMAR:
        if _confusable(verb, other):
            raise SiteError(
                f"{where}: usage: {verb.usage!r} could be meant by the words of {other.usage!r}, cw's own"
            )
    for another in others:
        if _confusable(verb, another.verb):
            raise SiteError(
                f"{where}: usage: {verb.usage!r} could be meant by the words of {another.verb.usage!r} "
                f"({another.where})"
            )


def _confusable(one: Verb, other: Verb) -> bool:
    """Whether words can be of both, by those that are a verb's own and their number: arguments take any.

    All own words of a verb stand in its shortest command, since only its last argument can be left out.
    """
    return max(one.sizes.start, other.sizes.start) < min(one.sizes.stop, other.sizes.stop) and all(
        isinstance(mine, Argument) or isinstance(theirs, Argument) or mine == theirs
        for mine, theirs in zip(one.form, other.form, strict=False)
    )


# -- what the keys hold


def _usage(value: object, _: Path) -> _Usage:
    if type(value) is not str or not value.isprintable():
        raise ValueError(value)
    parts = tuple(map(_part, value.split(" ")))
    names = [part.name for part in parts if isinstance(part, _Part)]
    if not isinstance(parts[0], str) or len(parts) > PARTS_LIMIT or len(set(names)) != len(names):
        raise ValueError(value)
    if any(isinstance(part, _Part) and (part.repeats or part.optional) for part in parts[:-1]):
        raise ValueError(value)
    return parts


def _part(text: str) -> _Part | str:
    if _WORD.fullmatch(text):
        return text
    found = _ARGUMENT.fullmatch(text)
    if found is None or bool(found["open"]) != bool(found["close"]):
        raise ValueError(text)
    return _Part(found["name"], bool(found["repeats"]), bool(found["open"]))


def _sentence(value: object, _: Path) -> str:
    if type(value) is not str or not value.isprintable() or not 0 < len(value) <= SENTENCE_LIMIT:
        raise ValueError(value)
    return value


def _function(value: object, _: Path) -> str:
    if type(value) is not str or not _FUNCTION.fullmatch(value):
        raise ValueError(value)
    return value


def _arguments(value: object, _: Path) -> dict[str, str]:
    if type(value) is not dict or not all(type(kind) is str and kind in KINDS for kind in value.values()):
        raise ValueError(value)
    return value


_KEYS: Mapping[str, Kind] = {
    "usage": Kind(
        f"at most {PARTS_LIMIT} words with a space between, such as "
        '"disk free PATH": lower-case ones are its own, the first too, others arguments, '
        'each once, the last perhaps "PATH…" or "[PATH]"',
        _usage,
    ),
    "function": Kind("the name of a function in its module", _function),
    "sentence": Kind(f"a line of 1 to {SENTENCE_LIMIT} characters", _sentence),
    "effect": choice(*EFFECTS),
    "arguments": Kind(
        f"a table of arguments, each with its kind, one of {', '.join(KINDS)}",
        _arguments,
    ),
}


def _value(table: Mapping[str, object], name: str, where: str, default: object = None) -> Any:
    """What a key holds; where it is not there, the default, if it has one."""
    kind = _KEYS[name]
    value = table.get(name, default)
    try:
        return kind.read(value, Path())
    except ValueError as error:
        got = shown(value) if name in table else "nothing"
        raise SiteError(f"{where}: {name}: expected {kind.expected}, got {got}") from error
