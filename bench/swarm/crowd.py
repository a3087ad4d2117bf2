"""All sessions of a swarm in one loop over one epoll set, which tells the process that started it how it is.

The first half of the next handshake, which agents make on nodes of their own, is made while nothing else is
to do. Each session comes from a loopback address of its own, as agents do, so that the broker's bounds for
one address are what they are in a mesh.
"""

from __future__ import annotations

import contextlib
import ctypes
import heapq
import itertools
import mmap
import random
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from bench.processes import forked
from bench.swarm.conduct import AT_ONCE, Behaviour, Conduct, Said
from bench.swarm.member import Identity, Member
from mesh.messages import Kind, Pong, Side, decode, encode
from net.dial import pauses
from wire.errors import WireError

READ = 65536
SERIALS = 512
"""Commands whose answers are kept encoded."""
BATCH = 64
"""Events between two looks at what is due."""
QUIET = 0.1
"""Seconds without an event after which there is time for what is not urgent."""
DIALLING = 256
"""Sessions that are being made at once at the start; later each comes when its pause is over."""
DEADLINE = 10.0
"""Seconds that an attempt to join may take (roles/node.py)."""
_IP_BIND_ADDRESS_NO_PORT = 24
"""Choose the port when the peer is known (ip(7)): 28,000 are free for each address of it."""
_COMMAND, _PING, _HELLO = int(Kind.COMMAND), int(Kind.PING), int(Kind.HELLO)


class Counters(ctypes.Structure):
    """What a swarm tells of itself; in memory that it shares with whoever started it."""

    NAMES = ("joined", "prepared", "joins", "refused", "turned_away", "commands")
    _fields_ = [(name, ctypes.c_uint64) for name in NAMES]
    joined: int
    """Sessions that are open now."""
    prepared: int
    """Handshakes that were made ready beforehand."""
    joins: int
    refused: int
    """Attempts that found nobody listening."""
    turned_away: int
    """Attempts that ended later, before the broker said HELLO."""
    commands: int


class Due(NamedTuple):
    """Something for later; where the member has tried to join again by then, it is nothing."""

    when: float
    order: int
    member: Member
    attempt: int
    act: Callable[[Member], None]


class Crowd:
    """The loop and its sessions."""

    def __init__(
        self,
        address: tuple[str, int],
        broker_key: bytes,
        identities: Sequence[Identity],
        behaviour: Behaviour,
        counters: Counters,
    ) -> None:
        self._address = address
        self._broker_key = broker_key
        self._behaviour = behaviour
        self._counters = counters
        conducts = behaviour.conducts(len(identities))
        self._members = [Member(who, conduct) for who, conduct in zip(identities, conducts, strict=True)]
        self._sources = {
            member: f"127.{1 + (number >> 14)}.{number >> 6 & 255}.{1 + (number & 63)}"
            for number, member in enumerate(self._members)
        }
        self._epoll = select.epoll()
        self._sockets: dict[Member, socket.socket] = {}
        self._by_fd: dict[int, tuple[Member, socket.socket]] = {}
        self._due: list[Due] = []
        self._orders = itertools.count()
        self._undialled = iter(self._members)
        self._unprepared: list[Member] = []
        self._idle = False
        self._said: dict[bytes, dict[Conduct, Said]] = {}
        self._at_once = {Conduct.ANSWER, Conduct.TWICE} if behaviour.delay is AT_ONCE else set()
        self._uniform = random.Random(1).random

    def run(self) -> None:
        """Until killed."""
        for member in itertools.islice(self._undialled, DIALLING):
            self._dial(member)
        while True:
            events = self._epoll.poll(self._rest(), BATCH)
            for fd, mask in events:
                if fd in self._by_fd:
                    self._serve(*self._by_fd[fd], mask)
            now = time.monotonic()
            while self._due and self._due[0].when <= now:
                due = heapq.heappop(self._due)
                if due.attempt == due.member.attempt:
                    due.act(due.member)
            self._idle = not events
            if self._idle and self._unprepared:
                self._unprepared.pop().prepare(self._broker_key)
                self._counters.prepared += 1

    def _rest(self) -> float | None:
        """Seconds until something is to be done without an event."""
        due = max(0, self._due[0].when - time.monotonic()) if self._due else None
        if not self._unprepared:
            return due
        quiet = 0 if self._idle else QUIET
        return quiet if due is None else min(due, quiet)

    def _later(self, seconds: float, member: Member, act: Callable[[Member], None]) -> None:
        when = time.monotonic() + seconds
        heapq.heappush(self._due, Due(when, next(self._orders), member, member.attempt, act))

    # -- joining

    def _dial(self, member: Member) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._address[0].startswith("127."):
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((self._sources[member], 0))
        sock.connect_ex(self._address)
        self._sockets[member] = sock
        self._by_fd[sock.fileno()] = member, sock
        self._epoll.register(sock.fileno(), select.EPOLLOUT)
        self._later(DEADLINE, member, self._give_up)

    def _give_up(self, member: Member) -> None:
        if not member.joined:
            self._lose(member)

    def _joined(self, member: Member) -> None:
        member.joined = True
        member.pauses = None
        self._counters.joined += 1
        self._counters.joins += 1
        self._unprepared.append(member)
        if (another := next(self._undialled, None)) is not None:
            self._dial(another)

    def _lose(self, member: Member) -> None:
        """The session is over, or did not come about: try again after a pause, as agents do."""
        sock = self._sockets.pop(member)
        self._epoll.unregister(sock.fileno())
        del self._by_fd[sock.fileno()]
        sock.close()
        if member.joined:
            self._counters.joined -= 1
        elif member.begun:
            self._counters.turned_away += 1
        else:
            self._counters.refused += 1
        member.end()
        member.pauses = member.pauses or pauses(self._uniform)
        self._later(next(member.pauses), member, self._dial)

    # -- a session

    def _serve(self, member: Member, sock: socket.socket, mask: int) -> None:
        try:
            if member.deaf or mask & select.EPOLLERR:
                self._lose(member)
            elif mask & select.EPOLLOUT:
                self._write(member, sock)
            elif received := sock.recv(READ):
                self._hear(member, sock, received)
            else:
                self._lose(member)
        except BlockingIOError:
            return
        except (OSError, WireError):
            self._lose(member)

    def _write(self, member: Member, sock: socket.socket) -> None:
        """The socket is connected, or takes more, or broke."""
        if not member.begun:
            self._send(member, sock, member.begin(self._broker_key))
        else:
            del member.outgoing[: sock.send(member.outgoing)]
        if not member.outgoing:
            self._epoll.modify(sock.fileno(), select.EPOLLIN)

    def _hear(self, member: Member, sock: socket.socket, received: bytes) -> None:
        if member.transport is not None:
            messages = member.transport.open(received)
        elif (greeted := member.greet(received)) is not None:
            hello, messages = greeted
            self._send(member, sock, hello)
        else:
            return
        for raw in messages:
            kind = raw[0]
            if kind == _COMMAND:
                self._obey(member, sock, raw[1:9])
            elif kind == _PING:
                _, ping = decode(Side.BROKER, raw)
                self._say(member, (encode(Pong(*ping)),))
            elif kind == _HELLO:
                self._joined(member)

    def _obey(self, member: Member, sock: socket.socket, serial: bytes) -> None:
        self._counters.commands += 1
        said = self._said.get(serial)
        if said is None:
            if len(self._said) >= SERIALS:
                self._said.clear()
            said = self._said[serial] = self._behaviour.said(int.from_bytes(serial, "big"))
        conduct = member.conduct
        first, then = said[conduct]
        if conduct in self._at_once:
            self._say(member, first + then)
            return
        self._say(member, first)
        delay = self._behaviour.delay.draw(self._uniform)
        if conduct is Conduct.STALL:
            member.deaf = True
            self._epoll.modify(sock.fileno(), select.EPOLLRDHUP)
        elif conduct is Conduct.DIE:
            self._later(delay, member, self._lose)
        elif then:
            self._later(delay, member, lambda member: self._say(member, then))

    def _say(self, member: Member, messages: Sequence[bytes]) -> None:
        assert member.transport is not None
        seal = member.transport.seal
        self._send(member, self._sockets[member], b"".join([seal(message) for message in messages]))

    def _send(self, member: Member, sock: socket.socket, sealed: bytes) -> None:
        sent = 0 if member.outgoing else sock.send(sealed)
        if sent < len(sealed):
            member.outgoing += sealed[sent:]
            self._epoll.modify(sock.fileno(), select.EPOLLIN | select.EPOLLOUT)


class Swarm(NamedTuple):
    """A crowd in a process of its own."""

    pid: int
    counters: Counters

    def wait(self, condition: Callable[[Counters], bool], what: str, within: float = 120.0) -> None:
        """Until the condition holds; SystemExit that says `what` where it does not in so many seconds."""
        deadline = time.monotonic() + within
        while not condition(self.counters):
            if time.monotonic() > deadline:
                told = ", ".join(f"{name} {getattr(self.counters, name)}" for name in Counters.NAMES)
                raise SystemExit(f"not {what} after {within:g} seconds: {told}")
            time.sleep(0.002)


@contextlib.contextmanager
def launched(
    address: tuple[str, int], broker_key: bytes, identities: Sequence[Identity], behaviour: Behaviour
) -> Iterator[Swarm]:
    """A crowd that joins, answers and comes back until the end of the block."""
    counters = Counters.from_buffer(mmap.mmap(-1, ctypes.sizeof(Counters)))

    def live() -> None:
        Crowd(address, broker_key, identities, behaviour, counters).run()

    with forked(live) as pid:
        yield Swarm(pid, counters)


@contextlib.contextmanager
def swarm(
    address: tuple[str, int], broker_key: bytes, identities: Sequence[Identity], behaviour: Behaviour
) -> Iterator[Swarm]:
    """The same for a block that begins when all are in."""
    with launched(address, broker_key, identities, behaviour) as made:
        made.wait(lambda counters: counters.joined >= len(identities), "all joined")
        yield made
