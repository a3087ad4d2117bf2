"""The commands that go to nodes: one grammar row a verb, checked before anything is sent. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from errors import CwError
from mesh import acl, facts
from mesh.words import SHOWN, QuotingError, canonical, shown, split, split_shell

__all__ = [
    "GRAMMAR", "WORDS_LIMIT", "BYTES_LIMIT", "Argument", "Command", "UnrecognisedCommand", "Verb", "parse",
    "QuotingError", "canonical", "split", "split_shell", "verbs_for",
]  # fmt: skip

WORDS_LIMIT = 1_024
"""Words of one command (mesh/messages.py has the same bound on the wire)."""

BYTES_LIMIT = 131_072
"""Bytes of all words of one command together, as UTF-8."""

ARGUMENTS_LIMIT = 252
"""Arguments of a verb: its program finds them on its data stack, behind their count and its own name."""


class UnrecognisedCommand(CwError):
    """No node knows this command."""


class Argument(NamedTuple):
    """What may stand after a verb's words: `name` in the usage, `form` of a word and its name for people.

    `passed` is how the verb's program is given the word.
    """

    name: str
    form: re.Pattern[str]
    expected: str
    repeats: bool = False
    passed: Callable[[str], str] = str


class Verb(NamedTuple):
    """One row of the grammar: `words` open a command, `arguments` follow, `function` of `module` runs it."""

    words: tuple[str, ...]
    arguments: tuple[Argument, ...]
    module: str
    function: str
    sentence: str

    @property
    def usage(self) -> str:
        """How it is written: `show fact NAME…`."""
        return " ".join(self.words + tuple(a.name + "…" * a.repeats for a in self.arguments))


class Command(NamedTuple):
    """A command that the grammar knows: all its `words`, and the `arguments` that the verb's program gets."""

    verb: Verb
    words: tuple[str, ...]
    arguments: tuple[str, ...]


def _group_by_colon(whom: str) -> str:
    """`%GROUP` as `:GROUP`: how Pendulum's show.acl tells a group from a user (no account has a colon)."""
    return ":" + whom[1:] if whom.startswith("%") else whom


_FACTS = Argument("NAME", facts.NAME, f"NAME is {facts.NAME_EXPECTED}", repeats=True)
_WHOM = Argument(
    "USER|%GROUP", acl.WHOM, f"USER and GROUP are {acl.ACCOUNT_EXPECTED}", passed=_group_by_colon
)

GRAMMAR: tuple[Verb, ...] = (
    Verb(("ping",), (), "mesh", "mesh.ping", "answers pong"),
    Verb(("show", "version"), (), "mesh", "mesh.show.version", "prints the version of cw"),
    Verb(("show", "facts"), (), "mesh", "mesh.show.facts", "prints every fact as name=value, sorted"),
    Verb(("show", "fact"), (_FACTS,), "mesh", "mesh.show.fact", "prints the facts named"),
    Verb(("show", "acls"), (), "mesh", "mesh.show.acls", "prints the access rules in force"),
    Verb(
        ("show", "acls", "for"), (_WHOM,), "mesh", "mesh.show.acls.for", "prints those for one user or group"
    ),
)

_ROWS = {verb.words: verb for verb in GRAMMAR}
_LONGEST = max(map(len, _ROWS))


def parse(words: Sequence[str]) -> Command:
    """The command that the words are; the longest row that opens them decides. Raises UnrecognisedCommand."""
    words = tuple(words)
    _check_size(words)
    for length in range(min(_LONGEST, len(words)), 0, -1):
        verb = _ROWS.get(words[:length])
        if verb is not None:
            return Command(verb, words, _arguments(verb, words))
    raise _unknown(words)


def verbs_for(words: Sequence[str]) -> tuple[Verb, ...]:
    """The rows that the words begin; where none, the longest that opens them. Raises UnrecognisedCommand."""
    words = tuple(words)
    begun = tuple(verb for verb in GRAMMAR if verb.words[: len(words)] == words)
    opening = [verb for verb in GRAMMAR if words[: len(verb.words)] == verb.words]
    if not begun and not opening:
        raise _unknown(words)
    return begun or (max(opening, key=lambda verb: len(verb.words)),)


def _check_size(words: tuple[str, ...]) -> None:
    if len(words) > WORDS_LIMIT:
        raise _unrecognised(words, f"at most {WORDS_LIMIT} words, got {len(words)}")
    size = 0
    for word in words:
        if "\0" in word:
            raise _unrecognised(words, "words without NUL")
        try:
            size += len(word.encode())
        except UnicodeEncodeError:
            raise _unrecognised(words, "words in UTF-8") from None
    if size > BYTES_LIMIT:
        raise _unrecognised(words, f"at most {BYTES_LIMIT} bytes in all, got {size}")


def _arguments(verb: Verb, words: tuple[str, ...]) -> tuple[str, ...]:
    given = words[len(verb.words) :]
    if len(given) > ARGUMENTS_LIMIT:
        raise _unrecognised(
            words, f"{verb.usage}, with at most {ARGUMENTS_LIMIT} arguments, got {len(given)}"
        )
    forms = verb.arguments
    if forms and forms[-1].repeats:
        forms += forms[-1:] * (len(given) - len(forms))
    if len(given) != len(forms):
        raise _unrecognised(words, verb.usage)
    for word, argument in zip(given, forms, strict=True):
        if argument.form.fullmatch(word) is None:
            raise _unrecognised(words, f"{verb.usage}, where {argument.expected}")
    return tuple(argument.passed(word) for word, argument in zip(given, forms, strict=True))


def _unknown(words: tuple[str, ...]) -> UnrecognisedCommand:
    near = [verb for verb in GRAMMAR if verb.words[:1] == words[:1]]
    if near:
        return _unrecognised(words, ", ".join(verb.usage for verb in near))
    return _unrecognised(words, "one of: " + ", ".join(dict.fromkeys(verb.words[0] for verb in GRAMMAR)))


def _unrecognised(words: tuple[str, ...], expected: str) -> UnrecognisedCommand:
    start = canonical(
        word[: SHOWN + 1] for word in words[: SHOWN + 1]
    )  # quoting 128 KiB to show a line is waste
    return UnrecognisedCommand(f"unrecognised command: {shown(start) or 'no words'} (expected {expected})")
