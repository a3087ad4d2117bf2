"""The broker's half of a handshake over a plain non-blocking socket. The caller sets the deadline and owns
the socket.
"""

from __future__ import annotations

import socket

import trio

from wire.errors import WireError
from wire.handshake import Established, Responder

READ = 65536


class Gone(WireError):
    """The other side closed the connection before it had said what it wants."""


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


async def greet(sock: socket.socket, responder: Responder) -> tuple[Established, list[bytes]]:
    """The handshake and the first whole message, with any that came with it: never an empty list. Raises
    WireError.
    """
    while (done := responder.feed(await receive(sock))) is None:
        pass
    reply, established, messages = done
    await send(sock, reply)
    while not messages:
        messages = established.transport.open(await receive(sock))
    return established, messages
