"""A client's session with a broker on one blocking socket; every way in which it can fail is one sentence."""

from __future__ import annotations

import os
import select
import socket
import time
from typing import Self

from conf.addresses import dialled
from errors import CwError
from wire.errors import DecryptError, WireError
from wire.handshake import Initiator, Peer
from wire.transport import Transport

RECEIVED_AT_ONCE = 256 << 10
"""Bytes taken from the socket in one call."""


class ChannelError(CwError):
    """The broker could not be spoken to."""

    status = 4


class Unreachable(ChannelError):
    """The broker cannot be reached."""


class WrongKey(ChannelError):
    """The broker holds another key than the one configured."""


class NotABroker(ChannelError):
    """Something that is not a broker listens there."""


class Broken(ChannelError):
    """The connection to the broker broke."""


class Late(ChannelError):
    """The broker did not answer in time."""


class Channel:
    """An established session with a broker; made by `dial`. Ends with its `with` block.

    `hash` is the handshake hash, `peer` the broker's address as the user knows it. Not for several threads.
    """

    def __init__(self, sock: socket.socket, peer: str, transport: Transport, handshake_hash: bytes) -> None:
        self.peer = peer
        self.hash = handshake_hash
        self._socket = sock
        self._transport = transport
        self._waiting: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def send(self, message: bytes, within: float) -> None:
        """Send one message; raises Broken, or Late after `within` seconds: the channel is of no more use."""
        try:
            self._socket.settimeout(within)
            self._socket.sendall(self._transport.seal(message))
        except TimeoutError as error:
            raise Late(f"the broker {self.peer} took nothing in {within:g} seconds") from error
        except OSError as error:
            raise _broken(self.peer, error) from error

    def receive(self, deadline: float, wake: int | None = None, pause: float | None = None) -> list[bytes]:
        """The next whole messages, one at least; none if the descriptor `wake` becomes readable instead, or
        the time `pause` has come.

        Times are of `time.monotonic`. Raises Late when `deadline` has come, Broken, and WireError if what
        comes is not the broker's. After either the channel is of no more use.
        """
        messages, self._waiting = self._waiting, []
        while not messages:
            if not _readable(self._socket, deadline, wake, pause):
                return []
            messages = self._transport.open(_received(self._socket, self.peer))
        return messages

    def hold(self, messages: list[bytes]) -> None:
        """Give these messages with the next `receive`: they came with the handshake's last bytes."""
        self._waiting += messages


def dial(address: str, broker_key: bytes, within: float) -> Channel:
    """A session with the broker at HOST:PORT that holds `broker_key`, made within so many seconds.

    Raises ChannelError; AddressError if the address is none.
    """
    deadline = time.monotonic() + within
    sock = _connected(address, deadline, within)
    try:
        return _greeted(sock, address, broker_key, deadline)
    except BaseException as error:
        sock.close()
        if isinstance(error, Late):
            raise Late(f"{address} did not answer as a broker in {within:g} seconds") from error
        raise


def _connected(address: str, deadline: float, within: float) -> socket.socket:
    """A connection to the first of the name's addresses that takes one, the time shared out among them."""
    host, port = dialled(address)
    try:
        # As bytes: text would be encoded by a codec that takes longer to import than the broker to answer.
        found = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unreachable(f"cannot reach the broker {address}: {error.strerror}") from error
    failure: OSError = TimeoutError()
    for position, (family, kind, protocol, _, at) in enumerate(found):
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            break
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(remaining / (len(found) - position))
            sock.connect(at)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    why = failure.strerror or f"no answer in {within:g} seconds"
    raise Unreachable(f"cannot reach the broker {address}: {why}") from failure


def _greeted(sock: socket.socket, address: str, broker_key: bytes, deadline: float) -> Channel:
    initiator = Initiator(Peer.CLIENT, broker_key, os.urandom(32))
    session = None
    try:
        sock.settimeout(max(deadline - time.monotonic(), 0.001))
        sock.sendall(initiator.first())
        while session is None:
            _readable(sock, deadline)
            session = initiator.feed(_received(sock, address))
    except (Broken, OSError) as error:
        raise WrongKey(
            f"{address} hung up during the handshake: it does not hold the configured key (mesh.broker_key), "
            "takes no connections now, or is not a broker"
        ) from error
    except DecryptError as error:
        raise WrongKey(f"the broker {address} does not hold the configured key (mesh.broker_key)") from error
    except WireError as error:
        raise NotABroker(
            f"what listens at {address} is not a broker: it answers in another protocol"
        ) from error
    established, messages = session
    channel = Channel(sock, address, established.transport, established.hash)
    channel.hold(messages)
    return channel


def _readable(
    sock: socket.socket, deadline: float, wake: int | None = None, pause: float | None = None
) -> bool:
    """Whether bytes have come, rather than a wake-up or a pause; raises Late if none has by the deadline."""
    until = deadline if pause is None else min(pause, deadline)
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    if wake is not None:
        poll.register(wake, select.POLLIN)
    remaining = max(until - time.monotonic(), 0)
    ready = [descriptor for descriptor, _ in poll.poll(remaining * 1000)]
    if not ready and until == deadline:
        raise Late("the broker did not answer in time")
    return bool(ready) and wake not in ready


def _received(sock: socket.socket, peer: str) -> bytes:
    try:
        received = sock.recv(RECEIVED_AT_ONCE)
    except OSError as error:
        raise _broken(peer, error) from error
    if not received:
        raise Broken(f"the connection to the broker {peer} broke: it hung up")
    return received


def _broken(peer: str, error: OSError) -> Broken:
    return Broken(f"the connection to the broker {peer} broke: {error.strerror or error}")
