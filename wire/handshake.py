"""From a fresh connection to an established session, for both sides. Pure: bytes in, bytes out."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from wire.errors import HandshakeError, RecordError
from wire.noise import IK, NK, Handshake, KeyPair, Pattern
from wire.records import LENGTH_BYTES, PREFACE_AGENT, PREFACE_BYTES, PREFACE_CLIENT, frame, take
from wire.transport import MAX_MESSAGE, MAX_UNAUTHENTICATED, Transport


class Peer(Enum):
    """Who connects to a broker."""

    AGENT = "agent"
    CLIENT = "client"


class _Opening(NamedTuple):
    """How a kind of peer begins; `first` and `reply` are the sizes in bytes of records without payload."""

    preface: bytes
    pattern: Pattern
    first: int
    reply: int


_OPENINGS = {
    Peer.AGENT: _Opening(PREFACE_AGENT, IK, 96, 48),
    Peer.CLIENT: _Opening(PREFACE_CLIENT, NK, 48, 48),
}
_PEER_OF = {opening.preface: peer for peer, opening in _OPENINGS.items()}


class Established(NamedTuple):
    """A session that both sides have keys for.

    `hash` is the handshake hash, 32 bytes, the same on both sides and in no other session; `remote_static`
    the peer's static key, None for a client. What a responder has may come from the replay of an agent's
    first record, until the session's first message decrypts.
    """

    peer: Peer
    transport: Transport
    hash: bytes
    remote_static: bytes | None


class Initiator:
    """The side that connects: send `first`, then feed what comes until it gives the session.

    After any error it refuses everything: HandshakeError.
    """

    def __init__(
        self,
        peer: Peer,
        broker_key: bytes,
        ephemeral: bytes,
        static: KeyPair | None = None,
        max_message: int = MAX_MESSAGE,
    ) -> None:
        """`ephemeral` is 32 random bytes, never used before; an agent gives its `static` pair."""
        self._peer = peer
        self._opening = _OPENINGS[peer]
        self._max_message = max_message
        self._received = b""
        self._over = False
        self._handshake = Handshake(
            self._opening.pattern,
            initiator=True,
            prologue=self._opening.preface,
            ephemeral=ephemeral,
            static=static,
            remote_static=broker_key,
        )

    def first(self) -> bytes:
        """Preface and first record, to send at once; once only."""
        return self._opening.preface + frame(self._handshake.write())

    def feed(self, received: bytes) -> tuple[Established, list[bytes]] | None:
        """The session, and the messages that came whole with these bytes; None: more bytes are needed.

        Raises WireError.
        """
        _refuse_if(self._over)
        self._over = True
        self._received += received
        taken = take(self._received, self._opening.reply)
        if taken is None:
            self._over = False
            return None
        reply, rest = taken
        self._handshake.read(reply)
        established = _established(self._peer, self._handshake, self._max_message)
        return established, established.transport.open(rest)


class Responder:
    """The broker's side: feed what comes until it gives the reply to send and the session.

    Never holds more than the first record beyond what it was last fed. After any error it refuses everything.
    """

    def __init__(self, static: KeyPair, ephemeral: bytes) -> None:
        """`ephemeral` is 32 random bytes, never used before."""
        self._static = static
        self._ephemeral = ephemeral
        self._received = b""
        self._over = False

    def feed(self, received: bytes) -> tuple[bytes, Established, list[bytes]] | None:
        """The reply, the session, the messages that came whole with these bytes; None: more bytes are needed.

        Raises WireError.
        """
        _refuse_if(self._over)
        self._over = True
        self._received += received
        first = self._first()
        if first is None:
            self._over = False
            return None
        return self._answer(*first)

    def completes(self, received: bytes) -> Peer | None:
        """Whose first record is whole with `received`, so that feeding it will compute an answer, which
        takes a tenth of a millisecond; None where feeding it costs next to nothing.
        """
        heard = self._received + received
        peer = _PEER_OF.get(heard[:PREFACE_BYTES])
        if peer is None or len(heard) < PREFACE_BYTES + LENGTH_BYTES + _OPENINGS[peer].first:
            return None
        return peer

    def _first(self) -> tuple[Peer, bytes, bytes] | None:
        """Who it is, its first record, and what came after it; None: more bytes are needed."""
        preface = self._received[:PREFACE_BYTES]
        peer = _PEER_OF.get(preface)
        if peer is None:
            if any(known.startswith(preface) for known in _PEER_OF):
                return None
            raise RecordError(f"the peer does not speak cw's protocol: it began with {preface!r}")
        taken = take(self._received[PREFACE_BYTES:], _OPENINGS[peer].first)
        return None if taken is None else (peer, *taken)

    def _answer(self, peer: Peer, first: bytes, rest: bytes) -> tuple[bytes, Established, list[bytes]]:
        opening = _OPENINGS[peer]
        handshake = Handshake(
            opening.pattern,
            initiator=False,
            prologue=opening.preface,
            ephemeral=self._ephemeral,
            static=self._static,
        )
        handshake.read(first)
        reply = frame(handshake.write())
        established = _established(peer, handshake, MAX_UNAUTHENTICATED)
        return reply, established, established.transport.open(rest)


def _refuse_if(over: bool) -> None:
    if over:
        raise HandshakeError("the handshake is over")


def _established(peer: Peer, handshake: Handshake, max_message: int) -> Established:
    send, receive = handshake.split()
    return Established(peer, Transport(send, receive, max_message), handshake.hash, handshake.remote_static)
