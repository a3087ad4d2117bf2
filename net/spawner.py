"""A small process, forked before Trio starts, that forks one child for each piece of work and can end it.

A process with threads must not fork, and Python's start-up is too slow to pay for every command and password;
so a process without threads waits at the end of a socket pair. It is the parent of every child, so what it is
to end cannot have become another process. A child has one end of a channel, the log, and nothing else of what
was open, but what was to be spared; what is said on the channel the spawner never sees. It outlives nobody:
when whoever started it goes, in whatever way, so do the children and it.

Each packet to it is a `Request`, a START with the child's end of a channel beside it (SCM_RIGHTS); each from
it says how the child of a number ended. Should it die it is not started again: it is too small to fail by
itself, and another way to start it would be one that nobody ever tries.
"""

from __future__ import annotations

import gc
import itertools
import math
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from enum import IntEnum

from errors import CwError
from host.child import Child
from host.usage import Ceiling


class Request(IntEnum):
    """What is asked of the spawner, for the child of a number."""

    START = 1
    STOP = 2  # SIGTERM to its process group, so that it may still say what it has
    KILL = 3  # SIGKILL to it and all below it


REQUEST = struct.Struct("!BQddd")
"""Request, number of the child; for START its limit, seconds until it is killed, and its ceiling."""
ENDED = struct.Struct("!Qi")
"""Number of the child, how it ended: exit status, or minus the signal."""
NOT_STARTED = 255
"""The status told of a child that could not be forked."""

Work = Callable[[socket.socket], None]
"""What a child does with its end of the channel."""

_OF_THE_PARENT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERNAL_ERROR = 70
_Policy = tuple[int, os.sched_param]
"""How the kernel gives a process its turns (sched(7))."""
_NONE = Ceiling()
_REST = 3.0
"""Seconds that the children are left alone for each of processor time that attending to them took: whoever
goes first and looks at thousands of processes without end would leave a host with one processor nothing else.
"""
_LONGEST_WAIT = 3600.0
"""Seconds; poll(2) cannot be told to wait for just any time."""


class SpawnError(CwError):
    """No process could be started."""


class Spawner:
    """The parent's side: the spawner's process and the socket to it. Nothing here blocks but `close`."""

    def __init__(self, pid: int, control: socket.socket) -> None:
        control.setblocking(False)
        self._pid = pid
        self._control = control
        self._numbers = itertools.count(1)

    def start(self, limit: float, ceiling: Ceiling = _NONE) -> tuple[int, socket.socket]:
        """Number of a new child, which is killed after `limit` seconds, and our end of its channel, which
        ends when the child does. Raises OSError.

        Once it and all below it use more than `ceiling`, all below it are killed, and it is told (`Excess`).
        """
        number = next(self._numbers)
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                start = REQUEST.pack(Request.START, number, limit, *ceiling)
                socket.send_fds(self._control, [start], [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        ours.setblocking(False)
        return number, ours

    def stop(self, number: int) -> None:
        """Ask a child to end. Nothing happens to one that has ended."""
        self._ask(Request.STOP, number)

    def kill(self, number: int) -> None:
        """End a child, and all below it."""
        self._ask(Request.KILL, number)

    def _ask(self, request: Request, number: int) -> None:
        with suppress(OSError):  # the spawner is dead or hangs; then the child's limit is left
            self._control.send(REQUEST.pack(request, number, 0, *_NONE))

    async def ends(self) -> AsyncIterator[tuple[int, int]]:
        """Number of each child as it ends, and how it did (`ENDED`), until the spawner itself has died."""
        import trio  # this module is loaded before the fork, and the spawner is to stay small

        control = trio.socket.from_stdlib_socket(self._control)
        with suppress(ConnectionResetError):
            while packet := await control.recv(ENDED.size):
                number, status = ENDED.unpack(packet)
                yield number, status

    def close(self) -> None:
        """End the spawner and its children, and wait for it."""
        self._control.close()
        os.waitpid(self._pid, 0)


def start(work: Work, spared: Sequence[int] = ()) -> Spawner:
    """Fork the spawner. To be called while this process has one thread. Raises SpawnError.

    Of all descriptors that are open it and its children keep those that are `spared`.
    """
    try:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        gc.freeze()  # a collection would write to every object, and so unshare the pages that both have
        pid = os.fork()
    except OSError as error:
        raise SpawnError(f"cannot start a process: {error.strerror}") from error
    if pid == 0:
        _leave(lambda: serve(theirs, work, spared))
    theirs.close()
    return Spawner(pid, ours)


def serve(control: socket.socket, work: Work, spared: Sequence[int] = ()) -> None:
    """The spawner's life: until the other end of `control` is closed; it then kills every child left."""
    _detach(control, spared)
    children = _Children(control, work, spared, _go_first())
    try:
        while children.turn():
            pass
    finally:
        children.kill_all()


def _detach(control: socket.socket, spared: Sequence[int]) -> None:
    """Leave the terminal and all open files but the log; leave signals to the parent."""
    os.setsid()
    for ignored in _OF_THE_PARENT:
        signal.signal(ignored, signal.SIG_IGN)
    # Blocked also at a fork: so one that is sent to a child too early waits until the child minds it.
    signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_PARENT)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    _close_all_but(control.fileno(), *spared)


def _go_first() -> _Policy | None:
    """Run before all others that want to, however many of them there are to be ended.

    What the children are to have again; None if nothing has changed: who is not root may not go first.
    """
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        return None
    return before


def _close_all_but(*kept: int) -> None:
    for last, following in itertools.pairwise((2, *sorted(kept), os.sysconf("SC_OPEN_MAX"))):
        os.closerange(last + 1, following)


def _leave(life: Callable[[], None]) -> None:
    """Live `life` and end this process without going back into the code that forked it."""
    status = _INTERNAL_ERROR
    try:
        life()
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is, this process ends here
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def _watched(pid: int, limit: float, ceiling: Ceiling) -> Child:
    """The child of that process id, which has hardly begun: it is killed where OSError is raised."""
    try:
        return Child(pid, limit, ceiling)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


class _Children:
    """The children by their numbers, and the socket that says what is to be done with them."""

    def __init__(
        self, control: socket.socket, work: Work, spared: Sequence[int], policy: _Policy | None
    ) -> None:
        self._control = control
        self._work = work
        self._spared = spared
        self._policy = policy
        self._children: dict[int, Child] = {}
        self._rested = 0.0
        """When, on the clock that never goes back, the children are attended to again."""

    def turn(self) -> bool:
        """Wait for the next event and deal with what there is; False once the parent is gone."""
        poll = select.poll()
        for descriptor in (self._control.fileno(), *(child.ended for child in self._children.values())):
            poll.register(descriptor, select.POLLIN)
        first = min((child.due for child in self._children.values()), default=math.inf)
        wait = min(max(0.0, max(first, self._rested) - time.monotonic()), _LONGEST_WAIT)
        ready = {descriptor for descriptor, _ in poll.poll(int(wait * 1000) + 1)}
        for number, child in tuple(self._children.items()):
            if child.ended in ready:
                del self._children[number]
                self._tell(number, child.bury())
        if self._rested <= time.monotonic():
            self._attend()
        return self._control.fileno() not in ready or self._obey()

    def _attend(self) -> None:
        before = time.thread_time()
        for child in self._children.values():
            child.attend()
        self._rested = time.monotonic() + _REST * (time.thread_time() - before)

    def _obey(self) -> bool:
        """Do what the next packet asks; False: the parent is gone."""
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._control, REQUEST.size, 1)
        except ConnectionResetError:  # gone without having heard everything
            return False
        if not packet:
            return False
        asked, number, limit, *ceiling = REQUEST.unpack(packet)
        if asked == Request.START:
            self._start(number, limit, Ceiling(*ceiling), descriptors)
        elif child := self._children.get(number):
            (child.stop if asked == Request.STOP else child.kill)()
        return True

    def _start(self, number: int, limit: float, ceiling: Ceiling, descriptors: list[int]) -> None:
        try:
            (descriptor,) = descriptors  # none: there is no room for another one
            with socket.socket(fileno=descriptor) as channel:
                pid = os.fork()
                if pid == 0:
                    _leave(lambda: self._live(channel))
            child = _watched(pid, limit, ceiling)
        except (OSError, ValueError):
            self._tell(number, NOT_STARTED)
            return
        # The child does so too, so that neither side is too late; it may have run another program or ended.
        with suppress(PermissionError, ProcessLookupError):
            os.setpgid(pid, pid)
        self._children[number] = child

    def _live(self, channel: socket.socket) -> None:
        if self._policy:
            os.sched_setscheduler(0, *self._policy)
        os.setpgid(0, 0)
        _close_all_but(channel.fileno(), *self._spared)
        channel.set_inheritable(False)
        for changed in _OF_THE_PARENT:
            signal.signal(changed, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OF_THE_PARENT)
        self._work(channel)

    def kill_all(self) -> None:
        for child in self._children.values():
            child.kill()

    def _tell(self, number: int, status: int) -> None:
        with suppress(OSError):  # the parent is gone, which the next packet will say, or does not listen
            self._control.send(ENDED.pack(number, status), socket.MSG_DONTWAIT)
