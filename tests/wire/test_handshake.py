from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from noise.connection import Keypair, NoiseConnection

from tests.sessions import AGENT, BROKER, EPHEMERALS, establish, initiator
from wire.errors import HandshakeError, RecordError, WireError
from wire.handshake import Initiator, Peer, Responder
from wire.noise import key_pair
from wire.transport import MAX_MESSAGE, MAX_UNAUTHENTICATED

PEERS = list(Peer)
PREFACES = {Peer.AGENT: b"cw/1A", Peer.CLIENT: b"cw/1C"}
FIRST = {Peer.AGENT: 5 + 2 + 96, Peer.CLIENT: 5 + 2 + 48}
NAMES = {
    Peer.AGENT: b"Noise_IK_25519_ChaChaPoly_BLAKE2s",
    Peer.CLIENT: b"Noise_NK_25519_ChaChaPoly_BLAKE2s",
}


def responder() -> Responder:
    return Responder(BROKER, EPHEMERALS[1])


def answer(first: bytes) -> bytes:
    answered = responder().feed(first)
    assert answered is not None
    return answered[0]


@pytest.mark.parametrize("peer", PEERS)
def test_both_ends_agree(peer: Peer) -> None:
    near, far = establish(peer)
    assert near.peer is far.peer is peer
    assert near.hash == far.hash
    assert len(near.hash) == 32
    assert near.remote_static == BROKER.public
    assert far.remote_static == (AGENT.public if peer is Peer.AGENT else None)
    assert far.transport.open(near.transport.seal(b"there")) == [b"there"]
    assert near.transport.open(far.transport.seal(b"back")) == [b"back"]


def test_each_side_bounds_what_it_takes() -> None:
    assert [establish(peer).initiator.transport.max_message for peer in PEERS] == [MAX_MESSAGE] * 2
    assert [establish(peer).responder.transport.max_message for peer in PEERS] == [MAX_UNAUTHENTICATED] * 2


def test_other_ephemerals_make_another_session() -> None:
    one, two = establish(Peer.CLIENT), establish(Peer.CLIENT, (EPHEMERALS[1], EPHEMERALS[0]))
    assert one.initiator.hash != two.initiator.hash


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("piece", [1, 2, 7])
def test_the_handshake_works_in_any_pieces(peer: Peer, piece: int) -> None:
    near, far = initiator(peer), responder()
    first = near.first()
    assert len(first) == FIRST[peer]
    answers = [far.feed(first[at : at + piece]) for at in range(0, len(first), piece)]
    assert answers[:-1] == [None] * (len(answers) - 1)
    assert answers[-1] is not None
    reply, far_end, early = answers[-1]
    assert early == []
    stream = reply + far_end.transport.seal(b"welcome")
    messages: list[bytes] = []
    near_end = None
    for at in range(0, len(stream), piece):
        received = stream[at : at + piece]
        if near_end is not None:
            messages += near_end.transport.open(received)
        elif finished := near.feed(received):
            near_end, messages = finished
    assert messages == [b"welcome"]


@pytest.mark.parametrize("peer", PEERS)
def test_messages_that_come_with_the_reply_are_given_with_it(peer: Peer) -> None:
    near = initiator(peer)
    answered = responder().feed(near.first())
    assert answered is not None
    reply, far_end, _ = answered
    whole, half = far_end.transport.seal(b"whole"), far_end.transport.seal(b"half")
    finished = near.feed(reply + whole + half[:9])
    assert finished is not None
    near_end, messages = finished
    assert messages == [b"whole"]
    assert near_end.transport.open(half[9:]) == [b"half"]


def theirs(peer: Peer, *, initiating: bool) -> NoiseConnection:
    connection = NoiseConnection.from_name(NAMES[peer])
    connection.set_prologue(PREFACES[peer])
    if initiating:
        connection.set_as_initiator()
        connection.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, BROKER.public)
        if peer is Peer.AGENT:
            connection.set_keypair_from_private_bytes(Keypair.STATIC, AGENT.secret)
    else:
        connection.set_as_responder()
        connection.set_keypair_from_private_bytes(Keypair.STATIC, BROKER.secret)
    connection.start_handshake()
    return connection


@pytest.mark.parametrize("peer", PEERS)
def test_a_broker_of_another_make_is_understood(peer: Peer) -> None:
    broker, near = theirs(peer, initiating=False), initiator(peer)
    first = near.first()
    assert first[:5] == PREFACES[peer]
    assert int.from_bytes(first[5:7], "big") == len(first) - 7
    assert broker.read_message(first[7:]) == b""
    reply = bytes(broker.write_message())
    finished = near.feed(len(reply).to_bytes(2, "big") + reply)
    assert finished is not None
    established, _ = finished
    assert established.hash == broker.get_handshake_hash()
    sealed = established.transport.seal(b"request")
    assert broker.decrypt(sealed[2:]) == b"\0request"


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_of_another_make_is_understood(peer: Peer) -> None:
    connection, far = theirs(peer, initiating=True), responder()
    first = bytes(connection.write_message())
    answered = far.feed(PREFACES[peer] + len(first).to_bytes(2, "big") + first)
    assert answered is not None
    reply, established, _ = answered
    assert connection.read_message(reply[2:]) == b""
    assert established.hash == connection.get_handshake_hash()
    assert connection.decrypt(established.transport.seal(b"welcome")[2:]) == b"\0welcome"


STRANGERS = [b"GET / HTTP/1.1\r\n", b"SSH-2.0-", b"\x16\x03\x01", b"cw/1B", b"cw/2A", b"\0", b"\n"]


@pytest.mark.parametrize("greeting", STRANGERS)
def test_a_stranger_is_refused_at_its_first_wrong_byte(greeting: bytes) -> None:
    far = responder()
    known = max(size for size in range(6) if any(p.startswith(greeting[:size]) for p in PREFACES.values()))
    assert far.feed(greeting[:known]) is None
    with pytest.raises(RecordError, match="does not speak") as refused:
        far.feed(greeting[known:])
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 100


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("size", [0, 47, 49, 95, 97, 65535])
def test_a_record_of_another_length_is_refused_when_it_is_announced(peer: Peer, size: int) -> None:
    with pytest.raises(RecordError):
        responder().feed(PREFACES[peer] + size.to_bytes(2, "big"))
    near = initiator(peer)
    near.first()
    with pytest.raises(RecordError):
        near.feed(size.to_bytes(2, "big"))


@pytest.mark.parametrize("peer", PEERS)
def test_every_bit_of_the_first_bytes_counts(peer: Peer) -> None:
    first = initiator(peer).first()
    for broken in flips(first):
        with pytest.raises(WireError):
            responder().feed(broken)


@pytest.mark.parametrize("peer", PEERS)
def test_every_bit_of_the_reply_counts(peer: Peer) -> None:
    reply = answer(initiator(peer).first())
    for broken in flips(reply):
        near = initiator(peer)
        near.first()
        with pytest.raises(WireError):
            near.feed(broken)


def flips(raw: bytes) -> list[bytes]:
    whole = int.from_bytes(raw, "big")
    return [(whole ^ 1 << bit).to_bytes(len(raw), "big") for bit in range(len(raw) * 8)]


@pytest.mark.parametrize("peer", PEERS)
def test_a_cut_handshake_waits(peer: Peer) -> None:
    first = initiator(peer).first()
    assert [responder().feed(first[:size]) for size in range(len(first))] == [None] * len(first)


@pytest.mark.parametrize("peer", PEERS)
def test_nobody_has_anything_to_say_before_the_reply(peer: Peer) -> None:
    first = initiator(peer).first()
    with pytest.raises(WireError):
        responder().feed(first + b"\0\x14" + bytes(20))
    answered = responder().feed(first + b"\0")
    assert answered is not None
    with pytest.raises(WireError):
        answered[1].transport.open(b"\x14" + bytes(20))


@pytest.mark.parametrize("peer", PEERS)
def test_the_replay_of_a_first_record_gets_keys_that_its_sender_does_not_have(peer: Peer) -> None:
    first = initiator(peer).first()
    near, _ = establish(peer)
    replayed = Responder(BROKER, b"the responder's next ephemeral".ljust(32)).feed(first)
    assert replayed is not None
    with pytest.raises(WireError):
        replayed[1].transport.open(near.transport.seal(b"hello"))


@pytest.mark.parametrize("peer", PEERS)
def test_the_wrong_broker_key_is_refused_by_the_broker(peer: Peer) -> None:
    wrong = key_pair(b"another broker".ljust(32)).public
    near = Initiator(peer, wrong, EPHEMERALS[0], AGENT if peer is Peer.AGENT else None)
    with pytest.raises(WireError):
        responder().feed(near.first())


def used_up_responder() -> Callable[[bytes], object]:
    far = responder()
    far.feed(initiator(Peer.CLIENT).first())
    return far.feed


def refused_responder() -> Callable[[bytes], object]:
    far = responder()
    with pytest.raises(RecordError):
        far.feed(b"x")
    return far.feed


def used_up_initiator() -> Callable[[bytes], object]:
    near = initiator(Peer.CLIENT)
    near.feed(answer(near.first()))
    return near.feed


def refused_initiator() -> Callable[[bytes], object]:
    near = initiator(Peer.CLIENT)
    near.first()
    with pytest.raises(WireError):
        near.feed(b"\0\x30" + bytes(48))
    return near.feed


@pytest.mark.parametrize("feed", [used_up_responder, refused_responder, used_up_initiator, refused_initiator])
def test_a_handshake_that_is_over_takes_nothing(feed: Callable[[], Callable[[bytes], object]]) -> None:
    good = answer(initiator(Peer.CLIENT).first())
    take = feed()
    for received in (b"", good, initiator(Peer.CLIENT).first()):
        with pytest.raises(WireError):
            take(received)


def test_the_first_bytes_are_given_once() -> None:
    near = initiator(Peer.CLIENT)
    near.first()
    with pytest.raises(HandshakeError):
        near.first()


def test_a_reply_before_the_first_bytes_is_refused() -> None:
    with pytest.raises(HandshakeError):
        initiator(Peer.CLIENT).feed(answer(initiator(Peer.CLIENT).first()))


@given(st.binary(max_size=200), st.sampled_from([b"", b"cw/1A", b"cw/1C", b"cw/1A\0\x60", b"cw/1C\0\x30"]))
def test_random_bytes_raise_declared_errors_only(noise: bytes, start: bytes) -> None:
    far = responder()
    try:
        assert far.feed(start + noise) is None
    except WireError:
        with pytest.raises(WireError):
            far.feed(b"")
    near = initiator(Peer.CLIENT)
    near.first()
    try:
        assert near.feed(noise) is None
    except WireError:
        with pytest.raises(WireError):
            near.feed(b"")


def test_a_session_that_failed_with_the_reply_is_dead() -> None:
    near = initiator(Peer.CLIENT)
    reply = answer(near.first())
    with pytest.raises(WireError):
        near.feed(reply + b"\0\0")
    with pytest.raises(HandshakeError, match="over"):
        near.feed(b"")
