"""The processes below one, whatever they have become: found through /proc, kept within reach, ended."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

ROUNDS = 200
"""How often those below a process are looked for, at most, where every look finds new ones."""

_QUIET = 2
"""Looks in a row that find nobody new: in a single one, who has just lost a parent may be missed."""

_SET_CHILD_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER (prctl(2))."""


def children(pid: int) -> set[int]:
    """The children of a process, those included that have ended and were not reaped."""
    found: set[int] = set()
    with suppress(OSError):  # it has ended
        for task in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError), open(f"/proc/{pid}/task/{task}/children", "rb") as list_of_them:
                found.update(map(int, list_of_them.read().split()))
    return found


def below(pid: int, spared: Collection[int] = ()) -> Iterator[int]:
    """All processes below one, parents first, but for those that are `spared` and who is below them."""
    found = set(spared)
    parents = deque((pid,))
    while parents:
        fresh = children(parents.popleft()) - found
        found |= fresh
        parents += fresh
        yield from fresh


def end_below(pid: int, spared: Collection[int] = ()) -> None:
    """Kill all processes below one. They are dead then, or dying, but not reaped.

    Those who leave their parent, group and session are found as long as `pid` lives and takes orphans in. It
    must start nobody meanwhile. Who was killed forks no more, so two quiet looks are an end. A group is ended
    as a whole: it may fork faster than its members are found. Any but that of `pid` was made below it.
    """
    seen: set[int] = set()
    groups: set[int] = set()
    with suppress(ProcessLookupError):
        groups.add(os.getpgid(pid))
    quiet = 0
    for _ in range(ROUNDS):
        before = len(seen)
        for one in below(pid, spared):
            if one not in seen:
                seen.add(one)
                _kill(one, groups)
        quiet = 0 if len(seen) > before else quiet + 1
        if quiet == _QUIET:
            return


def _kill(pid: int, groups: set[int]) -> None:
    """Kill a process, and its group unless it is one of `groups`, to which it is added."""
    with suppress(ProcessLookupError, PermissionError):
        group = os.getpgid(pid)
        os.kill(pid, signal.SIGKILL)
        if group not in groups:
            groups.add(group)
            os.killpg(group, signal.SIGKILL)


@contextmanager
def orphans_taken_in() -> Iterator[None]:
    """Inside, whoever below this process loses the parent becomes a child of this process, not of init.

    After an exception too: somebody may be left whom this process could not end, and another may yet.
    """
    _take_orphans_in(True)
    yield
    _take_orphans_in(False)


def _take_orphans_in(whether: bool) -> None:
    import ctypes  # the one way to prctl(2), and nothing for a process that only looks and kills

    if ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, int(whether), 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
