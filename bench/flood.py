"""What strangers can do to a broker: floods of connections, beside the same broker in peace.

    python -m bench.flood [--sessions N] [--connections C] [--rounds R] [--storm N]

Each flood is a process that keeps C connections to a broker with N agents open, and opens another the
moment one is closed. Told of each: how long a user's `ping` of one node takes from REQUEST to DONE on a
connection that was there before, and how long on one that has to get in first; how many of these the door
turned away; by how much the broker's memory grew, and how many descriptors it had at most beside sessions.
The last row is no flood, but the agents of a larger mesh, all of whom come back at once.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import mmap
import os
import select
import socket
import statistics
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from bench.processes import forked, memory, raise_descriptors, use_the_brokers_python
from bench.swarm.conduct import Behaviour
from bench.swarm.crowd import swarm
from bench.swarm.member import identity
from bench.swarm.site import Site
from wire.handshake import Initiator, Peer
from wire.noise import key_pair

SPARE = 300
"""Descriptors that a process here may need beside its connections."""
READ = 65536
BATCH = 256
KINDNESS = 10
"""By how much a flood is nicer than the rest (nice(1)): strangers have processors of their own."""
BEFORE = 1.0
"""Seconds that a flood lasts before anything is measured."""
_IP_BIND_ADDRESS_NO_PORT = 24
"""Of ip(7): connect(2) chooses the port; Python has no name for it yet."""


class Flood(NamedTuple):
    """A kind of stranger: what each says at once, and from how many addresses they come."""

    name: str
    says: bytes
    addresses: int


class Figures(NamedTuple):
    """Of one flood: seconds from REQUEST to DONE of who was there before, and from connect(2) to DONE of who
    was not and how many of these were turned away; MiB by which the broker grew, descriptors that it had at
    most beside what it had before, connections a second.
    """

    inside: list[float]
    outside: list[float]
    refused: int
    growth: float
    descriptors: int
    rate: float


def floods(broker_key: bytes) -> Iterator[Flood]:
    """All kinds; from one address the door lets half of the pool in, from many all of it."""
    client = Initiator(Peer.CLIENT, broker_key, os.urandom(32)).first()
    agent = Initiator(Peer.AGENT, broker_key, os.urandom(32), key_pair(os.urandom(32))).first()
    for addresses, where in ((1, "one address"), (200, "200 addresses")):
        yield Flood(f"silent, {where}", b"", addresses)
        yield Flood(f"random bytes, {where}", os.urandom(2000), addresses)
        yield Flood(f"clients' handshakes, {where}", client, addresses)
        yield Flood(f"agents' handshakes, {where}", agent, addresses)


class Flooding:
    """Keeps connections open, until killed; `made` counts them."""

    def __init__(self, address: tuple[str, int], flood: Flood, connections: int, made: mmap.mmap) -> None:
        self._address = address
        self._says = flood.says
        self._sources = itertools.cycle(
            f"127.200.{number >> 6}.{1 + (number & 63)}" for number in range(flood.addresses)
        )
        self._connections = connections
        self._made = made
        self._count = 0
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}

    def run(self) -> None:
        """Begin, and go on."""
        os.nice(KINDNESS)
        for _ in range(self._connections):
            self._open()
        while True:
            for fd, mask in self._epoll.poll(-1, BATCH):
                if mask == select.EPOLLOUT:
                    with contextlib.suppress(OSError):
                        self._sockets[fd].send(self._says)
                    self._epoll.modify(fd, select.EPOLLIN)
                else:  # an answer or the end: this one has done what it can
                    self._sockets.pop(fd).close()
                    self._open()

    def _open(self) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )  # ports are free at once
        sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((next(self._sources), 0))
        sock.connect_ex(self._address)
        self._sockets[sock.fileno()] = sock
        self._epoll.register(sock.fileno(), select.EPOLLIN | (select.EPOLLOUT if self._says else 0))
        self._count += 1
        struct.pack_into("q", self._made, 0, self._count)


@contextlib.contextmanager
def flooding(site: Site, flood: Flood, connections: int) -> Iterator[Callable[[], int]]:
    """A flood for the `with` block; how many connections it has made."""
    made = mmap.mmap(-1, 8)
    with forked(Flooding(site.address, flood, connections, made).run):
        time.sleep(BEFORE)
        yield lambda: int(struct.unpack_from("q", made)[0])


@contextlib.contextmanager
def peace() -> Iterator[Callable[[], int]]:
    """No flood."""
    yield lambda: 0


def descriptors(pid: int) -> int:
    """How many a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def figures(site: Site, rounds: int, flood: AbstractContextManager[Callable[[], int]]) -> Figures:
    """Ask one node again and again during a flood."""
    user, one = site.user(), [identity(0).uuid]
    inside, outside, most, refused = [], [], 0, 0
    before = descriptors(site.pid)
    asked = [user.connected(("ping",), one) for _ in range(rounds)]
    resident = memory(site.pid).rss
    with flood as count:
        began, first = time.perf_counter(), count()
        for asking in asked:
            inside.append(asking.ask().seconds)
            came = time.perf_counter()
            try:
                user.ask("ping", targets=one)
                outside.append(time.perf_counter() - came)
            except ConnectionError:
                refused += 1
            most = max(most, descriptors(site.pid))
        rate = (count() - first) / (time.perf_counter() - began)
        growth = (memory(site.pid).rss - resident) / 1024
    return Figures(inside, outside, refused, growth, most - before, rate)


def settle(site: Site, before: int) -> None:
    """Wait until the broker has closed what a flood has left."""
    while descriptors(site.pid) > before:
        time.sleep(0.01)


class Storm(NamedTuple):
    """Seconds from connect(2) to DONE of users in peace, of those who came while all agents came back, and
    how many of the latter were turned away.
    """

    quiet: list[float]
    outside: list[float]
    refused: int


def storm(sessions: int, rounds: int) -> Storm:
    """A broker that is started again with so many agents."""
    agents = [identity(number) for number in range(sessions)]
    with (
        tempfile.TemporaryDirectory() as directory,
        Site(Path(directory), agents) as site,
        swarm(site.address, site.broker_key, agents, Behaviour()) as crowd,
    ):
        quiet = figures(site, rounds, peace())
        crowd.wait(lambda counters: counters.prepared >= counters.joins, "ready for another handshake")
        site.stop()
        crowd.wait(lambda counters: not counters.joined, "all lost")
        site.start()
        user, took, refused = site.user(), [], 0
        while crowd.counters.joined < sessions:
            came = time.perf_counter()
            try:
                user.ask("ping", targets=[identity(0).uuid])
                took.append(time.perf_counter() - came)
            except ConnectionError:
                refused += 1
    return Storm(quiet.outside, took, refused)


def told(seconds: list[float], quiet: float) -> str:
    """Median and longest, and how many times the quiet median the former is."""
    if not seconds:
        return "–"
    median = statistics.median(seconds)
    return f"{median * 1e3:.1f} (at most {max(seconds) * 1e3:.0f}), {median / quiet:.1f} ×"


def main(sessions: int, connections: int, rounds: int, storming: int) -> None:
    """Measure and print, row by row."""
    raise_descriptors(max(sessions, connections, storming) + SPARE)
    agents = [identity(number) for number in range(sessions)]
    print(
        "| flood | connections a second | who is there, ms | who comes, ms "
        "| turned away | MiB | descriptors |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    patient = "limits.handshake=600"  # or users who wait for their turn in this measurement would be closed
    with (
        tempfile.TemporaryDirectory() as directory,
        Site(Path(directory), agents, [patient]) as site,
        swarm(site.address, site.broker_key, agents, Behaviour()),
    ):
        figures(site, rounds, peace())
        quiet = figures(site, rounds, peace())
        inside, outside = statistics.median(quiet.inside), statistics.median(quiet.outside)
        before = descriptors(site.pid)
        rows = [("none", quiet)]
        for flood in floods(site.broker_key):
            rows.append((flood.name, figures(site, rounds, flooding(site, flood, connections))))
            settle(site, before)
        for name, row in rows:
            print(
                f"| {name} | {row.rate:,.0f} | {told(row.inside, inside)} | {told(row.outside, outside)} "
                f"| {row.refused} of {rounds} | {row.growth:.1f} | {row.descriptors} |"
            )
    came = storm(storming, rounds)
    print(
        f"| {storming:,} agents come back | | | {told(came.outside, statistics.median(came.quiet))} "
        f"| {came.refused} of {len(came.outside) + came.refused} | | |"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m bench.flood", description="Measures a broker while strangers flood it."
    )
    parser.add_argument("--sessions", type=int, default=1000, metavar="N", help="agents (1000)")
    parser.add_argument("--connections", type=int, default=2000, metavar="C", help="of each flood (2000)")
    parser.add_argument("--rounds", type=int, default=40, metavar="R", help="of each request (40)")
    parser.add_argument(
        "--storm", type=int, default=10_000, metavar="N", help="agents that come back (10,000)"
    )
    options = parser.parse_args()
    use_the_brokers_python("bench.flood")
    main(options.sessions, options.connections, options.rounds, options.storm)
