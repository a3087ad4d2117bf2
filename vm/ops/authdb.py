"""The passwd, shadow, group and gshadow files as one database of a run: opened, edited in memory, saved."""

from __future__ import annotations

from errno import EBADF

from vm.accounts.database import Database
from vm.accounts.entries import Entries, failure
from vm.accounts.table import Budget
from vm.machine import Machine
from vm.ops.build import INTO, NUMBER
from vm.ops.fs_attempt import attempts
from vm.program import HEAP, WORD

ROOT = b"/etc"
"""Where the files are, unless pragma `authdb.root` names another directory."""


class Authdb:
    """What a run has of the account files.

    Opening them again, as policies do for every user, does not take from the heap what it has taken before.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._opened: Database | None = None
        self._root = ROOT
        self._held = 0
        self._charged = 0

    @property
    def database(self) -> Database:
        """The database that is open. EBADF if none is."""
        if self._opened is None:
            raise failure(EBADF)
        return self._opened

    def open(self) -> None:
        """Read the files, in place of those that are open."""
        self.close()
        machine = self._machine
        self._root = machine.pragmas.get(b"authdb.root", ROOT)
        contents = machine.host.accounts.read(self._root, machine.limits.heap)
        for content in contents.values():
            self._grow(2 * len(content))  # as it was read, and as it is
            machine.labour(len(content))
        self._opened = Database(contents, Budget(machine.labour, self._grow))

    def save(self) -> None:
        """Write what has changed since the files were read or saved."""
        database = self.database
        database.complete()
        after = database.contents
        if after != database.before:
            self._machine.host.accounts.save(self._root, database.before, after, self._machine.poll)
            database.saved()

    def close(self) -> None:
        """Forget the files, if any are open."""
        self._opened = None
        self._held = 0

    def _grow(self, size: int) -> None:
        self._held += max(0, size)
        if self._held > self._charged:
            self._machine.remember(bytes(self._held - self._charged))
            self._charged = self._held


def database_of(machine: Machine) -> Database:
    """The database that a run has open. Raises OSError."""
    return machine.family(Authdb).database


def given(machine: Machine, entries: Entries, attribute: bytes, value: bytes | int) -> bytes | int:
    """The value that an attribute is set to: a string of digits will do for a number.

    A register holds the number or the address of the string.
    """
    if entries.attribute(attribute).number is None:
        return machine.text(value) if isinstance(value, int) else value
    if isinstance(value, int) and HEAP <= value < WORD:
        value = machine.text(value)
    if isinstance(value, int):
        return value
    return int(value) if value.isdigit() and len(value) <= 10 else value


@attempts()
def load(machine: Machine) -> None:
    """Open the files under pragma authdb.root."""
    machine.family(Authdb).open()


@attempts()
def save(machine: Machine) -> None:
    """Save them."""
    machine.family(Authdb).save()


@attempts()
def close(machine: Machine) -> None:
    """Forget them."""
    machine.family(Authdb).close()


@attempts(NUMBER, INTO)
def nextuid(machine: Machine, least: int) -> int:
    """The lowest free user id."""
    return database_of(machine).users.lowest_free(least)


@attempts(NUMBER, INTO)
def nextgid(machine: Machine, least: int) -> int:
    """The lowest free group id."""
    return database_of(machine).groups.lowest_free(least)
