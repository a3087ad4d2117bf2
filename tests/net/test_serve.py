"""The door: who may wait there; and accepting, on real sockets."""

from __future__ import annotations

import errno
import os
import socket
from typing import NoReturn, cast

import pytest
import trio
import trio.testing

from net.serve import ADDRESS_SHARE, Door, ListenError, Ticket, accept, address_of, listen


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
