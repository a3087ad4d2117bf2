"""The least that a broker's work can cost here: plain loops over epoll that move as many bytes, not sealed.

Each floor is one process, as a broker is, and its other side is another, as a swarm is.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from bench.processes import forked

READ = 65536
BACKLOG = 4096
DIALLING = 256
"""Connections that are being made at once."""


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
            received = len(sockets[fd].recv(READ))
            if not received:
                return
            whole, got[fd] = divmod(got[fd] + received, size)
            if whole:
                sockets[fd].sendall(bytes(answer * whole))


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
