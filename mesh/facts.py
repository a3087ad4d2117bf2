"""What a fact is and how a gatherer says one: `name=value` lines. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mesh.words import shown

NAME = re.compile(r"(?!-)[A-Za-z0-9_.:-]{1,255}")
"""A whole fact name (mesh.md "Filters"); one beginning with `-` is refused, as all names that travel are."""

NAME_EXPECTED = "letters, digits, _ . : -"

VALUE_LIMIT = 65_536
"""Characters of a fact's value; longer is garbage."""

COMPLAINTS = 5
"""Complaints about one gatherer that are named; the rest are counted."""

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")


def fault_of(name: str, value: str) -> str:
    """Why this cannot be a fact, or an empty string: a bad name, or a value that is not one line of text."""
    if NAME.fullmatch(name) is None:
        return f"expected a fact name ({NAME_EXPECTED}), got: {shown(name)}"
    if len(value) > VALUE_LIMIT:
        return f"{name}: expected a value of at most {VALUE_LIMIT} characters, got {len(value)}"
    if _CONTROL.search(value):
        return f"{name}: expected a value without control characters, got: {shown(value)}"
    return ""


def parse_lines(text: str) -> tuple[dict[str, str], list[str]]:
    """The facts of a gatherer's output, and a sentence for each line that is none; a later line wins.

    The first `=` splits; the value is the rest of the line as it is. Empty lines are nothing.
    """
    facts: dict[str, str] = {}
    complaints: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r")
        name, equals, value = line.partition("=")
        fault = fault_of(name, value) if equals else f"expected NAME=VALUE, got: {shown(line)}"
        if not line.strip():
            continue
        if fault:
            complaints.append(f"line {number}: {fault}")
        else:
            facts[name] = value
    if len(complaints) > COMPLAINTS:
        complaints[COMPLAINTS:] = [f"and {len(complaints) - COMPLAINTS} more"]
    return facts, complaints


def lines_of(facts: Iterable[tuple[str, str]]) -> list[str]:
    """Facts as `name=value`, sorted by name."""
    return [f"{name}={value}" for name, value in sorted(facts)]
