"""A small process, forked before Trio starts, that forks one child for each command and ends it when told.

An agent with threads must not fork, and Python's start-up is too slow to pay for every command; so a process
without threads waits at the end of a socket pair. It is the parent of every child, so what it is told to end
cannot have become another process. It outlives nobody: when the agent goes, in whatever way, so do the
children and it.

Each packet to it is a `Request`, a START with the child's end of a channel beside it (SCM_RIGHTS); each from
it says how the child of a number ended. Should this process die, the agent ends too, to be started anew by
whatever started it: this is too small to fail by itself, and another way to start it would be one that nobody
ever tries.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple


class Request(IntEnum):
    """What the agent asks of the spawner, for the child of a number."""

    START = 1
    STOP = 2  # SIGTERM to its process group, so that it may still say what it has
    KILL = 3  # SIGKILL to its process group, its children included


REQUEST = struct.Struct("!BQ")
"""Request, number of the child."""
ENDED = struct.Struct("!Qi")
"""Number of the child, how it ended: exit status, or minus the signal."""
NOT_STARTED = 255
"""The status told of a child that could not be forked."""

_SIGNALS = {Request.STOP: signal.SIGTERM, Request.KILL: signal.SIGKILL}
_OF_THE_AGENT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERNAL_ERROR = 70


class Spawner(NamedTuple):
    """The agent's side: the spawner's process and the socket to it."""

    pid: int
    control: socket.socket


def start(work: Callable[[socket.socket], None]) -> Spawner:
    """Fork the spawner; each of its children calls `work` with its end of the channel, and exits.

    To be called while the process has one thread. Raises OSError if there can be no more processes.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        _leave(lambda: serve(theirs, work))
    theirs.close()
    return Spawner(pid, ours)


def serve(control: socket.socket, work: Callable[[socket.socket], None]) -> None:
    """The spawner's life: until the other end of `control` is closed; it then kills every child left."""
    _detach()
    children = _Children(control, work)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, _wake_up)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(wake_read, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if wake_read in ready:
            os.read(wake_read, 4096)
        children.reap()
        if control.fileno() in ready and not children.obey():
            break
    children.kill_all()


def _wake_up(_signal: int, _frame: object) -> None:
    """Nothing: a signal with a handler writes to the wake-up pipe, which is all that is wanted."""


def _detach() -> None:
    """Leave the terminal: no Ctrl-C from it, no question to it; and leave signals to the agent."""
    os.setsid()
    for ignored in _OF_THE_AGENT:
        signal.signal(ignored, signal.SIG_IGN)
    # Blocked also at a fork: so one that is sent to a child too early waits until the child minds it.
    signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_AGENT)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    if null != 0:
        os.close(null)


def _leave(life: Callable[[], None]) -> None:
    """Live `life` and end this process without going back into the code that forked it."""
    status = _INTERNAL_ERROR
    try:
        life()
        status = 0
    finally:
        if status:
            sys.excepthook(*sys.exc_info())
        os._exit(status)


class _Children:
    """The children that are alive or not reaped yet: so none of these process ids can be anyone else's."""

    def __init__(self, control: socket.socket, work: Callable[[socket.socket], None]) -> None:
        self._control = control
        self._work = work
        self._pids: dict[int, int] = {}
        self._condemned: set[int] = set()

    def obey(self) -> bool:
        """Do what the next packet asks; False: the agent is gone."""
        packet, descriptors, _, _ = socket.recv_fds(self._control, REQUEST.size, 1)
        if not packet:
            return False
        asked, number = REQUEST.unpack(packet)
        if asked == Request.START:
            with socket.socket(fileno=descriptors[0]) as channel:
                channel.set_inheritable(False)
                self._fork(number, channel)
        elif number in self._pids:
            self._condemned.add(number)
            _signal_group(self._pids[number], _SIGNALS[Request(asked)])
        return True

    def _fork(self, number: int, channel: socket.socket) -> None:
        try:
            pid = os.fork()
        except OSError:
            self._tell(number, NOT_STARTED)
            return
        if pid == 0:
            self._control.close()
            _leave(lambda: self._live(channel))
        _lead_group(pid)
        self._pids[number] = pid

    def _live(self, channel: socket.socket) -> None:
        signal.set_wakeup_fd(-1)
        for changed in (signal.SIGCHLD, *_OF_THE_AGENT):
            signal.signal(changed, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OF_THE_AGENT)
        _lead_group(os.getpid())
        self._work(channel)

    def reap(self) -> None:
        """Take leave of every child that has ended, and of the children of those that were to be ended."""
        for number, pid in list(self._pids.items()):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            if number in self._condemned:
                _signal_group(pid, signal.SIGKILL)
                self._condemned.discard(number)
            del self._pids[number]
            _, status = os.waitpid(pid, 0)
            self._tell(number, os.waitstatus_to_exitcode(status))

    def kill_all(self) -> None:
        for pid in self._pids.values():
            _signal_group(pid, signal.SIGKILL)
        for pid in self._pids.values():
            os.waitpid(pid, 0)

    def _tell(self, number: int, status: int) -> None:
        try:
            self._control.send(ENDED.pack(number, status))
        except OSError:
            return  # the agent is gone, which the next packet will say


def _lead_group(pid: int) -> None:
    """Make a child the leader of its own process group; both sides ask, so that neither is too early."""
    try:
        os.setpgid(pid, pid)
    except (PermissionError, ProcessLookupError):
        return  # it has done so itself, and run another program or ended


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return  # nobody left in it
