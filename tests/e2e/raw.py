"""Both sides of the protocol by hand, over blocking sockets: what no honest client or agent would say."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, NamedTuple, Self
from uuid import uuid4

from auth.keys import KeyFile, read_public, read_secret
from auth.signing import sign
from mesh.command import parse
from mesh.images import image_of
from mesh.messages import (
    REPORTS,
    VERSION,
    Auth,
    Command,
    Error,
    Hello,
    Identity,
    KeyAuth,
    Kind,
    Message,
    NoAuth,
    Ping,
    Pong,
    Request,
    Side,
    Welcome,
    decode,
    decode_report,
    encode,
    kind_of,
)
from tests.e2e.harness import PATIENCE, Site
from wire.handshake import Initiator, Peer, Responder
from wire.noise import KeyPair, key_pair
from wire.transport import MAX_FROM_AGENT

READ = 65536


def some(sock: socket.socket) -> bytes:
    """The next bytes. EOFError: there are none."""
    if received := sock.recv(READ):
        return received
    raise EOFError


class Heard(NamedTuple):
    """A message of the broker; `about` is the node that it speaks of to a client."""

    serial: int
    message: Message | None
    about: Identity | None = None


class Talk:
    """An established session with a site's broker; nothing but the handshake was said."""

    def __init__(self, site: Site, peer: Peer, static: KeyPair | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", site.port), PATIENCE)
        broker_key = read_public(site.home / "broker.key.pub").public
        initiator = Initiator(peer, broker_key, os.urandom(32), static)
        try:
            self.socket.sendall(initiator.first())
            while (done := initiator.feed(some(self.socket))) is None:
                pass
        except BaseException:
            self.socket.close()
            raise
        established, self._arrived = done
        self.hash = established.hash
        self._transport = established.transport

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; safe to call again."""
        self.socket.close()

    def say(self, *messages: Message, serial: int = 0) -> None:
        """Send messages, in one piece."""
        self.say_raw(*(encode(message, serial) for message in messages))

    def say_raw(self, *messages: bytes) -> None:
        """Send messages that need not be any."""
        self.socket.sendall(b"".join(self._transport.seal(message) for message in messages))

    def hear(self) -> Heard:
        """The broker's next message; heartbeats are answered and not shown. EOFError: it hung up."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            raw = self._next()
            if kind_of(raw) in REPORTS:
                serial, _, about, message = decode_report(raw)
                return Heard(serial, message, about)
            serial, message = decode(Side.BROKER, raw)
            if not isinstance(message, Ping):
                return Heard(serial, message)
            self.say(Pong(message.now))
        raise TimeoutError("nothing came but heartbeats")

    def beat(self) -> None:
        """Wait for the next heartbeat and answer it; nothing else may come before."""
        _, ping = decode(Side.BROKER, self._next())
        assert isinstance(ping, Ping)
        self.say(Pong(ping.now))

    def _next(self) -> bytes:
        while not self._arrived:
            received = self.socket.recv(READ)
            if not received:
                raise EOFError
            self._arrived = self._transport.open(received)
        return self._arrived.pop(0)

    def hear_all(self) -> list[Heard]:
        """Everything that the broker says until it hangs up."""
        heard = []
        try:
            while True:
                heard.append(self.hear())
        except (EOFError, ConnectionError):
            return heard


class Client(Talk):
    """A user's connection."""

    def __init__(self, site: Site) -> None:
        super().__init__(site, Peer.CLIENT)

    def ask(self, request: Request, key: KeyFile | None = None) -> None:
        """Send a REQUEST, signed for this connection if there is a key."""
        self.say(signed(request, key, self.hash) if key else request)


class Agent(Talk):
    """A node whose every word is the test's; `welcome` is the broker's answer to its HELLO."""

    def __init__(self, site: Site, key: KeyPair, fqdn: str, uuid: str) -> None:
        super().__init__(site, Peer.AGENT, key)
        self.say(Hello(VERSION, "0.1.0", fqdn, uuid))
        answer = self.hear().message
        assert isinstance(answer, Welcome | Error)
        self.welcome = answer


def request(user: str, *words: str, auth: Auth | None = None, filters: tuple[str, ...] = ()) -> Request:
    """What a client would ask."""
    return Request(VERSION, user, auth or NoAuth(), words, filters, "run", None, 40_000, 0, False)


def signed(asked: Request, key: KeyFile, handshake_hash: bytes) -> Request:
    """The request with the key's good signature for that connection."""
    auth = KeyAuth(key.public.hex(), os.urandom(32), b"")
    return sign(asked._replace(auth=auth), key, handshake_hash)


def user_key(site: Site) -> KeyFile:
    """The key of the site's own user."""
    return read_secret(site.home / f"{site.user}.key", "signing")


def agent_key(site: Site, name: str) -> KeyPair:
    """The key of an agent whose files the site has made."""
    return key_pair(read_secret(site.directory / name / "agent.key", "encryption").secret)


def kinds(heard: list[Heard]) -> list[Kind | str]:
    """What sorts of messages these are, by name."""
    return [type(one.message).__name__ for one in heard]


def connected(site: Site) -> socket.socket:
    """A connection to the site's broker, on which nothing was said yet."""
    return socket.create_connection(("127.0.0.1", site.port), PATIENCE)


def hung_up(sock: socket.socket) -> bytes:
    """Wait until the other side closes the connection; all that it still said."""
    said = bytearray()
    try:
        while received := sock.recv(READ):
            said += received
    except ConnectionError:
        return bytes(said)
    return bytes(said)


@contextmanager
def nodes(site: Site, count: int) -> Iterator[list[Agent]]:
    """Agents with new keys, called n1.example.com and so on: for a broker that trusts any."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(Agent(site, key_pair(os.urandom(32)), f"n{number}.example.com", str(uuid4())))
            for number in range(1, count + 1)
        ]


NOW = 5_000
"""Milliseconds at which the clock of a Port's broker stands when a session begins."""


class Joined:
    """A real agent's session with a broker whose every word is the test's; HELLO was exchanged."""

    def __init__(self, sock: socket.socket, key: KeyPair, heartbeat: int) -> None:
        self.socket = sock
        responder = Responder(key, os.urandom(32))
        while (done := responder.feed(some(self.socket))) is None:
            pass
        reply, established, self._arrived = done
        self._transport = established.transport
        self._transport.max_message = MAX_FROM_AGENT
        self.socket.sendall(reply)
        _, hello = self.hear()
        assert isinstance(hello, Hello)
        self.hello = hello
        self.say(Welcome(VERSION, "0.1.0", heartbeat, NOW))

    def close(self) -> None:
        """Hang up; safe to call again."""
        self.socket.close()

    def say(self, *messages: Message, serial: int = 0) -> None:
        """Send messages, in one piece."""
        self.socket.sendall(b"".join(self._transport.seal(encode(message, serial)) for message in messages))

    def hear(self) -> tuple[int, Message]:
        """The agent's next message with its serial. EOFError: it hung up."""
        while not self._arrived:
            received = self.socket.recv(READ)
            if not received:
                raise EOFError
            self._arrived = self._transport.open(received)
        return decode(Side.AGENT, self._arrived.pop(0))


class Port:
    """The port of a site's broker, which a test holds in place of `cw meshd`."""

    def __init__(self, site: Site, heartbeat: int = 600_000) -> None:
        self._key = key_pair(read_secret(site.home / "broker.key", "encryption").secret)
        self._heartbeat = heartbeat
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE)
        self._joined: list[Joined] = []
        site.port = self._listener.getsockname()[1]

    def close(self) -> None:
        """End every session, and take no more."""
        for joined in self._joined:
            joined.close()
        self._listener.close()

    def take(self) -> Joined:
        """The next session that an agent begins."""
        sock, _ = self._listener.accept()
        sock.settimeout(PATIENCE)
        self._joined.append(Joined(sock, self._key, self._heartbeat))
        return self._joined[-1]


def command(user: str, /, *words: str, **changes: Any) -> Command:
    """What a broker would send for that command at NOW."""
    known = parse(words)
    own = image_of(known.verb)
    asked = Command(
        user, (), "key", words, known.places, own.module, own.image, (), "run", None, NOW, 10**9, 0
    )
    return asked._replace(**changes)
