"""The commands that go to nodes: words as the grammar reads them, before anything is sent. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from errors import CwError, meant
from mesh.grammar import GRAMMAR, WORDS_LIMIT, Argument, Verb
from mesh.words import QuotingError, brief, canonical, split, split_shell

__all__ = [
    "GRAMMAR", "WORDS_LIMIT", "BYTES_LIMIT", "Argument", "Command", "UnknownVerb", "UnrecognisedCommand",
    "Verb", "parse", "QuotingError", "canonical", "following", "split", "split_shell", "verbs_for",
]  # fmt: skip

BYTES_LIMIT = 131_072
"""Bytes of all words of one command together, as UTF-8."""

ARGUMENTS_LIMIT = 252
"""Arguments of a verb: its program finds them on its data stack, behind their count and its own name."""


EXPECTED_LIMIT = 24
"""Usages that an error tells at most: a broker fits it into an ERROR, however many rows a site adds."""


class UnrecognisedCommand(CwError):
    """No node knows this command."""


class UnknownVerb(UnrecognisedCommand):
    """No row of the grammar has so many words, those of the command among them."""


class Command(NamedTuple):
    """A command that the grammar knows: all its `words`, and the `arguments` that the verb's program gets,
    which stand at these `places` among the words.
    """

    verb: Verb
    words: tuple[str, ...]
    arguments: tuple[str, ...]
    places: tuple[int, ...]


def parse(words: Sequence[str], grammar: Sequence[Verb] = GRAMMAR) -> Command:
    """The command that the words are. Raises UnrecognisedCommand; UnknownVerb, if no row is meant by them.

    Of the rows whose own words they have, one that takes so many decides; of several the one with most words
    of its own.
    """
    words = tuple(words)
    _check_size(words)
    opening = _opening(words, grammar)
    if not opening:
        raise _unknown(words, grammar)
    fitting = [verb for verb in opening if len(words) in verb.sizes]
    if not fitting:
        raise UnknownVerb(_misspelt(words, _closest(opening).usage, grammar))
    return _command(_closest(fitting), words)


def verbs_for(words: Sequence[str], grammar: Sequence[Verb] = GRAMMAR) -> tuple[Verb, ...]:
    """The rows that the words begin; where none, the closest that they have the words of.

    Raises UnknownVerb.
    """
    words = tuple(words)
    begun = tuple(verb for verb in grammar if _begins(words, verb))
    opening = _opening(words, grammar)
    if not begun and not opening:
        raise _unknown(words, grammar)
    return begun or (_closest(opening),)


def following(words: Sequence[str], grammar: Sequence[Verb] = GRAMMAR) -> tuple[Argument | str, ...]:
    """What may stand behind the words, as the first ones of a command: a word of its own, or an argument."""
    words = tuple(words)
    found: list[Argument | str] = []
    for verb in grammar:
        form = verb.form
        last = form[-1]
        if isinstance(last, Argument) and last.repeats:
            form += (last,) * (len(words) + 1 - len(form))
        if len(words) < len(form) and _begins(words[: len(verb.form)], verb):
            found.append(form[len(words)])
    return tuple(dict.fromkeys(found))


def _opening(words: tuple[str, ...], grammar: Sequence[Verb]) -> list[Verb]:
    return [verb for verb in grammar if verb.words[:1] == words[:1] and verb.opens(words)]


def _begins(words: tuple[str, ...], verb: Verb) -> bool:
    return len(words) <= len(verb.form) and all(
        not isinstance(part, str) or word == part for word, part in zip(words, verb.form, strict=False)
    )


def _closest(verbs: Sequence[Verb]) -> Verb:
    return max(verbs, key=lambda verb: len(verb.form) - len(verb.forms))


def _check_size(words: tuple[str, ...]) -> None:
    if len(words) > WORDS_LIMIT:
        raise UnrecognisedCommand(_refusal(words, f"at most {WORDS_LIMIT} words, got {len(words)}"))
    size = 0
    for word in words:
        if "\0" in word:
            raise UnrecognisedCommand(_refusal(words, "words without NUL"))
        try:
            size += len(word.encode())
        except UnicodeEncodeError:
            raise UnrecognisedCommand(_refusal(words, "words in UTF-8")) from None
    if size > BYTES_LIMIT:
        raise UnrecognisedCommand(_refusal(words, f"at most {BYTES_LIMIT} bytes in all, got {size}"))


def _command(verb: Verb, words: tuple[str, ...]) -> Command:
    forms = verb.form
    given = len(words) - len(forms) + len(verb.forms)
    if given > ARGUMENTS_LIMIT:
        expected = f"{verb.usage}, with at most {ARGUMENTS_LIMIT} arguments, got {given}"
        raise UnrecognisedCommand(_refusal(words, expected))
    forms += forms[-1:] * (len(words) - len(forms))
    meant: list[str] = []
    passed: list[str] = []
    places: list[int] = []
    for place, (word, part) in enumerate(zip(words, forms, strict=False)):
        if isinstance(part, Argument):
            word = part.meant(word)
            if part.form.fullmatch(word) is None:
                raise UnrecognisedCommand(_refusal(words, f"{verb.usage}, where {part.expected}"))
            passed.append(part.passed(word))
            places.append(place)
        meant.append(word)
    return Command(verb, tuple(meant), tuple(passed), tuple(places))


def _unknown(words: tuple[str, ...], grammar: Sequence[Verb]) -> UnknownVerb:
    near = [verb.usage for verb in grammar if verb.words[:1] == words[:1]]
    if near:
        return UnknownVerb(_misspelt(words, _some(near), grammar))
    firsts = list(dict.fromkeys(verb.words[0] for verb in grammar))
    return UnknownVerb(_misspelt(words, "one of: " + _some(firsts), grammar))


def _some(usages: Sequence[str]) -> str:
    more = ", …" if len(usages) > EXPECTED_LIMIT else ""
    return ", ".join(usages[:EXPECTED_LIMIT]) + more


def _misspelt(words: tuple[str, ...], expected: str, grammar: Sequence[Verb]) -> str:
    """The error for words that no row begins with: which one was meant, else what is expected."""
    for place, word in enumerate(words):
        if not any(_begins(words[: place + 1], verb) for verb in grammar):
            known = (part for part in following(words[:place], grammar) if isinstance(part, str))
            return _refusal(words, expected, meant(word, known))
    return _refusal(words, expected)


def _refusal(words: tuple[str, ...], expected: str, hint: str = "") -> str:
    return f"unrecognised command: {brief(words) or 'no words'}{hint or f' (expected {expected})'}"
