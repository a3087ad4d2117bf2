"""What a process and all below it use of the host together, and whether that is too much; read from /proc."""

from __future__ import annotations

import math
import os
import signal
from enum import IntEnum
from itertools import chain
from typing import NamedTuple

from host.descendants import below

_LONGEST = 1 << 20
"""Bytes that are read of a status: before memory come up to 65,536 groups (setgroups(2))."""


class Ceiling(NamedTuple):
    """What a process and all below it may use together."""

    memory: float = math.inf
    """Bytes, swapped out or not. What forks still share counts for each of them; memory that is meant to be
    shared, as much as one process has of it; pages of files, which the kernel can take back, not at all."""
    processes: float = math.inf
    """Processes, and threads beyond the first of each."""


class Excess(IntEnum):
    """What there is too much of; the value is the signal that tells a process so."""

    MEMORY = signal.SIGUSR1
    PROCESSES = signal.SIGUSR2


def excess(pid: int, ceiling: Ceiling) -> Excess | None:
    """What a process and all below it have too much of.

    Nothing is read that waits for a process, as smaps_rollup does while its process forks or maps: who cannot
    be looked at without waiting could never be ended.
    """
    threads = own = shared = 0
    for one in chain((pid,), below(pid)):
        status = _status(one)
        threads += _number(status, b"Threads")
        if threads > ceiling.processes:
            return Excess.PROCESSES
        own += _number(status, b"RssAnon") + _number(status, b"VmSwap")
        shared = max(shared, _number(status, b"RssShmem"))
    return Excess.MEMORY if 1024 * (own + shared) > ceiling.memory else None


def _status(pid: int) -> bytes:
    """Nothing of a process that has ended, or that we may not know about."""
    try:
        descriptor = os.open(f"/proc/{pid}/status", os.O_RDONLY)
        try:
            return os.read(descriptor, _LONGEST)
        finally:
            os.close(descriptor)
    except OSError:
        return b""


def _number(status: bytes, name: bytes) -> int:
    """The number in the line of that name, 0 where there is none; of memory, kibibytes."""
    value = status.partition(b"\n" + name + b":")[2].partition(b"\n")[0]
    return int(value.split()[0]) if value else 0
