"""The policy master's copies of files."""

from __future__ import annotations

from vm.machine import Machine
from vm.ops.build import INTO, PATH, TEXT, takes
from vm.ops.fs_attempt import attempts, polled
from vm.ops.fs_changes import FILE_MODE


@takes()
def live(machine: Machine) -> None:
    """Acc 0 if the policy master can be asked."""
    machine.acc = 0 if machine.host.remote.live() else 1


@attempts(TEXT, INTO)
def sha1(machine: Machine, name: bytes) -> int:
    """SHA-1 of its copy of a file, in hexadecimal."""
    return machine.keep(machine.host.remote.sha1(name))


@attempts(TEXT, PATH)
def file(machine: Machine, name: bytes, path: bytes) -> None:
    """Write its copy to a file as fs.put would: in one step once all of it is there."""
    blocks = polled(machine, machine.host.remote.contents(name))
    machine.host.files.write(path, blocks, FILE_MODE & ~machine.umask)
