"""Programs run as children of this process, one at a time, and ended with all that they have started.

A program has a session of its own, so no terminal, nothing open but its three standard streams, the signals'
defaults, and the environment, mask and ids that it is ordered with. This process must have one thread.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from errno import E2BIG, EINVAL, ENAMETOOLONG
from fcntl import F_GETPIPE_SZ, fcntl
from typing import IO, NamedTuple

from host.descendants import children, end_below, orphans_taken_in
from host.itself import archive, as_it_was, itself
from vm.host.programs import Order, Sink

LOOK = 50
"""Milliseconds between two looks at whether a program may go on."""

GRACE = 0.5
"""Seconds between SIGTERM and SIGKILL: less than an agent gives the process that this runs in."""

REAPING = 1.0
"""Seconds that killed processes may take to be gone: some system calls cannot be killed."""

BLOCK = 65_536
"""Bytes that are read at once."""

WORDS = 6 * 1024 * 1024
"""Bytes of words and environment that the kernel takes, whatever the stack's limit (execve(2))."""

LONGEST = 131_071
"""Bytes of a single word, or of a variable, that it takes."""

NAME = 255
"""Bytes of a file's name."""

NO_GROUP = 65_534
"""The group of a user whom no database knows: the kernel's overflow gid, which owns nothing."""

NO_ID = 0xFFFFFFFF
"""-1, with which setreuid(2) would change nothing."""


class LocalPrograms:
    """vm.host.programs.Programs on real processes."""

    def __init__(self) -> None:
        self._left: set[int] = set()
        """What programs left running when they ended: it may end any time, and is then ours to reap."""

    def run(self, order: Order, output: Sink, errors: Sink, heed: Callable[[], None]) -> int:
        """See vm.host.programs.Programs."""
        self._left = _unreaped(self._left)
        with orphans_taken_in():
            known = children(os.getpid())
            program = _started(order)
            try:
                _hear(program, (output, errors), heed)
                heed()  # it may have been ended by what ends us
                status = program.wait()
            except BaseException:
                _end(program, known)
                raise
            finally:
                for pipe in _pipes(program):
                    pipe.close()
            self._left |= children(os.getpid()) - known
        return 128 - status if status < 0 else status


class Identity(NamedTuple):
    """What subprocess.Popen is told of ids; None is as they are."""

    user: int | None = None
    group: int | None = None
    extra_groups: list[int] | None = None


def identity_of(user: int | None, group: int | None) -> Identity:
    """Every id that a program of that user and group has: none of ours is left.

    A user has the groups of the databases. EINVAL for an id that is none.
    """
    if NO_ID in (user, group):
        raise _failure(EINVAL)
    if user in (None, os.geteuid()) and group in (None, os.getegid()):
        return Identity()
    if user is None:
        return Identity(None, group, [])
    import pwd

    try:
        entry = pwd.getpwuid(user)
    except KeyError:
        return Identity(user, NO_GROUP if group is None else group, [])
    group = entry.pw_gid if group is None else group
    return Identity(user, group, os.getgrouplist(entry.pw_name, group))


def _started(order: Order) -> subprocess.Popen[bytes]:
    """The program, running. Raises OSError, exec's own too."""
    _insist(order)
    identity = identity_of(order.user, order.group)
    ours = archive() if order.of_cw else None
    before = [] if not order.of_cw else itself() if ours is None else as_it_was(ours)
    return subprocess.Popen(
        [*map(os.fsencode, before), *order.words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        cwd="/",
        env=order.environment,
        umask=order.umask,
        start_new_session=True,
        pass_fds=() if ours is None else (ours,),
        user=identity.user,
        group=identity.group,
        extra_groups=identity.extra_groups,
    )


def _insist(order: Order) -> None:
    """Raise what the kernel would, before any of it is copied, or cut at its first NUL.

    subprocess joins the program's name to each directory of PATH beforehand: without a bound of both, a long
    name and a long PATH would take all memory there is.
    """
    texts = (*order.words, *order.environment, *order.environment.values())
    if not order.words or any(b"\0" in text for text in texts):
        raise _failure(EINVAL)
    if max(map(len, texts)) > LONGEST or sum(len(text) + 1 for text in texts) > WORDS:
        raise _failure(E2BIG)
    if b"/" not in order.words[0] and len(order.words[0]) > NAME:
        raise _failure(ENAMETOOLONG)


def _failure(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _hear(program: subprocess.Popen[bytes], sinks: tuple[Sink, Sink], heed: Callable[[], None]) -> None:
    """Pass on what a program writes until it has ended, then what it left in its pipes.

    Not until their end: another program that it has started may hold them for ever.
    """
    pipes = {pipe.fileno(): sink for pipe, sink in zip(_pipes(program), sinks, strict=True)}
    ended = os.pidfd_open(program.pid)
    try:
        poll = select.poll()
        for descriptor in (ended, *pipes):
            poll.register(descriptor, select.POLLIN)
        ready: Collection[int] = ()
        while ended not in ready:
            heed()
            ready = {descriptor for descriptor, _ in poll.poll(LOOK)}
            for pipe in pipes.keys() & ready:
                piece = os.read(pipe, BLOCK)
                if piece:
                    pipes[pipe](piece)
                else:
                    poll.unregister(pipe)
                    del pipes[pipe]
        for pipe, sink in pipes.items():
            _drain(pipe, sink)
    finally:
        os.close(ended)


def _pipes(program: subprocess.Popen[bytes]) -> list[IO[bytes]]:
    """Our ends of its standard output and error."""
    return [pipe for pipe in (program.stdout, program.stderr) if pipe is not None]


def _drain(pipe: int, sink: Sink) -> None:
    """Pass on what is in a pipe, and not what somebody goes on writing into it."""
    os.set_blocking(pipe, False)
    left = fcntl(pipe, F_GETPIPE_SZ)
    with suppress(BlockingIOError):
        while left > 0 and (piece := os.read(pipe, BLOCK)):
            left -= len(piece)
            sink(piece)


def _end(program: subprocess.Popen[bytes], known: set[int]) -> None:
    """Ask a program to end, then kill it and all below it, and reap them; `known` are no part of it."""
    deadline = time.monotonic() + GRACE

    def hurry() -> None:
        if time.monotonic() >= deadline:
            raise TimeoutError

    try:
        _send(program, signal.SIGTERM)
        with suppress(TimeoutError):
            _hear(program, (_nowhere, _nowhere), hurry)
    finally:
        _send(program, signal.SIGKILL)
        _unreaped(children(os.getpid()) - known - {program.pid})  # they may be many, and are in the way
        end_below(os.getpid(), known)
        deadline = time.monotonic() + REAPING
        # Until a look finds nobody: whose parent was reaped a moment ago is ours by the next one.
        while (left := children(os.getpid()) - known) and time.monotonic() < deadline:
            program.poll()
            if _unreaped(left - {program.pid}) or program.returncode is None:
                select.poll().poll(1)
        program.poll()


def _send(program: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to the group of a program, whose number is its own: it is not reaped yet."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, number)


def _nowhere(_piece: bytes) -> None:
    """Takes what nobody wants any more."""


def _unreaped(pids: Collection[int]) -> set[int]:
    """Reap those of these children that have ended; the others."""
    left = set()
    for pid in pids:
        with suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                left.add(pid)
    return left
