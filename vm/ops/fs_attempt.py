"""What all instructions on files share: acc 0, or acc 1 and errno kept; the clock minded in long ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from errno import EINVAL

from vm.machine import Machine
from vm.ops.build import PATH, Role, takes
from vm.program import Handler


def path_of(text: bytes) -> bytes:
    """A string as a path. Raises OSError: a system call would see only what is before a NUL."""
    if b"\0" in text:
        raise OSError(EINVAL, "a path with a NUL in it")
    return text


def attempts(*roles: Role) -> Callable[[Callable[..., int | None]], Handler]:
    """Like `takes`, for a function that may raise OSError: of a failure nothing is put into a register."""

    def handler_of(act: Callable[..., int | None]) -> Handler:
        def attempt(machine: Machine, *operands: bytes | int) -> int | None:
            try:
                for role, operand in zip(roles, operands, strict=False):
                    if role is PATH and isinstance(operand, bytes):
                        path_of(operand)
                result = act(machine, *operands)
            except OSError as error:
                machine.failed(error)
                return None
            machine.acc = 0
            return result

        return takes(*roles)(attempt)

    return handler_of


def links(machine: Machine) -> bool:
    """Whether paths may lead through symbolic links: not where pragma fs.links is off."""
    return machine.pragmas.get(b"fs.links") != b"off"


def polled(machine: Machine, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The blocks of a file, with a look at the clock and the cancel flag before each is used."""
    for block in blocks:
        machine.poll()
        yield block
