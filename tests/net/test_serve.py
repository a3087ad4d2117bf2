"""The door: who may wait there; and accepting, on real sockets."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import NoReturn, cast

import pytest
import trio
import trio.testing

from net.serve import (
    ADDRESS_SHARE,
    BATCH,
    FEW,
    FREE,
    HELD,
    SPARE,
    UNSENT,
    Door,
    ListenError,
    Ticket,
    accept,
    address_of,
    block_of,
    ceiling,
    leave_spare,
    listen,
)


def test_the_door_is_full_at_its_capacity_and_open_again_after() -> None:
    door = Door(3)
    assert [door.enter(f"10.0.0.{number}") for number in range(4)] == [True, True, True, False]
    assert door.refused == 1
    door.leave("10.0.0.1")
    assert door.enter("10.0.0.9")


def test_one_address_may_fill_half_of_the_pool_and_no_more() -> None:
    door = Door(4 * ADDRESS_SHARE)
    entered = [door.enter("10.0.0.1") for _ in range(4 * ADDRESS_SHARE)]
    assert entered == [True] * (2 * ADDRESS_SHARE) + [False] * (2 * ADDRESS_SHARE)
    assert [door.enter("10.0.0.2") for _ in range(5)] == [True] * 4 + [False]


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64%eth0"),
        ("no address", "no address"),
    ],
)
def test_a_host_counts_as_one_however_many_addresses_it_has(address: str, block: str) -> None:
    assert block_of(address) == block


def test_addresses_of_one_block_share_what_one_may_have() -> None:
    door = Door(4 * ADDRESS_SHARE)
    entered = [door.enter(f"2001:db8::{number:x}") for number in range(4 * ADDRESS_SHARE)]
    assert entered == [True] * (2 * ADDRESS_SHARE) + [False] * (2 * ADDRESS_SHARE)
    assert door.enter("2001:db8:0:1::1")
    for number in range(2 * ADDRESS_SHARE):
        door.leave(f"2001:db8::{number:x}")
    assert door.inside == 1
    assert door.enter("2001:db8::9")


@pytest.mark.parametrize(("capacity", "agents"), [(1, 1), (4, 3), (100, 75)])
def test_a_part_of_the_pool_is_no_agents(capacity: int, agents: int) -> None:
    door = Door(capacity)
    stayed = []
    for number in range(capacity):
        assert door.enter(f"10.0.0.{number}")
        stayed.append(Ticket(door, f"10.0.0.{number}").agent())
    assert stayed == [True] * agents + [False] * (capacity - agents)


def test_what_those_at_the_door_have_said_is_bounded() -> None:
    door = Door(1000)
    tickets = [Ticket(door, "192.0.2.1") for _ in range(100) if door.enter("192.0.2.1")]
    assert all(ticket.holds(FREE) for ticket in tickets)
    assert door.held == 0
    assert tickets[0].holds(HELD)
    assert not tickets[1].holds(1)
    assert door.held == HELD
    tickets[1].leave()
    assert door.held == HELD
    tickets[0].leave()
    assert door.held == 0
    assert tickets[2].holds(1)
    assert door.held == 1


def test_a_ticket_counts_once() -> None:
    door = Door(2)
    door.enter("a")
    door.enter("b")
    ticket = Ticket(door, "a")
    ticket.leave()
    ticket.leave()
    assert door.inside == 1


@pytest.mark.parametrize(
    ("name", "address"),
    [
        (("127.0.0.1", 5), "127.0.0.1"),
        (("::ffff:10.1.2.3", 5, 0, 0), "10.1.2.3"),
        (("fe80::1", 5), "fe80::1"),
    ],
)
def test_an_address_is_plain(name: tuple[object, ...], address: str) -> None:
    assert address_of(name) == address


def test_what_the_kernel_keeps_for_who_reads_nothing_is_bounded() -> None:
    (listener,) = listen("127.0.0.1", 0)
    with listener, socket.create_connection(listener.getsockname()) as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        near, _ = listener.accept()
        with near:
            assert near.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            near.setblocking(False)
            assert sum(taken(near)) < 2 * UNSENT


def taken(sock: socket.socket) -> Iterator[int]:
    """Bytes that a socket takes, until it takes no more or far too many."""
    with suppress(BlockingIOError):
        for _ in range(32):
            yield sock.send(bytes(UNSENT // 4))


def test_a_port_in_use_is_one_sentence() -> None:
    (first,) = listen("127.0.0.1", 0)
    port = first.getsockname()[1]
    with (
        first,
        pytest.raises(
            ListenError,
            match=rf"cannot listen on 127.0.0.1:{port}: Address already in use \(broker.listen names it\)$",
        ),
    ):
        listen("127.0.0.1", port)
    with pytest.raises(ListenError, match=r"\(metrics.listen names it\)$"):
        listen("nowhere.invalid", port, "metrics.listen")


def test_every_address_of_the_machine_is_one_socket() -> None:
    (sock,) = listen("*", 0)
    with sock, socket.create_connection(("127.0.0.1", sock.getsockname()[1])):
        pass


class Exhausted:
    """A listening socket with somebody to accept and no descriptor for it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.tries = 0

    def fileno(self) -> int:
        return self.sock.fileno()

    def accept(self) -> NoReturn:
        self.tries += 1
        assert self.tries < 1000
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


async def test_running_out_of_descriptors_is_waited_for_and_said_once_a_minute(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ours, theirs = socket.socketpair()
    said: list[str] = []
    with ours, theirs:
        theirs.send(b"readable")
        listener, door = Exhausted(ours), Door(1)
        with trio.move_on_after(119):
            async with trio.open_nursery() as nursery:
                await accept(cast(socket.socket, listener), door, nobody, nursery, said.append)
    assert said == ["cannot accept connections for now: Too many open files"] * 2
    assert 500 < listener.tries < 700
    assert door.pauses == listener.tries


def test_the_last_descriptors_are_for_other_uses() -> None:
    (listener,) = listen("127.0.0.1", 0)
    with listener:
        leave_spare(listener, ceiling())
        with pytest.raises(OSError, match="Too many open files"):
            leave_spare(listener, 3)


def test_how_many_are_left_depends_on_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, first_spare in ((32, 28), (256, 224), (1 << 20, (1 << 20) - SPARE)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, limit))
        assert ceiling() == first_spare


async def nobody(sock: socket.socket, address: str, ticket: Ticket) -> None:
    raise AssertionError


async def test_who_is_turned_away_hears_the_end_of_file(nursery: trio.Nursery) -> None:
    (listener,) = listen("127.0.0.1", 0)
    door = Door(1)
    inside: list[socket.socket] = []

    async def welcome(sock: socket.socket, address: str, ticket: Ticket) -> None:
        inside.append(sock)
        await trio.lowlevel.checkpoint()

    said: list[str] = []
    nursery.start_soon(accept, listener, door, welcome, nursery, said.append)
    first = await trio.open_tcp_stream(*listener.getsockname())
    for _ in range(2):
        late = await trio.open_tcp_stream(*listener.getsockname())
        with trio.fail_after(10):
            assert await late.receive_some() == b""
        await late.aclose()
    assert len(inside) == door.accepted == 1
    assert door.refused == 2
    assert len(said) == 1, "the same again would fill the log"
    assert said[0].startswith("turned 127.0.0.1 away: too many connections have not said who they are ")
    nursery.cancel_scope.cancel()
    for sock in (listener, *inside):
        sock.close()
    with trio.CancelScope(shield=True):
        await first.aclose()


class Rounds(trio.abc.Instrument):
    """How many a door has let in at the end of each round of Trio's scheduler."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.accepted: list[int] = []

    def before_io_wait(self, timeout: float) -> None:
        self.accepted.append(self._door.accepted)


async def test_once_the_pool_is_half_full_a_few_come_in_at_a_time(nursery: trio.Nursery) -> None:
    (listener,) = listen("127.0.0.1", 0)
    door = Door(40)
    inside: list[socket.socket] = []

    async def welcome(sock: socket.socket, address: str, ticket: Ticket) -> None:
        inside.append(sock)
        await trio.lowlevel.checkpoint()

    callers = [
        socket.create_connection(listener.getsockname(), source_address=(f"127.0.0.{number}", 0))
        for number in range(2, 34)
    ]
    said: list[str] = []
    rounds = Rounds(door)
    trio.lowlevel.add_instrument(rounds)
    nursery.start_soon(accept, listener, door, welcome, nursery, said.append)
    with trio.fail_after(10):
        while len(inside) < len(callers):
            await trio.lowlevel.checkpoint()
    trio.lowlevel.remove_instrument(rounds)
    came = [(before, after - before) for before, after in itertools.pairwise(rounds.accepted)]
    assert max(number for before, number in came if before < 20) == BATCH
    assert max(number for before, number in came if before >= 20) == FEW
    nursery.cancel_scope.cancel()
    for sock in (listener, *inside, *callers):
        sock.close()
