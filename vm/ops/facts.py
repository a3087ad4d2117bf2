"""The node's facts: this project's own instructions."""

from __future__ import annotations

from bisect import bisect_right

from vm.machine import Machine
from vm.ops.build import INTO, TEXT, takes


@takes(TEXT, INTO)
def get(machine: Machine, name: bytes) -> int | None:
    """The value of a fact."""
    value = machine.facts.get(name)
    machine.acc = 1 if value is None else 0
    return None if value is None else machine.keep(value)


@takes(TEXT, INTO)
def following(machine: Machine, name: bytes) -> int | None:
    """The name that follows, in order of bytes; of an empty string, the first."""
    names = machine.fact_names
    place = bisect_right(names, name)
    machine.acc = 1 if place == len(names) else 0
    return None if place == len(names) else machine.keep(names[place])
