"""Users or groups as entries of two files, found, changed, made and deleted. Pure; failures are OSErrors.

A user is an entry in passwd and one in shadow, a group one in group and one in gshadow, of which the second
of each, the secret one, may be missing.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from errno import EEXIST, EINVAL, ENODATA, ENOENT, ENOSPC
from os import strerror
from typing import ClassVar, NamedTuple

from vm.accounts.table import ID_LIMIT, Table
from vm.program import WORD

FIRST_ID = 1_000
"""From here on a user or group that was given no id gets the lowest free one."""

NAME = re.compile(rb"(?!\.{1,2}\Z)(?![0-9]+\Z)[^-+~#\x00-\x20\x7f:,/][^\x00-\x20\x7f:,/]{0,31}")
"""What a user or group may be named: as useradd(8) and groupadd(8) have it on Debian, but no number."""

TEXT = re.compile(rb"[^\x00-\x1f\x7f:]{0,4096}")
"""What any other field may hold, so that no value ends the field or the line."""


class Number(NamedTuple):
    """How a number stands in its field."""

    empty: int | None = None
    """What an empty field is read as; without, it has no value. Setting to WORD, which is -1, empties it."""
    zero: bytes = b"0"
    """What 0 is written as."""


class Attribute(NamedTuple):
    """Where an attribute stands."""

    secret: bool
    """Whether in shadow or gshadow, not in passwd or group."""
    column: int
    number: Number | None = None


class Entries(ABC):
    """The users, or the groups; at most one is current, and is what the methods without a name are about.

    One that was created is written under its name, so it is in no file before it has been given that.
    """

    attributes: ClassVar[Mapping[bytes, Attribute]]
    width: ClassVar[int]
    """Fields of passwd, or of group."""

    def __init__(self, main: Table, secret: Table | None) -> None:
        self.main = main
        self.secret = secret
        self._current: bytes | None = None
        self._nameless: tuple[list[bytes], list[bytes]] | None = None
        self._created: dict[bytes, None] = {}

    @property
    def current(self) -> bytes | None:
        """Its name, if there is one and it has one."""
        return self._current

    def attribute(self, name: bytes) -> Attribute:
        """Where it stands. EINVAL if there is no such attribute."""
        found = self.attributes.get(name)
        if found is None:
            raise failure(EINVAL)
        if found.secret and found.column == 1 and self.secret is None:
            return Attribute(secret=False, column=1)
        return found

    def exists(self, name: bytes) -> bool:
        """Whether there is one of this name."""
        return _sought(name) and self.main.find(name) is not None

    def find(self, name: bytes) -> None:
        """Make the one of this name current. ENOENT, and none is, if there is none."""
        self._current = self._nameless = None
        if not self.exists(name):
            raise failure(ENOENT)
        self._current = name

    def create(self) -> None:
        """Make a new one current."""
        mark = b"!" if self.secret is None else b"x"
        main = [b"", mark, *[b""] * (self.width - 2)]
        self._current, self._nameless = None, (main, self.locked(b"", main))

    def delete(self) -> bytes | None:
        """Remove the current one, with all that have its name; the name, if it had one."""
        name = self._current
        if name is None and self._nameless is None:
            raise failure(ENOENT)
        if name is not None:
            for table in self.tables:
                table.remove(name)
            self._created.pop(name, None)
        self._current = self._nameless = None
        return name

    def get(self, name: bytes) -> bytes | int:
        """An attribute of the current one. ENODATA if its number is not given, ENOENT without that entry."""
        where = self.attribute(name)
        text = self._fields(where.secret)[where.column]
        if where.number is None:
            return text
        if text.isdigit() and len(text) <= 10 and int(text) <= WORD:
            return int(text)
        if where.number.empty is None:
            raise failure(ENODATA)
        return where.number.empty

    def set(self, name: bytes, value: bytes | int) -> None:
        """Set an attribute of the current one. EINVAL of a value that it cannot have, EEXIST of a taken name.

        A shadow or gshadow entry that is missing is begun; ENOENT if the file is.
        """
        where = self.attribute(name)
        text = _field_of(where.number, value)
        if where.column == 0:
            self._rename(text)
        else:
            fields = self.begun() if where.secret else self._fields(secret=False)
            fields[where.column] = text
            self.put(where.secret, fields)

    def complete(self) -> None:
        """Give those that were created what an entry must have. EINVAL if the current one has no name."""
        if self._nameless is not None:
            raise failure(EINVAL)
        for name in self._created:
            fields = self.main.find(name)
            if fields is not None:
                self.main.put(name, self.completed(fields))
        self._created.clear()

    def lowest_free(self, least: int) -> int:
        """The lowest free id from `least` on. ENOSPC if there is none."""
        found = self.main.lowest_free(least)
        if found >= ID_LIMIT:
            raise failure(ENOSPC)
        return found

    @property
    def tables(self) -> list[Table]:
        """The files that there are, passwd or group first."""
        return [self.main] if self.secret is None else [self.main, self.secret]

    @abstractmethod
    def locked(self, name: bytes, main: list[bytes]) -> list[bytes]:
        """The secret entry of one that has none and whose other entry is `main`: no password fits it."""

    def completed(self, fields: list[bytes]) -> list[bytes]:
        """An entry of passwd or group, with an id."""
        return [*fields[:2], fields[2] or b"%d" % self.lowest_free(FIRST_ID), *fields[3:]]

    def line(self, secret: bool) -> list[bytes] | None:
        """The current one's entry in a file, if it has one there. ENOENT if none is current."""
        table = self.secret if secret else self.main
        if self._nameless is not None:
            return None if table is None else self._nameless[secret]
        if self._current is None:
            raise failure(ENOENT)
        return None if table is None else table.find(self._current)

    def begun(self) -> list[bytes]:
        """The current one's secret entry, a new one if it has none. ENOENT if the file is missing."""
        found = self.line(secret=True)
        if found is None and self.secret is not None and self._current is not None:
            return self.locked(self._current, self._fields(secret=False))
        if found is None:
            raise failure(ENOENT)
        return found

    def put(self, secret: bool, fields: list[bytes]) -> None:
        """Keep an entry of the current one, whose name is as it was."""
        table = self.secret if secret else self.main
        if table is not None and self._current is not None:
            table.put(self._current, fields)

    def _fields(self, secret: bool) -> list[bytes]:
        found = self.line(secret)
        if found is None:
            raise failure(ENOENT)
        return found

    def _rename(self, name: bytes) -> None:
        old = self._current
        lines = self._nameless or (self._fields(secret=False), self.line(secret=True))
        if name == old:
            return
        if not NAME.fullmatch(name):
            raise failure(EINVAL)
        if self.main.taken(name):
            raise failure(EEXIST)
        if self.secret is not None:
            self.secret.remove(name)  # of one that is no more: its password is not for the next of that name
        for table, fields in zip(self.tables, lines, strict=False):
            if fields is not None:
                table.put(old or name, [name, *fields[1:]])
        if old is None or old in self._created:
            self._created.pop(old or b"", None)
            self._created[name] = None
        self._current, self._nameless = name, None


def failure(number: int) -> OSError:
    """The error that a number stands for."""
    return OSError(number, strerror(number))


def _sought(name: bytes) -> bool:
    """Whether a line can be an entry of this name: comments and those for NIS are none."""
    return bool(name) and name[:1] not in {b"#", b"+", b"-"} and b":" not in name and b"\n" not in name


def _field_of(number: Number | None, value: bytes | int) -> bytes:
    """What stands in the field for a value. EINVAL if nothing does."""
    if isinstance(value, bytes):
        if number is None and TEXT.fullmatch(value):
            return value
    elif number is not None:
        if value == WORD and number.empty is not None:
            return b""
        if 0 <= value < ID_LIMIT:
            return b"%d" % value if value else number.zero
    raise failure(EINVAL)
