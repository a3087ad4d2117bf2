"""The environment of the programs that this one runs: nothing of the environment that cw runs in."""

from __future__ import annotations

from errno import EINVAL

from vm.machine import Machine
from vm.ops.build import INTO, TEXT, takes


@takes(TEXT, INTO)
def get(machine: Machine, name: bytes) -> int | None:
    """The value of a variable; acc 1 if there is none."""
    value = machine.environment.get(name)
    machine.acc = 1 if value is None else 0
    return None if value is None else machine.keep(value)


@takes(TEXT, TEXT)
def change(machine: Machine, name: bytes, value: bytes) -> None:
    """Set a variable; EINVAL for what no environment can hold (environ(7))."""
    if not _is_name(name) or b"\0" in value:
        machine.failed(OSError(EINVAL, "no variable"))
        return
    machine.remember(name)
    machine.remember(value)
    machine.environment[name] = value
    machine.acc = 0


@takes(TEXT)
def unset(machine: Machine, name: bytes) -> None:
    """Remove a variable, which need not be there; EINVAL for what is no name (unsetenv(3))."""
    if not _is_name(name):
        machine.failed(OSError(EINVAL, "no variable"))
        return
    machine.environment.pop(name, None)
    machine.acc = 0


def _is_name(name: bytes) -> bool:
    return bool(name) and b"=" not in name and b"\0" not in name
