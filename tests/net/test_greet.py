"""The broker's half of a handshake: whose turn it is, and what may be said before anybody is known."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from net.greet import AT_ONCE, Lanes, TurnedAway, greet
from net.serve import FREE, HELD, Door, Ticket
from tests.sessions import BROKER, EPHEMERALS, initiator
from wire.errors import WireError
from wire.handshake import Established, Peer, Responder


def at_the_door(door: Door, host: int = 1) -> Ticket:
    address = f"192.0.2.{host}"
    assert door.enter(address)
    return Ticket(door, address)


class Answering(Responder):
    """Notes when it computes an answer."""

    def __init__(self, peer: Peer, computed: Callable[[Peer], None]) -> None:
        super().__init__(BROKER, EPHEMERALS[1])
        self._peer = peer
        self._computed = computed

    def feed(self, received: bytes) -> tuple[bytes, Established, list[bytes]] | None:
        self._computed(self._peer)
        return super().feed(received)


class Rounds:
    """How many handshakes of each kind were computed in each round of Trio's scheduler."""

    def __init__(self) -> None:
        self.number = 0
        self.computed: Counter[tuple[int, Peer]] = Counter()

    def compute(self, peer: Peer) -> None:
        self.computed[self.number, peer] += 1

    async def count(self) -> None:
        while True:
            self.number += 1
            await trio.lowlevel.cancel_shielded_checkpoint()
            await trio.lowlevel.checkpoint_if_cancelled()

    def last(self, peer: Peer) -> int:
        return max(number for number, kind in self.computed if kind is peer)


async def storm(agents: int, clients: int) -> Rounds:
    """Everybody's first record is there at once."""
    rounds, lanes, door = Rounds(), Lanes(), Door(4096)
    records = {peer: initiator(peer).first() for peer in Peer}
    async with trio.open_nursery() as counting:
        counting.start_soon(rounds.count)
        counting.start_soon(lanes.run)
        async with trio.open_nursery() as nursery:
            for peer, number in ((Peer.AGENT, agents), (Peer.CLIENT, clients)):
                for _ in range(number):
                    responder = Answering(peer, rounds.compute)
                    nursery.start_soon(lanes.feed, responder, records[peer], at_the_door(door))
        counting.cancel_scope.cancel()
    assert sum(rounds.computed.values()) == agents + clients
    return rounds


async def test_a_storm_takes_a_bounded_part_of_each_round() -> None:
    rounds = await storm(200, 100)
    assert max(rounds.computed.values()) <= 2 * AT_ONCE  # the counter itself has its turn before or after
    assert rounds.last(Peer.AGENT) >= 200 // (2 * AT_ONCE)


async def test_who_gives_up_waiting_holds_nobody_up() -> None:
    lanes, door = Lanes(), Door(4096)
    record = initiator(Peer.CLIENT).first()
    done: list[object] = []

    async def feed(scope: trio.CancelScope) -> None:
        with scope:
            done.append(await lanes.feed(Responder(BROKER, EPHEMERALS[1]), record, at_the_door(door)))

    async with trio.open_nursery() as nursery:
        scopes = [trio.CancelScope() for _ in range(5 * AT_ONCE)]
        for scope in scopes:
            nursery.start_soon(feed, scope)
        await trio.testing.wait_all_tasks_blocked()
        assert len(done) == AT_ONCE
        for scope in scopes[::2]:
            scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as running:
            running.start_soon(lanes.run)
            with trio.fail_after(10):
                while len(nursery.child_tasks):
                    await trio.lowlevel.checkpoint()
            running.cancel_scope.cancel()
    assert len(done) >= len(scopes) // 2


async def test_users_do_not_wait_for_the_agents_that_came_before_them() -> None:
    rounds = await storm(400, 2)
    assert rounds.last(Peer.CLIENT) < 10 < rounds.last(Peer.AGENT)


def test_only_what_completes_a_first_record_is_costly() -> None:
    for peer in Peer:
        record = initiator(peer).first()
        for cut in range(len(record)):
            responder = Responder(BROKER, EPHEMERALS[1])
            assert responder.completes(record[:cut]) is None
            assert responder.feed(record[:cut]) is None
            assert responder.completes(record[cut:]) is peer


@given(st.binary(max_size=200), st.sampled_from([b"", b"cw/1A", b"cw/1C", b"cw/1C\0\x30"]))
def test_nonsense_is_never_waited_with(nonsense: bytes, opening: bytes) -> None:
    responder = Responder(BROKER, EPHEMERALS[1])
    if responder.completes(opening + nonsense) is None:
        try:
            assert responder.feed(opening + nonsense) is None
        except WireError:
            return


async def test_agents_are_turned_away_where_room_is_left_for_clients() -> None:
    door, lanes = Door(4), Lanes()
    tickets = [at_the_door(door, host) for host in range(3)]
    feed = partial(lanes.feed, received=initiator(Peer.AGENT).first())
    assert await feed(Responder(BROKER, EPHEMERALS[1]), ticket=tickets[0]) is not None
    late = at_the_door(door, 9)
    with pytest.raises(TurnedAway, match="this one was turned away"):
        await feed(Responder(BROKER, EPHEMERALS[1]), ticket=late)
    record = initiator(Peer.CLIENT).first()
    assert await lanes.feed(Responder(BROKER, EPHEMERALS[1]), record, late) is not None


async def test_who_says_more_than_all_may_is_turned_away(nursery: trio.Nursery) -> None:
    """And who asks in few words is not, however much others have said."""
    door = Door(100)
    door.held = HELD
    assert await greeted(at_the_door(door), 1000, nursery) == [bytes(1000)]
    with pytest.raises(TurnedAway):
        await greeted(at_the_door(door), 2 * FREE, nursery)
    assert door.refused == 1


async def greeted(ticket: Ticket, size: int, nursery: trio.Nursery) -> list[bytes]:
    """The first messages of a client whose first has that size."""
    ours, theirs = socket.socketpair()
    talk = initiator(Peer.CLIENT, os.urandom(32))

    async def says() -> None:
        theirs.sendall(talk.first())
        await trio.lowlevel.wait_readable(theirs)
        done = talk.feed(theirs.recv(100))
        assert done is not None
        theirs.sendall(done[0].transport.seal(bytes(size)))

    with ours, theirs, trio.fail_after(10):
        ours.setblocking(False)
        nursery.start_soon(says)
        return (await greet(ours, Responder(BROKER, os.urandom(32)), ticket, Lanes()))[1]
