"""A broker made of the responder's half of a session, which does what a test says over any stream."""

import socket

import trio

from mesh.messages import Hello, Message, Side, Welcome, decode, encode
from net.dial import Line
from tests.sessions import BROKER, EPHEMERALS
from wire.handshake import Responder
from wire.noise import KeyPair
from wire.transport import MAX_FROM_AGENT, Transport

HELLO = Hello(1, "0.1.0", "web01.example.com", "6f1c1d3e-0000-4000-8000-000000000001")
WELCOME = Welcome(1, "0.1.0", 10_000, 5_000)

_connected: list[socket.socket] = []


def connection() -> tuple[Line, trio.SocketStream]:
    """An agent's end of a connection within this process, and its broker's. What one sends is there for the
    other at once, so an autojump clock does not jump over it. `hang_up` after the test.
    """
    ours, theirs = socket.socketpair()
    _connected.extend((ours, theirs))
    return Line(ours), trio.SocketStream(trio.socket.from_stdlib_socket(theirs))


def hang_up() -> None:
    """Close all connections."""
    while _connected:
        _connected.pop().close()


class Broker:
    """The other end of an agent's stream."""

    def __init__(self, stream: trio.abc.Stream, transport: Transport | None = None) -> None:
        self.stream = stream
        self.transport = transport
        self.agent: bytes | None = None
        self._heard: list[tuple[int, Message]] = []

    async def shake_hands(self, key: KeyPair = BROKER) -> None:
        """The handshake; `agent` is then the agent's public key."""
        responder = Responder(key, EPHEMERALS[1])
        while (done := responder.feed(bytes(await self.stream.receive_some()))) is None:
            pass
        reply, established, _ = done
        self.agent = established.remote_static
        self.transport = established.transport
        self.transport.max_message = MAX_FROM_AGENT  # trusted
        await self.stream.send_all(reply)

    async def hear(self) -> tuple[int, Message]:
        """The agent's next message with its serial."""
        assert self.transport is not None
        while not self._heard:
            received = bytes(await self.stream.receive_some(65536))
            assert received, "the agent has closed the connection"
            self._heard += [decode(Side.AGENT, raw) for raw in self.transport.open(received)]
        return self._heard.pop(0)

    def sealed(self, *messages: Message, serial: int = 0) -> bytes:
        """Messages as the bytes to send."""
        assert self.transport is not None
        return b"".join(self.transport.seal(encode(message, serial)) for message in messages)

    async def say(self, *messages: Message, serial: int = 0) -> None:
        """Send messages."""
        await self.stream.send_all(self.sealed(*messages, serial=serial))
