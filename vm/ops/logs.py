"""Logging through the host, at a level of the machine's own."""

from __future__ import annotations

from vm.faults import Fault
from vm.machine import Machine
from vm.ops.build import INTO, TEXT, takes

LEVELS = ("emergency", "alert", "critical", "error", "warning", "notice", "info", "debug")
"""Gravest first, as syslog(3) has them."""

_SHORT = {"emerg": "emergency", "crit": "critical", "err": "error", "warn": "warning"}


def level_of(text: bytes) -> str:
    """The level that a program names. Faults on any other name."""
    name = text.decode(errors="replace").lower()
    name = _SHORT.get(name, name)
    if name not in LEVELS:
        raise Fault(f"unknown log level {name[:32]!r} (expected one of: {', '.join(LEVELS)})")
    return name


@takes(TEXT, TEXT)
def syslog(machine: Machine, level: bytes, template: bytes) -> None:
    """Log a formatted message, unless the log level leaves it out."""
    name = level_of(level)
    text = machine.format(template)
    if LEVELS.index(name) <= LEVELS.index(machine.log_level):
        machine.log(name, text)


@takes(TEXT, INTO)
def loglevel(machine: Machine, level: bytes) -> int:
    """Set the log level (an empty one leaves it alone); the one before."""
    before = machine.keep(machine.log_level.encode())
    if level:
        machine.log_level = level_of(level)
    return before
