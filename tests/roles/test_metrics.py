"""What a broker counts, seen through the text that it shows: each event moves its own figures alone."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

import attrs
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from conf.schema import MeshdConf, MeshdLimits
from mesh.exposition import CONTENT_TYPE, Series, Type, parse, render
from mesh.messages import (
    VERSION,
    Bye,
    Done,
    Error,
    Hello,
    Ok,
    Optin,
    PasswordAuth,
)
from roles.metrics import METRICS, Metric, families, pages
from roles.vitals import Phase, Vitals
from tests.live_broker import (
    ALICE,
    FAILED,
    MALLORY,
    PASSWORD,
    PATIENCE,
    PONG,
    World,
    hasty,
    node,
    node_key,
    ping,
    unsigned,
    world,
)
from wire.handshake import Peer


def told(mesh: World) -> dict[Series, float]:
    """All figures as a scrape has them."""
    return parse(render(families(mesh.broker.measured(), Vitals())))


def moved(mesh: World) -> dict[str, float]:
    """What is not zero, but for what every process and connection moves."""
    everybodys = re.compile(
        r"process_|cw_meshd_(build_info|ready|.*_bytes|connections_accepted|.*_seconds_(sum|bucket))"
    )
    return {
        " ".join((name.removeprefix("cw_meshd_"), *(label for _, label in labels))): value
        for (name, labels), value in told(mesh).items()
        if value and not everybodys.match(name)
    }


async def until(mesh: World, name: str, value: float = 1) -> None:
    """Wait until a figure has come to that."""
    with trio.fail_after(PATIENCE):
        while moved(mesh).get(name, 0) != value:
            await trio.lowlevel.checkpoint()


async def answered(mesh: World) -> None:
    agent = await mesh.agent(1)
    client = await mesh.asked()
    await client.hear()
    serial = (await agent.hear()).serial
    await agent.say(Optin(), PONG, PONG, serial=serial)
    assert (await client.rest())[-1] == Done(1, 1, 0, 0, 0, 0, 0)
    await until(mesh, "sessions client", 0)


async def lost(mesh: World) -> None:
    agent = await mesh.agent(1)
    client = await mesh.asked()
    assert await client.hears() == Ok(1)
    await agent.hear()
    await agent.stream.aclose()
    await client.rest()


async def left(mesh: World) -> None:
    await mesh.agent(1)
    client = await mesh.asked()
    assert await client.hears() == Ok(1)
    await client.say(Bye())
    await client.rest()


async def cut(mesh: World) -> None:
    await mesh.agent(1)
    client = await mesh.asked()
    assert await client.hears() == Ok(1)
    await client.stream.aclose()
    await until(mesh, "requests_total connection lost")


async def left_silent(mesh: World) -> None:
    await mesh.agent(1)
    client = await mesh.asked(ping()._replace(timeout=1))
    assert (await client.rest())[-1] == Done(1, 0, 0, 0, 0, 0, 1)


async def revoked(mesh: World) -> None:
    await mesh.agent(1)
    client = await mesh.asked()
    assert await client.hears() == Ok(1)
    mesh.trust("users")
    mesh.look()
    assert await client.rest() == [Error("denied", "the key was revoked")]


async def stranger(mesh: World) -> None:
    client = await mesh.client()
    await client.say(client.signed(ping("mallory"), MALLORY))
    assert await client.rest() == [FAILED]


async def wrong_password(mesh: World) -> None:
    for user, password in (("carol", PASSWORD), ("carol", "wrong"), ("broken", PASSWORD)):
        client = await mesh.client()
        await client.say(ping(user, PasswordAuth(password)))
        await client.rest()


async def no_proof(mesh: World) -> None:
    client = await mesh.client()
    await client.say(ping(auth=unsigned(ALICE)))
    assert await client.rest() == [FAILED]
    client = await mesh.client()
    await client.say(ping())
    assert await client.rest() == [FAILED]


async def hung_up(mesh: World) -> None:
    client = await mesh.client()
    await client.say(ping("slow", PasswordAuth(PASSWORD)))
    await until(mesh, "sessions client")
    await client.stream.aclose()
    await until(mesh, "requests_total connection lost")


async def untrusted(mesh: World) -> None:
    talk = await mesh.talk(Peer.AGENT, node_key(9))
    await talk.say(Hello(VERSION, "0.1.0", *node(9)))
    await talk.rest()


async def garbage(mesh: World) -> None:
    stream = await mesh.connect()
    await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
    await until(mesh, "handshakes_total failed")
    await stream.aclose()
    stream = await mesh.connect()
    await until(mesh, "handshakes_total not in time")
    await stream.aclose()


async def crowd(mesh: World) -> None:
    streams = [await mesh.connect() for _ in range(3)]
    await until(mesh, "connections_refused_total", 2)
    for stream in streams:
        await stream.aclose()
    await until(mesh, "handshakes_total failed")


AGENT = {"agents_joined_total": 1, "handshakes_total completed": 2}
ENDED = "sessions_ended_total client closed by the other side"
WIRED = {**AGENT, "sessions agent": 1, ENDED: 1}
REFUSED = {
    "handshakes_total completed": 1,
    ENDED: 1,
    "refusals_total authentication": 1,
    "requests_total refused": 1,
}
CASES: dict[str, tuple[Callable[[World], Awaitable[None]], dict[str, float]]] = {
    "a request that all have answered, one of them twice": (
        answered,
        {
            **WIRED,
            "requests_total closed": 1,
            "answers_total result": 1,
            "answers_dropped_total": 1,
            "request_duration_seconds_count": 1,
        },
    ),
    "an agent that was lost": (
        lost,
        {
            **AGENT,
            ENDED: 1,
            "sessions_ended_total agent closed by the other side": 1,
            "requests_total closed": 1,
            "answers_total lost": 1,
            "request_duration_seconds_count": 1,
        },
    ),
    "a client that said bye": (
        left,
        {
            **AGENT,
            "sessions agent": 1,
            "sessions_ended_total client closed by the broker": 1,
            "requests_total bye": 1,
            "answers_total unheard": 1,
        },
    ),
    "a client that hung up": (
        cut,
        {**WIRED, "requests_total connection lost": 1, "answers_total unheard": 1},
    ),
    "an agent that said nothing": (
        left_silent,
        {
            **WIRED,
            "requests_total deadline": 1,
            "answers_total silent": 1,
            "request_duration_seconds_count": 1,
        },
    ),
    "a key that was revoked": (
        revoked,
        {**WIRED, "requests_total key revoked": 1, "answers_total unheard": 1},
    ),
    "a key that is not listed": (stranger, {**REFUSED, "authentication_failures_total key": 1}),
    "passwords": (
        wrong_password,
        {
            "handshakes_total completed": 3,
            ENDED: 3,
            "refusals_total authentication": 2,
            "requests_total refused": 2,
            "requests_total closed": 1,
            "request_duration_seconds_count": 1,
            "authentication_failures_total password": 1,
            "authentication_failures_total not checked": 1,
        },
    ),
    "no proof at all": (
        no_proof,
        {
            **{name: 2 * count for name, count in REFUSED.items()},
            "authentication_failures_total key": 1,
            "authentication_failures_total no method": 1,
        },
    ),
    "a client that hung up before it was known": (
        hung_up,
        {"handshakes_total completed": 1, ENDED: 1, "requests_total connection lost": 1},
    ),
    "an agent that nobody knows": (
        untrusted,
        {
            "handshakes_total completed": 1,
            "refusals_total untrusted": 1,
            "sessions_ended_total agent closed by the other side": 1,
        },
    ),
}


async def settled(mesh: World) -> None:
    """Wait until the broker has heard that clients and strangers hung up."""
    with trio.fail_after(PATIENCE):
        while mesh.broker.door.inside or len(mesh.broker._hub.links) > len(mesh.broker._router.sessions):
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(("happens", "figures"), CASES.values(), ids=CASES)
async def test_what_happens_moves_its_own_figures(
    happens: Callable[[World], Awaitable[None]], figures: dict[str, float], tmp_path: Path
) -> None:
    async with world(tmp_path) as mesh:
        assert moved(mesh) == {}
        await happens(mesh)
        await settled(mesh)
        assert moved(mesh) == figures


async def test_handshakes_that_come_to_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, hasty()) as mesh:
        await garbage(mesh)
        assert moved(mesh) == {"handshakes_total failed": 1, "handshakes_total not in time": 1}


async def test_who_is_turned_away_at_the_door(tmp_path: Path) -> None:
    limits = attrs.evolve(MeshdLimits(), unauthenticated=2)
    async with world(tmp_path, MeshdConf(limits=limits)) as mesh:
        await crowd(mesh)
        assert moved(mesh) == {"connections_refused_total": 2, "handshakes_total failed": 1}
        assert told(mesh)[Series("cw_meshd_connections_accepted_total")] == 1


async def test_the_throttle_is_told_apart(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        for _ in range(11):
            client = await mesh.client()
            await client.say(ping("carol", PasswordAuth("wrong")))
            assert await client.rest() == [FAILED]
        failures = {name: count for name, count in moved(mesh).items() if "failures" in name}
        assert failures == {
            "authentication_failures_total password": 10,
            "authentication_failures_total too many failures": 1,
        }


async def test_bytes_are_counted_both_ways(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        before = told(mesh)
        await answered(mesh)
        after = told(mesh)
        for name in ("cw_meshd_received_bytes_total", "cw_meshd_sent_bytes_total"):
            assert before[Series(name)] < after[Series(name)]
        assert after[Series("cw_meshd_queued_bytes")] == 0


async def test_prometheus_reads_every_metric_and_none_names_a_user_or_a_node(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        await answered(mesh)
        text = render(families(mesh.broker.measured(), Vitals()))
    read = {family.name: family for family in text_string_to_metric_families(text)}
    for metric in METRICS:
        family = read.pop(metric.name.removesuffix("_total"))
        assert (family.type, family.documentation) == (metric.type, metric.help)
        assert {name for sample in family.samples for name in sample.labels} - {"le"} == set(metric.labels)
    assert not read
    for name in ("alice", "staff", node(1).fqdn, node(1).uuid, "127.0.0.1", ALICE.public.hex()[:16]):
        assert name not in text


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_named_as_prometheus_would(metric: Metric) -> None:
    assert re.fullmatch(r"(cw_meshd|process)(_[a-z]+)+", metric.name)
    assert metric.name.endswith("_total") == (metric.type is Type.COUNTER)
    assert metric.help[0].isupper() or metric.help[0].isdigit()
    assert metric.help.endswith(".")


async def test_a_broker_is_ready_between_its_start_and_its_end(tmp_path: Path) -> None:
    vitals = Vitals()
    async with world(tmp_path) as mesh:
        web = pages(mesh.broker.measured, vitals)
        for phase, status in (
            (Phase.STARTING, HTTPStatus.SERVICE_UNAVAILABLE),
            (Phase.READY, HTTPStatus.OK),
            (Phase.DRAINING, HTTPStatus.SERVICE_UNAVAILABLE),
        ):
            vitals.phase = phase
            assert web["/readyz"]()[:2] == (status, f"{phase}\n")
            assert web["/healthz"]()[:2] == (HTTPStatus.OK, "ok\n")
            page = web["/metrics"]()
            assert (page.status, page.type) == (HTTPStatus.OK, CONTENT_TYPE)
            assert parse(page.body)[Series("cw_meshd_ready")] == (phase is Phase.READY)
