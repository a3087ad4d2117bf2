"""Sendings: everyone once, rising within a session, and nobody waits for another's ten thousand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mesh.fanout import TURN, TURN_BYTES, Fanout


def drained(fanout: Fanout) -> list[tuple[int, bytes]]:
    sendings = []
    while fanout:
        sendings += fanout.turn()
    return sendings


def test_each_session_gets_a_message_once() -> None:
    fanout = Fanout()
    fanout.add(b"ping", range(1000))
    assert sorted(drained(fanout)) == [(session, b"ping") for session in range(1000)]
    assert not fanout


def test_a_message_to_nobody_is_over_at_once() -> None:
    fanout = Fanout()
    fanout.add(b"ping", ())
    assert fanout.turn() == []
    assert not fanout


def test_a_small_request_does_not_wait_for_a_large_one() -> None:
    fanout = Fanout()
    fanout.add(b"large", range(10_000))
    fanout.turn()
    fanout.add(b"small", [1])
    assert (1, b"small") in fanout.turn()


def test_a_turn_is_a_few_dozen_sessions_however_many_messages_are_under_way() -> None:
    fanout = Fanout()
    for number in range(10):
        fanout.add(b"%d" % number, range(1000 * number, 1000 * number + 1000))
    turns = [fanout.turn() for _ in range(10)]
    assert [len(turn) for turn in turns] == [TURN] * 10
    assert {message for turn in turns for _, message in turn} == {b"%d" % number for number in range(10)}


def test_a_turn_of_a_long_message_is_bounded_in_bytes() -> None:
    for size, sessions in ((TURN_BYTES // TURN, TURN), (128 << 10, 2), (400 << 10, 1)):
        fanout = Fanout()
        fanout.add(bytes(size), range(1000))
        assert len(fanout.turn()) == sessions


def test_an_older_message_is_sent_before_a_younger_one_that_comes_to_a_session_first() -> None:
    fanout = Fanout()
    fanout.add(b"large", range(10_000))
    fanout.turn()
    fanout.add(b"small", [9_999])
    sendings = fanout.turn()
    assert sendings.index((9_999, b"large")) + 1 == sendings.index((9_999, b"small"))
    assert drained(fanout).count((9_999, b"large")) == 0


steps = st.lists(
    st.one_of(
        st.none(),
        st.lists(st.integers(0, 3 * TURN), unique=True, max_size=3 * TURN),
        st.integers(0, 3 * TURN).map(lambda n: list(range(n))),
    ),
    max_size=12,
)


@given(steps)
def test_any_interleaving_keeps_the_order_within_each_session(steps: list[list[int] | None]) -> None:
    fanout = Fanout()
    expected = set()
    sendings: list[tuple[int, bytes]] = []
    for number, sessions in enumerate(steps):
        if sessions is None:
            sendings += fanout.turn()
        else:
            message = bytes([number])
            fanout.add(message, sessions)
            expected |= {(session, message) for session in sessions}
    sendings += drained(fanout)
    assert len(sendings) == len(expected)
    assert set(sendings) == expected
    last: dict[int, bytes] = {}
    for session, message in sendings:
        assert message > last.get(session, b"")
        last[session] = message
