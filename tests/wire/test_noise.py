import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from noise.connection import Keypair, NoiseConnection

from wire.errors import DecryptError, HandshakeError, NonceExhausted, SessionDead, WireError
from wire.noise import IK, LAST_NONCE, NK, REKEY_EVERY, Cipher, Handshake, KeyPair, Pattern, key_pair

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "noise.json").read_text())
PATTERNS = {pattern.name.decode(): pattern for pattern in (IK, NK)}
BOTH = [pytest.param(pattern, id=pattern.name[6:8].decode()) for pattern in (IK, NK)]

PROLOGUE = b"cw/1A"
STATIC = {"initiator": key_pair(b"i".ljust(32)), "responder": key_pair(b"r".ljust(32))}
EPHEMERAL = {"initiator": b"initiator's".ljust(32), "responder": b"responder's".ljust(32)}


def handshakes(pattern: Pattern, prologue: bytes = PROLOGUE) -> tuple[Handshake, Handshake]:
    return (
        Handshake(
            pattern,
            initiator=True,
            prologue=prologue,
            ephemeral=EPHEMERAL["initiator"],
            static=STATIC["initiator"] if pattern is IK else None,
            remote_static=STATIC["responder"].public,
        ),
        Handshake(
            pattern,
            initiator=False,
            prologue=PROLOGUE,
            ephemeral=EPHEMERAL["responder"],
            static=STATIC["responder"],
        ),
    )


def unhex(vector: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(vector[name])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["protocol_name"][6:8])
def test_published_vectors(vector: dict[str, Any]) -> None:
    pattern = PATTERNS[vector["protocol_name"]]
    initiator = Handshake(
        pattern,
        initiator=True,
        prologue=unhex(vector, "init_prologue"),
        ephemeral=unhex(vector, "init_ephemeral"),
        static=key_pair(unhex(vector, "init_static")) if "init_static" in vector else None,
        remote_static=unhex(vector, "init_remote_static"),
    )
    responder = Handshake(
        pattern,
        initiator=False,
        prologue=unhex(vector, "resp_prologue"),
        ephemeral=unhex(vector, "resp_ephemeral"),
        static=key_pair(unhex(vector, "resp_static")),
    )
    messages = [(unhex(message, "payload"), unhex(message, "ciphertext")) for message in vector["messages"]]
    for (writer, reader), (payload, ciphertext) in zip(
        [(initiator, responder), (responder, initiator)], messages[:2], strict=True
    ):
        assert writer.write(payload) == ciphertext
        assert reader.read(ciphertext) == payload
    assert initiator.hash == responder.hash == unhex(vector, "handshake_hash")
    if "init_static" in vector:
        assert responder.remote_static == key_pair(unhex(vector, "init_static")).public
    ends = [initiator.split(), responder.split()]
    assert len(messages) > 2
    for number, (payload, ciphertext) in enumerate(messages[2:]):
        send, receive = ends[number % 2][0], ends[1 - number % 2][1]
        assert send.encrypt(payload) == ciphertext
        assert receive.decrypt(ciphertext) == payload


def other(pattern: Pattern, *, initiator: bool) -> NoiseConnection:
    """The same side as `handshakes` makes, by another implementation, with an ephemeral key of its own."""
    connection = NoiseConnection.from_name(pattern.name)
    connection.set_prologue(PROLOGUE)
    if initiator:
        connection.set_as_initiator()
        connection.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, STATIC["responder"].public)
        if pattern is IK:
            connection.set_keypair_from_private_bytes(Keypair.STATIC, STATIC["initiator"].secret)
    else:
        connection.set_as_responder()
        connection.set_keypair_from_private_bytes(Keypair.STATIC, STATIC["responder"].secret)
    connection.start_handshake()
    return connection


@pytest.mark.parametrize("pattern", BOTH)
@pytest.mark.parametrize("ours", ["initiator", "responder"])
def test_another_implementation_understands_us_and_we_it_across_a_rekey(pattern: Pattern, ours: str) -> None:
    theirs = other(pattern, initiator=ours == "responder")
    initiator, responder = handshakes(pattern)
    if ours == "initiator":
        handshake = initiator
        theirs.read_message(handshake.write(b"hello"))
        assert handshake.read(bytes(theirs.write_message(b"welcome"))) == b"welcome"
    else:
        handshake = responder
        assert handshake.read(bytes(theirs.write_message(b"hello"))) == b"hello"
        theirs.read_message(handshake.write(b"welcome"))
        assert handshake.remote_static == (STATIC["initiator"].public if pattern is IK else None)
    assert handshake.hash == theirs.get_handshake_hash()
    send, receive = handshake.split()

    for turn in range(REKEY_EVERY + 2):
        if turn == REKEY_EVERY:
            theirs.rekey_inbound_cipher()
            theirs.rekey_outbound_cipher()
        assert theirs.decrypt(send.encrypt(b"ping")) == b"ping"
        assert receive.decrypt(theirs.encrypt(b"pong")) == b"pong"


@pytest.mark.parametrize("pattern", BOTH)
def test_every_bit_of_the_handshake_counts(pattern: Pattern) -> None:
    initiator, responder = handshakes(pattern)
    first = initiator.write()
    for bit in range(len(first) * 8):
        with pytest.raises(WireError):
            handshakes(pattern)[1].read(flipped(first, bit))
    responder.read(first)
    second = responder.write()
    for bit in range(len(second) * 8):
        initiator = handshakes(pattern)[0]
        initiator.write()
        with pytest.raises(WireError):
            initiator.read(flipped(second, bit))


def flipped(raw: bytes, bit: int) -> bytes:
    return (int.from_bytes(raw, "little") ^ 1 << bit).to_bytes(len(raw), "little")


@pytest.mark.parametrize("pattern", BOTH)
def test_every_cut_and_a_trailing_byte_are_refused(pattern: Pattern) -> None:
    initiator, responder = handshakes(pattern)
    first = initiator.write()
    for size in range(len(first)):
        with pytest.raises(WireError):
            handshakes(pattern)[1].read(first[:size])
    with pytest.raises(DecryptError):
        handshakes(pattern)[1].read(first + b"\0")
    responder.read(first)
    with pytest.raises(DecryptError):
        initiator.read(responder.write() + b"\0")


@pytest.mark.parametrize("pattern", BOTH)
def test_another_prologue_is_another_protocol(pattern: Pattern) -> None:
    initiator, responder = handshakes(pattern, prologue=b"cw/1C")
    with pytest.raises(DecryptError):
        responder.read(initiator.write())


@pytest.mark.parametrize("pattern", BOTH)
def test_another_responder_cannot_answer(pattern: Pattern) -> None:
    initiator, _ = handshakes(pattern)
    stranger = Handshake(
        pattern,
        initiator=False,
        prologue=PROLOGUE,
        ephemeral=EPHEMERAL["responder"],
        static=key_pair(b"stranger".ljust(32)),
    )
    with pytest.raises(DecryptError):
        stranger.read(initiator.write())


@pytest.mark.parametrize("pattern", BOTH)
def test_an_ephemeral_key_of_small_order_is_refused(pattern: Pattern) -> None:
    with pytest.raises(HandshakeError, match="zero"):
        handshakes(pattern)[1].read(bytes(32) + bytes(64))


def test_a_static_key_of_small_order_is_refused() -> None:
    responder = handshakes(IK)[1]
    nobody = KeyPair(bytes(32), bytes(32))
    initiator = Handshake(
        IK,
        initiator=True,
        prologue=PROLOGUE,
        ephemeral=EPHEMERAL["initiator"],
        static=nobody,
        remote_static=STATIC["responder"].public,
    )
    with pytest.raises(HandshakeError, match="zero"):
        responder.read(initiator.write())


@pytest.mark.parametrize("pattern", BOTH)
def test_out_of_turn_and_after_an_error_nothing_works(pattern: Pattern) -> None:
    initiator, responder = handshakes(pattern)
    with pytest.raises(HandshakeError):
        responder.write()
    with pytest.raises(HandshakeError):
        responder.read(initiator.write())

    initiator, responder = handshakes(pattern)
    with pytest.raises(HandshakeError):
        initiator.split()
    first = initiator.write()
    with pytest.raises(WireError):
        responder.read(first[:-1])
    with pytest.raises(HandshakeError):
        responder.read(first)

    initiator, responder = handshakes(pattern)
    responder.read(initiator.write())
    with pytest.raises(HandshakeError):
        initiator.write()


@pytest.mark.parametrize("pattern", BOTH)
def test_a_finished_handshake_splits_once(pattern: Pattern) -> None:
    initiator, responder = handshakes(pattern)
    responder.read(initiator.write())
    initiator.read(responder.write())
    assert (initiator.finished, responder.finished) == (True, True)
    responder.split()
    with pytest.raises(HandshakeError):
        responder.split()
    with pytest.raises(HandshakeError):
        initiator.read(b"")


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_has_32_bytes(size: int) -> None:
    with pytest.raises(HandshakeError, match=f"not {size}$"):
        key_pair(bytes(size))
    with pytest.raises(HandshakeError, match=f"not {size}$"):
        Cipher(bytes(size))
    with pytest.raises(HandshakeError, match=f"not {size}$"):
        Handshake(
            NK, initiator=True, prologue=b"", ephemeral=EPHEMERAL["initiator"], remote_static=bytes(size)
        )


def test_a_side_without_its_keys_says_so() -> None:
    with pytest.raises(HandshakeError, match="responder's"):
        Handshake(NK, initiator=True, prologue=b"", ephemeral=EPHEMERAL["initiator"])
    with pytest.raises(HandshakeError, match="static"):
        Handshake(NK, initiator=False, prologue=b"", ephemeral=EPHEMERAL["initiator"])
    anonymous = Handshake(
        IK,
        initiator=True,
        prologue=b"",
        ephemeral=EPHEMERAL["initiator"],
        remote_static=STATIC["responder"].public,
    )
    with pytest.raises(HandshakeError, match="static"):
        anonymous.write()


def test_the_key_changes_at_the_boundary_and_the_counter_goes_on() -> None:
    key = bytes(range(32))
    before = Cipher(key, REKEY_EVERY - 1)
    last_of_old, first_of_new = before.encrypt(b"a"), before.encrypt(b"b")
    old = Cipher(key, REKEY_EVERY - 1)
    assert old.decrypt(last_of_old) == b"a"
    assert old.decrypt(first_of_new) == b"b"
    with pytest.raises(DecryptError):
        Cipher(key, REKEY_EVERY).decrypt(first_of_new)
    # Noise §4.2: the new key is the beginning of what the old one makes of 32 zeros under the last nonce.
    new_key = ChaCha20Poly1305(key).encrypt(bytes(4) + b"\xff" * 8, bytes(32), None)[:32]
    assert Cipher(new_key, REKEY_EVERY).decrypt(first_of_new) == b"b"


def test_the_last_nonce_is_never_used() -> None:
    sender, receiver = Cipher(bytes(32), LAST_NONCE - 1), Cipher(bytes(32), LAST_NONCE - 1)
    assert receiver.decrypt(sender.encrypt(b"last")) == b"last"
    for use in (sender.encrypt, receiver.decrypt):
        with pytest.raises(NonceExhausted):
            use(bytes(16))


def test_a_cipher_is_dead_after_an_error() -> None:
    sender, receiver = Cipher(bytes(32)), Cipher(bytes(32))
    sealed = sender.encrypt(b"good")
    with pytest.raises(DecryptError):
        receiver.decrypt(flipped(sealed, 3))
    for use in (receiver.decrypt, receiver.encrypt):
        with pytest.raises(SessionDead):
            use(sealed)
