"""The broker's half of a handshake over a plain non-blocking socket. The caller sets the deadline and owns
the socket.

A handshake costs the broker a tenth of a millisecond of computing, and a thousand can be due at once: when
all agents come back, or in an attack. So only a few are computed between two rounds of the scheduler, in
which established sessions have their turn; and agents and clients wait in lines of their own, so that a
user need not wait for ten thousand agents.
"""

from __future__ import annotations

import socket

import trio

from net.serve import Ticket
from wire.errors import WireError
from wire.handshake import Established, Peer, Responder

READ = 65536
FIRST = 256
"""Bytes read at once of who has no session yet: more than the first record has, after which every honest peer
waits for the answer.
"""
AT_ONCE = 4
"""Handshakes that are computed in one round of the scheduler, of agents and of clients each."""


class Gone(WireError):
    """The other side closed the connection before it had said what it wants."""


class TurnedAway(WireError):
    """Too many connections have not said who they are: this one was turned away."""


class Lanes:
    """The two lines for having a handshake computed, which move only while `run` does.

    Where nobody waits, a turn costs next to nothing: a semaphore, which yields each time, cost as much as
    half the handshake.
    """

    def __init__(self) -> None:
        self._waiting = {peer: trio.lowlevel.ParkingLot() for peer in Peer}
        self._turns = dict.fromkeys(Peer, 0)
        """How many were taken in this round."""
        self._resting = trio.lowlevel.ParkingLot()
        """Where `run` is while nobody takes turns."""

    async def run(self) -> None:
        """Let the next few have their turn in each round, for ever."""
        while True:
            while any(self._turns.values()):
                await trio.lowlevel.checkpoint()
                for peer, waiting in self._waiting.items():
                    self._turns[peer] = len(waiting.unpark(count=AT_ONCE))
            await self._resting.park()

    async def _turn(self, peer: Peer) -> None:
        if self._turns[peer] == AT_ONCE:
            await self._waiting[peer].park()  # who wakes us has counted us
            return
        self._turns[peer] += 1
        self._resting.unpark()

    async def feed(
        self, responder: Responder, received: bytes, ticket: Ticket
    ) -> tuple[bytes, Established, list[bytes]] | None:
        """Feed a responder when it is its turn. Raises WireError: TurnedAway to agents where there must be
        room for clients; they come again by themselves.
        """
        peer = responder.completes(received)
        if peer is None:
            return responder.feed(received)
        if peer is Peer.AGENT and not ticket.agent():
            raise TurnedAway
        await self._turn(peer)
        return responder.feed(received)


async def receive(sock: socket.socket, most: int = READ) -> bytes:
    """Some bytes of a socket, at most so many. Raises Gone at the end of file, or where the connection
    broke.
    """
    while True:
        try:
            received = sock.recv(most)
        except BlockingIOError:
            await trio.lowlevel.wait_readable(sock)
            continue
        except OSError as error:
            raise Gone(f"connection broke: {error.strerror}") from error
        if not received:
            raise Gone
        return received


async def send(sock: socket.socket, message: bytes) -> None:
    """All bytes to a socket. Raises Gone where the connection broke."""
    while message:
        try:
            message = message[sock.send(message) :]
        except BlockingIOError:
            await trio.lowlevel.wait_writable(sock)
        except OSError as error:
            raise Gone(f"connection broke: {error.strerror}") from error


async def greet(
    sock: socket.socket, responder: Responder, ticket: Ticket, lanes: Lanes
) -> tuple[Established, list[bytes]]:
    """The handshake and the first whole message, with any that came with it: never an empty list. Raises
    WireError.
    """
    while (done := await lanes.feed(responder, await receive(sock, FIRST), ticket)) is None:
        pass
    reply, established, messages = done
    await send(sock, reply)
    while not messages:
        received = await receive(sock)
        if not ticket.holds(len(received)):
            raise TurnedAway
        messages = established.transport.open(received)
    return established, messages
