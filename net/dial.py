"""An agent's way to a broker: connect, prove oneself, say HELLO; and how long to wait before trying again."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import trio

from errors import CwError
from mesh import session
from mesh.messages import Error, Hello, Message, Side, Welcome, decode, encode, kind_of
from wire.handshake import Initiator
from wire.transport import Transport

READ = 65536
"""Bytes asked of the socket at once."""
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
"""Seconds: the first and the last bound of the pause before another attempt."""
GROWTH = 1.5
"""Of the bound. With 2, a few of 10,000 agents whose broker was gone for half a second miss it three times in
a row and come back 8 seconds later; with 1.5 all are back in 5.
"""

_NOT_OUR_BROKER = "in the handshake: it is no broker, or not the one whose key is agent.broker_key"


class DialError(CwError):
    """The broker cannot be reached."""

    status = 4


class LinkBroken(DialError):
    """The connection to the broker broke."""


class TurnedAway(DialError):
    """The broker answered HELLO with an ERROR; `code` is its word for why (protocol.md "Messages")."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def pauses(random: Callable[[], float]) -> Iterator[float]:
    """Seconds to wait before each attempt that follows a failure, for ever.

    Full jitter: the bound grows and the pause is anywhere below it, so that agents that lost a broker
    together do not come back together. `random` gives numbers from 0 to 1.
    """
    bound = FIRST_PAUSE
    while True:
        yield random() * bound
        bound = min(GROWTH * bound, LONGEST_PAUSE)


class Line:
    """A connection that waits only where it must: what the kernel takes at once, as it nearly always does,
    costs no round of the scheduler and no deadline. Raises LinkBroken if the peer is gone.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock

    async def send(self, sealed: bytes, patience: float) -> None:
        """Send it all; LinkBroken too if the peer accepts nothing for `patience` seconds."""
        sent = self._push(sealed)
        while sent < len(sealed):
            try:
                with trio.move_on_after(patience) as waiting:
                    await trio.lowlevel.wait_writable(self._sock)
            except trio.ClosedResourceError as error:
                raise LinkBroken("the connection broke") from error
            if waiting.cancelled_caught:
                raise LinkBroken(f"nothing more was accepted for {patience:g} s")
            sent += self._push(memoryview(sealed)[sent:])

    def _push(self, piece: bytes | memoryview) -> int:
        try:
            return self._sock.send(piece)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise LinkBroken("the connection broke") from error

    async def receive(self, patience: float) -> bytes:
        """The next bytes, none at the end; LinkBroken too if there are none for `patience` seconds."""
        if self._sock.fileno() < 0:  # closed: Trio would note down a wait for descriptor -1 for good
            raise LinkBroken("the connection broke")
        try:
            with trio.move_on_after(patience):
                await trio.lowlevel.wait_readable(self._sock)
                return self._sock.recv(READ)
        except (OSError, trio.ClosedResourceError) as error:
            raise LinkBroken("the connection broke") from error
        raise LinkBroken(f"nothing was heard for {patience:g} s")

    def close(self) -> None:
        """Close the connection without waiting for the peer; whoever waits for it gets LinkBroken."""
        trio.lowlevel.notify_closing(self._sock)
        self._sock.close()


class Link:
    """One encrypted connection: whole messages in and out, in the turns that the session's table allows.

    `patience` is how many seconds the peer may say nothing, or accept nothing.
    """

    def __init__(self, line: Line, transport: Transport, patience: float) -> None:
        self.patience = patience
        self._line = line
        self._transport = transport
        self._state = session.State.AGENT_HELLO
        self._turn = trio.Lock()
        self._arrived: deque[bytes] = deque()

    def arrived(self, messages: list[bytes]) -> None:
        """Take messages that came before anyone called `receive`."""
        self._arrived += messages

    async def send(self, *messages: Message, serial: int = 0) -> None:
        """Seal and send messages of one serial, together; any number of tasks may.

        Raises LinkBroken if the peer is gone or accepts nothing for so long, WireError if it is not our turn.
        """
        raws = [encode(message, serial) for message in messages]
        try:
            self._turn.acquire_nowait()  # which takes no round of the scheduler
        except trio.WouldBlock:
            await self._turn.acquire()
        try:
            for raw in raws:
                self._state = session.advance(self._state, Side.AGENT, kind_of(raw))
            await self._line.send(b"".join([self._transport.seal(raw) for raw in raws]), self.patience)
        finally:
            self._turn.release()

    async def receive(self) -> tuple[int, Message]:
        """The next message and its serial. LinkBroken when there is none; WireError for one not allowed."""
        if self._arrived:
            await trio.lowlevel.checkpoint()
        while not self._arrived:
            received = await self._line.receive(self.patience)
            if not received:
                raise LinkBroken("the broker closed the connection")
            self._arrived += self._transport.open(received)
        raw = self._arrived.popleft()
        serial, message = decode(Side.BROKER, raw)
        self._state = session.advance(self._state, Side.BROKER, kind_of(raw))
        return serial, message

    def close(self) -> None:
        """Close the connection without waiting for the peer."""
        self._line.close()


class Joined(NamedTuple):
    """A session that the broker has accepted; `at` is our own milliseconds when its HELLO came."""

    link: Link
    welcome: Welcome
    at: int


async def connect(host: str, port: int) -> Line:
    """A TCP connection, the name resolved anew. Raises DialError."""
    try:
        stream = await trio.open_tcp_stream(host, port)
    except OSError as error:
        raise DialError(f"cannot connect: {_reason(error)}") from error
    except RuntimeError as error:  # the host has no thread left (threading.Thread.start)
        raise DialError(f"cannot look the name up: {error}") from error
    return Line(socket.socket(fileno=stream.socket.detach()))


def _reason(error: OSError) -> str:
    """Why no connection came about; where several addresses were tried, why the first of them failed."""
    attempts = error.__cause__
    if isinstance(attempts, BaseExceptionGroup):
        attempts = attempts.exceptions[0]
    first = attempts if isinstance(attempts, OSError) else error
    if isinstance(first, socket.gaierror) or not first.errno:
        return first.strerror or str(first)
    return os.strerror(first.errno)


async def shake_hands(line: Line, initiator: Initiator, patience: float) -> Link:
    """Noise over `line`. LinkBroken or WireError if the other end is not the broker whose key we hold."""
    try:
        await line.send(initiator.first(), patience)
        while received := await line.receive(patience):
            if (done := initiator.feed(received)) is not None:
                established, early = done
                link = Link(line, established.transport, patience)
                link.arrived(early)
                return link
    except LinkBroken as error:
        raise LinkBroken(f"{error} {_NOT_OUR_BROKER}") from error
    raise LinkBroken(f"closed {_NOT_OUR_BROKER}")


async def say_hello(link: Link, hello: Hello, clock: Callable[[], int]) -> Joined:
    """Exchange HELLO; `clock` gives our own milliseconds. Raises TurnedAway, LinkBroken or WireError."""
    await link.send(hello)
    _, answer = await link.receive()
    at = clock()
    if isinstance(answer, Error):
        raise TurnedAway(answer.code, answer.sentence)
    if not isinstance(answer, Welcome):
        raise LinkBroken("the broker did not say HELLO")
    return Joined(link, answer, at)


async def join(
    address: tuple[str, int], initiator: Initiator, hello: Hello, clock: Callable[[], int], deadline: float
) -> Joined:
    """A session with the broker at `address`, or DialError or WireError within `deadline` seconds."""
    line: Line | None = None
    joined: Joined | None = None
    try:
        with trio.fail_after(deadline):
            line = await connect(*address)
            link = await shake_hands(line, initiator, deadline)
            joined = await say_hello(link, hello, clock)
    except trio.TooSlowError as error:
        what = "cannot connect" if line is None else "connected, but no broker answered"
        raise DialError(f"{what} within {deadline:g} s") from error
    finally:
        if line is not None and joined is None:
            line.close()
    return joined
