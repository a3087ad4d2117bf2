"""Groups of the open database, and who is in them."""

from __future__ import annotations

from errno import ENOENT

from vm.accounts.entries import failure
from vm.machine import Machine
from vm.ops.authdb import database_of, given
from vm.ops.build import INTO, TEXT, VALUE
from vm.ops.fs_attempt import attempts


@attempts(TEXT)
def find(machine: Machine, name: bytes) -> None:
    """Find a group by name."""
    database_of(machine).groups.find(name)


@attempts(TEXT, INTO)
def get(machine: Machine, attribute: bytes) -> int:
    """An attribute: a number, or a string."""
    value = database_of(machine).groups.get(attribute)
    return value if isinstance(value, int) else machine.keep(value)


@attempts(TEXT, VALUE)
def change(machine: Machine, attribute: bytes, value: bytes | int) -> None:
    """Set an attribute."""
    groups = database_of(machine).groups
    groups.set(attribute, given(machine, groups, attribute, value))


@attempts()
def create(machine: Machine) -> None:
    """Begin a group, locked and without an id or members."""
    database_of(machine).groups.create()


@attempts()
def delete(machine: Machine) -> None:
    """Delete the group."""
    database_of(machine).groups.delete()


@attempts(TEXT, TEXT)
def has(machine: Machine, role: bytes, user: bytes) -> None:
    """Whether a user is member or admin of the group."""
    if not database_of(machine).groups.has(role, user):
        raise failure(ENOENT)


@attempts(TEXT, TEXT)
def join(machine: Machine, role: bytes, user: bytes) -> None:
    """Make a user of the database that."""
    database_of(machine).join(role, user)


@attempts(TEXT, TEXT)
def kick(machine: Machine, role: bytes, user: bytes) -> None:
    """Make a user that no more."""
    database_of(machine).groups.kick(role, user)
