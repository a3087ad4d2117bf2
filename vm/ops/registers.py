"""Registers, the data stack and 32-bit unsigned arithmetic that wraps."""

from __future__ import annotations

from vm.faults import Fault
from vm.machine import DEPTH, Machine
from vm.program import ACC, WORD, Site, Step


def noop(site: Site) -> Step:
    """Do nothing."""
    after = site.after
    return lambda _machine, _slots: after


def push(site: Site) -> Step:
    """Push a value."""
    (value,), after = site.slots, site.after

    def step(machine: Machine, slots: list[int]) -> int:
        stack = machine.stack
        if len(stack) >= DEPTH:
            raise Fault("data stack overflow")
        stack.append(slots[value])
        return after

    return step


def pop(site: Site) -> Step:
    """Pop a value into a register."""
    (into,), after = site.slots, site.after

    def step(machine: Machine, slots: list[int]) -> int:
        if not machine.stack:
            raise Fault("data stack underflow")
        slots[into] = machine.stack.pop()
        return after

    return step


def copy(site: Site) -> Step:
    """Copy operand 2 into the register that operand 1 is."""
    (into, value), after = site.slots, site.after

    def step(_machine: Machine, slots: list[int]) -> int:
        slots[into] = slots[value]
        return after

    return step


def swap(site: Site) -> Step:
    """Exchange two registers."""
    (first, second), after = site.slots, site.after

    def step(_machine: Machine, slots: list[int]) -> int:
        slots[first], slots[second] = slots[second], slots[first]
        return after

    return step


def acc(site: Site) -> Step:
    """Copy acc into a register."""
    (into,), after = site.slots, site.after

    def step(_machine: Machine, slots: list[int]) -> int:
        slots[into] = slots[ACC]
        return after

    return step


def add(site: Site) -> Step:
    """Add, wrapping."""
    (into, value), after = site.slots, site.after

    def step(_machine: Machine, slots: list[int]) -> int:
        slots[into] = (slots[into] + slots[value]) & WORD
        return after

    return step


def sub(site: Site) -> Step:
    """Subtract, wrapping."""
    (into, value), after = site.slots, site.after

    def step(_machine: Machine, slots: list[int]) -> int:
        slots[into] = (slots[into] - slots[value]) & WORD
        return after

    return step


def mult(site: Site) -> Step:
    """Multiply, wrapping."""
    (into, value), after = site.slots, site.after

    def step(_machine: Machine, slots: list[int]) -> int:
        slots[into] = (slots[into] * slots[value]) & WORD
        return after

    return step


def div(site: Site) -> Step:
    """Divide, dropping the remainder."""
    (into, value), after = site.slots, site.after

    def step(_machine: Machine, slots: list[int]) -> int:
        if not slots[value]:
            raise Fault("divide by zero")
        slots[into] //= slots[value]
        return after

    return step


def mod(site: Site) -> Step:
    """Keep the remainder of a division."""
    (into, value), after = site.slots, site.after

    def step(_machine: Machine, slots: list[int]) -> int:
        if not slots[value]:
            raise Fault("divide by zero")
        slots[into] %= slots[value]
        return after

    return step
