"""Listening sockets and the door to them: who may hold a connection that nobody has authenticated yet."""

from __future__ import annotations

import errno
import math
import os
import resource
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import trio

from conf.addresses import ANY, Address
from errors import CwError

BACKLOG = 4096
_OUT_OF = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
UNSENT = 1 << 20
"""Bytes that the kernel keeps for a peer beside what is on its way to it: for one that reads nothing it would
keep 4 MiB (tcp_wmem), out of sight of every bound here. Less makes large answers slower.
"""
BATCH = 8
"""Connections accepted between two checkpoints."""
FEW = 4
"""The same once the pool is half full: fewer than handshakes that are computed meanwhile, so that who comes
waits in the backlog. When 10,000 agents come back, and all are let in, the pool overflows: they are turned
away 13,000 times, and the last is back after 11 seconds, not 6.
"""
PAUSE = 0.2
"""Seconds without accepting where descriptors or memory have run out."""
QUIET = 60.0
"""Seconds between two log lines that say so."""
ADDRESS_SHARE = 8
"""Once the pool is half full, one address holds at most this part of it (protocol.md "Promises")."""
CLIENTS_SHARE = 4
"""This part of the pool is no agent's: agents come again by themselves, users do not."""
FREE = 4096
"""Bytes that each at the door may say before they count; who asks in few words is let in always."""
HELD = 8 << 20
"""Bytes more than these that all at the door may have said together: what they say is kept until it is whole
and its sender known.
"""
SPARE = 32
"""Descriptors that no connection gets, since without one a broker reads fewer of a user's groups than there
are, and an access rule would be missed: getgrouplist(3) tells nobody that it could not open a file.
"""

STRANGERS = "have not said who they are (limits.unauthenticated)"
"""Who waits at the door of a broker."""


class ListenError(CwError):
    """The broker cannot listen on that address."""


def listen(host: str, port: int, key: str = "broker.listen") -> list[socket.socket]:
    """Non-blocking listening sockets for an address; host `*` is every address of this machine.

    Raises ListenError, which names the address, the reason and the `key` of the configuration.
    """
    places = resolved(host, port, key)
    try:
        if host == ANY:
            dual = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if dual else socket.AF_INET
            sockets = [socket.create_server(("", port), family=family, backlog=BACKLOG, dualstack_ipv6=dual)]
        else:
            sockets = [
                socket.create_server(address, family=family, backlog=BACKLOG) for family, address in places
            ]
    except OSError as error:
        why = os.strerror(error.errno or 0)  # to which create_server would add the address, as a tuple
        raise _unable(host, port, key, why) from error
    for sock in sockets:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # which connections inherit, tcp(7)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
    return sockets


def resolved(host: str, port: int, key: str = "broker.listen") -> list[tuple[int, tuple[str, int]]]:
    """Family and address of every socket that `listen` would open; none for `*`. Raises ListenError."""
    if host == ANY:
        return []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise _unable(host, port, key, error.strerror) from error
    return list(dict.fromkeys((family, (str(name[0]), int(name[1]))) for family, _, _, _, name in found))


def _unable(host: str, port: int, key: str, why: str | None) -> ListenError:
    return ListenError(f"cannot listen on {Address(host, port)}: {why} ({key} names it)")


def address_of(name: Sequence[object]) -> str:
    """A peer's address for logs and counts, IPv4 plain even where it came through an IPv6 socket."""
    return str(name[0]).removeprefix("::ffff:")


def block_of(address: str) -> str:
    """What counts as one place where connections come from: an IPv4 address, or the /64 of an IPv6 one, all
    of which one host may use.
    """
    if ":" not in address:
        return address
    bare, _, scope = address.partition("%")
    try:
        prefix = socket.inet_pton(socket.AF_INET6, bare)[:8]
    except OSError:
        return address
    return f"{socket.inet_ntop(socket.AF_INET6, prefix + bytes(8))}/64{scope and '%' + scope}"


def ceiling() -> int:
    """The first number of a descriptor that no connection gets."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit - min(SPARE, limit // 8)


def leave_spare(listener: socket.socket, ceiling: int) -> None:
    """Raises OSError, as accept(2) does later, where the next descriptor is one to spare: then who connects
    waits in the listener's backlog.
    """
    following = os.dup(listener.fileno())
    os.close(following)
    if following >= ceiling:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


class Door:
    """Counts connections that are not authenticated; the newest are turned away first.

    `crowd` says, for the log, who is inside.
    """

    def __init__(self, capacity: int, crowd: str = STRANGERS) -> None:
        self.capacity = capacity
        self.crowd = crowd
        self.inside = self.held = 0
        """Connections, and the bytes that count of what they have said."""
        self.accepted = self.refused = self.pauses = 0
        """How many connections came in and were turned away, and how often accepting paused, until now."""
        self._by_block: Counter[str] = Counter()

    @property
    def crowded(self) -> bool:
        """Whether half of the pool is taken."""
        return 2 * self.inside >= self.capacity

    def enter(self, address: str) -> bool:
        """Whether one more from this address may come in."""
        block = block_of(address)
        if self.inside >= self.capacity or (
            self.crowded and self._by_block[block] >= max(1, self.capacity // ADDRESS_SHARE)
        ):
            self.refused += 1
            return False
        self.inside += 1
        self.accepted += 1
        self._by_block[block] += 1
        return True

    def admits_agent(self) -> bool:
        """Whether one that is inside may stay, now that it turns out to be an agent."""
        if self.inside <= self.capacity - self.capacity // CLIENTS_SHARE:
            return True
        self.refused += 1
        return False

    def admits_bytes(self, size: int) -> bool:
        """Whether so many bytes more may be kept of those inside."""
        if size and self.held + size > HELD:
            self.refused += 1
            return False
        self.held += size
        return True

    def leave(self, address: str, held: int = 0) -> None:
        """One is authenticated or gone, with the bytes that count of what it has said."""
        block = block_of(address)
        self.inside -= 1
        self.held -= held
        self._by_block[block] -= 1
        if not self._by_block[block]:
            del self._by_block[block]


class Ticket:
    """One place inside the door; `leave` gives it back, however often it is called."""

    def __init__(self, door: Door, address: str) -> None:
        self._door: Door | None = door
        self._address = address
        self._said = 0

    def agent(self) -> bool:
        """It is an agent that stands there: whether it may stay."""
        return self._door is None or self._door.admits_agent()

    def holds(self, size: int) -> bool:
        """It has said so many bytes more: whether they may be kept."""
        counted = self._counted
        self._said += size
        if self._door is None or self._door.admits_bytes(self._counted - counted):
            return True
        self._said -= size
        return False

    @property
    def _counted(self) -> int:
        return max(0, self._said - FREE)

    def leave(self) -> None:
        """The connection is authenticated or gone."""
        if self._door is not None:
            self._door.leave(self._address, self._counted)
            self._door = None


class Seldom:
    """Says the same again only after QUIET seconds."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._said = -math.inf

    def say(self, sentence: str) -> None:
        """Once a while; to be called inside Trio."""
        if trio.current_time() - self._said >= QUIET:
            self._said = trio.current_time()
            self._warn(sentence)


Welcome = Callable[[socket.socket, str, Ticket], Awaitable[None]]


async def accept(
    listener: socket.socket, door: Door, welcome: Welcome, sessions: trio.Nursery, warn: Callable[[str], None]
) -> None:
    """Accept for ever; each connection that the door lets in gets a task of `welcome`, which owns socket and
    ticket.

    The tasks live in `sessions`, so that accepting can end before they do. Where descriptors run out, it
    pauses.
    """
    exhausted, crowded = Seldom(warn), Seldom(warn)
    first_spare = ceiling()
    while True:
        await trio.lowlevel.wait_readable(listener)
        for count in range(BATCH):
            if count >= FEW and door.crowded:
                break
            try:
                leave_spare(listener, first_spare)
                sock, name = listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno not in _OUT_OF:
                    continue  # the peer gave up before it was accepted (accept(2))
                door.pauses += 1
                exhausted.say(f"cannot accept connections for now: {error.strerror}")
                await trio.sleep(PAUSE)
                break
            address = address_of(name)
            if not door.enter(address):
                sock.close()
                crowded.say(
                    f"turned {address} away: too many connections {door.crowd}; "
                    f"{door.refused} turned away so far"
                )
                continue
            sock.setblocking(False)
            sessions.start_soon(welcome, sock, address, Ticket(door, address))
