"""What a daemon knows of its own process: since when it runs, whether it serves, what it costs."""

from __future__ import annotations

import os
import resource
import time
from enum import StrEnum
from pathlib import Path

_STATM = Path("/proc/self/statm")
_DESCRIPTORS = "/proc/self/fd"


class Phase(StrEnum):
    """Where in its life a daemon is."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class Vitals:
    """Of this process; to be made when it starts. `phase` is whoever's who wires the daemon."""

    def __init__(self) -> None:
        self.since = time.time()
        """Seconds since 1970."""
        self.phase = Phase.STARTING


def processor_seconds() -> float:
    """User and system time of this process until now."""
    return time.process_time()


def resident_bytes() -> int | None:
    """Memory of this process that is in RAM; None where the host does not tell."""
    try:
        return int(_STATM.read_text().split()[1]) * resource.getpagesize()
    except OSError:  # without a descriptor left, for one
        return None


def open_descriptors() -> int | None:
    """How many there are; None before Linux 6.2, where counting ten thousand takes tens of milliseconds."""
    try:
        return os.stat(_DESCRIPTORS).st_size or None
    except OSError:
        return None


def most_descriptors() -> int:
    """How many this process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
