"""Comparisons: acc is 0 where they hold, else 1."""

from __future__ import annotations

from vm.machine import Machine
from vm.ops.build import TEXT, takes
from vm.program import ACC, Site, Step


def eq(site: Site) -> Step:
    """Operand 1 = operand 2."""
    (first, second), after = site.slots, site.after

    def step(_machine: Machine, slots: list[int]) -> int:
        slots[ACC] = 0 if slots[first] == slots[second] else 1
        return after

    return step


def lt(site: Site) -> Step:
    """Operand 1 < operand 2, unsigned."""
    (first, second), after = site.slots, site.after

    def step(_machine: Machine, slots: list[int]) -> int:
        slots[ACC] = 0 if slots[first] < slots[second] else 1
        return after

    return step


def lte(site: Site) -> Step:
    """Operand 1 ≤ operand 2, unsigned."""
    (first, second), after = site.slots, site.after

    def step(_machine: Machine, slots: list[int]) -> int:
        slots[ACC] = 0 if slots[first] <= slots[second] else 1
        return after

    return step


def gt(site: Site) -> Step:
    """Operand 1 > operand 2, unsigned."""
    (first, second), after = site.slots, site.after

    def step(_machine: Machine, slots: list[int]) -> int:
        slots[ACC] = 0 if slots[first] > slots[second] else 1
        return after

    return step


def gte(site: Site) -> Step:
    """Operand 1 ≥ operand 2, unsigned."""
    (first, second), after = site.slots, site.after

    def step(_machine: Machine, slots: list[int]) -> int:
        slots[ACC] = 0 if slots[first] >= slots[second] else 1
        return after

    return step


@takes(TEXT, TEXT)
def streq(machine: Machine, first: bytes, second: bytes) -> None:
    """Two strings are equal, byte for byte."""
    machine.labour(min(len(first), len(second)))
    machine.acc = 0 if first == second else 1
