"""The router, one rule at a time; test_ledgers.py has all of them at once, in any order."""

from __future__ import annotations

import pytest

from mesh.messages import (
    Denied,
    Done,
    Expired,
    Identity,
    Kind,
    Message,
    Ok,
    Optin,
    Optout,
    Result,
    Side,
    decode,
    decode_report,
    encode,
    kind_of,
)
from mesh.router import Close, Effect, Finished, Router, Spread, Tell, Warn

RESULT = Result(0, b"pong\n", b"", False, 12)
CLIENT = 1000


def identity(number: int) -> Identity:
    return Identity(f"web{number:02}.example.com", f"00000000-0000-4000-8000-{number:012}")


def joined(count: int, **options: bool) -> Router:
    router = Router(7, **options)
    for number in range(count):
        assert router.join(number, bytes([number]) * 32, identity(number), 0.0) == []
    return router


def command(serial: int) -> bytes:
    return b"command %d" % serial


def ask(router: Router, *, optouts: bool = False, plan: bool = False) -> int:
    """A request of CLIENT; its serial."""
    effects = router.ask(CLIENT, command, optouts=optouts, plan=plan)
    return next(effect.serial for effect in effects if isinstance(effect, Spread))


def told(effects: list[Effect]) -> list[tuple[Kind, str]]:
    """Kind and fqdn of each report to the client."""
    reports = []
    for effect in effects:
        if isinstance(effect, Tell) and kind_of(effect.message) not in (Kind.OK, Kind.DONE):
            _, kind, who, _ = decode_report(effect.message)
            reports.append((kind, who.fqdn))
    return reports


def done(effects: list[Effect]) -> Done:
    """The counts of the one request that these effects end."""
    (finished,) = (effect for effect in effects if isinstance(effect, Finished))
    return finished.done


def answer(router: Router, session: int, serial: int, *messages: Message) -> list[Effect]:
    return [effect for message in messages for effect in router.answer(session, encode(message, serial))]


def test_ok_comes_first_and_tells_how_many_sessions_there_are() -> None:
    router = joined(3)
    first, second = router.ask(CLIENT, command)
    assert isinstance(first, Tell)
    assert isinstance(second, Spread)
    assert first.client == CLIENT
    assert decode(Side.BROKER, first.message) == (second.serial, Ok(3))
    assert list(second.sessions) == [0, 1, 2]
    assert second.message == command(second.serial)


def test_serials_rise_from_the_epoch() -> None:
    router = joined(1)
    assert ask(router) == (7 << 32) + 1
    router.forget(CLIENT, "bye")
    assert ask(router) == (7 << 32) + 2


def test_with_no_session_the_request_is_done_at_once() -> None:
    effects = Router(7).ask(CLIENT, command)
    assert [type(effect) for effect in effects] == [Tell, Tell, Finished]
    assert done(effects) == Done(0, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("closing", "named", "field"),
    [
        (RESULT, True, "results"),
        (Optout(), False, "optouts"),
        (Denied(), False, "denied"),
        (Expired(), True, "expired"),
    ],
)
def test_each_closing_is_counted_and_some_are_named(closing: Message, named: bool, field: str) -> None:
    router = joined(1)
    serial = ask(router)
    effects = answer(router, 0, serial, closing)
    assert told(effects) == ([(kind_of(encode(closing)), "web00.example.com")] if named else [])
    assert done(effects) == Done(*(int(name in ("sessions", field)) for name in Done._fields))


def test_optouts_are_named_where_the_client_asks() -> None:
    router = joined(1)
    effects = answer(router, 0, ask(router, optouts=True), Optout())
    assert told(effects) == [(Kind.OPTOUT, "web00.example.com")]


def test_denials_are_named_where_the_broker_says_so() -> None:
    router = joined(1, name_denied=True)
    assert told(answer(router, 0, ask(router), Denied())) == [(Kind.DENIED, "web00.example.com")]


def test_the_body_of_an_answer_is_passed_on_untouched() -> None:
    router = joined(1)
    serial = ask(router)
    raw = encode(RESULT, serial)[:9] + b"\xc1 no MessagePack"
    (tell, *_) = router.answer(0, raw)
    assert isinstance(tell, Tell)
    assert tell.message.endswith(b"\xc1 no MessagePack")
    assert decode_report(tell.message) == (serial, Kind.RESULT, identity(0), None)


def test_a_lost_session_is_named_only_after_it_opted_in() -> None:
    router = joined(2)
    serial = ask(router)
    assert told(answer(router, 0, serial, Optin())) == [(Kind.OPTIN, "web00.example.com")]
    assert told(router.leave(0)) == [(Kind.LOST, "web00.example.com")]
    effects = router.leave(1)
    assert told(effects) == []
    assert done(effects) == Done(2, 0, 0, 0, 0, 2, 0)


def test_at_the_deadline_the_rest_is_silent() -> None:
    router = joined(3)
    serial = ask(router)
    answer(router, 0, serial, Optin(), RESULT)
    answer(router, 1, serial, Optin())
    effects = router.expire(CLIENT)
    assert told(effects) == [(Kind.SILENT, "web01.example.com")]
    assert done(effects) == Done(3, 1, 0, 0, 0, 0, 2)
    assert router.expire(CLIENT) == []


def test_late_repeated_and_unknown_answers_are_dropped_and_counted() -> None:
    router = joined(2)
    serial = ask(router)
    answer(router, 0, serial, Optin())
    assert answer(router, 0, serial, Optin()) == []
    assert answer(router, 0, serial + 1, RESULT) == []
    assert answer(router, 9, serial, RESULT) == []
    answer(router, 0, serial, RESULT)
    assert answer(router, 0, serial, RESULT) == []
    assert answer(router, 0, serial, Optin()) == []
    assert router.dropped == 5
    assert done(answer(router, 1, serial, RESULT)) == Done(2, 2, 0, 0, 0, 0, 0)


def test_a_plan_ends_with_the_opt_ins() -> None:
    router = joined(2)
    serial = ask(router, plan=True)
    answer(router, 0, serial, Optout())
    effects = answer(router, 1, serial, Optin())
    assert told(effects) == [(Kind.OPTIN, "web01.example.com")]
    assert done(effects) == Done(2, 1, 1, 0, 0, 0, 0)


def test_targets_are_the_only_ones_asked_and_those_without_a_session_are_lost() -> None:
    router = joined(3)
    uuids = [identity(1).uuid, identity(1).uuid, identity(8).uuid]
    ok, spread = router.ask(CLIENT, command, targets=uuids)
    assert isinstance(ok, Tell)
    assert isinstance(spread, Spread)
    assert decode(Side.BROKER, ok.message)[1] == Ok(2)
    assert list(spread.sessions) == [1]
    assert done(answer(router, 1, spread.serial, RESULT)) == Done(2, 1, 0, 0, 0, 1, 0)


def test_cancel_goes_to_whoever_still_owes_an_answer() -> None:
    router = joined(3)
    serial = ask(router)
    answer(router, 1, serial, RESULT)
    (spread,) = router.cancel(CLIENT)
    assert isinstance(spread, Spread)
    assert spread.serial == serial
    assert list(spread.sessions) == [0, 2]
    assert kind_of(spread.message) is Kind.CANCEL
    assert router.cancel(CLIENT + 1) == []


def test_a_second_cancel_of_a_request_is_nothing() -> None:
    """A user who repeats it must not make the broker write to every session each time."""
    router = joined(2)
    serial = ask(router)
    assert len(router.cancel(CLIENT)) == 1
    assert router.cancel(CLIENT) == []
    answer(router, 0, serial, RESULT)
    assert done(answer(router, 1, serial, RESULT)).results == 2


@pytest.mark.parametrize("why", ["bye", "connection lost"])
def test_a_forgotten_request_says_nothing_more(why: str) -> None:
    router = joined(2)
    serial = ask(router)
    answer(router, 0, serial, RESULT)
    (finished,) = router.forget(CLIENT, why)
    assert finished == Finished(CLIENT, serial, Done(2, 1, 0, 0, 0, 0, 0), why)
    assert answer(router, 1, serial, RESULT) == []
    assert router.forget(CLIENT, why) == []


def test_a_newer_session_of_a_key_closes_the_older() -> None:
    router = joined(1)
    serial = ask(router)
    answer(router, 0, serial, Optin())
    effects = router.join(5, bytes([0]) * 32, identity(0), 1.0)
    assert told(effects) == [(Kind.LOST, "web00.example.com")]
    assert Close(0, "a newer session of the same key") in effects
    assert router.leave(0) == []
    assert list(router.sessions) == [5]


@pytest.mark.parametrize(("times", "warned"), [((1.0, 2.0, 3.0), True), ((1.0, 40.0, 100.0), False)])
def test_a_key_used_three_times_in_a_minute_is_worth_a_warning(
    times: tuple[float, ...], warned: bool
) -> None:
    router = joined(1)
    effects = [
        effect
        for number, now in enumerate(times, 10)
        for effect in router.join(number, bytes([0]) * 32, identity(0), now)
    ]
    assert any(isinstance(effect, Warn) for effect in effects) is warned
