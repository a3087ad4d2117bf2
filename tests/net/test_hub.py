"""The hub on real sockets: delivery, bounds, heartbeats, ends; time is a number that the test sets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import trio

from net.hub import Bounds, End, Hub, Link
from wire.handshake import Established, Initiator, Peer, Responder
from wire.noise import key_pair

BROKER = key_pair(bytes(range(32)))
PATIENCE = 10.0
"""Seconds after which a test that waits has failed."""
BOUNDS = Bounds(queue=1 << 20, queues=3 << 20, stall=20.0)


def established(peer: Peer = Peer.AGENT) -> tuple[Established, Established]:
    """Both ends of a session: the broker's, the peer's."""
    static = key_pair(bytes([7]) * 32) if peer is Peer.AGENT else None
    initiator = Initiator(peer, BROKER.public, bytes([8]) * 32, static)
    answered = Responder(BROKER, bytes([9]) * 32).feed(initiator.first())
    assert answered is not None
    reply, ours, _ = answered
    done = initiator.feed(reply)
    assert done is not None
    return ours, done[0]


class Other:
    """The far end of a link, on a blocking socket with a deadline."""

    def __init__(self, sock: socket.socket, session: Established) -> None:
        self.sock = sock
        self.session = session
        self.link: Link

    async def receive(self) -> list[bytes]:
        """The messages that the next bytes complete; none at the end of file."""
        await trio.lowlevel.wait_readable(self.sock)
        return self.session.transport.open(self.sock.recv(1 << 20))

    async def say(self, message: bytes) -> None:
        await trio.lowlevel.wait_writable(self.sock)
        self.sock.sendall(self.session.transport.seal(message))

    async def ended(self) -> bool:
        """Whether the hub has closed the connection, after anything that still comes."""
        while True:
            await trio.lowlevel.wait_readable(self.sock)
            try:
                if not self.sock.recv(1 << 20):
                    return True
            except ConnectionResetError:
                return True


class World:
    """A hub, its clock, what it was told and what it reported."""

    def __init__(self, bounds: Bounds = BOUNDS) -> None:
        self.now = 0.0
        self.heard: list[tuple[int, bytes]] = []
        self.closed: list[tuple[int, str]] = []
        self.event = trio.Event()
        self.hub = Hub(bounds, lambda: self.now, self._closed)
        self._sockets: list[socket.socket] = []

    def _closed(self, link: Link, reason: str) -> None:
        self.closed.append((link.number, reason))
        self.event.set()

    def _receive(self, link: Link, message: bytes) -> None:
        self.heard.append((link.number, message))
        self.event.set()

    def connect(self, peer: Peer = Peer.AGENT) -> Other:
        ours, theirs = socket.socketpair()
        for sock in (ours, theirs):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        self._sockets.append(theirs)
        near, far = established(peer)
        other = Other(theirs, far)
        other.link = self.hub.add(ours, "test", near, self._receive)
        return other

    @property
    def ended(self) -> dict[tuple[Peer, End], int]:
        """What the hub has counted, without zeros."""
        return {what: count for what, count in self.hub.ended.items() if count}

    async def something(self) -> None:
        """Until the hub says something."""
        with trio.fail_after(10):
            await self.event.wait()
        self.event = trio.Event()

    def close(self) -> None:
        self.hub.close()
        for sock in self._sockets:
            sock.close()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


async def test_messages_go_both_ways(world: World, nursery: trio.Nursery) -> None:
    other = world.connect()
    nursery.start_soon(world.hub.run)
    await other.say(b"a question")
    await world.something()
    assert world.heard == [(1, b"a question")]
    world.hub.post(other.link, b"an answer")
    world.hub.post(other.link, b"and another")
    world.hub.flush()
    assert await other.receive() == [b"an answer", b"and another"]
    assert (world.hub.received, world.hub.sent, world.hub.queued) == (10 + 19, 9 + 19 + 11 + 19, 0)


async def test_what_the_socket_does_not_take_follows_later(world: World, nursery: trio.Nursery) -> None:
    other = world.connect()
    nursery.start_soon(world.hub.run)
    sent = [bytes([number]) * 60_000 for number in range(10)]
    for message in sent:
        world.hub.post(other.link, message)
    world.hub.flush()
    assert other.link.queued > 0
    received: list[bytes] = []
    with trio.fail_after(10):
        while len(received) < len(sent):
            received += await other.receive()
    assert received == sent
    assert other.link.queued == 0


async def test_what_was_not_offered_yet_does_not_count(nursery: trio.Nursery) -> None:
    world = World(Bounds(queue=20_000, queues=3 << 20, stall=20.0))
    other = world.connect()
    nursery.start_soon(world.hub.run)
    sent = [bytes([number]) * 9_000 for number in range(3)]
    for message in sent:
        world.hub.post(other.link, message)
    world.hub.flush()
    received: list[bytes] = []
    with trio.fail_after(10):
        while len(received) < len(sent):
            received += await other.receive()
    assert received == sent
    assert world.closed == []
    world.close()


async def test_a_peer_that_does_not_read_is_closed_at_its_bound(world: World) -> None:
    other = world.connect()
    healthy = world.connect()
    for _ in range(20):
        world.hub.post(other.link, bytes(60_000))
    world.hub.flush()
    assert [number for number, _ in world.closed] == [other.link.number]
    assert "does not read" in world.closed[0][1]
    assert world.ended == {(Peer.AGENT, End.QUEUE): 1}
    world.hub.post(healthy.link, b"still here")
    world.hub.flush()
    assert await healthy.receive() == [b"still here"]


async def test_over_the_total_the_largest_client_goes_first() -> None:
    world = World(Bounds(queue=1 << 20, queues=700_000, stall=20.0))
    agent, small, large = world.connect(), world.connect(Peer.CLIENT), world.connect(Peer.CLIENT)
    for other, kilobytes in ((agent, 300), (small, 100), (large, 250), (agent, 60)):
        for _ in range(kilobytes // 10):
            world.hub.post(other.link, bytes(10_000))
    assert [number for number, _ in world.closed] == [large.link.number]
    assert world.ended == {(Peer.CLIENT, End.QUEUES): 1}
    world.close()


class Waiter:
    """Waits for room, and notes when it is there."""

    def __init__(self, hub: Hub) -> None:
        self.done = trio.Event()
        self._hub = hub

    async def wait(self) -> None:
        await self._hub.room()
        self.done.set()


async def test_there_is_room_again_when_agents_have_read() -> None:
    world = World(Bounds(queue=1 << 20, queues=500_000, stall=PATIENCE))
    slow = world.connect()
    for _ in range(5):
        world.hub.post(slow.link, bytes(60_000))
    world.hub.flush()
    waiter = Waiter(world.hub)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.hub.run)
        nursery.start_soon(waiter.wait)
        for _ in range(100):
            await trio.lowlevel.checkpoint()
        assert slow.link.queued > 250_000
        assert not waiter.done.is_set()
        with trio.fail_after(PATIENCE):
            while slow.link.queued > 250_000:
                await slow.receive()
            await waiter.done.wait()
        nursery.cancel_scope.cancel()
    assert world.closed == []
    world.close()


async def test_nobody_waits_for_room_longer_than_a_queue_may_stand_still() -> None:
    world = World(Bounds(queue=1 << 20, queues=500_000, stall=0.01))
    dead = world.connect()
    for _ in range(5):
        world.hub.post(dead.link, bytes(60_000))
    world.hub.flush()
    with trio.fail_after(PATIENCE):
        await world.hub.room()
    assert dead.link.queued > 250_000
    world.close()


async def test_what_clients_do_not_read_delays_no_command() -> None:
    world = World(Bounds(queue=1 << 20, queues=500_000, stall=PATIENCE))
    slow, agent = world.connect(Peer.CLIENT), world.connect()
    for other, messages in ((slow, 5), (agent, 2)):
        for _ in range(messages):
            world.hub.post(other.link, bytes(60_000))
    world.hub.flush()
    assert world.hub.queued > 350_000
    with trio.fail_after(PATIENCE / 2):
        await world.hub.room()
    world.close()


async def test_a_queue_that_stands_still_ends_the_link(world: World) -> None:
    other = world.connect()
    for _ in range(5):
        world.hub.post(other.link, bytes(60_000))
    world.hub.flush()
    world.now = 20.0
    world.hub.sweep(100.0, b"ping")
    assert world.closed == []
    world.now = 20.5
    world.hub.sweep(100.0, b"ping")
    assert world.closed == [(1, "took nothing for 20 seconds")]
    assert world.ended == {(Peer.AGENT, End.STALL): 1}


async def test_idle_links_are_pinged_and_silent_ones_end(world: World, nursery: trio.Nursery) -> None:
    silent, alive = world.connect(), world.connect()
    nursery.start_soon(world.hub.run)
    for now in (9.9, 10.0, 15.0, 20.0):
        world.now = now
        world.hub.sweep(10.0, b"ping")
    assert await silent.receive() == [b"ping", b"ping"]
    await alive.say(b"pong")
    await world.something()
    world.now = 30.0
    world.hub.sweep(10.0, b"ping")
    assert world.closed == [(silent.link.number, "silent: two heartbeats missed")]
    assert world.ended == {(Peer.AGENT, End.SILENT): 1}


async def test_a_link_that_is_finished_sends_everything_first(world: World, nursery: trio.Nursery) -> None:
    other = world.connect()
    nursery.start_soon(world.hub.run)
    for _ in range(5):
        world.hub.post(other.link, bytes(60_000))
    world.hub.finish(other.link)
    world.hub.post(other.link, b"too late")
    world.hub.flush()
    received: list[bytes] = []
    with trio.fail_after(10):
        while len(received) < 5:
            received += await other.receive()
        assert await other.ended()
    assert received == [bytes(60_000)] * 5
    other.sock.close()
    await world.something()
    assert world.closed == [(1, "the other side closed the connection")]


async def test_a_finished_link_whose_peer_stays_is_closed_in_the_end(world: World) -> None:
    other = world.connect()
    world.hub.finish(other.link)
    world.now = 21.0
    world.hub.sweep(100.0, b"ping")
    assert [number for number, _ in world.closed] == [1]


async def test_garbage_ends_the_link_and_no_other(world: World, nursery: trio.Nursery) -> None:
    other, honest = world.connect(), world.connect()
    nursery.start_soon(world.hub.run)
    other.sock.send(b"\0\x20" + bytes(32))
    await world.something()
    assert [number for number, _ in world.closed] == [other.link.number]
    assert await other.ended()
    assert world.ended == {(Peer.AGENT, End.INVALID): 1}
    await honest.say(b"hello")
    await world.something()
    assert world.heard == [(honest.link.number, b"hello")]


async def test_the_end_of_a_peer_is_reported_once(world: World, nursery: trio.Nursery) -> None:
    other = world.connect()
    nursery.start_soon(world.hub.run)
    other.sock.close()
    await world.something()
    world.hub.drop(other.link, "again")
    world.hub.post(other.link, b"nobody is there")
    world.hub.flush()
    assert world.closed == [(1, "the other side closed the connection")]
    assert world.hub.links == {}
    assert world.ended == {(Peer.AGENT, End.CLOSED): 1}
