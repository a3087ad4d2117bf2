"""The course of a request as its client hears it."""

import pytest

from errors import CwError
from mesh.hearing import Hearing
from mesh.messages import (
    Denied,
    Error,
    Expired,
    Kind,
    Lost,
    Message,
    Ok,
    Optin,
    Optout,
    Ping,
    Pong,
    Result,
    Silent,
    encode,
    encode_identity,
    relay,
)
from mesh.printing import Answer, Tally
from tests.fake_broker import SERIAL, done, node
from wire.errors import WireError


def about(number: int, message: Message) -> bytes:
    return relay(encode(message, SERIAL), encode_identity(node(number)))


def accepted(sessions: int = 3) -> Hearing:
    hearing = Hearing()
    hearing.hear(encode(Ok(sessions), SERIAL))
    return hearing


def heard(hearing: Hearing, raw: bytes) -> Answer:
    answer = hearing.hear(raw)
    assert isinstance(answer, Answer)
    return answer


def test_an_accepted_request_has_a_serial_and_a_number_of_sessions() -> None:
    hearing = accepted(3)
    assert (hearing.sessions, hearing.serial, hearing.finished) == (3, SERIAL, False)


RESULTS = [
    (Result(0, b"pong\n", b"", False, 1500), "ok"),
    (Result(1, b"", b"oh\n", True, 0), "failed"),
    (Result(2**32 - 1, b"", b"", False, 0), "failed"),
]


@pytest.mark.parametrize(("result", "outcome"), RESULTS)
def test_a_result(result: Result, outcome: str) -> None:
    hearing = accepted()
    answer = heard(hearing, about(1, result))
    assert answer == Answer(
        node(1).uuid,
        node(1).fqdn,
        outcome,
        result.status,
        result.output,
        result.error_output,
        result.truncated,
        result.duration / 1e6,
    )
    assert hearing.tally.took_part


OTHERS: list[tuple[Message, str]] = [
    (Lost(), "lost"),
    (Silent(), "silent"),
    (Expired(), "expired"),
    (Denied(), "denied"),
    (Optout(), "optout"),
]


@pytest.mark.parametrize(("message", "outcome"), OTHERS)
def test_a_node_that_did_not_answer(message: Message, outcome: str) -> None:
    hearing = accepted()
    assert heard(hearing, about(1, message)) == Answer(node(1).uuid, node(1).fqdn, outcome)
    assert hearing.tally.closed == 1
    assert not hearing.tally.took_part


def test_opting_in_prints_nothing_but_is_taking_part() -> None:
    hearing = accepted()
    assert hearing.hear(about(1, Optin())) is None
    assert hearing.tally == Tally(took_part=True)


def test_a_body_that_cannot_be_read_is_malformed_and_failed() -> None:
    hearing = accepted()
    raw = about(1, Result(0, b"pong\n", b"", False, 0)) + b"\0"
    assert heard(hearing, raw) == Answer(node(1).uuid, node(1).fqdn, "malformed")
    assert hearing.tally == Tally(failed=1, took_part=True)


def test_the_broker_s_counts_are_final() -> None:
    hearing = accepted(9)
    hearing.hear(about(1, Result(0, b"", b"", False, 0)))
    hearing.hear(about(2, Result(3, b"", b"", False, 0)))
    hearing.hear(about(3, Lost()))
    hearing.hear(
        encode(done(sessions=9, results=2, optouts=1, denied=2, expired=1, lost=2, silent=1), SERIAL)
    )
    assert hearing.finished
    assert hearing.tally == Tally(1, 1, 1, 2, 1, 2, 1, True)


def test_giving_up_names_those_who_opted_in_and_said_no_more() -> None:
    hearing = accepted(4)
    for number in (1, 2, 3):
        hearing.hear(about(number, Optin()))
    hearing.hear(about(2, Result(0, b"", b"", False, 0)))
    assert hearing.give_up() == [Answer(node(n).uuid, node(n).fqdn, "silent") for n in (1, 3)]
    assert hearing.tally == Tally(ok=1, silent=3, took_part=True)
    assert hearing.give_up() == []
    assert hearing.tally.closed == 4


def test_giving_up_counts_those_who_said_nothing_at_all() -> None:
    hearing = accepted(3)
    hearing.hear(about(1, Denied()))
    assert hearing.give_up() == []
    assert hearing.tally == Tally(denied=1, silent=2)
    unheard = Hearing()
    assert unheard.give_up() == []
    assert unheard.tally == Tally()


def test_giving_up_on_a_broker_that_cannot_count() -> None:
    hearing = accepted(1)
    hearing.hear(about(1, Lost()))
    hearing.hear(about(2, Lost()))
    assert hearing.give_up() == []
    assert hearing.tally == Tally(lost=2)


def test_two_sessions_of_one_name_are_two() -> None:
    hearing = accepted(2)
    hearing.hear(about(1, Optin()))
    hearing.hear(about(1, Optin()))
    hearing.hear(about(1, Result(0, b"", b"", False, 0)))
    assert len(hearing.give_up()) == 1


def test_ping_wants_pong_before_and_after_the_answer() -> None:
    hearing = Hearing()
    assert hearing.hear(encode(Ping(4))) == Pong(4)
    hearing.hear(encode(Ok(1), SERIAL))
    assert hearing.hear(encode(Ping(5))) == Pong(5)


@pytest.mark.parametrize("after_ok", [False, True])
def test_a_refusal_ends_it(after_ok: bool) -> None:
    hearing = accepted() if after_ok else Hearing()
    with pytest.raises(CwError, match="the broker is stopping"):
        hearing.hear(encode(Error("closing", "the broker is stopping"), SERIAL))
    assert hearing.finished


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff" * 9,
        encode(Ok(1), SERIAL),
        bytes((Kind.RESULT,)) + bytes(8) + b"no identity",
        bytes((Kind.DONE,)) + bytes(8),
        bytes((Kind.COMMAND,)) + bytes(8),
    ],
)
def test_what_no_broker_may_send(raw: bytes) -> None:
    with pytest.raises(WireError):
        accepted().hear(raw)


def test_nothing_may_follow_the_end() -> None:
    hearing = accepted(0)
    hearing.hear(encode(done(), SERIAL))
    with pytest.raises(WireError):
        hearing.hear(about(1, Optin()))


def test_of_a_plan_an_optin_is_the_answer() -> None:
    hearing = Hearing(plan=True)
    hearing.hear(encode(Ok(2), SERIAL))
    assert heard(hearing, about(1, Optin())) == Answer(node(1).uuid, node(1).fqdn, "ok")
    hearing.hear(encode(done(sessions=2, results=1, optouts=1), SERIAL))
    assert hearing.finished
    assert hearing.tally == Tally(ok=1, optouts=1, took_part=True)
    assert hearing.give_up() == []
