"""Users who ask a broker: one or many at once, each on a connection of its own, in one loop."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from auth.keys import SIGNING, read_secret
from auth.signing import sign
from mesh.messages import VERSION as PROTOCOL
from mesh.messages import Done, KeyAuth, Kind, Request, Side, decode, encode
from wire.handshake import Established, Initiator, Peer

READ = 1 << 18
TIMEOUT = 40_000
"""Milliseconds that a request waits for answers, as a client's does."""
_DONE, _ERROR = int(Kind.DONE), int(Kind.ERROR)


def _some(sock: socket.socket) -> bytes:
    if received := sock.recv(READ):
        return received
    sock.close()
    raise ConnectionError("the broker hung up in the handshake")


class Answered(NamedTuple):
    """How a request ended: seconds from REQUEST to DONE, and the counts."""

    seconds: float
    done: Done


class Asking:
    """A connection with a REQUEST that is ready to be sent."""

    def __init__(self, sock: socket.socket, established: Established, sealed: bytes) -> None:
        self.sock = sock
        self.transport = established.transport
        self.sealed = sealed
        self.began = 0.0
        self.answered: Answered | None = None

    def ask(self) -> Answered:
        """Send it, and wait for its end."""
        self.send()
        while self.answered is None:
            self.receive()
        self.sock.close()
        return self.answered

    def send(self) -> None:
        """Begin it."""
        self.began = time.perf_counter()
        self.sock.sendall(self.sealed)

    def receive(self) -> None:
        """Take what has come; `answered` where that was the end of it."""
        received = self.sock.recv(READ)
        if not received:
            raise SystemExit("the broker hung up on a user")
        for raw in self.transport.open(received):
            if raw[0] == _DONE:
                took = time.perf_counter() - self.began
                _, done = decode(Side.BROKER, raw)
                assert isinstance(done, Done)
                self.answered = Answered(took, done)
            elif raw[0] == _ERROR:
                raise SystemExit(f"the broker refused: {decode(Side.BROKER, raw)[1]}")


class User:
    """A user with a key."""

    def __init__(self, address: tuple[str, int], broker_key: bytes, key_file: Path) -> None:
        self._address = address
        self._broker_key = broker_key
        self._key = read_secret(key_file, SIGNING)

    @property
    def name(self) -> str:
        """Who asks."""
        return self._key.name

    def ask(self, *words: str, targets: Sequence[str] | None = None, timeout: int = TIMEOUT) -> Answered:
        """One request, from a new connection to its end."""
        return self.ask_together(1, *words, targets=targets, timeout=timeout)[0]

    def ask_together(
        self, times: int, *words: str, targets: Sequence[str] | None = None, timeout: int = TIMEOUT
    ) -> list[Answered]:
        """The same request so many times at once; every connection is there before the first is sent."""
        askings = [self.connected(words, targets, timeout) for _ in range(times)]
        by_fd = {asking.sock.fileno(): asking for asking in askings}
        with select.epoll() as epoll:
            for fd, asking in by_fd.items():
                epoll.register(fd, select.EPOLLIN)
                asking.send()
            while by_fd:
                for fd, _ in epoll.poll():
                    by_fd[fd].receive()
                    if by_fd[fd].answered is not None:
                        epoll.unregister(fd)
                        by_fd.pop(fd).sock.close()
        return [asking.answered for asking in askings if asking.answered is not None]

    def connected(
        self, words: tuple[str, ...], targets: Sequence[str] | None = None, timeout: int = TIMEOUT
    ) -> Asking:
        """A new connection. Raises ConnectionError where the broker takes none."""
        sock = socket.create_connection(self._address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        initiator = Initiator(Peer.CLIENT, self._broker_key, os.urandom(32))
        sock.sendall(initiator.first())
        while (done := initiator.feed(_some(sock))) is None:
            pass
        established, _ = done
        named = None if targets is None else tuple(targets)
        auth = KeyAuth(self._key.public.hex(), os.urandom(32), b"")
        request = Request(PROTOCOL, self._key.name, auth, words, (), "run", named, timeout, 0, False)
        signed = encode(sign(request, self._key, established.hash))
        return Asking(sock, established, established.transport.seal(signed))
