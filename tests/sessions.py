"""Established sessions between two ends in memory, for every test that needs one."""

from typing import NamedTuple

from wire.handshake import Established, Initiator, Peer, Responder
from wire.noise import Cipher, key_pair
from wire.transport import MAX_MESSAGE, Transport

BROKER = key_pair(b"broker's static secret".ljust(32))
AGENT = key_pair(b"agent's static secret".ljust(32))
EPHEMERALS = (b"initiator's ephemeral".ljust(32), b"responder's ephemeral".ljust(32))


class Ends(NamedTuple):
    initiator: Established
    responder: Established


def initiator(peer: Peer, ephemeral: bytes = EPHEMERALS[0]) -> Initiator:
    return Initiator(peer, BROKER.public, ephemeral, AGENT if peer is Peer.AGENT else None)


def establish(peer: Peer, ephemerals: tuple[bytes, bytes] = EPHEMERALS) -> Ends:
    near = initiator(peer, ephemerals[0])
    answered = Responder(BROKER, ephemerals[1]).feed(near.first())
    assert answered is not None
    reply, responder, _ = answered
    finished = near.feed(reply)
    assert finished is not None
    return Ends(finished[0], responder)


def transports(counter: int = 0, max_message: int = MAX_MESSAGE) -> tuple[Transport, Transport]:
    """Two ends whose ciphers all stand at `counter`."""
    there, back = b"there".ljust(32), b"back".ljust(32)
    return (
        Transport(Cipher(there, counter), Cipher(back, counter), max_message),
        Transport(Cipher(back, counter), Cipher(there, counter), max_message),
    )
