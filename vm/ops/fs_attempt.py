"""What all instructions on files share: they succeed with acc 0, or fail with acc 1 and errno kept."""

from __future__ import annotations

from collections.abc import Callable
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
