"""A small process without threads that forks one child for each question, and kills it at a limit.

A broker with worker threads must not fork, and starting a fresh Python for each question is slow; so this
process is forked first, before Trio. A child is given one end of a channel and nothing else of the broker's,
and what is said there the warden never sees. The child is killed, its process group too, when its time is up
and when the broker hangs up; when the broker ends, in whatever way, so does everything here.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

FORK = b"f"


class Warden:
    """The broker's side: a process id and the socket to it."""

    def __init__(self, pid: int, control: socket.socket) -> None:
        self.pid = pid
        self._control = control

    def fork(self) -> socket.socket:
        """Our end of a channel to a new child; it ends when the child does. Never blocks. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._control, [FORK], [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        ours.setblocking(False)
        return ours

    def close(self) -> None:
        """End the warden and its children, and wait for it."""
        self._control.close()
        os.waitpid(self.pid, 0)


class _Child(NamedTuple):
    pid: int
    ended: int
    """A descriptor that is readable once the child has ended (pidfd_open(2))."""
    channel: socket.socket
    """The child's end; hung up when the broker lets go of the other."""
    deadline: float


def start(answer: Callable[[socket.socket], None], limit: float) -> Warden:
    """Fork the warden; each child calls `answer` with its end of the channel and has `limit` seconds.

    Raises OSError. To be called while this process has one thread.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _end_after(lambda: _serve(theirs, answer, limit))
    theirs.close()
    ours.setblocking(False)
    return Warden(pid, ours)


def _end_after(life: Callable[[], None]) -> None:
    """Never go back into the code that forked this process."""
    status = 1
    try:
        life()
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is, this process ends here
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def _serve(control: socket.socket, answer: Callable[[socket.socket], None], limit: float) -> None:
    _detach(control)
    children: list[_Child] = []
    try:
        while _turn(control, children, answer, limit):
            pass
    finally:
        for child in children:
            os.killpg(child.pid, signal.SIGKILL)


def _detach(control: socket.socket) -> None:
    """Keep the log and the broker's socket; leave terminal, group, core dumps and all other files."""
    os.setsid()
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    _close_all_but(control.fileno())


def _close_all_but(kept: int) -> None:
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))


def _turn(
    control: socket.socket, children: list[_Child], answer: Callable[[socket.socket], None], limit: float
) -> bool:
    """Wait for the next event and deal with what there is; False once the broker is gone."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    for child in children:
        poll.register(child.ended, select.POLLIN)
        poll.register(child.channel, 0)
    wait = min((child.deadline for child in children), default=None)
    ready = dict(poll.poll(None if wait is None else max(0.0, wait - time.monotonic()) * 1000 + 1))
    now = time.monotonic()
    for child in tuple(children):
        if child.ended in ready:
            _bury(child, children)
        elif child.channel.fileno() in ready or now >= child.deadline:
            os.killpg(child.pid, signal.SIGKILL)
            _bury(child, children)
    if control.fileno() not in ready:
        return True
    packet, descriptors, _, _ = socket.recv_fds(control, len(FORK), 1)
    for descriptor in descriptors:
        _fork(socket.socket(fileno=descriptor), children, answer, limit)
    return bool(packet)


def _fork(
    channel: socket.socket, children: list[_Child], answer: Callable[[socket.socket], None], limit: float
) -> None:
    try:
        pid = os.fork()
    except OSError:
        channel.close()  # the broker sees a child that ended without an answer
        return
    if pid == 0:
        os.setpgid(0, 0)
        channel.set_inheritable(False)
        _close_all_but(channel.fileno())
        _end_after(lambda: answer(channel))
    os.setpgid(pid, pid)  # the child does so too: neither side may be too late
    children.append(_Child(pid, os.pidfd_open(pid), channel, time.monotonic() + limit))


def _bury(child: _Child, children: list[_Child]) -> None:
    os.waitpid(child.pid, 0)
    os.close(child.ended)
    child.channel.close()
    children.remove(child)
