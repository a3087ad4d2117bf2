from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sessions import transports
from wire.errors import ChunkError, DecryptError, NonceExhausted, RecordError, SessionDead, WireError
from wire.noise import LAST_NONCE, REKEY_EVERY, Cipher
from wire.records import frame
from wire.transport import CHUNK_BYTES, MAX_MESSAGE, Transport

KEY = b"there".ljust(32)
SIZES = [
    0,
    1,
    300,
    CHUNK_BYTES - 1,
    CHUNK_BYTES,
    CHUNK_BYTES + 1,
    2 * CHUNK_BYTES,
    MAX_MESSAGE - 1,
    MAX_MESSAGE,
]


def message_of(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def pieces(stream: bytes, size: int) -> Iterator[bytes]:
    return (stream[start : start + size] for start in range(0, len(stream), size))


def opened(transport: Transport, parts: Iterator[bytes]) -> list[bytes]:
    return [message for part in parts for message in transport.open(part)]


def raw_records(*plaintexts: bytes) -> bytes:
    """What a peer with the key, but its own way to split, could send to the second of `transports`."""
    cipher = Cipher(KEY)
    return b"".join(frame(cipher.encrypt(plaintext)) for plaintext in plaintexts)


@pytest.mark.parametrize("size", SIZES)
def test_messages_of_every_size_arrive_whole(size: int) -> None:
    near, far = transports()
    message = message_of(size)
    sealed = near.seal(message)
    records = max(1, -(-size // CHUNK_BYTES))
    assert len(sealed) == size + records * (2 + 1 + 16)
    assert far.open(sealed) == [message]
    assert near.open(far.seal(message)) == [message]


@pytest.mark.parametrize("piece", [1, 2, 3, 17, 65536])
def test_messages_arrive_in_any_pieces(piece: int) -> None:
    near, far = transports()
    messages = [message_of(size) for size in (0, 1, 300, CHUNK_BYTES + 5, 9)]
    stream = b"".join(near.seal(message) for message in messages)
    assert opened(far, pieces(stream, piece)) == messages


@given(st.lists(st.binary(max_size=90), max_size=8), st.data())
def test_messages_arrive_however_they_are_cut(messages: list[bytes], draw: st.DataObject) -> None:
    near, far = transports()
    stream = b"".join(near.seal(message) for message in messages)
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    parts = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert opened(far, iter(parts)) == messages


def test_a_message_is_there_with_its_last_byte_and_not_before() -> None:
    near, far = transports()
    sealed = near.seal(b"hello")
    assert [far.open(sealed[at : at + 1]) for at in range(len(sealed))] == [[]] * (len(sealed) - 1) + [
        [b"hello"]
    ]


def test_what_follows_a_message_waits_for_its_own_end() -> None:
    near, far = transports()
    first, second = near.seal(b"first"), near.seal(b"second")
    assert far.open(first + second[:1]) == [b"first"]
    assert far.open(second[1:5]) == []
    assert far.open(second[5:]) == [b"second"]


def test_every_bit_of_a_record_counts_and_kills_the_session() -> None:
    near, _ = transports()
    sealed = near.seal(b"hello")
    for bit in range(len(sealed) * 8):
        broken = (int.from_bytes(sealed, "big") ^ 1 << bit).to_bytes(len(sealed), "big")
        _, far = transports(max_message=4096)
        if int.from_bytes(broken[:2], "big") > len(sealed) - 2:
            # A greater length makes the rest wait, unless it is more than the session allows.
            try:
                assert far.open(broken) == []
            except ChunkError:
                assert_dead(far)
            continue
        with pytest.raises((DecryptError, RecordError)):
            far.open(broken)
        assert_dead(far)


def assert_dead(transport: Transport) -> None:
    for received in (b"", b"\0", transports()[0].seal(b"hello")):
        with pytest.raises(SessionDead):
            transport.open(received)
    with pytest.raises(SessionDead):
        transport.seal(b"anything")


@given(st.binary(max_size=300), st.integers(1, 40))
def test_random_bytes_raise_declared_errors_only(noise: bytes, piece: int) -> None:
    _, far = transports()
    try:
        assert opened(far, pieces(noise, piece)) == []
    except WireError:
        assert_dead(far)


def test_replayed_swapped_and_dropped_records_are_refused() -> None:
    for order in ((0, 0), (1, 0), (1,)):
        near, far = transports()
        sealed = [near.seal(b"zero"), near.seal(b"one")]
        with pytest.raises(DecryptError):
            far.open(b"".join(sealed[number] for number in order))
        assert_dead(far)


def test_a_side_does_not_take_its_own_records_back() -> None:
    near, _ = transports()
    with pytest.raises(DecryptError):
        near.open(near.seal(b"hello"))


@pytest.mark.parametrize("size", range(17))
def test_a_record_too_short_for_any_message_is_refused_before_it_came(size: int) -> None:
    _, far = transports()
    with pytest.raises(RecordError):
        far.open(size.to_bytes(2, "big"))
    assert_dead(far)


WRONG_SPLITS = {
    "a flag of its own": [b"\2hello"],
    "a flag of its own on a full part": [b"\2" + bytes(CHUNK_BYTES), b"\0hello"],
    "a first part that is not full": [b"\1hello", b"\0world"],
    "an empty part": [b"\1"],
    "an empty last part": [b"\1" + bytes(CHUNK_BYTES), b"\0"],
    "a middle part that is not full": [b"\1" + bytes(CHUNK_BYTES), b"\1" + bytes(9), b"\0" + bytes(9)],
    "a flag of its own in the last part": [b"\1" + bytes(CHUNK_BYTES), b"\3" + bytes(9)],
}


@pytest.mark.parametrize("parts", WRONG_SPLITS.values(), ids=WRONG_SPLITS.keys())
def test_there_is_one_way_to_split(parts: list[bytes]) -> None:
    _, far = transports()
    with pytest.raises(ChunkError):
        far.open(raw_records(*parts))
    assert_dead(far)


def test_a_message_is_as_long_as_the_session_allows_and_no_longer() -> None:
    near, far = transports(max_message=300)
    assert far.open(near.seal(bytes(300))) == [bytes(300)]
    with pytest.raises(ChunkError, match="300 bytes"):
        far.open(near.seal(bytes(301))[:2])
    assert_dead(far)


def test_a_split_message_is_refused_with_the_part_that_is_too_much() -> None:
    near, far = transports(max_message=CHUNK_BYTES + 10)
    assert far.open(near.seal(bytes(CHUNK_BYTES + 10))) == [bytes(CHUNK_BYTES + 10)]
    sealed = near.seal(bytes(CHUNK_BYTES + 11))
    second = 2 + 1 + CHUNK_BYTES + 16
    assert far.open(sealed[:second]) == []
    with pytest.raises(ChunkError):
        far.open(sealed[second : second + 2])
    assert_dead(far)


def test_the_bound_can_be_raised_while_the_session_lives() -> None:
    near, far = transports(max_message=10)
    assert far.open(near.seal(bytes(10))) == [bytes(10)]
    far.max_message = 1000
    assert far.open(near.seal(bytes(1000))) == [bytes(1000)]


@pytest.mark.parametrize("begun", [2, 3, CHUNK_BYTES, CHUNK_BYTES + 100])
def test_the_bound_can_be_lowered_and_what_was_begun_is_held_to_it(begun: int) -> None:
    there, back = transports()
    sealed = there.seal(bytes(2 * CHUNK_BYTES))
    assert back.open(sealed[:begun]) == []
    with pytest.raises(ChunkError, match="longer than the 100 bytes that this session allows now"):
        back.lower(100)
    with pytest.raises(SessionDead):
        back.open(sealed[begun:])
    assert there.open(back.seal(b"refused")) == [b"refused"]


@pytest.mark.parametrize("begun", [0, 1, 2, 50])
def test_what_is_short_enough_goes_on_under_a_lower_bound(begun: int) -> None:
    there, back = transports()
    assert back.open(there.seal(bytes(5000))) == [bytes(5000)]
    sealed = there.seal(bytes(100))
    assert back.open(sealed[:begun]) == []
    back.lower(100)
    assert back.open(sealed[begun:]) == [bytes(100)]


def test_what_waits_for_the_rest_of_a_record_is_less_than_a_record() -> None:
    _, far = transports(max_message=40)
    with pytest.raises(ChunkError):
        far.open(b"\xff\xff" + bytes(100_000))
    _, far = transports()
    assert far.open(b"\xff\xff" + bytes(65_534)) == []
    with pytest.raises(DecryptError):
        far.open(bytes(1))


def test_nobody_seals_more_than_anybody_takes_and_the_session_lives_on() -> None:
    near, far = transports()
    with pytest.raises(ChunkError, match=str(MAX_MESSAGE)):
        near.seal(bytes(MAX_MESSAGE + 1))
    assert far.open(near.seal(b"still here")) == [b"still here"]


def test_both_sides_change_keys_at_the_same_record() -> None:
    near, far = transports(counter=REKEY_EVERY - 2)
    for number in range(5):
        message = b"%d" % number
        assert far.open(near.seal(message)) == [message]
        assert near.open(far.seal(message)) == [message]


def test_keys_change_within_a_split_message_too() -> None:
    near, far = transports(counter=REKEY_EVERY - 2)
    message = message_of(4 * CHUNK_BYTES)
    assert far.open(near.seal(message)) == [message]


def test_the_last_nonce_ends_the_session() -> None:
    near, far = transports(counter=LAST_NONCE - 1)
    assert far.open(near.seal(b"last")) == [b"last"]
    with pytest.raises(NonceExhausted):
        near.seal(b"one more")
    with pytest.raises(NonceExhausted):
        far.open(frame(bytes(20)))
    assert_dead(far)
