"""The broker on real loopback sockets: strangers, users and agents of every kind, and what it writes down."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import attrs
import pytest
import trio

from auth.keys import KeyFile, short
from conf.schema import MeshdAuth, MeshdConf, MeshdLimits
from mesh.messages import (
    VERSION,
    Bye,
    Cancel,
    Command,
    Denied,
    Done,
    Error,
    Expired,
    Hello,
    KeyAuth,
    Kind,
    Lost,
    Message,
    Ok,
    Optin,
    Optout,
    PasswordAuth,
    Pong,
    Request,
    Result,
    Silent,
    encode,
)
from tests.live_broker import (
    ALICE,
    BOB,
    FAILED,
    MALLORY,
    NOBODY,
    PASSWORD,
    PATIENCE,
    PONG,
    Talk,
    World,
    hasty,
    node,
    node_key,
    ping,
    unsigned,
    world,
)
from wire.handshake import Peer
from wire.transport import MAX_FROM_AGENT, MAX_MESSAGE

# -- who may ask


async def test_a_listed_key_is_answered(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        agent = await mesh.agent(1)
        client = await mesh.asked()
        serial, ok, _ = await client.hear()
        assert ok == Ok(1)
        at, command, _ = await agent.hear()
        assert isinstance(command, Command)
        assert at == serial
        assert command[:4] == ("alice", ("staff",), f"key {short(ALICE.public.hex())}", ("ping",))
        await agent.say(Optin(), PONG, serial=serial)
        assert [await client.hear() for _ in range(3)] == [
            (serial, Optin(), node(1).fqdn),
            (serial, PONG, node(1).fqdn),
            (serial, Done(1, 1, 0, 0, 0, 0, 0), ""),
        ]
        assert await client.rest() == []
        (asked,) = mesh.audited("request")
        assert asked["user"] == "alice"
        assert asked["address"] == "127.0.0.1"
        assert asked["command"] == "ping"
        (done,) = mesh.audited("done")
        assert (done["sessions"], done["results"], done["ended"]) == (1, 1, "closed")


async def test_a_right_password_is_answered(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        client = await mesh.client()
        await client.say(ping("carol", PasswordAuth(PASSWORD)))
        assert await client.rest() == [Ok(0), NOBODY]
        assert PASSWORD not in mesh.written()


def broken(client: Talk) -> Request:
    request = client.signed(ping())
    assert isinstance(request.auth, KeyAuth)
    return request._replace(auth=request.auth._replace(signature=bytes(64)))


LONGEST = b"\xff\xff"
"""How the longest record begins."""

STRANGERS: dict[str, tuple[Callable[[Talk], Request], str]] = {
    "not listed": (lambda client: client.signed(ping("mallory"), MALLORY), "is not listed"),
    "listed for another user": (lambda client: client.signed(ping("bob"), ALICE), "is listed for alice"),
    "listed, for no user of the name": (
        lambda client: client.signed(ping("root"), ALICE),
        "listed for alice",
    ),
    "a broken signature": (broken, "signature"),
    "no signature": (lambda _: ping(auth=unsigned(ALICE)), "signature"),
    "another request signed": (
        lambda client: client.signed(ping())._replace(words=("show", "acls")),
        "signature",
    ),
    "no method": (lambda _: ping(), "no method"),
    "a wrong password": (lambda _: ping("carol", PasswordAuth("secret 1")), "Authentication failure"),
    "an unknown user": (lambda _: ping("nobody", PasswordAuth("secret 1")), "Authentication failure"),
    "PAM is broken": (lambda _: ping("broken", PasswordAuth("secret 1")), "PAM did not answer"),
    "no method, and a nonsense command": (lambda _: ping(words=("rm", "-rf")), "no method"),
    "a user whose name acts on terminals": (lambda _: ping("\x1b[2J\nmeshd: "), "no method"),
}


@pytest.mark.parametrize(("request_of", "why"), STRANGERS.values(), ids=STRANGERS.keys())
async def test_a_stranger_hears_that_authentication_failed_and_no_more(
    tmp_path: Path, request_of: Callable[[Talk], Request], why: str
) -> None:
    async with world(tmp_path) as mesh:
        client = await mesh.client()
        request = request_of(client)
        await client.say(request)
        assert await client.rest() == [FAILED]
        (line,) = mesh.audited("refused")
        assert line["code"] == "authentication"
        assert line["user"] == request.user
        assert why in str(line["why"])
        assert "secret 1" not in mesh.written()
        assert all(one.isprintable() for one in mesh.said.getvalue().splitlines())
        await mesh.lives()


async def test_a_request_replayed_on_another_connection_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        first = await mesh.client()
        request = first.signed(ping())
        await first.say(request)
        assert await first.rest() == [Ok(0), NOBODY]
        second = await mesh.client()
        await second.say(request)
        assert await second.rest() == [FAILED]


async def test_what_a_stranger_asks_does_not_fill_the_audit_log(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        client = await mesh.client()
        await client.say(ping(words=("show", "fact", "x" * 100_000))._replace(filters=("é" * 1000,) * 10))
        assert await client.rest() == [FAILED]
        assert (mesh.home / "audit").stat().st_size < 2000


async def test_a_password_under_way_delays_nobody_and_ends_with_its_connection(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        client = await mesh.client()
        await client.say(ping("slow", PasswordAuth("x")))
        await mesh.lives()


async def test_who_has_asked_has_nothing_long_left_to_say(tmp_path: Path) -> None:
    """Or many whose passwords are checked would make the broker keep what they say meanwhile."""
    async with world(tmp_path) as mesh:
        client = await mesh.client()
        request = client.session.transport.seal(encode(ping("slow", PasswordAuth("x"))))
        await client.stream.send_all(request + LONGEST)
        (refusal,) = await client.rest()
        assert isinstance(refusal, Error)
        assert "1024 bytes" in refusal.sentence
        client = await mesh.client()
        await client.say(ping("slow", PasswordAuth("x")))
        with trio.fail_after(PATIENCE):
            while not mesh.broker._clients:
                await trio.lowlevel.checkpoint()
        await client.stream.send_all(LONGEST)
        assert await client.rest() == []
        assert "1024 bytes" in mesh.written()


# -- what may be asked

REQUESTS: dict[str, tuple[Request, KeyFile, str, str]] = {
    "the broker's rules": (ping("bob", words=("show", "acls")), BOB, "denied", "permission denied"),
    "no such command": (
        ping(words=("frobnicate",)),
        ALICE,
        "unrecognised",
        "unrecognised command: frobnicate",
    ),
    "NUL": (ping(words=("ping", "\0")), ALICE, "unrecognised", "unrecognised command: "),
    "no words": (ping(words=()), ALICE, "unrecognised", "unrecognised command: "),
    "a filter": (ping()._replace(filters=("a=/(/",)), ALICE, "invalid", "filter a=/(/"),
    "no targets": (ping()._replace(targets=()), ALICE, "invalid", "the list of targets is empty"),
}


@pytest.mark.parametrize(("request_", "key", "code", "start"), REQUESTS.values(), ids=REQUESTS.keys())
async def test_what_may_not_be_asked_is_refused_in_one_sentence(
    tmp_path: Path, request_: Request, key: KeyFile, code: str, start: str
) -> None:
    async with world(tmp_path) as mesh:
        agent = await mesh.agent(1)
        client = await mesh.asked(request_, key)
        (error,) = await client.rest()
        assert isinstance(error, Error)
        assert error.code == code
        assert error.sentence.startswith(start)
        (line,) = mesh.audited("refused")
        assert line["code"] == code
        assert mesh.audited("request") == []
        await agent.stream.aclose()
        await mesh.lives()


async def test_a_user_whom_this_host_does_not_know_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        del mesh.groups["alice"]
        (error,) = await (await mesh.asked()).rest()
        assert error == Error("failed", "the groups of alice could not be looked up")


async def test_groups_too_many_to_tell_are_refused_before_anything_is_sent(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        mesh.groups["alice"] *= 2000
        (error,) = await (await mesh.asked()).rest()
        assert isinstance(error, Error)
        assert error.code == "invalid"
        mesh.groups["alice"] = ("staff",)
        await mesh.lives()


async def test_a_key_revoked_while_groups_are_looked_up_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:

        def revoked() -> None:
            mesh.trust("users", (BOB.public, "bob"))
            trio.from_thread.run_sync(mesh.look)

        mesh.during_lookup = revoked
        assert await (await mesh.asked()).rest() == [FAILED]


async def test_what_cannot_be_noted_is_not_done(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        agent = await mesh.agent(1)
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, mesh.audit._descriptor or 0)
        os.close(full)
        (error,) = await (await mesh.asked()).rest()
        assert error == Error("failed", "the broker cannot write its audit log")
        await agent.stream.aclose()
        mesh.audit.reopen()
        await mesh.lives()


async def test_too_many_requests_at_once_are_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roles.broker.REQUESTS", 2)
    async with world(tmp_path) as mesh:
        await mesh.agent(1)
        under_way = [await mesh.asked() for _ in range(2)]
        assert [await client.hears() for client in under_way] == [Ok(1)] * 2
        (error,) = await (await mesh.asked()).rest()
        assert isinstance(error, Error)
        assert error.code == "busy"
        await under_way[0].say(Bye())
        assert await under_way[0].rest() == []
        assert await (await mesh.asked()).hears() == Ok(1)


# -- garbage


GARBAGE: dict[str, bytes] = {
    "no protocol": b"GET / HTTP/1.1\r\n\r\n",
    "a long first record": b"cw/1C\xff\xff" + bytes(100),
    "random bytes for a handshake": b"cw/1C\x00\x30" + bytes(range(48)),
    "random bytes for an agent's": b"cw/1A\x00\x60" + bytes(range(96)),
    "half a preface": b"cw/",
    "nothing": b"",
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
async def test_strangers_who_talk_nonsense_or_nothing_are_closed(tmp_path: Path, garbage: bytes) -> None:
    async with world(tmp_path, hasty()) as mesh:
        stream = await mesh.connect()
        await stream.send_all(garbage)
        with trio.fail_after(PATIENCE):
            with suppress(trio.BrokenResourceError):
                assert await stream.receive_some() == b""
        await stream.aclose()
        await mesh.lives()


@pytest.mark.parametrize("peer", [Peer.AGENT, Peer.CLIENT])
async def test_silence_after_the_handshake_is_closed(tmp_path: Path, peer: Peer) -> None:
    async with world(tmp_path, hasty()) as mesh:
        with suppress(EOFError):  # closed before it was silent
            talk = await mesh.talk(peer, node_key(1) if peer is Peer.AGENT else None)
            assert await talk.rest() == []


FIRST: dict[str, tuple[Peer, bytes, str]] = {
    "an empty message": (Peer.CLIENT, b"", "invalid"),
    "no such kind": (Peer.CLIENT, b"\xff" + bytes(8), "invalid"),
    "a client's BYE": (Peer.CLIENT, encode(Bye()), "invalid"),
    "a client's HELLO": (Peer.CLIENT, encode(Hello(1, "x", *node(1))), "invalid"),
    "an agent's REQUEST": (Peer.AGENT, encode(ping()), "invalid"),
    "an agent's RESULT": (Peer.AGENT, encode(PONG, 1), "invalid"),
    "a malformed REQUEST": (Peer.CLIENT, encode(ping())[:-3], "invalid"),
    "a REQUEST with a tail": (Peer.CLIENT, encode(ping()) + b"\0", "invalid"),
    "a malformed HELLO": (Peer.AGENT, encode(Hello(1, "x", *node(1)))[:-3], "invalid"),
    "a newer REQUEST": (Peer.CLIENT, bytes([Kind.REQUEST]) + bytes(8) + b"\x92\x02\xc0", "version"),
    "a newer HELLO": (Peer.AGENT, bytes([Kind.HELLO]) + bytes(8) + b"\x92\x02\xc0", "version"),
}


@pytest.mark.parametrize(("peer", "raw", "code"), FIRST.values(), ids=FIRST.keys())
async def test_a_wrong_first_message_is_answered_and_ends_the_session(
    tmp_path: Path, peer: Peer, raw: bytes, code: str
) -> None:
    async with world(tmp_path) as mesh:
        talk = await mesh.talk(peer, node_key(1) if peer is Peer.AGENT else None)
        await talk.say_raw(raw)
        (error,) = await talk.rest()
        assert isinstance(error, Error)
        assert error.code == code
        await mesh.lives()


async def test_an_agent_that_does_not_wait_for_its_welcome_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        talk = await mesh.talk(Peer.AGENT, node_key(1))
        await talk.say(Hello(1, "x", *node(1)), PONG)
        (error,) = await talk.rest()
        assert isinstance(error, Error)
        assert error.code == "invalid"


async def test_a_large_first_message_is_not_waited_for(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        for peer in Peer:
            talk = await mesh.talk(peer, node_key(1) if peer is Peer.AGENT else None)
            sealed = talk.session.transport.seal(bytes(200_000))
            with suppress(trio.BrokenResourceError):
                await talk.stream.send_all(sealed[:-1])
            assert await talk.rest() == []


LATER: dict[str, bytes] = {
    "garbage": b"\0" * 20,
    "a second HELLO": encode(Hello(1, "x", *node(1))),
    "a REQUEST": encode(ping()),
    "a PONG of nothing": encode(Pong(1))[:-1],
    "a LOST": encode(Lost(), 1),
}


@pytest.mark.parametrize("raw", LATER.values(), ids=LATER.keys())
async def test_what_an_agent_may_not_say_ends_its_session_alone(tmp_path: Path, raw: bytes) -> None:
    async with world(tmp_path) as mesh:
        hostile, honest = await mesh.agent(1), await mesh.agent(2)
        client = await mesh.asked()
        serial, message, _ = await client.hear()
        assert message == Ok(2)
        await hostile.hear()
        await hostile.say_raw(raw)
        assert await hostile.rest() == []
        await honest.say(PONG, serial=serial)
        assert await client.rest() == [PONG, Done(2, 1, 0, 0, 0, 1, 0)]


async def test_answers_to_nothing_are_dropped_and_no_reason_to_disconnect(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        agent = await mesh.agent(1)
        await agent.say(Optin(), PONG, Denied(), Optout(), Expired(), serial=12345)
        client = await mesh.asked()
        serial = (await client.hear()).serial
        await agent.say(Optin(), Optin(), PONG, PONG, Denied(), serial=serial)
        assert await client.rest() == [Optin(), PONG, Done(1, 1, 0, 0, 0, 0, 0)]
        agent_hears = await agent.hears()
        assert isinstance(agent_hears, Command)
        assert mesh.broker._router.dropped == 8


async def test_a_body_that_no_client_can_read_is_passed_on(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        agent = await mesh.agent(1)
        client = await mesh.asked()
        serial = (await client.hear()).serial
        await agent.say_raw(encode(PONG, serial)[:9] + b"\xc1garbage")
        assert await client.hear() == (serial, None, node(1).fqdn)
        assert await client.rest() == [Done(1, 1, 0, 0, 0, 0, 0)]


@pytest.mark.parametrize("size", [MAX_FROM_AGENT, MAX_FROM_AGENT + 1, MAX_MESSAGE])
async def test_the_longest_answers_reach_the_client_or_end_their_session(tmp_path: Path, size: int) -> None:
    async with world(tmp_path) as mesh:
        agent = await mesh.agent(1)
        client = await mesh.asked()
        serial = (await client.hear()).serial
        async with trio.open_nursery() as nursery:
            nursery.start_soon(try_to_say, agent, encode(PONG, serial)[:9].ljust(size, b"\xc1"))
            if size > MAX_FROM_AGENT:
                assert await client.rest() == [Done(1, 0, 0, 0, 0, 1, 0)]
            else:
                assert await client.rest() == [None, Done(1, 1, 0, 0, 0, 0, 0)]
        await agent.stream.aclose()
        await mesh.lives()


async def try_to_say(talk: Talk, raw: bytes) -> None:
    with suppress(trio.BrokenResourceError):
        await talk.say_raw(raw)


OUT_OF_TURN: dict[str, bytes] = {
    "a second REQUEST": encode(ping()),
    "an OPTIN": encode(Optin(), 1),
    "garbage": bytes(30),
    "a CANCEL with a body": encode(Cancel()) + b"\0",
}


@pytest.mark.parametrize("raw", OUT_OF_TURN.values(), ids=OUT_OF_TURN.keys())
async def test_what_a_client_may_not_say_ends_its_request(tmp_path: Path, raw: bytes) -> None:
    async with world(tmp_path) as mesh:
        await mesh.agent(1)
        client = await mesh.asked()
        assert await client.hears() == Ok(1)
        await client.say_raw(raw)
        assert await client.rest() == []
        (done,) = mesh.audited("done")
        assert "connection lost" in str(done["ended"])


# -- who answers


async def test_every_closing_is_counted_and_only_some_are_named(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        agents = [await mesh.agent(number) for number in range(4)]
        client = await mesh.asked()
        serial = (await client.hear()).serial
        closings: list[Message] = [PONG, Denied(), Optout(), Expired()]
        for agent, last in zip(agents, closings, strict=True):
            await agent.say(last, serial=serial)
        messages = await client.rest()
        assert sorted(map(str, messages)) == sorted(map(str, [PONG, Expired(), Done(4, 1, 1, 1, 1, 0, 0)]))


async def test_a_node_that_opted_in_and_died_is_named(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        one, two = await mesh.agent(1), await mesh.agent(2)
        client = await mesh.asked()
        serial = (await client.hear()).serial
        await one.say(Optin(), serial=serial)
        assert await client.hear() == (serial, Optin(), node(1).fqdn)
        await one.stream.aclose()
        assert await client.hear() == (serial, Lost(), node(1).fqdn)
        await two.stream.aclose()
        assert await client.rest() == [Done(2, 0, 0, 0, 0, 2, 0)]


async def test_whoever_has_not_answered_at_the_deadline_is_silent(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        one, _ = await mesh.agent(1), await mesh.agent(2)
        client = await mesh.asked(ping()._replace(timeout=50))
        serial = (await client.hear()).serial
        await one.say(Optin(), serial=serial)
        assert await client.rest() == [Optin(), Silent(), Done(2, 0, 0, 0, 0, 0, 2)]
        (done,) = mesh.audited("done")
        assert done["ended"] == "deadline"
        await one.say(PONG, serial=serial)  # too late, and no reason to disconnect
        second = await mesh.asked()
        assert await second.hears() == Ok(2)


@pytest.mark.parametrize("last", [Cancel(), Bye()])
async def test_cancel_reaches_the_nodes_and_bye_does_not(tmp_path: Path, last: Message) -> None:
    async with world(tmp_path) as mesh:
        agent = await mesh.agent(1)
        client = await mesh.asked()
        serial = (await client.hear()).serial
        assert isinstance(await agent.hears(), Command)
        await client.say(last, last)
        if last == Bye():
            assert await client.rest() == []
        other = await mesh.asked()
        assert await other.hears() == Ok(1)
        expected = [Kind.CANCEL] * (last == Cancel()) + [Kind.COMMAND]
        assert [type(await agent.hears()).__name__.upper() for _ in expected] == [k.name for k in expected]
        if last == Cancel():
            await agent.say(PONG, serial=serial)
            assert await client.rest() == [PONG, Done(1, 1, 0, 0, 0, 0, 0)]


async def test_a_request_cancelled_in_the_same_breath_is_never_sent(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        client = await mesh.client()
        await client.say(client.signed(ping()), Cancel())
        assert await client.rest() == []
        assert mesh.audited("request") == []


async def test_targets_without_a_session_are_lost(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        agent, _ = await mesh.agent(1), await mesh.agent(2)
        targets = (node(1).uuid, node(3).uuid, node(1).uuid)
        client = await mesh.asked(ping()._replace(targets=targets))
        serial, message, _ = await client.hear()
        assert message == Ok(2)
        await agent.say(PONG, serial=serial)
        assert await client.rest() == [PONG, Done(2, 1, 0, 0, 0, 1, 0)]


async def test_a_session_replaced_in_mid_broadcast_is_lost_and_the_newer_owes_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        older = await mesh.agent(1)
        client = await mesh.asked()
        serial = (await client.hear()).serial
        newer = await mesh.agent(1)
        assert await client.rest() == [Done(1, 0, 0, 0, 0, 1, 0)]
        assert (await older.rest())[-1] == Error("denied", "a newer session of the same key")
        await newer.say(PONG, serial=serial)
        assert await (await mesh.asked()).hears() == Ok(1)


async def test_a_key_used_twice_is_said(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        for _ in range(5):
            await mesh.agent(1)
        assert mesh.said.getvalue().count("key used twice") == 1


# -- agents


async def test_an_unlisted_agent_is_told_and_the_log_says_how_to_accept_it_once(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        for _ in range(3):
            talk = await mesh.talk(Peer.AGENT, node_key(9))
            await talk.say(Hello(VERSION, "0.1.0", *node(9)))
            (error,) = await talk.rest()
            assert isinstance(error, Error)
            assert error.code == "untrusted"
        cure = f"cw trust -d agents {node_key(9).public.hex()}={node(9).fqdn}"
        assert mesh.said.getvalue().count(cure) == 1
        assert len(mesh.audited("agent refused")) == 1
        mesh.trust("agents", (node_key(9).public, node(9).fqdn))
        await mesh.agent(9)


async def test_an_agent_that_names_itself_otherwise_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        talk = await mesh.talk(Peer.AGENT, node_key(1))
        await talk.say(Hello(VERSION, "0.1.0", *node(2)))
        (error,) = await talk.rest()
        assert isinstance(error, Error)
        assert error.code == "untrusted"
        assert node(1).fqdn in error.sentence


async def test_a_key_of_several_names_may_use_each(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        mesh.trust("agents", (node_key(1).public, node(1).fqdn), (node_key(1).public, node(2).fqdn))
        await mesh.agent(1, node(1))
        await mesh.agent(1, node(2))
        talk = await mesh.talk(Peer.AGENT, node_key(1))
        await talk.say(Hello(VERSION, "0.1.0", *node(3)))
        (error,) = await talk.rest()
        assert isinstance(error, Error)
        assert f"{node(1).fqdn}, {node(2).fqdn}" in error.sentence


REVOKED_AGENT = Error("untrusted", "the agent's key was revoked")


async def test_any_agent_may_join_where_any_is_trusted_but_no_listed_key_under_another_name(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, MeshdConf(auth=attrs.evolve(MeshdAuth(), agent_trust="any"))) as mesh:
        stranger = await mesh.agent(9)
        talk = await mesh.talk(Peer.AGENT, node_key(1))
        await talk.say(Hello(VERSION, "0.1.0", *node(2)))
        (error,) = await talk.rest()
        assert isinstance(error, Error)
        mesh.trust("agents", (node_key(9).public, node(8).fqdn))
        mesh.look()
        assert await stranger.rest() == [REVOKED_AGENT]


async def test_no_unlisted_key_may_take_a_listed_name_even_where_any_is_trusted(tmp_path: Path) -> None:
    async with world(tmp_path, MeshdConf(auth=attrs.evolve(MeshdAuth(), agent_trust="any"))) as mesh:
        talk = await mesh.talk(Peer.AGENT, node_key(9))
        await talk.say(Hello(VERSION, "0.1.0", *node(1)))
        (error,) = await talk.rest()
        assert isinstance(error, Error)
        assert error.code == "untrusted"


REVOKED: dict[str, list[tuple[bytes, str]]] = {
    "gone": [],
    "listed for another name": [(node_key(1).public, node(3).fqdn)],
}


@pytest.mark.parametrize("entries", REVOKED.values(), ids=REVOKED.keys())
async def test_revoking_an_agents_key_closes_its_session_and_no_other(
    tmp_path: Path, entries: list[tuple[bytes, str]]
) -> None:
    async with world(tmp_path) as mesh:
        revoked, other = await mesh.agent(1), await mesh.agent(2)
        client = await mesh.asked()
        serial = (await client.hear()).serial
        mesh.trust("agents", (node_key(2).public, node(2).fqdn), *entries)
        mesh.look()
        assert (await revoked.rest())[-1] == REVOKED_AGENT
        await other.say(PONG, serial=serial)
        assert await client.rest() == [PONG, Done(2, 1, 0, 0, 0, 1, 0)]


async def test_revoking_a_users_key_ends_the_requests_made_with_it(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        agent = await mesh.agent(1)
        alices, bobs = await mesh.asked(), await mesh.asked(key=BOB)
        assert await alices.hears() == Ok(1)
        serial = (await bobs.hear()).serial
        mesh.trust("users", (BOB.public, "bob"))
        mesh.look()
        assert await alices.rest() == [Error("denied", "the key was revoked")]
        await agent.say(PONG, serial=serial)
        assert await bobs.rest() == [PONG, Done(1, 1, 0, 0, 0, 0, 0)]
        assert {line["user"]: line["ended"] for line in mesh.audited("done")} == {
            "alice": "key revoked",
            "bob": "closed",
        }


# -- the door, and the end


async def test_a_full_door_turns_strangers_away_and_keeps_who_is_known(tmp_path: Path) -> None:
    async with world(tmp_path, MeshdConf(limits=attrs.evolve(MeshdLimits(), unauthenticated=4))) as mesh:
        agent = await mesh.agent(1)
        silent = [await mesh.connect() for _ in range(8)]
        with trio.fail_after(PATIENCE):
            while not mesh.broker.door.refused:
                await trio.lowlevel.checkpoint()
        for stream in silent:
            await stream.aclose()
        with trio.fail_after(PATIENCE):
            while mesh.broker.door.inside:
                await trio.lowlevel.checkpoint()
        client = await mesh.asked()
        serial, message, _ = await client.hear()
        assert message == Ok(1)
        await agent.say(PONG, serial=serial)
        assert await client.rest() == [PONG, Done(1, 1, 0, 0, 0, 0, 0)]


async def test_a_drain_waits_for_what_is_on_the_wire_and_takes_nothing_new(tmp_path: Path) -> None:
    async with world(tmp_path) as mesh:
        agent = await mesh.agent(1)
        client = await mesh.asked()
        serial = (await client.hear()).serial
        drained = trio.Event()

        async def drain() -> None:
            await mesh.broker.drain()
            drained.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain)
            late = await mesh.asked()
            assert await late.rest() == [Error("closing", "the broker is shutting down")]
            assert not drained.is_set()
            large = Result(0, bytes(700_000), b"", False, 1)
            await agent.say(large, serial=serial)
            await client.stream.socket.recv(1, trio.socket.MSG_PEEK)
            assert not drained.is_set()
            assert await client.rest() == [large, Done(1, 1, 0, 0, 0, 0, 0)]
        assert drained.is_set()


async def test_a_broker_stopped_in_mid_request_ends_cleanly(tmp_path: Path) -> None:
    mesh = World(tmp_path, MeshdConf())
    with mesh.listener:
        async with trio.open_nursery() as nursery:
            await mesh.run(nursery)
            agents = [await mesh.agent(number) for number in range(4)]
            clients = [await mesh.asked() for _ in range(4)]
            for client in clients:
                serial = (await client.hear()).serial
                await agents[0].say(Optin(), serial=serial)
                await client.hear()
            nursery.cancel_scope.cancel()
    assert len(mesh.audited("done")) == 4
    mesh.hang_up()
    mesh.audit.close()
