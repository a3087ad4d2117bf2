"""The commands that go to nodes: words as the grammar reads them, before anything is sent. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from errors import CwError, meant
from mesh.grammar import GRAMMAR, WORDS_LIMIT, Argument, Verb
from mesh.words import SHOWN, QuotingError, canonical, shown, split, split_shell

__all__ = [
    "GRAMMAR", "WORDS_LIMIT", "BYTES_LIMIT", "Argument", "Command", "UnrecognisedCommand", "Verb", "parse",
    "QuotingError", "canonical", "following", "split", "split_shell", "verbs_for",
]  # fmt: skip

BYTES_LIMIT = 131_072
"""Bytes of all words of one command together, as UTF-8."""

ARGUMENTS_LIMIT = 252
"""Arguments of a verb: its program finds them on its data stack, behind their count and its own name."""


class UnrecognisedCommand(CwError):
    """No node knows this command."""


class Command(NamedTuple):
    """A command that the grammar knows: all its `words`, and the `arguments` that the verb's program gets."""

    verb: Verb
    words: tuple[str, ...]
    arguments: tuple[str, ...]


_BY_FIRST = {first: tuple(verbs) for first, verbs in groupby(GRAMMAR, lambda verb: verb.words[0])}


def parse(words: Sequence[str]) -> Command:
    """The command that the words are. Raises UnrecognisedCommand.

    Of the rows whose own words they have, one that takes so many decides; of several the one with most words
    of its own.
    """
    words = tuple(words)
    _check_size(words)
    opening = _opening(words)
    if not opening:
        raise _unknown(words)
    fitting = [verb for verb in opening if verb.fits(len(words))]
    return _command(_closest(fitting or opening), words)


def verbs_for(words: Sequence[str]) -> tuple[Verb, ...]:
    """The rows that the words begin; where none, the closest that they have the words of.

    Raises UnrecognisedCommand.
    """
    words = tuple(words)
    begun = tuple(verb for verb in GRAMMAR if _begins(words, verb))
    opening = _opening(words)
    if not begun and not opening:
        raise _unknown(words)
    return begun or (_closest(opening),)


def following(words: Sequence[str]) -> tuple[Argument | str, ...]:
    """What may stand behind the words, as the first ones of a command: a word of its own, or an argument."""
    words = tuple(words)
    found: list[Argument | str] = []
    for verb in GRAMMAR:
        form = verb.form
        last = form[-1]
        if isinstance(last, Argument) and last.repeats:
            form += (last,) * (len(words) + 1 - len(form))
        if len(words) < len(form) and _begins(words[: len(verb.form)], verb):
            found.append(form[len(words)])
    return tuple(dict.fromkeys(found))


def _opening(words: tuple[str, ...]) -> list[Verb]:
    return [verb for verb in _BY_FIRST.get(words[0] if words else "", ()) if verb.opens(words)]


def _begins(words: tuple[str, ...], verb: Verb) -> bool:
    return len(words) <= len(verb.form) and all(
        not isinstance(part, str) or word == part for word, part in zip(words, verb.form, strict=False)
    )


def _closest(verbs: Sequence[Verb]) -> Verb:
    return max(verbs, key=lambda verb: len(verb.form) - len(verb.forms))


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


def _command(verb: Verb, words: tuple[str, ...]) -> Command:
    forms = verb.form
    given = len(words) - len(forms) + len(verb.forms)
    if given > ARGUMENTS_LIMIT:
        raise _unrecognised(words, f"{verb.usage}, with at most {ARGUMENTS_LIMIT} arguments, got {given}")
    if not verb.fits(len(words)):
        raise _misspelt(words, verb.usage)
    forms += forms[-1:] * (len(words) - len(forms))
    meant: list[str] = []
    passed: list[str] = []
    for word, part in zip(words, forms, strict=False):
        if isinstance(part, Argument):
            word = part.meant(word)
            if part.form.fullmatch(word) is None:
                raise _unrecognised(words, f"{verb.usage}, where {part.expected}")
            passed.append(part.passed(word))
        meant.append(word)
    return Command(verb, tuple(meant), tuple(passed))


def _unknown(words: tuple[str, ...]) -> UnrecognisedCommand:
    near = [verb for verb in GRAMMAR if verb.words[:1] == words[:1]]
    if near:
        return _misspelt(words, ", ".join(verb.usage for verb in near))
    return _misspelt(words, "one of: " + ", ".join(dict.fromkeys(verb.words[0] for verb in GRAMMAR)))


def _misspelt(words: tuple[str, ...], expected: str) -> UnrecognisedCommand:
    """The error for words that no row begins with, saying which one was meant instead of what is expected."""
    for place, word in enumerate(words):
        if not any(_begins(words[: place + 1], verb) for verb in GRAMMAR):
            known = (part for part in following(words[:place]) if isinstance(part, str))
            return _unrecognised(words, expected, meant(word, known))
    return _unrecognised(words, expected)


def _unrecognised(words: tuple[str, ...], expected: str, hint: str = "") -> UnrecognisedCommand:
    start = canonical(
        word[: SHOWN + 1] for word in words[: SHOWN + 1]
    )  # quoting 128 KiB to show a line is waste
    hint = hint or f" (expected {expected})"
    return UnrecognisedCommand(f"unrecognised command: {shown(start) or 'no words'}{hint}")
