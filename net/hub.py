"""The broker's fast path: all established sessions' sockets in one private epoll set that one task serves.

A Trio task and a stream for each session cost 335 ms for a broadcast to 10,000 sessions and its answers;
this way it cost 94 ms, and 0.4 KiB a session instead of 5.4. With all that a broker does besides, ledgers and
two messages relayed for each node, it is 25 µs of processor time a node, and a request to 10,000 takes twice
as long as a plain loop that moves the same bytes (python -m bench.broker). So a session here is
a `Link`, a plain object; what is to be sent is sealed into the link's queue at once and written when the
batch of events at hand is done, many messages in one system call; what a socket does not take waits for the
same epoll set. Nothing here awaits a peer.

Bounds: a link's queue holds at most `queue` bytes and must move within `stall` seconds, or the link is
closed; all queues together hold at most `queues` bytes, over which the client with the largest queue is
closed (protocol.md "Promises"). Who has much to say to many agents waits for `room`.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from itertools import product
from typing import NamedTuple

import trio

from wire.errors import WireError
from wire.handshake import Established, Peer

BATCH = 64
"""Events served, or links written, between two checkpoints."""
READ = 65536
WRITE = 262144
"""Bytes asked of, and offered to, a socket in one call."""


class Bounds(NamedTuple):
    """What queues may hold, in bytes, and how long one may stand still, in seconds."""

    queue: int
    queues: int
    stall: float


class End(StrEnum):
    """Why a link was closed, for who counts; the sentence beside it is for who reads."""

    QUEUE = "queue full"
    QUEUES = "all queues full"
    STALL = "stalled"
    SILENT = "silent"
    CLOSED = "closed by the other side"
    BROKEN = "connection broke"
    INVALID = "broke the protocol"
    BROKER = "closed by the broker"


class Link:
    """One established session: a socket, its ciphers, what waits to be sent."""

    __slots__ = (
        "address",
        "blocked",
        "closed",
        "established",
        "finishing",
        "heard",
        "moved",
        "number",
        "outgoing",
        "pinged",
        "queued",
        "receive",
        "sock",
        "transport",
    )

    def __init__(
        self,
        number: int,
        sock: socket.socket,
        address: str,
        established: Established,
        receive: Receive,
        now: float,
    ) -> None:
        self.number = number
        self.sock = sock
        self.address = address
        self.established = established
        self.transport = established.transport
        self.receive = receive
        self.outgoing: deque[bytes] = deque()
        self.queued = 0
        self.heard = self.moved = self.pinged = now
        self.blocked = self.finishing = self.closed = False


Receive = Callable[[Link, bytes], None]
"""What to do with a whole message from a link; a WireError that it raises ends the link."""
Closed = Callable[[Link, str], None]


class Hub:
    """Every established session. `closed` hears of each link's end, once, with the reason; `clock` gives
    seconds.
    """

    def __init__(self, bounds: Bounds, clock: Callable[[], float], closed: Closed) -> None:
        self.links: dict[int, Link] = {}
        """By number, which is never used again."""
        self.ended = dict.fromkeys(product(Peer, End), 0)
        """How many links were closed."""
        self.received = self.sent = self.queued = 0
        """Bytes, sealed: of established sessions until now, and waiting to be sent."""
        self._bounds = bounds
        self._clock = clock
        self._closed = closed
        self._epoll = select.epoll()
        self._by_fd: dict[int, Link] = {}
        self._dirty: list[Link] = []
        self._waiting = trio.lowlevel.ParkingLot()
        """Who waits for room."""
        self._numbers = 0

    def add(self, sock: socket.socket, address: str, established: Established, receive: Receive) -> Link:
        """Serve an established session from now on; the socket is the hub's."""
        self._numbers += 1
        link = Link(self._numbers, sock, address, established, receive, self._clock())
        self.links[link.number] = link
        self._by_fd[sock.fileno()] = link
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        return link

    def post(self, link: Link, message: bytes) -> None:
        """Seal a message into the link's queue. It leaves with the next `flush`. Nothing where the link has
        ended.
        """
        if link.closed or link.finishing:
            return
        sealed = link.transport.seal(message)
        if not link.outgoing:
            link.moved = self._clock()
            self._dirty.append(link)
        link.outgoing.append(sealed)
        link.queued += len(sealed)
        self.queued += len(sealed)
        if link.queued > self._bounds.queue and not link.blocked:
            self._write(link)  # many answers may come in one batch: the socket was not offered them yet
        if link.queued > self._bounds.queue:
            self.drop(link, f"does not read: {link.queued} bytes wait", End.QUEUE)
        elif self.queued > self._bounds.queues:
            self.drop(self._largest(), "all queues are full, and this one is the largest", End.QUEUES)

    def _largest(self) -> Link:
        clients = [
            link for link in self.links.values() if link.queued and link.established.peer is Peer.CLIENT
        ]
        return max(clients or self.links.values(), key=lambda link: link.queued)

    def finish(self, link: Link) -> None:
        """End the link in peace: what is queued leaves, then the end of file; it is closed when the other
        side closes.

        Closing at once could reset the connection under what the other side has not read yet. Who does not
        close within `stall` seconds is closed by `sweep`.
        """
        if link.closed or link.finishing:
            return
        link.finishing = True
        if not link.outgoing:
            self._hang_up(link)

    def _hang_up(self, link: Link) -> None:
        link.moved = self._clock()
        try:
            link.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.drop(link, f"connection broke: {error.strerror}", End.BROKEN)

    def drop(self, link: Link, reason: str, end: End = End.BROKER) -> None:
        """Close the link now, whatever is queued."""
        if link.closed:
            return
        link.closed = True
        self.ended[link.established.peer, end] += 1
        self._epoll.unregister(link.sock.fileno())
        del self._by_fd[link.sock.fileno()]
        del self.links[link.number]
        link.sock.close()
        self.queued -= link.queued
        link.queued = 0
        link.outgoing.clear()
        self._closed(link, reason)

    async def room(self) -> None:
        """A checkpoint, and more than one while agents' queues hold over half of what all may.

        At most `stall` seconds: whose queue has not moved by then is closed, so that there is room again; and
        where all of them move, but slowly, `queues` still holds.
        """
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(self._bounds.stall):
            while self._crowded():
                await self._waiting.park()

    def _crowded(self) -> bool:
        half = self._bounds.queues // 2
        return (
            self.queued
            > half
            < sum(link.queued for link in self.links.values() if link.established.peer is Peer.AGENT)
        )

    def flush(self) -> None:
        """Write what was posted, as far as the sockets take it."""
        while self._dirty:
            dirty, self._dirty = self._dirty, []
            for link in dirty:
                if link.outgoing and not link.blocked:
                    self._write(link)
        self._waiting.unpark_all()

    def _write(self, link: Link) -> None:
        outgoing = link.outgoing
        while outgoing:
            piece = outgoing.popleft()
            if outgoing and len(piece) < WRITE:
                gathered, size = [piece], len(piece)
                while outgoing and size < WRITE:
                    gathered.append(outgoing.popleft())
                    size += len(gathered[-1])
                piece = b"".join(gathered)
            try:
                sent = link.sock.send(piece)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self.drop(link, f"connection broke: {error.strerror}", End.BROKEN)
                return
            link.queued -= sent
            self.queued -= sent
            self.sent += sent
            if sent:
                link.moved = self._clock()
            if sent < len(piece):
                outgoing.appendleft(piece[sent:])
                if not link.blocked:
                    link.blocked = True
                    self._epoll.modify(link.sock.fileno(), select.EPOLLIN | select.EPOLLOUT)
                return
        if link.blocked:
            link.blocked = False
            self._epoll.modify(link.sock.fileno(), select.EPOLLIN)
        if link.finishing:
            self._hang_up(link)

    def _read(self, link: Link, now: float) -> None:
        try:
            received = link.sock.recv(READ)
        except BlockingIOError:
            return
        except OSError as error:
            self.drop(link, f"connection broke: {error.strerror}", End.BROKEN)
            return
        if not received:
            self.drop(link, "the other side closed the connection", End.CLOSED)
            return
        link.heard = now
        self.received += len(received)
        if link.finishing:
            return
        try:
            messages = link.transport.open(received)
        except WireError as error:
            self.drop(link, str(error), End.INVALID)
            return
        self.hand_over(link, messages)

    def hand_over(self, link: Link, messages: list[bytes]) -> None:
        """Give the link's owner whole messages, until one of them ends the link."""
        try:
            for message in messages:
                if link.closed or link.finishing:
                    return
                link.receive(link, message)
        except WireError as error:
            self.drop(link, str(error), End.INVALID)

    def sweep(self, heartbeat: float, ping: bytes) -> None:
        """Ping links that have been idle for `heartbeat` seconds; close the dead and the stalled. Call it
        every so often.
        """
        now = self._clock()
        for link in list(self.links.values()):
            if (link.outgoing or link.finishing) and now - link.moved > self._bounds.stall:
                self.drop(link, f"took nothing for {self._bounds.stall:g} seconds", End.STALL)
            elif now - link.heard >= 3 * heartbeat:
                self.drop(link, "silent: two heartbeats missed", End.SILENT)
            elif now - max(link.heard, link.pinged) >= heartbeat:
                link.pinged = now
                self.post(link, ping)
        self.flush()

    async def run(self) -> None:
        """Serve the links for ever."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            now = self._clock()
            for fd, mask in self._epoll.poll(0, BATCH):
                link = self._by_fd.get(fd)
                if link is None:
                    continue
                if mask & ~select.EPOLLOUT:
                    self._read(link, now)
                if mask & select.EPOLLOUT and not link.closed:
                    self._write(link)
            self.flush()

    def close(self) -> None:
        """Close every link and the epoll set."""
        for link in list(self.links.values()):
            self.drop(link, "the broker stops")
        self._epoll.close()
