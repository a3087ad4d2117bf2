"""Ten thousand requests of every fate: each ledger closes once, and a broker keeps nothing of them.

The broker is real but for its handshakes, which are done beforehand, and for who is trusted; its peers are
the far ends of socket pairs, played by one task that draws what they do. Time is the test's.
"""

from __future__ import annotations

import gc
import io
import json
import os
import random
import socket
import sys
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import trio
import trio.testing

from auth.groups import Groups
from auth.keys import SIGNING, public_of
from auth.trust import Trust
from auth.trust import parse as parse_trust
from conf.dropped import Dropped
from conf.schema import MeshdConf
from conf.watched import Watched
from mesh import acl, command
from mesh.messages import (
    REPORTS,
    VERSION,
    Bye,
    Cancel,
    Denied,
    Done,
    Error,
    Expired,
    Hello,
    Identity,
    Kind,
    Message,
    NoAuth,
    Ok,
    Optin,
    Optout,
    Request,
    Result,
    Side,
    decode,
    decode_report,
    encode,
    kind_of,
    serial_of,
)
from mesh.site import Site, checked
from net.greet import Lanes
from net.serve import Ticket
from roles.audit import Audit
from roles.authority import Accepted, Authority
from roles.broker import Broker
from roles.log import Log
from tests.sessions import BROKER, transports
from wire.handshake import Established, Peer, Responder
from wire.transport import MAX_MESSAGE, Transport

LIVES, REQUESTS = 3, 3400
"""Of a broker that is started again and again, and of each."""
AT_ONCE = 40
AGENTS = 5
SERIALS = 200
"""The last ones that a node keeps, to answer them late, even to another life of the broker."""
USER = public_of(SIGNING, b"alice".ljust(32))
PONG = Result(0, b"pong\n", b"", False, 12)
FATES: tuple[tuple[Message, ...], ...] = (
    (Optin(), PONG),
    (Optin(), PONG),
    (Optin(), PONG),
    (PONG,),
    (Optin(),),
    (Optout(),),
    (Denied(),),
    (Optin(), Expired()),
    (Optin(), Optin(), PONG, PONG),
    (PONG, Optout(), Denied(), Expired(), Optin()),
    (),
)
"""What a node says to a command, all at once or some of it late."""


def node(number: int) -> Identity:
    return Identity(f"web{number}.example.com", f"00000000-0000-4000-8000-{number:012}")


def key(number: int) -> bytes:
    return bytes([number + 1]) * 32


class Far:
    """The far end of a session that is established already."""

    def __init__(self, first: Message, static: bytes | None) -> None:
        self.near, self._sock = socket.socketpair()
        self._sock.setblocking(False)
        self.near.setblocking(False)
        ours, theirs = transports(max_message=MAX_MESSAGE)
        self._transport: Transport = ours
        peer = Peer.CLIENT if static is None else Peer.AGENT
        self.greeted = Established(peer, theirs, bytes(32), static), [encode(first)]
        self.open = True

    def say(self, *messages: Message, serial: int = 0) -> None:
        if self.open:
            with suppress(OSError):  # the broker has hung up
                self._sock.send(b"".join(self._transport.seal(encode(one, serial)) for one in messages))

    def hear(self) -> list[bytes]:
        """What has come; the end closes this side too."""
        heard: list[bytes] = []
        while self.open:
            try:
                received = self._sock.recv(65536)
            except BlockingIOError:
                break
            except OSError:
                received = b""
            if not received:
                self.close()
            heard += self._transport.open(received)
        return heard

    def close(self) -> None:
        self.open = False
        self._sock.close()


class Node:
    """An agent's key, its session if there is one, and the last serials that it heard of."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.far: Far | None = None
        self.last = 0
        self.serials: deque[int] = deque(maxlen=SERIALS)
        self.unsaid: deque[tuple[int, Message]] = deque()


class User:
    """A client with one request, and what it has heard."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.far = Far(request, None)
        self.sessions = 0
        self.closed: set[str] = set()
        self.heard: Counter[Kind] = Counter()
        self.end = "connection broke"
        self.left = False

    def hear(self) -> None:
        """What is said of a node comes once, after OK and before DONE."""
        for raw in self.far.hear():
            kind = kind_of(raw)
            assert self.end == "connection broke"
            self.heard[kind] += 1
            if kind in REPORTS:
                assert self.heard[Kind.OK] == 1
                _, _, about, _ = decode_report(raw)
                assert about.uuid not in self.closed
                if kind is not Kind.OPTIN:
                    self.closed.add(about.uuid)
                continue
            _, message = decode(Side.BROKER, raw)
            if isinstance(message, Ok):
                self.sessions = message.sessions
            elif isinstance(message, Done):
                self.end = "done"
                self.check(message)
            elif isinstance(message, Error):
                self.end = message.code

    def check(self, done: Done) -> None:
        """The counts are those of what was heard."""
        assert sum(done[1:]) == done.sessions == self.sessions
        heard, plan = self.heard, self.request.mode == "plan"
        assert heard[Kind.OPTIN if plan else Kind.RESULT] <= done.results
        assert heard[Kind.RESULT] + (heard[Kind.OPTIN] if plan else 0) == done.results
        assert heard[Kind.OPTOUT] == (done.optouts if self.request.optouts else 0)
        assert heard[Kind.EXPIRED] == done.expired
        assert heard[Kind.LOST] <= done.lost
        assert heard[Kind.SILENT] <= done.silent


class Trusting(Authority):
    """Takes everybody at their word."""

    async def judge(self, request: Request, handshake_hash: bytes, address: str) -> Accepted:
        await trio.lowlevel.checkpoint()
        asked = command.parse(request.words)
        return Accepted(asked, Site().sent(asked.verb), USER.hex() if request.user == "alice" else "", ())


class Stress:
    """One life of a broker after the other."""

    def __init__(self, home: Path, clock: trio.testing.MockClock, greeted: dict[socket.socket, Far]) -> None:
        self.home = home
        self.clock = clock
        self.greeted = greeted
        self.draw = random.Random(2315)
        self.users = Watched(home / "users", parse_trust, Trust())
        self.agents = Watched(home / "agents", parse_trust, Trust())
        self.trust("users", f"{USER.hex()} alice\n")
        self.trust("agents", "".join(f"{key(n).hex()} {node(n).fqdn}\n" for n in range(AGENTS)))
        self.audit = Audit(home / "audit")
        self.nodes = [Node(number) for number in range(AGENTS)]
        self.waiting: list[User] = []
        self.older: list[Far] = []
        """Sessions of nodes that have begun another."""
        self.begun = 0
        self.ends: Counter[str] = Counter()

    def trust(self, name: str, text: str) -> None:
        (self.home / "new").write_text(text)
        (self.home / "new").rename(self.home / name)

    def look(self) -> None:
        changed = [watched.refresh() for watched in (self.users, self.agents)]
        if any(changed):
            self.broker.revoke()

    async def live(self, requests: int) -> None:
        """A broker's life; it ends in the middle of things."""
        authority = Trusting(
            self.users,
            Watched(None, acl.parse, ()),
            Dropped(None, (), checked, Site()),
            Groups(0, trio.current_time),
            None,
            trio.current_time,
            self.look,
        )
        log = Log("meshd", "error", "text", io.StringIO())
        self.broker = Broker(
            MeshdConf(), BROKER, self.agents, self.users, authority, os.urandom, self.look, log, self.audit
        )
        self.look()
        async with trio.open_nursery() as self.nursery:
            self.nursery.start_soon(self.broker.run)
            await self.settle()
            usual = dict(sizes(self.broker))
            for _ in range(4):
                await self.ask(requests // 4)
                await self.settle()
                assert dict(sizes(self.broker)) == usual
            await self.ask(AT_ONCE, to_the_end=False)
            self.nursery.cancel_scope.cancel()
        for user in self.waiting:
            user.hear()
            assert not user.far.open
            self.ends[user.end] += 1
        self.waiting.clear()
        for far in self.older:
            far.hear()
            assert not far.open
        self.older.clear()
        empty = dict.fromkeys(("links", "sessions", "requests", "_clients", "_tickets", "inside"), 0)
        assert empty.items() <= dict(sizes(self.broker)).items()
        for one in self.nodes:
            assert one.far is not None
            one.far.hear()
            assert not one.far.open

    def enter(self, far: Far) -> None:
        assert self.broker.door.enter("192.0.2.1")
        self.greeted[far.near] = far
        ticket = Ticket(self.broker.door, "192.0.2.1")
        self.nursery.start_soon(self.broker.welcome, far.near, "192.0.2.1", ticket)

    async def settle(self) -> None:
        """Until all nodes are there and nobody asks any more."""
        self.trust("users", f"{USER.hex()} alice\n")
        self.look()
        while self.waiting or any(one.far is None or not one.far.open for one in self.nodes):
            await self.step()
        for one in self.nodes:
            one.unsaid.clear()
        await trio.testing.wait_all_tasks_blocked()

    async def ask(self, requests: int, to_the_end: bool = True) -> None:
        wanted = self.begun + requests
        while self.begun < wanted or (to_the_end and self.waiting):
            for _ in range(self.draw.randrange(8)):
                if self.begun < wanted and len(self.waiting) < AT_ONCE:
                    self.begin()
            if self.draw.random() < 0.01:
                self.trust("users", "" if self.draw.random() < 0.3 else f"{USER.hex()} alice\n")
                self.look()
            if self.draw.random() < 0.02:
                self.harm(self.draw.choice(self.nodes))
            await self.step()

    def begin(self) -> None:
        self.begun += 1
        draw = self.draw.random
        targets = tuple(node(n).uuid for n in range(AGENTS + 1) if draw() < 0.5) if draw() < 0.3 else None
        user = "alice" if draw() < 0.5 else "bob"
        mode = "plan" if draw() < 0.1 else "run"
        one = User(
            Request(VERSION, user, NoAuth(), ("ping",), (), mode, targets or None, 1000, 0, draw() < 0.5)
        )
        self.enter(one.far)
        self.waiting.append(one)

    def harm(self, one: Node) -> None:
        """A node dies, is there twice, or has its key taken away and given back."""
        what = self.draw.random()
        if what < 0.5 and one.far is not None:
            one.far.close()
        elif what < 0.8:
            self.join(one)
        else:
            lines = [f"{key(n).hex()} {node(n).fqdn}\n" for n in range(AGENTS)]
            for text in ("".join(lines[: one.number] + lines[one.number + 1 :]), "".join(lines)):
                self.trust("agents", text)
                self.look()

    def join(self, one: Node) -> None:
        if one.far is not None and one.far.open:
            self.older.append(one.far)
        one.far = Far(Hello(VERSION, "0.1.0", *node(one.number)), key(one.number))
        one.last = 0
        self.enter(one.far)

    async def step(self) -> None:
        """Everybody does something, and the broker has its rounds."""
        for one in self.nodes:
            self.play(one)
        for far in self.older[:]:
            far.hear()
            if not far.open:
                self.older.remove(far)
        for user in self.waiting[:]:
            user.hear()
            self.act(user)
            if not user.far.open:
                self.ends[user.end] += 1
                self.waiting.remove(user)
        self.clock.jump(0.02)
        for _ in range(3):
            await trio.lowlevel.checkpoint()

    def play(self, one: Node) -> None:
        """A node hears commands, and says what it says, now or later, on whatever session it has then."""
        if one.far is None or not one.far.open:
            if self.draw.random() < 0.3:
                self.join(one)
            return
        for raw in one.far.hear():
            serial, kind = serial_of(raw), kind_of(raw)
            if kind is Kind.COMMAND:
                assert serial > one.last, "serials rise within a session"
                one.last = serial
                one.serials.append(serial)
                one.unsaid += [(serial, answer) for answer in self.draw.choice(FATES)]
            elif kind is Kind.CANCEL:
                assert serial in one.serials, "a CANCEL comes after its COMMAND"
        if one.serials and self.draw.random() < 0.05:
            old = self.draw.choice(one.serials)
            one.unsaid += [(old, answer) for answer in self.draw.choice(FATES)]
        while one.unsaid and self.draw.random() < 0.8:
            serial, message = one.unsaid.popleft()
            one.far.say(message, serial=serial)

    def act(self, user: User) -> None:
        """A user may lose patience."""
        what = self.draw.random()
        if user.left or what > 0.06:
            return
        if what < 0.03:
            user.far.say(Cancel())
        elif what < 0.04:
            user.left = True
            user.far.say(Bye())
        elif what < 0.05:
            user.far.close()
        else:
            user.left = True
            user.far.say(Optin())  # nothing that a client may say


def sizes(broker: Broker) -> Iterator[tuple[str, int]]:
    """How much is in everything that a broker keeps."""
    for part in (broker, broker._hub, broker._router, broker._fanout, broker.door):
        for name, kept in vars(part).items():
            if isinstance(kept, dict | list | set) and name != "_replaced":
                yield name, len(kept)
    yield "inside", broker.door.inside
    yield "held", broker.door.held
    yield "queued", broker._hub.queued
    assert len(broker._router._replaced) <= AGENTS


class Held(NamedTuple):
    """What this process has."""

    descriptors: int
    tasks: int
    blocks: int
    """Pieces of memory that Python has handed out, and not got back."""


def held() -> Held:
    gc.collect()
    tasks = trio.lowlevel.current_statistics().tasks_living
    return Held(len(os.listdir("/proc/self/fd")), tasks, sys.getallocatedblocks())


async def test_ten_thousand_requests_leave_nothing_behind(
    tmp_path: Path, mock_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    greeted: dict[socket.socket, Far] = {}

    async def greet(
        sock: socket.socket, _responder: Responder, _ticket: Ticket, _lanes: Lanes
    ) -> tuple[Established, list[bytes]]:
        await trio.lowlevel.checkpoint()
        return greeted.pop(sock).greeted

    monkeypatch.setattr("roles.broker.greet", greet)
    stress = Stress(tmp_path, mock_clock, greeted)
    await stress.live(REQUESTS)
    before = held()
    for _ in range(LIVES - 1):
        await stress.live(REQUESTS)
    after = held()
    stress.audit.close()
    assert after[:2] == before[:2]
    assert after.blocks - before.blocks < REQUESTS // 4, "kept for every request, or nearly"
    assert stress.begun > 10_000
    assert sum(stress.ends.values()) == stress.begun
    assert all(stress.ends[end] > 10 for end in ("done", "connection broke", "denied")), stress.ends
    written = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]
    done = {line["serial"]: line for line in written if line["event"] == "done"}
    events = Counter(line["event"] for line in written)
    assert len(done) == events["done"] == events["request"]
    assert {line["ended"].partition(":")[0] for line in done.values()} >= {
        "closed", "deadline", "bye", "connection lost", "key revoked", "the broker stops",
    }  # fmt: skip
    for line in done.values():
        counted = sum(line[closing] for closing in Done._fields[1:])
        assert counted == line["sessions"] or line["ended"] not in ("closed", "deadline")
        assert counted <= line["sessions"]
