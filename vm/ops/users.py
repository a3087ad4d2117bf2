"""Users of the open database."""

from __future__ import annotations

from vm.machine import Machine
from vm.ops.authdb import database_of, given
from vm.ops.build import INTO, TEXT, VALUE
from vm.ops.fs_attempt import attempts


@attempts(TEXT)
def find(machine: Machine, name: bytes) -> None:
    """Find a user by name."""
    database_of(machine).users.find(name)


@attempts(TEXT, INTO)
def get(machine: Machine, attribute: bytes) -> int:
    """An attribute: a number, or a string."""
    value = database_of(machine).users.get(attribute)
    return value if isinstance(value, int) else machine.keep(value)


@attempts(TEXT, VALUE)
def change(machine: Machine, attribute: bytes, value: bytes | int) -> None:
    """Set an attribute."""
    database = database_of(machine)
    database.set_user(attribute, given(machine, database.users, attribute, value))


@attempts()
def create(machine: Machine) -> None:
    """Begin a user, locked and without ids or home."""
    database_of(machine).users.create()


@attempts()
def delete(machine: Machine) -> None:
    """Delete the user, who then is in no group."""
    database_of(machine).delete_user()
