"""Which nodes a command is meant for: conditions on facts, each decided within a time limit. Pure."""

from __future__ import annotations

import re
import warnings  # here, since what `_cached` imports would be on the clock of the first pattern
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple, Protocol, TypeVar

from errors import CwError
from mesh import facts
from mesh.words import shown

T = TypeVar("T")

LENGTH_LIMIT = 1_024
"""Characters of one filter."""

VALUE_LIMIT = 4_096
"""Characters of a fact's value that a pattern sees (mesh.md "Filters")."""


_UNFIT = re.compile(r"[\0\ud800-\udfff]")


class FilterError(CwError):
    """A filter is FACT = VALUE, FACT != VALUE, FACT = /REGEX/ or FACT != /REGEX/."""


class FilterTooSlow(FilterError):
    """A pattern took longer than it may delay an agent."""


class TooSlow(CwError):
    """The time was up."""


class Bounded(Protocol):
    """Runs a call, or ends it with TooSlow when its time is up: net/bounded.py in every role."""

    def __call__(self, call: Callable[[], T], /) -> T: ...


def unbounded(call: Callable[[], T], /) -> T:
    """The guard that never ends a call: for texts that nobody sent."""
    return call()


class Filter(NamedTuple):
    """One condition on a fact: its value is `value`, or `pattern` is found in it; `negated`, the opposite."""

    fact: str
    negated: bool
    value: str
    pattern: re.Pattern[str] | None


def parse(text: str, bounded: Bounded) -> Filter:
    """The filter that `text` says (mesh.md "Filters"), its pattern compiled `bounded`. Raises FilterError."""
    if len(text) > LENGTH_LIMIT:
        raise FilterError(
            f"filter {shown(text)}: expected at most {LENGTH_LIMIT} characters, got {len(text)}"
        )
    if _UNFIT.search(text):
        raise FilterError(f"filter {shown(text)}: expected no NUL, and UTF-8")
    left, equals, right = text.partition("=")
    negated = left.endswith("!")
    name = left.removesuffix("!").rstrip()
    value = right.lstrip()
    if not equals or facts.NAME.fullmatch(name) is None:
        expected = f"FACT = VALUE or FACT != VALUE, where FACT is {facts.NAME_EXPECTED}"
        raise FilterError(f"filter {shown(text)}: expected {expected}")
    for mark in '/"':
        if value.startswith(mark) and (len(value) < 2 or not value.endswith(mark)):
            raise FilterError(
                f"filter {shown(text)}: expected {mark} at the end of a value that begins with it"
            )
    if value.startswith("/"):
        return Filter(name, negated, value, _compiled(text, value[1:-1], bounded))
    if value.startswith('"'):
        value = value[1:-1]
    return Filter(name, negated, value, None)


def parse_all(texts: Iterable[str], bounded: Bounded) -> tuple[Filter, ...]:
    """The filters of one request, compiled in one bounded call: many patterns take no longer than one may.

    Raises FilterError.
    """
    try:
        return bounded(lambda: tuple(parse(text, unbounded) for text in texts))
    except TooSlow as end:
        raise FilterTooSlow("filters too slow to compile") from end


def matches(filters: Iterable[Filter], known: Mapping[str, str], bounded: Bounded) -> bool:
    """Whether all filters hold of the `known` facts, decided in one bounded call. Raises FilterTooSlow."""
    try:
        return bounded(lambda: all(_holds(one, known) for one in filters))
    except TooSlow as end:
        raise FilterTooSlow("filter too slow") from end


def _holds(one: Filter, known: Mapping[str, str]) -> bool:
    value = known.get(one.fact)
    if value is None:  # neither equal nor different: the node does not have it
        return False
    if one.pattern is None:
        return (value == one.value) is not one.negated
    return _found(one.pattern, value[:VALUE_LIMIT]) is not one.negated


def _found(pattern: re.Pattern[str], value: str) -> bool:
    """`pattern.search(value)`, position by position.

    Inside one search `re` looks for signals only every 4,096 steps from a position: a pattern that gives up
    sooner, at each of thousands of positions, could not be ended.
    """
    match = pattern.match
    return any(match(value, start) for start in range(len(value) + 1))


def _compiled(text: str, pattern: str, bounded: Bounded) -> re.Pattern[str]:
    try:
        return bounded(lambda: _cached(pattern))
    except TooSlow as end:
        raise FilterTooSlow(f"filter too slow to compile: {shown(text)}") from end
    except RecursionError as error:
        raise FilterError(f"filter {shown(text)}: the pattern is nested too deeply") from error
    except (re.error, OverflowError, ValueError, Warning) as error:
        raise FilterError(f"filter {shown(text)}: {shown(str(error))}") from error


@lru_cache(maxsize=256)
def _cached(pattern: str) -> re.Pattern[str]:
    """A pattern that `re` warns of would mean something else in another Python: it is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return re.compile(pattern, re.IGNORECASE)
