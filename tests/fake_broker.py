"""A broker of one client in a thread, on a real socket: it says what a test tells it to say."""

import socket
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

from mesh.messages import (
    Done,
    Error,
    Identity,
    Message,
    Ok,
    Request,
    Result,
    Side,
    decode,
    encode,
    encode_identity,
    relay,
)
from tests.sessions import BROKER
from wire.handshake import Established, Responder
from wire.noise import KeyPair

PATIENCE = 20.0
"""Seconds after which a test that waits has failed."""

SERIAL = 7 << 32 | 1


def node(number: int) -> Identity:
    return Identity(f"web{number:02}.example.com", f"3f2b8c1e-0000-4000-8000-{number:012}")


def done(**counts: int) -> Done:
    return Done(**{**dict.fromkeys(Done._fields, 0), **counts})


class Link:
    """The broker's end of an established session."""

    def __init__(self, sock: socket.socket, established: Established, messages: list[bytes]) -> None:
        self.socket = sock
        self.hash = established.hash
        self._transport = established.transport
        self._waiting = messages

    def hear(self) -> Message:
        """The client's next message; raises EOFError if it hung up."""
        while not self._waiting:
            received = self.socket.recv(65536)
            if not received:
                raise EOFError
            self._waiting = self._transport.open(received)
        return decode(Side.CLIENT, self._waiting.pop(0))[1]

    def request(self) -> Request:
        message = self.hear()
        assert isinstance(message, Request)
        return message

    def say(self, *messages: Message, serial: int = SERIAL) -> None:
        """Send these in one piece."""
        self.pass_on(*(encode(message, serial) for message in messages))

    def report(self, about: Identity, *messages: Message) -> None:
        """Relay what a node said."""
        self.pass_on(*(relay(encode(one, SERIAL), encode_identity(about)) for one in messages))

    def pass_on(self, *raw: bytes) -> None:
        self.socket.sendall(b"".join(self._transport.seal(one) for one in raw))

    def gone(self) -> bool:
        """Whether the client hung up without another word; waits until it does either."""
        try:
            self.hear()
        except (EOFError, ConnectionError):
            return True
        return False


class Listener:
    """Takes connections on loopback, one after the other, and hands each to the next of `serve` in a thread;
    a failure there fails the test.
    """

    def __init__(self, *serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(PATIENCE)
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.join(PATIENCE)
        self._listening.close()
        assert not self._thread.is_alive()
        if error is None and self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            for serve in self._serve:
                sock, _ = self._listening.accept()
                with sock:
                    sock.settimeout(PATIENCE)
                    serve(sock)
        except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
            self._failure = error


def broker(*scripts: Callable[[Link], None], key: KeyPair = BROKER) -> Listener:
    """A broker that does the handshake and then what the script says, that of each connection its own."""

    def serve(sock: socket.socket, script: Callable[[Link], None]) -> None:
        responder = Responder(key, b"the broker's ephemeral".ljust(32))
        answered = None
        while answered is None:
            answered = responder.feed(sock.recv(65536))
        reply, established, messages = answered
        sock.sendall(reply)
        script(Link(sock, established, messages))

    return Listener(*(partial(serve, script=script) for script in scripts))


def answering(*results: Result, **counts: int) -> Callable[[Link], None]:
    """The script of a broker whose nodes answer with these results; the other counts are as given."""

    def script(link: Link) -> None:
        link.request()
        link.say(Ok(len(results) + sum(counts.values())))
        for number, result in enumerate(results, 1):
            link.report(node(number), result)
        link.say(done(sessions=len(results), results=len(results), **counts))
        assert link.gone()

    return script


def refusing(code: str, sentence: str) -> Callable[[Link], None]:
    """The script of a broker that answers every request with an ERROR."""

    def script(link: Link) -> None:
        link.request()
        link.say(Error(code, sentence), serial=0)
        assert link.gone()

    return script
