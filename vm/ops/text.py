"""Strings made, hashed and written: formats are those of vm.formats."""

from __future__ import annotations

import os

from vm.machine import Machine
from vm.ops.build import INTO, TEXT, takes
from vm.program import Site, Step


@takes(TEXT, INTO)
def string(machine: Machine, template: bytes) -> int:
    """Format into a new string."""
    return machine.keep(machine.format(template))


@takes(TEXT)
def write(machine: Machine, template: bytes) -> None:
    """Format to standard output."""
    machine.write(machine.output, machine.format(template))


@takes(TEXT)
def error(machine: Machine, template: bytes) -> None:
    """Format to standard error, with a newline."""
    machine.write(machine.errors, machine.format(template) + b"\n")


@takes(TEXT)
def perror(machine: Machine, template: bytes) -> None:
    """The same, with what went wrong last."""
    reason = f": ({machine.errno}) {os.strerror(machine.errno)}\n"
    machine.write(machine.errors, machine.format(template) + reason.encode())


@takes(INTO)
def errno(machine: Machine) -> int:
    """What perror would tell of, as a number."""
    return machine.errno


@takes(TEXT)
def topic(machine: Machine, text: bytes) -> None:
    """Set what %T stands for."""
    machine.topic = text


@takes(TEXT, INTO)
def sha1(machine: Machine, text: bytes) -> int:
    """SHA-1 of a string, in hexadecimal."""
    import hashlib  # here, since it loads OpenSSL: 3 MiB that an agent seldom needs

    machine.labour(8 * len(text))
    machine.acc = 0
    return machine.keep(hashlib.sha1(text, usedforsecurity=False).hexdigest().encode())


def string_cut(site: Site) -> Step:
    """Leave a register's string without so many bytes in front; of a shorter one nothing is left."""
    (into, count), after = site.slots, site.after

    def step(machine: Machine, slots: list[int]) -> int:
        text = machine.text(slots[into])
        machine.labour(len(text))
        slots[into] = machine.keep(text[slots[count] :])
        return after

    return step
