"""Directories read entry by entry. Each is read whole when it is opened, and shows no later change."""

from __future__ import annotations

from collections.abc import Iterator
from errno import EBADF
from itertools import count

from vm.faults import Limit
from vm.machine import OVERHEAD, Machine
from vm.ops.build import INTO, NUMBER, PATH, takes
from vm.ops.fs_attempt import attempts


class Listings:
    """The directories that a run has open, by handle: the lowest number from 0 on that is free."""

    def __init__(self, machine: Machine) -> None:
        self._limit = machine.limits.directories
        self._open: dict[int, Iterator[bytes]] = {}

    def check(self) -> None:
        """Fault if no more can be open."""
        if len(self._open) >= self._limit:
            raise Limit("directories", self._limit)

    def add(self, names: list[bytes]) -> int:
        """Hold the sorted names of a directory; its handle."""
        handle = next(number for number in count() if number not in self._open)
        self._open[handle] = iter(names)
        return handle

    def next(self, handle: int) -> bytes | None:
        """The next name, or None at the end. Raises OSError."""
        if handle not in self._open:
            raise OSError(EBADF, "no such open directory")
        return next(self._open[handle], None)

    def close(self, handle: int) -> None:
        """Free a handle. Raises OSError."""
        if self._open.pop(handle, None) is None:
            raise OSError(EBADF, "no such open directory")


@attempts(PATH, INTO)
def opendir(machine: Machine, path: bytes) -> int:
    """Open a directory, whose entries the heap is charged for here."""
    listings = machine.family(Listings)
    listings.check()
    names = []
    with machine.host.files.names(path) as found:
        for name in found:
            machine.remember(name)
            machine.labour(len(name) + OVERHEAD)
            names.append(name)
    names.sort()
    return listings.add(names)


@takes(NUMBER, INTO)
def readdir(machine: Machine, handle: int) -> int | None:
    """The next entry in order of bytes. The end, unlike a wrong handle, leaves no error for perror."""
    try:
        name = machine.family(Listings).next(handle)
    except OSError as error:
        machine.failed(error)
        return None
    machine.acc = 1 if name is None else 0
    if name is None:
        machine.errno = 0
        return None
    return machine.place(name)


@attempts(NUMBER)
def closedir(machine: Machine, handle: int) -> None:
    """Close a directory."""
    machine.family(Listings).close(handle)
