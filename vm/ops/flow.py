"""Jumps, calls, and the ways back."""

from __future__ import annotations

from vm.faults import Fault, Halted
from vm.machine import DEPTH, Machine
from vm.program import ACC, REGISTERS, Site, Step


def jmp(site: Site) -> Step:
    """Go to another instruction."""
    (target,) = site.slots
    return lambda _machine, _slots: target


def jz(site: Site) -> Step:
    """Go there if acc is 0."""
    (target,), after = site.slots, site.after
    return lambda _machine, slots: after if slots[ACC] else target


def jnz(site: Site) -> Step:
    """Go there if acc is not 0."""
    (target,), after = site.slots, site.after
    return lambda _machine, slots: target if slots[ACC] else after


def call(site: Site) -> Step:
    """Save the registers and go to a function."""
    (target,), after = site.slots, site.after

    def step(machine: Machine, slots: list[int]) -> int:
        frames = machine.frames
        if len(frames) >= DEPTH:
            raise Fault("call stack overflow")
        frames.append((after, slots[:REGISTERS]))
        return target

    return step


def attempt(site: Site) -> Step:
    """The same, as the place to which `bail` returns."""
    (target,), after = site.slots, site.after

    def step(machine: Machine, slots: list[int]) -> int:
        frames = machine.frames
        if len(frames) >= DEPTH:
            raise Fault("call stack overflow")
        machine.tries.append(len(frames))
        frames.append((after, slots[:REGISTERS]))
        return target

    return step


def ret(_site: Site) -> Step:
    """Return to the caller with the registers as it left them; without one, halt."""
    return _return


def retv(site: Site) -> Step:
    """The same, with a value in acc."""
    (value,) = site.slots

    def step(machine: Machine, slots: list[int]) -> int:
        slots[ACC] = slots[value]
        return _return(machine, slots)

    return step


def _return(machine: Machine, slots: list[int]) -> int:
    frames = machine.frames
    if not frames:
        raise Halted
    back, slots[:REGISTERS] = frames.pop()
    if machine.tries and machine.tries[-1] == len(frames):
        machine.tries.pop()
    return back


def bail(site: Site) -> Step:
    """Set acc and return to just after the innermost `try`, with its registers; without one, halt."""
    (value,) = site.slots

    def step(machine: Machine, slots: list[int]) -> int:
        slots[ACC] = slots[value]
        if not machine.tries:
            raise Halted
        depth = machine.tries.pop()
        back, slots[:REGISTERS] = machine.frames[depth]
        del machine.frames[depth:]
        return back

    return step


def halt(_site: Site) -> Step:
    """Stop; acc is the status."""
    return _halt


def _halt(_machine: Machine, _slots: list[int]) -> int:
    raise Halted
