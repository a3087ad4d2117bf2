"""What benchmarks need of processes: children that end with them, processor time, memory, descriptors."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bench.startup import usual_python

_OF_A_PROCESS = 2
"""CPUCLOCK_SCHED: of a process's clocks the one that counts what all its threads ran."""


class Memory(NamedTuple):
    """KiB of a process: resident, and its share of what several have."""

    rss: int
    pss: int


def memory(pid: int) -> Memory:
    """What a process has in memory now."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return Memory(sizes["Rss"], sizes["Pss"])


def children(pid: int) -> list[int]:
    """The processes that one has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu(pid: int) -> float:
    """Seconds of processor time that a process has used so far, to the nanosecond, all its threads."""
    return time.clock_gettime(~pid << 3 | _OF_A_PROCESS)


@contextlib.contextmanager
def forked(work: Callable[..., None], *arguments: object) -> Iterator[int]:
    """The number of a child process that runs `work(*arguments)`, and is killed at the end of the block."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            work(*arguments)
        except KeyboardInterrupt:
            os._exit(0)
        except BaseException:  # noqa: BLE001 - nothing may go on into what the parent does next
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def raise_descriptors(needed: int) -> None:
    """Allow this process and its children so many descriptors, and more where the system lets them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < needed:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, needed))
            return
        raise SystemExit(
            f"each process here may open {hard} files, and {needed} are needed: ulimit -n {needed}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))


def use_the_brokers_python(module: str) -> None:
    """Start `module` anew in the Python that runs the broker, so that no side of a ratio has a better one."""
    python = usual_python()
    if os.path.realpath(python) == os.path.realpath(sys.executable):
        return
    packages = [path for path in sys.path if path.endswith("site-packages")]
    paths = os.pathsep.join((os.getcwd(), *packages))
    words = [python, "-m", module, *sys.argv[1:]]
    os.execve(python, words, os.environ | {"PYTHONPATH": paths})  # noqa: S606 - itself, in another Python
