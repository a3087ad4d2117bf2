"""What a machine keeps besides registers and strings: pragmas, properties, flags, mask, ids."""

from __future__ import annotations

from vm.machine import RUNTIME, Machine
from vm.ops.build import INTO, NUMBER, TEXT, takes
from vm.program import HEAP, REGISTERS, Site, Step


def pragma(site: Site) -> Step:
    """Set a pragma; a number is kept as its decimal digits."""
    (name, value), (_, text), after = site.slots, site.texts, site.after

    def step(machine: Machine, slots: list[int]) -> int:
        setting = text if text is not None else str(slots[value]).encode()
        machine.set_pragma(machine.text(slots[name]), setting)
        return after

    return step


@takes(TEXT, INTO)
def lookup(machine: Machine, name: bytes) -> int | None:
    """Look a property up, then a pragma."""
    found = machine.properties.get(name)
    if found is None:
        found = machine.pragmas.get(name)
    machine.acc = 1 if found is None else 0
    return None if found is None else machine.keep(found)


@takes(TEXT)
def flag(machine: Machine, name: bytes) -> None:
    """Set a flag."""
    if name not in machine.flags:
        machine.remember(name)
        machine.flags.add(name)


@takes(TEXT)
def unflag(machine: Machine, name: bytes) -> None:
    """Clear a flag."""
    machine.flags.discard(name)


@takes(TEXT)
def flagged(machine: Machine, name: bytes) -> None:
    """Test a flag."""
    machine.acc = 0 if name in machine.flags else 1


@takes(NUMBER, INTO)
def umask(machine: Machine, mask: int) -> int:
    """Set the machine's own file mode creation mask; the one before."""
    before, machine.umask = machine.umask, mask & 0o777
    return before


@takes(INTO)
def geteuid(machine: Machine) -> int:
    """The effective user id."""
    machine.acc = 0
    return machine.host.identity()[0]


@takes(INTO)
def getegid(machine: Machine) -> int:
    """The effective group id."""
    machine.acc = 0
    return machine.host.identity()[1]


@takes(INTO)
def runtime(_machine: Machine) -> int:
    """The version of the instruction set."""
    return RUNTIME


@takes()
def dump(machine: Machine) -> None:
    """Print the machine's state."""
    registers = [f"%{chr(ord('a') + n)} {machine.slots[n]:08x}" for n in range(REGISTERS)]
    lines = ["  ".join(registers[n : n + 4]) for n in range(0, REGISTERS, 4)]
    lines.append(f"acc {machine.acc:08x}")
    lines += [f"stack {depth}: {value:08x}" for depth, value in enumerate(reversed(machine.stack))]
    lines += [
        f"call {n}: returns to {machine.program.place(back)}" for n, (back, _) in enumerate(machine.frames)
    ]
    machine.write(machine.output, "".join(line + "\n" for line in lines).encode())
    for number, text in enumerate(machine.heap):
        machine.labour(64)
        shown = text[:64].decode("latin-1").encode("unicode_escape").decode()
        machine.write(machine.output, f"heap {HEAP | number:08x}: {len(text)} bytes: {shown}\n".encode())
