"""The least that a broker's work can cost here: plain loops over epoll that move as many bytes, not sealed.

Each floor is one process, as a broker is, and its other side is another, as a swarm is.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

from bench.processes import forked, memory

READ = 65536
BACKLOG = 4096
DIALLING = 256
"""Connections that are being made at once."""
TURN = 64
"""Sockets written, and events served, between two looks at the rest, as a broker does (mesh/fanout.py)."""


class Moved(NamedTuple):
    """What one round took: seconds, and of them seconds of the loop's processor time."""

    seconds: float
    cpu: float


def broadcasts(
    count: int, rounds: int, size: int, answer: int, times: int = 1, relayed: bool = False
) -> list[Moved]:
    """Rounds in which `size` bytes go to each of `count` sockets `times` times, and `answer` bytes come back
    for each; where they are to be relayed, all of these go on to one more socket.
    """
    with (
        _listener() as listener,
        forked(_answering, listener.getsockname(), count, size, answer),
        _reader() as reader,
        select.epoll() as epoll,
    ):
        sockets = {sock.fileno(): sock for sock in _accepted(listener, count)}
        for fd in sockets:
            epoll.register(fd, select.EPOLLIN)
        made = [
            _broadcast(
                epoll, sockets, bytes(size), times, answer * times * count, reader if relayed else None
            )
            for _ in range(rounds)
        ]
        for sock in sockets.values():
            sock.close()
    return made


def _broadcast(
    epoll: select.epoll,
    sockets: dict[int, socket.socket],
    message: bytes,
    times: int,
    left: int,
    reader: socket.socket | None,
) -> Moved:
    began, spent = time.perf_counter(), time.process_time()
    for _ in range(times):
        for sock in sockets.values():
            sock.send(message)
    while left:
        for fd, _ in epoll.poll():
            received = sockets[fd].recv(READ)
            left -= len(received)
            if reader is not None:
                reader.sendall(received)
    return Moved(time.perf_counter() - began, time.process_time() - spent)


def _answering(address: tuple[str, int], count: int, size: int, answer: int) -> None:
    """The other side: `count` sockets that answer each `size` bytes with `answer` bytes."""
    epoll = select.epoll()
    sockets = {sock.fileno(): sock for sock in (_connected(address) for _ in range(count))}
    got = dict.fromkeys(sockets, 0)
    for fd in sockets:
        epoll.register(fd, select.EPOLLIN)
    while True:
        for fd, _ in epoll.poll():
            try:
                received = len(sockets[fd].recv(READ))
            except ConnectionResetError:
                return  # the loop was killed with something unread, at its end
            if not received:
                return
            whole, got[fd] = divmod(got[fd] + received, size)
            if whole:
                sockets[fd].sendall(bytes(answer * whole))


def pings(count: int, rounds: int, size: int, answer: int, busy: bool) -> list[float]:
    """Seconds of each round in which `size` bytes of a user go on to a node, a process of its own, and
    `answer` bytes come back the same way; where the loop is busy, it exchanges as many with `count` others
    meanwhile, again and again.
    """
    taken = []
    with (
        _listener() as crowd,
        _listener() as node,
        _listener() as users,
        forked(_answering, crowd.getsockname(), count, size, answer),
        forked(_answering, node.getsockname(), 1, size, answer),
        forked(_relaying, crowd, node, users, count, bytes(size), answer, busy),
        _connected(users.getsockname()) as user,
    ):
        for _ in range(rounds):
            began, left = time.perf_counter(), answer
            user.sendall(bytes(size))
            while left:
                left -= len(user.recv(READ))
            taken.append(time.perf_counter() - began)
    return taken


def _relaying(
    crowd: socket.socket,
    node: socket.socket,
    users: socket.socket,
    count: int,
    message: bytes,
    answer: int,
    busy: bool,
) -> None:
    """The loop of `pings`."""
    others = list(_accepted(crowd, count))
    (one,), (user,) = _accepted(node, 1), _accepted(users, 1)
    epoll = select.epoll()
    sockets = {sock.fileno(): sock for sock in (one, user, *others)}
    for fd in sockets:
        epoll.register(fd, select.EPOLLIN)
    unsent: Iterator[socket.socket] = iter(())
    owed = 0
    while True:
        if busy and not owed:
            unsent, owed = iter(others), answer * len(others)
        turn = list(islice(unsent, TURN))
        for sock in turn:
            sock.send(message)
        for fd, _ in epoll.poll(0 if turn else -1, TURN):
            sock = sockets[fd]
            received = sock.recv(READ)
            if sock is user:
                one.send(received)
            elif sock is one:
                user.send(received)
            else:
                owed -= len(received)


def held(count: int) -> float:
    """KiB that the memory of a loop, in a process of its own, grows by with each of `count` sockets."""
    words = [sys.executable, "-m", "bench.floor", str(count)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def _hold(count: int) -> None:
    """What `held` runs."""
    sockets = {}
    with (
        _listener() as listener,
        forked(_answering, listener.getsockname(), count, 1, 1),
        select.epoll() as epoll,
    ):
        before = memory(os.getpid()).rss
        for sock in _accepted(listener, count):
            sockets[sock.fileno()] = sock
            epoll.register(sock.fileno(), select.EPOLLIN)
        print((memory(os.getpid()).rss - before) / count)


def greetings(count: int, sizes: Iterable[int]) -> Moved:
    """`count` connections made anew, and on each messages of these sizes by turns, the other side's first."""
    turns = tuple(sizes)
    with (
        _listener() as listener,
        forked(_dialling, listener.getsockname(), count, turns),
        select.epoll() as epoll,
    ):
        began, spent = time.perf_counter(), time.process_time()
        listener.setblocking(False)
        epoll.register(listener.fileno(), select.EPOLLIN)
        sockets: dict[int, socket.socket] = {}
        heard: dict[int, int] = {}
        left = count
        while left:
            for fd, _ in epoll.poll():
                if fd == listener.fileno():
                    sock, _ = listener.accept()
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    sockets[sock.fileno()] = sock
                    heard[sock.fileno()] = 0
                    epoll.register(sock.fileno(), select.EPOLLIN)
                    continue
                sockets[fd].recv(READ)
                heard[fd] += 2
                sockets[fd].send(bytes(turns[heard[fd] - 1]))
                left -= heard[fd] == len(turns)
        moved = Moved(time.perf_counter() - began, time.process_time() - spent)
        for sock in sockets.values():
            sock.close()
    return moved


def _dialling(address: tuple[str, int], count: int, turns: tuple[int, ...]) -> None:
    """The other side of `greetings`: a few at a time, until all connections stand."""
    epoll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    said: dict[int, int] = {}
    left = count
    while len(sockets) < count or said:
        while left and len(said) < DIALLING:
            left -= 1
            sock = _connected(address)
            sockets[sock.fileno()] = sock
            said[sock.fileno()] = 0
            epoll.register(sock.fileno(), select.EPOLLIN)
            sock.send(bytes(turns[0]))
        for fd, _ in epoll.poll():
            sockets[fd].recv(READ)
            said[fd] += 2
            if said[fd] == len(turns):
                del said[fd]
                epoll.unregister(fd)
            else:
                sockets[fd].send(bytes(turns[said[fd]]))
    time.sleep(BACKLOG)


def _listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)


def _connected(address: tuple[str, int]) -> socket.socket:
    sock = socket.create_connection(address)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _accepted(listener: socket.socket, count: int) -> Iterator[socket.socket]:
    for _ in range(count):
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield sock


@contextmanager
def _reader() -> Iterator[socket.socket]:
    """A socket whose other end, another process, reads all that comes."""

    def read(address: tuple[str, int]) -> None:
        sock = _connected(address)
        while sock.recv(READ):
            pass

    with _listener() as listener, forked(read, listener.getsockname()):
        (sock,) = _accepted(listener, 1)
        with sock:
            yield sock


if __name__ == "__main__":
    _hold(int(sys.argv[1]))
