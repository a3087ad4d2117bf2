"""The policy master's copies of files."""

from __future__ import annotations

from vm.machine import Machine
from vm.ops.build import INTO, TEXT, takes
from vm.program import Handler


@takes()
def live(machine: Machine) -> None:
    """Acc 0 if the policy master can be asked."""
    machine.acc = 0 if machine.host.remote.live() else 1


@takes(TEXT, INTO)
def sha1(machine: Machine, name: bytes) -> int | None:
    """SHA-1 of its copy of a file, in hexadecimal."""
    try:
        digest = machine.host.remote.sha1(name)
    except OSError as error:
        machine.failed(error)
        return None
    machine.acc = 0
    return machine.keep(digest)


file: Handler | None = None
