"""Which processes of this host hold a TCP connection to some address, as /proc tells (proc(5))."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TABLES = {socket.AF_INET: Path("/proc/net/tcp"), socket.AF_INET6: Path("/proc/net/tcp6")}
_ESTABLISHED = "01"
_WORD = 8
"""Hex digits of 32 bits, which stand there in this machine's order."""
_PROCESSES = Path("/proc")


class Process(NamedTuple):
    """A process, and the words that it was started with."""

    number: int
    words: tuple[str, ...]


def holders(peers: Collection[tuple[str, int]], role: str) -> list[Process]:
    """The processes of a role of cw that are connected to one of the peers: addresses and ports.

    Of other users' processes only root is told.
    """
    sockets = {f"socket:[{inode}]" for peer, inode in _established() if peer in peers}
    return [process for process in _running(role) if sockets.intersection(_open_in(process))]


def _established() -> Iterator[tuple[tuple[str, int], str]]:
    """The far end of each connection, and the number of our socket."""
    for family, table in _TABLES.items():
        for line in _lines(table)[1:]:
            fields = line.split()
            if fields[3] == _ESTABLISHED:
                yield _address(family, fields[2]), fields[9]


def _address(family: int, text: str) -> tuple[str, int]:
    digits, _, port = text.partition(":")
    words = [digits[at : at + _WORD] for at in range(0, len(digits), _WORD)]
    packed = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
    return socket.inet_ntop(family, packed), int(port, 16)


def _lines(table: Path) -> list[str]:
    try:
        return table.read_text().splitlines()
    except OSError:  # this host has no IPv6
        return []


def _running(role: str) -> Iterator[Process]:
    names = {role, f"cw-{role}"}
    for entry in _PROCESSES.iterdir():
        with suppress(OSError):  # it has ended
            if entry.name.isdigit():
                words = os.fsdecode((entry / "cmdline").read_bytes()).split("\0")
                if names.intersection(map(os.path.basename, words)):
                    yield Process(int(entry.name), tuple(words[:-1]))


def _open_in(process: Process) -> set[str]:
    """What its descriptors are."""
    found: set[str] = set()
    with suppress(OSError):  # it has ended, or is not ours
        for descriptor in (_PROCESSES / str(process.number) / "fd").iterdir():
            with suppress(OSError):  # it was closed
                found.add(os.readlink(descriptor))
    return found
