"""From a plain function to the handler of an instruction: `takes` says what becomes of each operand.

Instructions that a program spends its time in build their own steps instead: registers, compare and flow.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from vm.machine import Machine
from vm.program import Handler, Site, Step

Reader = Callable[[Machine, list[int]], Any]


class Role(Enum):
    """What an instruction wants of an operand."""

    TEXT = "the string that it names, as bytes"
    PATH = "the same, of a file"
    NUMBER = "its value"
    VALUE = "the string, as bytes, if it is a constant one, or else its value"
    INTO = "the register itself, to be set"


TEXT, PATH, NUMBER, VALUE, INTO = Role


def takes(*roles: Role) -> Callable[[Callable[..., int | None]], Handler]:
    """Make a handler of a function of the machine and its operands, at most two.

    With INTO last, the function does not get that operand: what it returns is put into that register, and
    None leaves it alone.
    """

    def handler_of(act: Callable[..., int | None]) -> Handler:
        def build(site: Site) -> Step:
            into = site.slots[-1] if roles and roles[-1] is INTO else None
            readers = [_reader(role, site, n) for n, role in enumerate(roles) if role is not INTO]
            return _step(act, readers, into, site.after)

        return build

    return handler_of


def _step(act: Callable[..., int | None], readers: list[Reader], into: int | None, after: int) -> Step:
    def step(machine: Machine, slots: list[int]) -> int:
        result = act(machine, *[read(machine, slots) for read in readers])
        if into is not None and result is not None:
            slots[into] = result
        return after

    return step


def _reader(role: Role, site: Site, operand: int) -> Reader:
    slot, constant = site.slots[operand], site.texts[operand]
    if role is NUMBER or (role is VALUE and constant is None):
        return lambda _, slots: slots[slot]
    if constant is not None:
        return lambda _machine, _slots: constant
    return lambda machine, slots: machine.text(slots[slot])
