"""What becomes of commands in a session, over a connection in memory and with a clock of the test's."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from mesh import acl
from mesh.admission import Admit, Node, judge_image, weigh
from mesh.command import parse
from mesh.filters import unbounded
from mesh.images import image_of
from mesh.messages import (
    Cancel,
    Command,
    Denied,
    Error,
    Expired,
    Message,
    Optin,
    Optout,
    Ping,
    Pong,
    Result,
    Welcome,
)
from net.dial import Joined, Link, LinkBroken, TurnedAway
from roles.agent import SLACK, WAITING, Agent, Errand
from roles.audit import Audit
from roles.log import Log
from roles.runner import Stop, failed
from tests.brokers import HELLO, WELCOME, Broker, connection, hang_up
from tests.sessions import establish
from tests.vm.hosts import FakeHost
from vm.assembler import assemble
from vm.host import Host
from vm.machine import Limits, Outcome
from vm.opcodes import Effect
from wire.errors import WireError
from wire.handshake import Peer

DONE = Outcome(3, b"out", b"err", True, "")
LIMITS = Limits(seconds=60.0)


@pytest.fixture(autouse=True)
def hung_up() -> Iterator[None]:
    """Whatever a test has connected ends with it."""
    yield
    hang_up()


def because(sentence: str) -> Result:
    """The answer about a command that this ended; users are shown its output."""
    line = sentence.encode() + b"\n"
    return Result(125, line, line, False, 0)


class Runner:
    """Runs nothing: each command ends when the test says so, or when it is stopped."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, ...]] = []
        self.limits: list[Limits] = []
        self.most = 0
        self._now = 0
        self._may_end = trio.Semaphore(0)
        self._began = trio.Event()

    async def run(self, admitted: Admit, limits: Limits, host: Host, stop: Stop) -> Outcome:
        self.begun.append(admitted.arguments)
        self.limits.append(limits)
        self._now += 1
        self.most = max(self.most, self._now)
        self._began.set()
        outcome = DONE
        async with trio.open_nursery() as nursery:
            scope = nursery.cancel_scope

            async def heed() -> None:
                nonlocal outcome
                await stop.wait()
                outcome = failed("cancelled")
                scope.cancel()

            nursery.start_soon(heed)
            await self._may_end.acquire()
            scope.cancel()
        self._now -= 1
        return outcome

    def end_one(self) -> None:
        self._may_end.release()


class Scene:
    """An agent and its broker, in one session."""

    def __init__(self, broker: Broker, link: Link, agent: Agent, runner: Runner, log: StringIO) -> None:
        self.broker = broker
        self.link = link
        self.agent = agent
        self.runner = runner
        self.log = log
        self.ended: Exception | None = None
        self.over = trio.Event()

    async def ask(self, serial: int, *words: str, **changes: Any) -> None:
        await self.broker.say(command(*words or ("ping",), **changes), serial=serial)

    async def answers(self, count: int) -> list[tuple[int, Message]]:
        """The next ones; what goes on behind them has gone as far as it can."""
        heard = [await self.broker.hear() for _ in range(count)]
        await trio.testing.wait_all_tasks_blocked()
        return heard


def command(*words: str, **changes: Any) -> Command:
    known = parse(words)
    own = image_of(known.verb)
    asked = Command(
        "alice",
        ("staff",),
        "key 0123",
        words,
        known.places,
        own.module,
        own.image,
        (),
        "run",
        None,
        WELCOME.now,
        40_000,
        0,
    )
    return asked._replace(**changes)


def milliseconds() -> int:
    """The node's clock, far from the broker's: 5 s there are 1,000,000 s here."""
    return 1_000_000_000 + round(trio.current_time() * 1000)


@asynccontextmanager
async def scene(
    tmp_path: Path,
    rules: str = "allow alice ALL",
    concurrent: int = 2,
    welcome: Welcome = WELCOME,
    agent: type[Agent] = Agent,
    at_once: Outcome | None = None,
) -> AsyncIterator[Scene]:
    ends = establish(Peer.AGENT)
    ours, theirs = connection()
    link = Link(ours, ends.initiator.transport, 10)
    broker = Broker(theirs, ends.responder.transport)
    await link.send(HELLO)
    assert await broker.hear() == (0, HELLO)
    await broker.say(welcome)
    assert await link.receive() == (0, welcome)
    log, runner = StringIO(), Runner()

    def tried(_: Admit, limits: Limits, __: Host) -> Outcome | None:
        runner.limits.append(limits)
        return at_once

    audit = Audit(tmp_path / "audit", now=lambda: 0.0)
    node = Node(HELLO.uuid, (acl.parse(rules, "acl"),), lambda: {"role": "web"}, Effect.EXECUTES)
    async with trio.open_nursery() as errands:
        made = agent(
            node=lambda: node,
            host=FakeHost(),
            runner=runner,
            at_once=tried,
            limits=LIMITS,
            concurrent=concurrent,
            bounded=unbounded,
            milliseconds=milliseconds,
            log=Log("cogd", "debug", stream=log),
            audit=audit,
            errands=errands,
        )
        here = Scene(broker, link, made, runner, log)

        async def attend() -> None:
            try:
                await made.attend(Joined(link, welcome, milliseconds()), "broker:2315")
            except (LinkBroken, TurnedAway, WireError) as error:
                here.ended = error
                here.over.set()
            link.close()

        async with trio.open_nursery() as sessions:
            sessions.start_soon(attend)
            yield here
            sessions.cancel_scope.cancel()
        errands.cancel_scope.cancel()
    audit.close()


def audited(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]


async def test_a_command_is_run_and_answered_and_audited(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with scene(tmp_path) as here:
        await here.ask(1, "show", "fact", "role", filters=("role=web",))
        assert await here.answers(1) == [(1, Optin())]
        await trio.sleep(2.5)
        here.runner.end_one()
        assert await here.answers(1) == [(1, Result(3, b"out", b"err", True, 2_500_000))]
        assert here.runner.begun == [("mesh", "role")]
    common = {
        "time": "1970-01-01T00:00:00.000Z",
        "serial": "0000000000000001",
        "broker": "broker:2315",
        "user": "alice",
        "authenticated": "key",
        "command": "show fact role",
        "filters": ["role=web"],
    }
    assert audited(tmp_path) == [
        common | {"event": "ran", "effect": "reads"},
        common | {"event": "ended", "status": 3, "fault": "", "seconds": 2.5},
    ]


async def test_what_is_over_at_once_is_answered_and_audited_like_the_rest(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with scene(tmp_path, concurrent=1, at_once=DONE) as here:
        await here.ask(1)
        await here.ask(2, mode="plan")
        assert await here.answers(3) == [
            (1, Optin()),
            (1, Result(3, b"out", b"err", True, 0)),
            (2, Optin()),
        ]
        assert here.runner.begun == []
    assert [(entry["event"], entry["serial"][-1]) for entry in audited(tmp_path)] == [
        ("ran", "1"),
        ("ended", "1"),
    ]


async def test_what_would_be_over_at_once_waits_where_all_places_are_taken(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with scene(tmp_path, concurrent=1, at_once=DONE) as here:
        await here.agent._places.acquire()
        await here.ask(1)
        assert await here.answers(1) == [(1, Optin())]
        await trio.testing.wait_all_tasks_blocked()
        assert here.runner.limits == []
        here.agent._places.release()
        here.runner.end_one()
        assert [serial for serial, _ in await here.answers(1)] == [1]
        assert len(here.runner.begun) == 1


DECLINED: dict[str, tuple[dict[str, Any], Message, list[str]]] = {
    "denied": ({"user": "bob"}, Denied(), ["denied"]),
    "expired": ({"issued": 0, "ttl": 4_999}, Expired(), ["expired"]),
    "opted out": ({"filters": ("role=db",)}, Optout(), []),
    "filter that is none": (
        {"filters": ("role",)},
        Result(125, b"", b"", False, 0),
        ["refused"],
    ),
    "image refused": (
        {"image": b"pn"},
        Result(126, b"image refused: not the one that mesh/1 has for ping\n", b"", False, 0),
        ["refused"],
    ),
}


@pytest.mark.parametrize("name", DECLINED)
async def test_a_command_that_does_not_run(name: str, tmp_path: Path, autojump_clock: MockClock) -> None:
    changes, answer, events = DECLINED[name]
    async with scene(tmp_path) as here:
        await here.ask(1, **changes)
        serial, heard = await here.broker.hear()
        assert serial == 1
        if isinstance(heard, Result) and isinstance(answer, Result) and not answer.output:
            heard = heard._replace(output=b"")
        assert heard == answer
        assert here.runner.begun == []
    assert [entry["event"] for entry in audited(tmp_path)] == events


async def test_plan_is_an_optin_and_nothing_else(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with scene(tmp_path) as here:
        await here.ask(1, mode="plan")
        await here.ask(2, mode="plan")
        assert await here.answers(2) == [(1, Optin()), (2, Optin())]
        assert here.runner.begun == []


async def test_a_serial_is_answered_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with scene(tmp_path, concurrent=9) as here:
        for serial in (5, 5, 4, 6):
            await here.ask(serial)
        assert await here.answers(2) == [(5, Optin()), (6, Optin())]
        await trio.testing.wait_all_tasks_blocked()
        assert len(here.runner.begun) == 2
        assert here.log.getvalue().count("dropped") == 2


async def test_a_refused_serial_counts_too(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with scene(tmp_path) as here:
        await here.ask(5, user="bob")
        await here.ask(5)
        await here.broker.say(Ping(1))
        assert await here.answers(2) == [(5, Denied()), (0, Pong(1))]


async def test_commands_pass_each_other_and_heartbeats_go_on(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with scene(tmp_path) as here:
        await here.ask(1)
        await here.ask(2, "show", "version")
        await here.broker.say(Ping(77))
        assert await here.answers(3) == [(1, Optin()), (2, Optin()), (0, Pong(77))]
        here.runner.end_one()
        assert len(here.runner.begun) == 2
        assert isinstance((await here.broker.hear())[1], Result)


async def test_no_more_run_at_once_than_may_and_each_gets_its_turn(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with scene(tmp_path, concurrent=2) as here:
        for serial in range(1, 7):
            await here.ask(serial)
        assert await here.answers(6) == [(serial, Optin()) for serial in range(1, 7)]
        for _ in range(6):
            await trio.testing.wait_all_tasks_blocked()
            here.runner.end_one()
        assert sorted(serial for serial, _ in await here.answers(6)) == [1, 2, 3, 4, 5, 6]
        assert here.runner.most == 2


async def test_what_has_waited_too_long_expires_instead_of_running(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with scene(tmp_path, concurrent=1) as here:
        await here.ask(1)
        await here.ask(2, ttl=30_000)
        await here.ask(3, ttl=39_000)
        await here.answers(3)
        await trio.sleep(20)
        await here.broker.say(Ping(WELCOME.now + 20_000))
        await here.answers(1)
        await trio.sleep(11)
        here.runner.end_one()
        assert await here.answers(2) == [(1, Result(3, b"out", b"err", True, 31_000_000)), (2, Expired())]
        here.runner.end_one()
        assert (await here.broker.hear())[0] == 3
    assert [entry["event"] for entry in audited(tmp_path)] == ["ran", "ended", "expired", "ran", "ended"]


async def test_a_node_with_another_clock_measures_age_by_the_brokers(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with scene(tmp_path) as here:
        await trio.sleep(24)
        await here.ask(1, issued=WELCOME.now, ttl=24_000)
        await here.ask(2, issued=WELCOME.now, ttl=23_999)
        assert await here.answers(2) == [(1, Optin()), (2, Expired())]


async def test_the_queue_is_bounded(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with scene(tmp_path, concurrent=1) as here:
        await here.ask(1)
        assert await here.answers(1) == [(1, Optin())]
        await trio.testing.wait_all_tasks_blocked()
        for serial in range(2, WAITING + 3):
            await here.ask(serial)
        heard = dict(await here.answers(WAITING + 1))
        refused = heard.pop(WAITING + 2)
        assert isinstance(refused, Result)
        assert (refused.status, refused.output[:5]) == (125, b"busy:")
        assert set(heard.values()) == {Optin()}


@pytest.mark.parametrize(
    ("asked", "given"), [(0, 60.0), (1_500, 1.5), (60_001, 60.0)], ids=["none", "less", "more"]
)
async def test_run_time_is_the_nodes_or_less(
    asked: int, given: float, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with scene(tmp_path) as here:
        await here.ask(1, run_time=asked)
        await here.answers(1)
        await trio.testing.wait_all_tasks_blocked()
        assert here.runner.limits == [LIMITS._replace(seconds=given)] * 2


async def test_cancel_stops_what_runs_and_nothing_else(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with scene(tmp_path) as here:
        await here.ask(1)
        await here.ask(2)
        await here.answers(2)
        await here.broker.say(Cancel(), serial=9)
        await here.broker.say(Cancel(), serial=1)
        assert await here.answers(1) == [(1, because("cancelled"))]
        here.runner.end_one()
        assert (await here.broker.hear())[0] == 2
        await here.broker.say(Cancel(), serial=2)
        await here.broker.say(Ping(1))
        assert await here.answers(1) == [(0, Pong(1))]


async def test_cancel_reaches_what_waits(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with scene(tmp_path, concurrent=1) as here:
        await here.ask(1)
        await here.ask(2)
        await here.answers(2)
        await trio.testing.wait_all_tasks_blocked()
        await here.broker.say(Cancel(), serial=2)
        expected = because("cancelled before its turn came")
        assert await here.answers(1) == [(2, expected)]
        assert len(here.runner.begun) == 1
    assert [entry["event"] for entry in audited(tmp_path)] == ["ran", "cancelled"]


async def test_a_lost_broker_stops_nothing_that_runs_and_starts_nothing_that_waits(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with scene(tmp_path, concurrent=1) as here:
        await here.ask(1)
        await here.ask(2)
        await here.answers(2)
        await here.broker.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(here.ended, LinkBroken)
        here.runner.end_one()
        await trio.testing.wait_all_tasks_blocked()
        assert len(here.runner.begun) == 1
    assert [entry["event"] for entry in audited(tmp_path)] == ["ran", "cancelled", "ended"]


async def test_a_session_is_dead_after_two_silent_heartbeats(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with scene(tmp_path) as here:
        begun = trio.current_time()
        await trio.sleep(15)
        await here.broker.say(Ping(1))
        await here.over.wait()
        assert trio.current_time() - begun == pytest.approx(15 + 2 * 10 + SLACK)
        assert "nothing was heard" in str(here.ended)


async def test_a_heartbeat_of_nothing_is_no_reason_to_hurry(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with scene(tmp_path, welcome=WELCOME._replace(heartbeat=0)) as here:
        await trio.sleep(SLACK)
        assert here.ended is None


async def test_an_error_ends_the_session_with_its_reason(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with scene(tmp_path) as here:
        await here.broker.say(Error("closing", "the broker is shutting down"))
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(here.ended, TurnedAway)
        assert str(here.ended) == "the broker is shutting down"


async def test_nonsense_ends_the_session(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with scene(tmp_path) as here:
        assert here.broker.transport is not None
        await here.broker.stream.send_all(here.broker.transport.seal(b"\x05" + bytes(8) + b"\xc1"))
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(here.ended, WireError)


async def test_an_agent_that_closes_starts_nothing_but_lets_what_runs_end(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with scene(tmp_path, concurrent=1) as here:
        await here.ask(1)
        await here.ask(2)
        await here.answers(2)
        await trio.testing.wait_all_tasks_blocked()
        here.agent.close("this agent is stopping")
        assert (await here.broker.hear())[0] == 2
        await here.ask(3)
        assert await here.answers(1) == [(3, Result(125, b"this agent is stopping\n", b"", False, 0))]
        here.runner.end_one()
        assert await here.answers(1) == [(1, Result(3, b"out", b"err", True, 0))]
        assert len(here.runner.begun) == 1


async def test_nothing_begins_that_was_admitted_while_the_agent_closed(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with scene(tmp_path) as here:
        async with here.link._turn:  # so that its OPTIN has to wait
            await here.ask(1)
            await trio.testing.wait_all_tasks_blocked()
            here.agent.close("this agent is stopping")
        expected = because("cancelled before its turn came")
        assert await here.answers(2) == [(1, Optin()), (1, expected)]
        assert here.runner.begun == []


async def test_what_waits_keeps_nothing_that_only_its_admission_needed(tmp_path: Path) -> None:
    kept: list[Command] = []

    class Remembering(Agent):
        async def _accept(self, errand: Errand) -> None:
            kept.append(errand.asked.command)
            await super()._accept(errand)

    async with scene(tmp_path, agent=Remembering) as here:
        await here.ask(1, targets=(HELLO.uuid,), mode="plan")
        assert await here.answers(1) == [(1, Optin())]
    assert kept == [command("ping", targets=None, groups=(), image=b"", mode="plan")]


PURE = assemble('fn main\n  print "pong\\n"\n  retv 0\n', "other", lambda _: None)


async def test_a_strangers_image_is_judged_in_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[Callable[..., object]] = []
    in_thread = trio.to_thread.run_sync

    async def watched(call: Callable[..., Any], *arguments: Any) -> Any:
        threads.append(call)
        return await in_thread(call, *arguments)

    monkeypatch.setattr("trio.to_thread.run_sync", watched)
    async with scene(tmp_path) as here:
        await here.ask(1)
        await here.ask(2, user="bob", module="mesh/2", image=PURE)
        assert await here.answers(2) == [(1, Optin()), (2, Denied())]
        assert threads == []
        await here.ask(3, module="mesh/2", image=PURE)
        await here.ask(4, module="mesh/2", image=b"pn")
        assert await here.answers(1) == [(3, Optin())]
        refused = (await here.answers(1))[0][1]
        assert isinstance(refused, Result)
        assert (refused.status, refused.output[:13]) == (126, b"image refused")
        assert threads == [judge_image, judge_image]


async def test_what_a_node_does_not_know_is_weighed_in_a_thread_and_its_module_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[Callable[..., object]] = []
    in_thread = trio.to_thread.run_sync

    async def watched(call: Callable[..., Any], *arguments: Any) -> Any:
        threads.append(call)
        return await in_thread(call, *arguments)

    monkeypatch.setattr("trio.to_thread.run_sync", watched)
    unknown = {"words": ("disk", "free", "/a b"), "arguments": (2,), "module": "site.disk/0123abcd"}
    async with scene(tmp_path) as here:
        await here.ask(1, user="bob", image=PURE, **unknown)
        assert await here.answers(1) == [(1, Denied())]
        assert threads == []
        await here.ask(2, image=PURE, **unknown)
        assert await here.answers(1) == [(2, Optin())]
        here.runner.end_one()
        ((serial, result),) = await here.answers(1)
        assert (serial, type(result)) == (2, Result)
        assert threads == [weigh]
        assert here.runner.begun == [("site.disk", "/a b")]
    (ran,) = [entry for entry in audited(tmp_path) if entry["event"] == "ran"]
    assert (ran["command"], ran["effect"], ran["module"]) == (
        'disk free "/a b"',
        "pure",
        "site.disk/0123abcd",
    )


async def test_a_host_without_a_thread_left_refuses_what_it_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To whom the rules allow everything: to others it denies what it cannot look at."""
    monkeypatch.setattr("trio.to_thread.run_sync", no_thread)
    sentence = b"the image could not be verified: can't start new thread\n"
    rules = "allow alice ALL\nallow carol ALL effect pure"
    async with scene(tmp_path, rules) as here:
        for serial, user in enumerate(("alice", "carol"), 1):
            await here.ask(serial, user=user, words=("disk",), module="site.disk/0123abcd", image=PURE)
        assert await here.answers(2) == [(1, Result(125, sentence, b"", False, 0)), (2, Denied())]


async def test_a_host_without_a_thread_left_refuses_a_strangers_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trio.to_thread.run_sync", no_thread)
    async with scene(tmp_path) as here:
        await here.ask(1, module="mesh/2", image=PURE)
        sentence = b"the image could not be verified: can't start new thread\n"
        assert await here.answers(1) == [(1, Result(125, sentence, b"", False, 0))]


async def no_thread(*_: object) -> object:
    raise RuntimeError("can't start new thread")


async def test_an_agent_that_stops_ends_what_runs(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with scene(tmp_path) as here:
        await here.ask(1)
        await here.answers(1)
        await trio.testing.wait_all_tasks_blocked()
        here.agent.stop()
        assert await here.answers(1) == [(1, because("cancelled"))]


@pytest.mark.parametrize("at_once", [None, DONE], ids=["in its turn", "at once"])
async def test_nothing_runs_that_cannot_be_audited(
    at_once: Outcome | None, tmp_path: Path, autojump_clock: MockClock
) -> None:
    (tmp_path / "audit").symlink_to("/dev/full")
    async with scene(tmp_path, at_once=at_once) as here:
        await here.ask(1)
        await here.ask(2, user="bob")
        heard = dict(await here.answers(2)) | dict(await here.answers(1))
        assert heard[2] == Denied()
        assert heard[1] == because("the audit log of this node cannot be written")
        assert here.runner.begun == []
        assert "cannot write to the audit log" in here.log.getvalue()


async def test_a_result_that_nobody_takes_is_dropped(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as here:
        await here.ask(1)
        await here.answers(1)
        await here.broker.stream.aclose()
        here.runner.end_one()
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(here.ended, LinkBroken)
    assert [entry["event"] for entry in audited(tmp_path)] == ["ran", "ended"]


async def test_an_answer_that_fails_while_its_command_is_considered_ends_only_the_session(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as here:
        await here.ask(1)
        await here.broker.stream.aclose()
        await here.over.wait()
        assert isinstance(here.ended, LinkBroken)
