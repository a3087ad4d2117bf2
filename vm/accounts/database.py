"""The users and the groups of one directory, and who is in which group. Pure; failures are OSErrors."""

from __future__ import annotations

from collections.abc import Mapping
from errno import EINVAL, ENOENT
from functools import partial
from typing import ClassVar

from vm.accounts.entries import Attribute, Entries, Number, failure
from vm.accounts.table import SHAPES, Budget, Table
from vm.program import WORD

NOBODY = b"65534"
"""The primary group of a user that was given none: nogroup, or nobody, to which no file should belong."""

_ID = Number()
_CHANGED = Number(WORD)
_ALLOWANCE = Number(0)
_LONGEST = Number(0, b"")
_NEVER = Number(WORD, b"")
"""The C runtime writes 0 days as none, and shadow(5) warns of an expiry of 0."""


class Users(Entries):
    """Entries of passwd and shadow."""

    attributes: ClassVar[Mapping[bytes, Attribute]] = {
        b"username": Attribute(False, 0),
        b"password": Attribute(False, 1),
        b"uid": Attribute(False, 2, _ID),
        b"gid": Attribute(False, 3, _ID),
        b"comment": Attribute(False, 4),
        b"home": Attribute(False, 5),
        b"shell": Attribute(False, 6),
        b"pwhash": Attribute(True, 1),
        b"changed": Attribute(True, 2, _CHANGED),
        b"pwmin": Attribute(True, 3, _ALLOWANCE),
        b"pwmax": Attribute(True, 4, _LONGEST),
        b"pwwarn": Attribute(True, 5, _ALLOWANCE),
        b"inact": Attribute(True, 6, _NEVER),
        b"expiry": Attribute(True, 7, _NEVER),
    }
    width = 7

    def locked(self, name: bytes, main: list[bytes]) -> list[bytes]:
        """See Entries."""
        del main
        return [name, b"!", *[b""] * 7]

    def completed(self, fields: list[bytes]) -> list[bytes]:
        """An entry of passwd, with both ids."""
        return super().completed([*fields[:3], fields[3] or NOBODY, *fields[4:]])


class Groups(Entries):
    """Entries of group and gshadow. Of the two lists of members, group's is what counts; both are kept."""

    attributes: ClassVar[Mapping[bytes, Attribute]] = {
        b"name": Attribute(False, 0),
        b"password": Attribute(False, 1),
        b"gid": Attribute(False, 2, _ID),
        b"pwhash": Attribute(True, 1),
    }
    width = 4

    _LISTS: ClassVar[Mapping[bytes, tuple[tuple[bool, int], ...]]] = {
        b"member": ((False, 3), (True, 3)),
        b"admin": ((True, 2),),
    }
    """For each role the lists, by file and field, the one that counts first."""

    def get(self, name: bytes) -> bytes | int:
        """See Entries; `members`, the users that group names with commas between, can only be got."""
        return self._fields(secret=False)[3] if name == b"members" else super().get(name)

    def has(self, role: bytes, user: bytes) -> bool:
        """Whether a user is `member` or `admin` of the current group. EINVAL of any other role."""
        secret, column = self._lists(role)[0]
        fields = self.line(secret)
        return fields is not None and _listed(fields[column], user)

    def join(self, role: bytes, user: bytes) -> None:
        """Make a user that. ENOENT of an admin without gshadow."""
        for secret, column in self._lists(role):
            fields = self.begun() if role == b"admin" else self.line(secret)
            if fields is not None and not _listed(fields[column], user):
                fields[column] = fields[column] + b"," + user if fields[column] else user
                self.put(secret, fields)

    def kick(self, role: bytes, user: bytes) -> None:
        """Make a user that no more."""
        for secret, column in self._lists(role):
            fields = self.line(secret)
            if fields is not None and _listed(fields[column], user):
                fields[column] = _relisted(fields[column], user, None)
                self.put(secret, fields)

    def relist(self, user: bytes, name: bytes | None) -> None:
        """Have every list name a user that was renamed by its new name, or, without one, not at all.

        A name with a comma, which a file may hold, is in no list: there it would be two.
        """
        if b"," in user:
            return
        growth = max(0, len(name or b"") - len(user))
        for table, columns in zip(self.tables, ((3,), (2, 3)), strict=False):
            table.rewrite(user, growth, partial(_with_lists, columns=columns, user=user, name=name))

    def locked(self, name: bytes, main: list[bytes]) -> list[bytes]:
        """See Entries; the members are those that group has."""
        return [name, b"!", b"", main[3]]

    def _lists(self, role: bytes) -> tuple[tuple[bool, int], ...]:
        found = self._LISTS.get(role)
        if found is None:
            raise failure(EINVAL)
        return found


class Database:
    """The files together, as they were read and as they are now."""

    def __init__(self, contents: Mapping[str, bytes], budget: Budget) -> None:
        self.before = dict(contents)
        self._tables = {name: Table(SHAPES[name], content, budget) for name, content in contents.items()}
        self.users = Users(self._tables["passwd"], self._tables.get("shadow"))
        self.groups = Groups(self._tables["group"], self._tables.get("gshadow"))

    @property
    def contents(self) -> dict[str, bytes]:
        """The files as they are now, by name."""
        return {name: table.content for name, table in self._tables.items()}

    def complete(self) -> None:
        """Make the files fit to be saved: see Entries.complete."""
        self.users.complete()
        self.groups.complete()

    def saved(self) -> None:
        """Note that the files are now as this has them."""
        self.before = self.contents

    def set_user(self, attribute: bytes, value: bytes | int) -> None:
        """Entries.set of the current user, who stays in its groups whatever it is named."""
        before = self.users.current
        self.users.set(attribute, value)
        if before is not None and self.users.current != before:
            self.groups.relist(before, self.users.current)

    def delete_user(self) -> None:
        """Entries.delete of the current user, who is then in no group."""
        name = self.users.delete()
        if name is not None:
            self.groups.relist(name, None)

    def join(self, role: bytes, user: bytes) -> None:
        """Groups.join. ENOENT if there is no such user, EINVAL of a name that no list can hold."""
        if not self.users.exists(user):
            raise failure(ENOENT)
        if b"," in user:
            raise failure(EINVAL)
        self.groups.join(role, user)


def _listed(names: bytes, user: bytes) -> bool:
    return bool(user) and b"," not in user and b"," + user + b"," in b"," + names + b","


def _relisted(names: bytes, user: bytes, name: bytes | None) -> bytes:
    """A list with a user under another name, or without; whatever else is in it stays as it is."""
    old, new = b"," + user + b",", b"," if name is None else b"," + name + b","
    names = b"," + names + b","
    while old in names:  # each time every other one of several in a row
        names = names.replace(old, new)
    return names[1:-1]


def _with_lists(
    fields: list[bytes], columns: tuple[int, ...], user: bytes, name: bytes | None
) -> list[bytes]:
    for column in columns:
        fields[column] = _relisted(fields[column], user, name)
    return fields
