"""What a real broker costs with up to ten thousand agents, beside plain loops that move the same bytes.

    python -m bench.broker [--sessions N,N,…] [--rounds R]

Each broker is `cw meshd` of dist/cw with a swarm (bench/swarm) of listed agents; the floors (bench/floor.py)
run after it. Medians; the swarm's own processor time is told, since it must be less than the broker's.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import floor
from bench.processes import cpu, forked, memory, raise_descriptors, use_the_brokers_python
from bench.swarm.conduct import Behaviour, output
from bench.swarm.crowd import Swarm, swarm
from bench.swarm.member import Identity, identity
from bench.swarm.site import Site
from bench.swarm.users import User
from conf.version import VERSION
from mesh.command import parse
from mesh.images import image_of
from mesh.messages import VERSION as PROTOCOL
from mesh.messages import Command, Hello, Message, Optin, Result, Welcome, encode

SEALED = 2 + 1 + 16
"""Bytes that a message of one record gains: length, chunk flag, tag (protocol.md "Layers")."""
HANDSHAKE = (5 + 2 + 96, 2 + 48)
"""Bytes of an agent's handshake: preface and first record, the broker's record."""
SPARE = 200
"""Descriptors that a process here may need beside its sessions."""
SECOND = 60
"""Requests of the second user."""
QUICK = 3000
"""The same of the floor: so quick that as few would be over before the others' next turn."""
USERS, NODES = 100, 100
MANY = 10_000
"""Sessions for which there is a goal of time."""
BULKY, BULK = 1000, 64 << 10
"""Sessions that are asked for so many bytes each."""


class Row(NamedTuple):
    """A figure: what it is, the floor's and the broker's, in `unit`, and what it should be at most."""

    sessions: int
    name: str
    unit: str
    floor: float | None
    broker: float
    goal: str = ""

    def __str__(self) -> str:
        least = "" if self.floor is None else self._told(self.floor)
        times = f"{self.broker / self.floor:.2f}" if self.floor else ""
        ours = self._told(self.broker)
        return f"| {self.sessions:,} | {self.name} | {least} | {ours} | {times} | {self.goal} |"

    def _told(self, figure: float) -> str:
        return f"{figure:.{0 if figure >= 1000 else 1 if figure >= 10 else 2}f} {self.unit}"


def sealed(*messages: Message) -> int:
    """Bytes on the wire."""
    return sum(len(encode(message)) + SEALED for message in messages)


def sizes(user: str, reply: int) -> tuple[int, int]:
    """Bytes on the wire of a `ping` to a node, and of its answer."""
    image = image_of(parse(("ping",)).verb)
    how = "key " + 16 * "0"
    command = Command(
        user, (user,), how, ("ping",), (), image.module, image.image, (), "run", None, 1 << 24, 40_000, 0
    )
    return sealed(command), sealed(Optin(), Result(0, output(reply), b"", False, 100))


def greeting(agent: Identity) -> tuple[int, ...]:
    """Bytes of each turn in which an agent joins."""
    hello = Hello(PROTOCOL, VERSION, agent.fqdn, agent.uuid)
    return (*HANDSHAKE, sealed(hello), sealed(Welcome(PROTOCOL, VERSION, 10_000, 1 << 24)))


def closing(site: Site, crowd: Swarm, count: int, rounds: int) -> Iterator[Row]:
    """From REQUEST to closed ledger, and what that takes."""
    user = site.user()
    user.ask("ping")
    spent, beside = cpu(site.pid), cpu(crowd.pid)
    answers = [user.ask("ping") for _ in range(rounds)]
    spent, beside = cpu(site.pid) - spent, cpu(crowd.pid) - beside
    assert all(answer.done.results == count for answer in answers), answers
    floors = floor.broadcasts(count, rounds, *sizes(user.name, len(b"pong\n")))
    ours = statistics.median(answer.seconds for answer in answers)
    least = statistics.median(moved.seconds for moved in floors)
    goal = "4 × the floor" if count >= MANY else ""
    yield Row(count, "REQUEST to closed ledger", "ms", least * 1e3, ours * 1e3, goal)
    micro = 1e6 / count
    least = statistics.median(moved.cpu for moved in floors)
    yield Row(count, "processor time a node", "µs", least * micro, spent / rounds * micro, "60 µs")
    yield Row(count, "the swarm's own, a node", "µs", None, beside / rounds * micro, "less than the broker's")


def second(site: Site, target: Identity, count: int) -> Iterator[Row]:
    """`ping` to one node, which is a process of its own, alone and while another user's goes to all."""

    def median(user: User) -> float:
        return statistics.median(user.ask("ping", targets=[target.uuid]).seconds for _ in range(SECOND))

    def keep_asking() -> None:
        user = site.user()
        while True:
            user.ask("ping")

    user = site.user()
    alone = median(user)
    with forked(keep_asking):
        busy = median(user)
    for name, ours, goal in (("nobody else asks", alone, ""), ("while another asks all", busy, "20 ms")):
        moved = floor.pings(count - 1, QUICK, *sizes(user.name, len(b"pong\n")), busy=ours is busy)
        yield Row(count, f"one node, {name}", "ms", statistics.median(moved) * 1e3, ours * 1e3, goal)


def comeback(site: Site, crowd: Swarm, count: int) -> Iterator[Row]:
    """All agents again after the broker was started anew."""
    crowd.wait(lambda counters: counters.prepared >= counters.joins, "ready for another handshake")
    site.stop()
    crowd.wait(lambda counters: not counters.joined, "all lost")
    site.start()
    began, spent, beside = time.monotonic(), cpu(site.pid), cpu(crowd.pid)
    crowd.wait(lambda counters: counters.joined == count, "all back")
    took, spent, beside = time.monotonic() - began, cpu(site.pid) - spent, cpu(crowd.pid) - beside
    least = floor.greetings(count, greeting(identity(0)))
    yield Row(count, "all back after a restart", "s", least.seconds, took, "8 s")
    yield Row(count, "processor time of that", "s", least.cpu, spent, "4 s")
    yield Row(count, "the swarm's own", "s", None, beside, "less than the broker's")


def sized(count: int, rounds: int) -> Iterator[Row]:
    """All figures of a broker with `count` sessions."""
    agents = [identity(number) for number in range(count)]
    with tempfile.TemporaryDirectory() as directory, Site(Path(directory), agents) as site:
        crowd, one = agents[:-1], agents[-1:]
        with swarm(site.address, site.broker_key, one, Behaviour()):
            site.user().ask("ping")  # what a first request imports is no session's
            before = memory(site.pid).rss
            with swarm(site.address, site.broker_key, crowd, Behaviour()) as most:
                resident = (memory(site.pid).rss - before) / (count - 1)
                yield from closing(site, most, count, rounds)
                yield Row(count, "resident memory of a session", "KiB", floor.held(count), resident, "6 KiB")
                yield from second(site, one[0], count)
                yield from comeback(site, most, count - 1)


def together(rounds: int) -> Iterator[Row]:
    """Many users at once."""
    agents = [identity(number) for number in range(NODES)]
    with tempfile.TemporaryDirectory() as directory, Site(Path(directory), agents) as site:
        with swarm(site.address, site.broker_key, agents, Behaviour()) as crowd:
            user = site.user()
            user.ask_together(USERS, "ping")
            spent, beside = cpu(site.pid), cpu(crowd.pid)
            answers = [user.ask_together(USERS, "ping") for _ in range(rounds)]
            spent, beside = cpu(site.pid) - spent, cpu(crowd.pid) - beside
        assert all(answer.done.results == NODES for each in answers for answer in each)
        ours = statistics.median(max(answer.seconds for answer in each) for each in answers)
    floors = floor.broadcasts(NODES, rounds, *sizes(user.name, len(b"pong\n")), times=USERS)
    least = statistics.median(moved.seconds for moved in floors)
    yield Row(NODES, f"{USERS} users at once, the last one's DONE", "ms", least * 1e3, ours * 1e3)
    each = 1e6 / NODES / USERS
    least = statistics.median(moved.cpu for moved in floors)
    yield Row(NODES, "processor time a user and node", "µs", least * each, spent / rounds * each)
    yield Row(NODES, "the swarm's own", "µs", None, beside / rounds * each, "less than the broker's")


def bulk(rounds: int) -> Iterator[Row]:
    """Results of 64 KiB."""
    agents = [identity(number) for number in range(BULKY)]
    with tempfile.TemporaryDirectory() as directory, Site(Path(directory), agents) as site:
        with swarm(site.address, site.broker_key, agents, Behaviour(reply=BULK)) as crowd:
            user = site.user()
            spent, beside = cpu(site.pid), cpu(crowd.pid)
            answers = [user.ask("ping") for _ in range(rounds)]
            spent, beside = cpu(site.pid) - spent, cpu(crowd.pid) - beside
        assert all(answer.done.results == BULKY for answer in answers), answers
    floors = floor.broadcasts(BULKY, rounds, *sizes(user.name, BULK), relayed=True)
    ours = statistics.median(answer.seconds for answer in answers)
    least = statistics.median(moved.seconds for moved in floors)
    name = f"results of {BULK >> 10} KiB, relayed"
    yield Row(BULKY, name, "ms", least * 1e3, ours * 1e3)
    micro = 1e6 / BULKY
    least = statistics.median(moved.cpu for moved in floors)
    yield Row(BULKY, "processor time a result", "µs", least * micro, spent / rounds * micro)
    yield Row(BULKY, "the swarm's own", "µs", None, beside / rounds * micro, "less than the broker's")


def main(counts: Sequence[int], rounds: int) -> None:
    """Measure and print, row by row."""
    raise_descriptors(max(*counts, BULKY) + SPARE)
    print("| sessions | figure | floor | broker | times | goal |\n| --- | --- | --- | --- | --- | --- |")
    for count in counts:
        for row in sized(count, rounds):
            print(row, flush=True)
    for row in (*together(rounds), *bulk(rounds)):
        print(row, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m bench.broker", description="Measures a broker with N agents beside raw sockets."
    )
    parser.add_argument(
        "--sessions", default="100,1000,5000,10000", metavar="N,N,…", help="(100,1000,5000,10000)"
    )
    parser.add_argument("--rounds", type=int, default=10, metavar="R", help="of each request (10)")
    options = parser.parse_args()
    use_the_brokers_python("bench.broker")
    main([int(count) for count in options.sessions.split(",")], options.rounds)
