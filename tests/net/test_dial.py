"""An agent's way to a broker, against a broker made of the responder's half of the handshake."""

import socket
from collections.abc import Iterator
from functools import partial
from typing import NoReturn

import pytest
import trio
import trio.testing

from mesh.messages import (
    Error,
    Optin,
    Ping,
    Pong,
    Result,
    Side,
    decode,
)
from net.dial import (
    LONGEST_PAUSE,
    DialError,
    Link,
    LinkBroken,
    TurnedAway,
    connect,
    join,
    pauses,
    say_hello,
    shake_hands,
)
from tests.brokers import HELLO, WELCOME, Broker, connection, hang_up
from tests.sessions import AGENT, BROKER, EPHEMERALS, initiator
from wire.errors import WireError
from wire.handshake import Initiator, Peer, Responder
from wire.noise import key_pair


@pytest.fixture(autouse=True)
def hung_up() -> Iterator[None]:
    """Whatever a test has connected ends with it."""
    yield
    hang_up()


async def greeted() -> tuple[Link, Broker]:
    """A link whose HELLO has been exchanged."""
    ours, theirs = connection()
    broker = Broker(theirs)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(broker.shake_hands)
        link = await shake_hands(ours, initiator(Peer.AGENT), 10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(broker.say, WELCOME)
        joined = await say_hello(link, HELLO, lambda: 77)
    assert await broker.hear() == (0, HELLO)
    assert joined == (link, WELCOME, 77)
    assert broker.agent == AGENT.public
    return link, broker


async def test_a_host_without_a_thread_left_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_thread(*_: object, **__: object) -> object:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("trio.to_thread.run_sync", no_thread)
    with pytest.raises(DialError, match="cannot look the name up: can't start new thread"):
        await connect("broker.example.com", 2315)


async def test_messages_pass_both_ways(autojump_clock: trio.testing.MockClock) -> None:
    link, broker = await greeted()
    await broker.say(Ping(9))
    assert await link.receive() == (0, Ping(9))
    await link.send(Pong(9))
    assert await broker.hear() == (0, Pong(9))


async def test_several_messages_in_one_piece(autojump_clock: trio.testing.MockClock) -> None:
    link, broker = await greeted()
    await broker.say(*[Ping(number) for number in range(5)])
    assert [await link.receive() for _ in range(5)] == [(0, Ping(number)) for number in range(5)]


async def test_a_message_that_came_with_hello_is_not_lost(autojump_clock: trio.testing.MockClock) -> None:
    ours, theirs = connection()
    broker = Broker(theirs)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(broker.shake_hands)
        link = await shake_hands(ours, initiator(Peer.AGENT), 10)
    await broker.say(WELCOME, Ping(1))
    joined = await say_hello(link, HELLO, lambda: 0)
    assert await joined.link.receive() == (0, Ping(1))


async def test_every_byte_alone(autojump_clock: trio.testing.MockClock) -> None:
    link, broker = await greeted()
    sealed = broker.sealed(Ping(3))

    async def drip() -> None:
        for byte in sealed:
            await broker.stream.send_all(bytes([byte]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drip)
        assert await link.receive() == (0, Ping(3))


async def test_many_tasks_send_at_once_and_each_message_arrives_whole(
    autojump_clock: trio.testing.MockClock,
) -> None:
    link, broker = await greeted()
    large = [Result(status, bytes(200_000), b"", False, 0) for status in range(5)]
    async with trio.open_nursery() as nursery:
        for result in large:
            nursery.start_soon(partial(link.send, result, serial=result.status + 1))
        heard = [await broker.hear() for _ in large]
    assert sorted(heard) == [(result.status + 1, result) for result in large]


async def test_messages_that_are_sent_together_arrive_together(
    autojump_clock: trio.testing.MockClock,
) -> None:
    link, broker = await greeted()
    answers = (Optin(), Result(0, b"pong\n", b"", False, 12))
    await link.send(*answers, serial=7)
    assert broker.transport is not None
    together = bytes(await broker.stream.receive_some())
    assert [decode(Side.AGENT, raw) for raw in broker.transport.open(together)] == [
        (7, answer) for answer in answers
    ]


@pytest.mark.parametrize(
    ("error", "code"),
    [(Error("untrusted", "unknown key"), "untrusted"), (Error("version", "too old"), "version")],
)
async def test_an_error_instead_of_hello(
    error: Error, code: str, autojump_clock: trio.testing.MockClock
) -> None:
    ours, theirs = connection()
    broker = Broker(theirs)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(broker.shake_hands)
        link = await shake_hands(ours, initiator(Peer.AGENT), 10)
    await broker.say(error)
    with pytest.raises(TurnedAway, match=error.sentence) as raised:
        await say_hello(link, HELLO, lambda: 0)
    assert raised.value.code == code


async def test_another_broker_than_the_one_with_the_key(autojump_clock: trio.testing.MockClock) -> None:
    ours, theirs = connection()

    async def imposter() -> None:
        with pytest.raises(WireError):
            Responder(BROKER, EPHEMERALS[1]).feed(bytes(await theirs.receive_some()))
        await theirs.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(imposter)
        with pytest.raises(LinkBroken, match="broker_key"):
            await shake_hands(
                ours, Initiator(Peer.AGENT, key_pair(b"x" * 32).public, EPHEMERALS[0], AGENT), 10
            )


async def test_something_that_is_no_broker(autojump_clock: trio.testing.MockClock) -> None:
    ours, theirs = connection()
    await theirs.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(WireError):
        await shake_hands(ours, initiator(Peer.AGENT), 10)


async def test_silence_ends_a_session_and_a_heartbeat_prolongs_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    link, broker = await greeted()
    link.patience = 25

    async def beat_once() -> None:
        await trio.sleep(20)
        await broker.say(Ping(1))

    begun = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(beat_once)
        assert await link.receive() == (0, Ping(1))
    with pytest.raises(LinkBroken, match="nothing was heard for 25 s"):
        await link.receive()
    assert trio.current_time() - begun == pytest.approx(45)


LARGE = Result(0, bytes(700_000), b"", False, 0)
"""More than a socket holds."""


async def test_a_peer_that_accepts_nothing_ends_a_session(autojump_clock: trio.testing.MockClock) -> None:
    link, _ = await greeted()
    begun = trio.current_time()
    with pytest.raises(LinkBroken, match="nothing more was accepted for 10 s"):
        await link.send(LARGE, serial=1)
    assert trio.current_time() - begun == pytest.approx(10)


async def test_a_slow_peer_is_heard_out(autojump_clock: trio.testing.MockClock) -> None:
    link, broker = await greeted()
    begun = trio.current_time()
    heard = bytearray()

    async def read_slowly() -> None:
        while len(heard) < len(LARGE.output):
            await trio.sleep(8)
            heard.extend(await broker.stream.receive_some(1 << 20))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_slowly)
        await link.send(LARGE, serial=1)
    assert trio.current_time() - begun > link.patience


async def test_the_broker_closes(autojump_clock: trio.testing.MockClock) -> None:
    link, broker = await greeted()
    await broker.stream.aclose()
    with pytest.raises(LinkBroken, match="closed"):
        await link.receive()
    with pytest.raises(LinkBroken, match="broke"):
        await link.send(Pong(1))


async def test_closing_wakes_whoever_reads(autojump_clock: trio.testing.MockClock) -> None:
    link, _ = await greeted()

    async def close() -> None:
        link.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(close)
        with pytest.raises(LinkBroken):
            await link.receive()


async def test_closing_wakes_whoever_sends(autojump_clock: trio.testing.MockClock) -> None:
    ours, _ = connection()

    async def close() -> None:
        await trio.testing.wait_all_tasks_blocked()
        ours.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(close)
        with pytest.raises(LinkBroken):
            await ours.send(bytes(10_000_000), 10)


async def test_nothing_comes_or_goes_once_it_is_closed() -> None:
    ours, _ = connection()
    ours.close()
    with pytest.raises(LinkBroken):
        await ours.receive(10)
    with pytest.raises(LinkBroken):
        await ours.send(b"x", 10)


async def test_out_of_turn(autojump_clock: trio.testing.MockClock) -> None:
    link, broker = await greeted()
    with pytest.raises(WireError, match="HELLO"):
        await link.send(HELLO)
    await broker.say(WELCOME)
    with pytest.raises(WireError, match="HELLO"):
        await link.receive()


async def test_a_bit_that_flipped_on_the_way(autojump_clock: trio.testing.MockClock) -> None:
    link, broker = await greeted()
    sealed = bytearray(broker.sealed(Ping(1)))
    sealed[-1] ^= 1
    await broker.stream.send_all(bytes(sealed))
    with pytest.raises(WireError):
        await link.receive()


@pytest.mark.parametrize("drawn", [0.0, 0.5, 1.0])
def test_pauses_grow_up_to_a_bound_and_go_on_for_ever(drawn: float) -> None:
    waits = pauses(lambda: drawn)
    bounds = [
        1,
        1.5,
        2.25,
        *(1.5**times for times in range(3, 9)),
        LONGEST_PAUSE,
        LONGEST_PAUSE,
        LONGEST_PAUSE,
    ]
    assert [next(waits) for _ in bounds] == [drawn * bound for bound in bounds]


async def test_join_over_tcp() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        broker = Broker(stream)
        await broker.shake_hands()
        assert await broker.hear() == (0, HELLO)
        await broker.say(WELCOME, Ping(1))

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        port = listeners[0].socket.getsockname()[1]
        joined = await join(("127.0.0.1", port), initiator(Peer.AGENT), HELLO, lambda: 3, 10)
        assert joined.welcome == WELCOME
        assert await joined.link.receive() == (0, Ping(1))
        joined.link.close()
        nursery.cancel_scope.cancel()


async def test_nobody_listens() -> None:
    with trio.socket.socket() as taken:
        await taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(DialError, match="cannot connect: Connection refused"):
            await join(("127.0.0.1", port), initiator(Peer.AGENT), HELLO, lambda: 0, 10)


class Resolver(trio.abc.HostnameResolver):
    """Knows nobody, and counts who asks."""

    asked = 0

    async def getaddrinfo(self, *_: object) -> NoReturn:
        self.asked += 1
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def getnameinfo(self, *_: object) -> NoReturn:
        raise NotImplementedError


async def test_a_name_is_resolved_at_each_attempt() -> None:
    resolver = Resolver()
    trio.socket.set_custom_hostname_resolver(resolver)
    for _ in range(2):
        with pytest.raises(DialError, match="cannot connect: Name or service not known"):
            await join(("broker.example.com", 1), initiator(Peer.AGENT), HELLO, lambda: 0, 10)
    assert resolver.asked == 2


async def test_someone_who_says_nothing_is_given_up_at_the_deadline() -> None:
    async def say_nothing(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, say_nothing, 0)
        port = listeners[0].socket.getsockname()[1]
        with pytest.raises(DialError, match=r"no broker answered within 0\.05 s"):
            await join(("127.0.0.1", port), initiator(Peer.AGENT), HELLO, lambda: 0, 0.05)
        nursery.cancel_scope.cancel()
