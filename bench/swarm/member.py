"""One agent of a swarm: its keys, its handshake made ready beforehand, its session. No socket, no clock."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from bench.swarm.conduct import Conduct
from conf.version import VERSION
from mesh.messages import VERSION as PROTOCOL
from mesh.messages import Hello, encode
from wire.handshake import Initiator, Peer
from wire.noise import KeyPair, key_pair
from wire.primitives import blake2s
from wire.transport import Transport


class Identity(NamedTuple):
    """Who an agent is."""

    fqdn: str
    uuid: str
    key: KeyPair


def identity(number: int) -> Identity:
    """The agent of that number: the same each time, so that a trust database can be written beforehand."""
    secret = blake2s(b"bench/swarm %d" % number)
    return Identity(f"n{number:05}.example.com", f"00000000-0000-4000-8000-{number:012}", key_pair(secret))


class Member:
    """One agent."""

    __slots__ = (
        "attempt",
        "begun",
        "conduct",
        "deaf",
        "first",
        "handshake",
        "identity",
        "joined",
        "outgoing",
        "pauses",
        "transport",
    )

    def __init__(self, who: Identity, conduct: Conduct) -> None:
        self.identity = who
        self.conduct = conduct
        self.attempt = 0
        """Of joining; it rises, so that what was meant for an earlier session is known by it."""
        self.begun = self.joined = self.deaf = False
        self.handshake: Initiator | None = None
        """It begins with the bytes `first`, however many attempts fail before a broker answers it: what they
        spend on making another each time, agents spend on nodes of their own.
        """
        self.first = b""
        self.transport: Transport | None = None
        self.outgoing = bytearray()
        """What the socket did not take yet."""
        self.pauses: Iterator[float] | None = None
        """Between attempts, since the last session."""

    def prepare(self, broker_key: bytes) -> None:
        """Begin the next handshake, where there is none."""
        if self.handshake is None:
            self.handshake = Initiator(Peer.AGENT, broker_key, os.urandom(32), self.identity.key)
            self.first = self.handshake.first()

    def begin(self, broker_key: bytes) -> bytes:
        """The first bytes of a connection."""
        self.prepare(broker_key)
        self.begun = True
        return self.first

    def greet(self, received: bytes) -> tuple[bytes, list[bytes]] | None:
        """HELLO, once the handshake is done, and what came early; None: more is needed. Raises WireError."""
        assert self.handshake is not None
        handshake, self.handshake = self.handshake, None
        done = handshake.feed(received)
        if done is None:
            self.handshake = handshake
            return None
        established, early = done
        self.transport = established.transport
        who = self.identity
        return self.transport.seal(encode(Hello(PROTOCOL, VERSION, who.fqdn, who.uuid))), early

    def end(self) -> None:
        """Forget the session, and what was meant for it."""
        self.attempt += 1
        self.transport = None
        self.begun = self.joined = self.deaf = False
        self.outgoing.clear()
