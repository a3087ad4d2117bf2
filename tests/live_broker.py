"""A broker on loopback, with everything that it reads and writes, and the far ends of its sessions."""

from __future__ import annotations

import io
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import attrs
import trio

from auth.groups import Groups, UnknownUser
from auth.keys import SIGNING, KeyFile, public_of
from auth.pam import PamError, Verdict
from auth.signing import sign
from auth.trust import Trust
from auth.trust import parse as parse_trust
from conf.dropped import Dropped
from conf.schema import MeshdConf, MeshdLimits
from conf.watched import Watched
from mesh import acl
from mesh.messages import (
    REPORTS,
    VERSION,
    Auth,
    Done,
    Error,
    Hello,
    Identity,
    KeyAuth,
    Message,
    NoAuth,
    Ok,
    Request,
    Result,
    Side,
    Welcome,
    decode,
    decode_report,
    encode,
    kind_of,
)
from mesh.site import Site, checked
from net.serve import accept, listen
from roles.audit import Audit
from roles.authority import Authority
from roles.broker import Broker
from roles.log import Log
from roles.tally import CODES, OUTCOMES
from tests.sessions import BROKER
from wire.handshake import Initiator, Peer
from wire.noise import KeyPair, key_pair

PATIENCE = 10.0
"""Seconds after which a test that waits has failed."""

PONG = Result(0, b"pong\n", b"", False, 12)
FAILED = Error("authentication", "authentication failed")
NOBODY = Done(0, 0, 0, 0, 0, 0, 0)
PASSWORD = "the right horse"


def user_key(name: str) -> KeyFile:
    secret = name.encode().ljust(32)
    return KeyFile(SIGNING, name, public_of(SIGNING, secret), secret)


ALICE, BOB, MALLORY = user_key("alice"), user_key("bob"), user_key("mallory")


def node(number: int) -> Identity:
    return Identity(f"web{number:02}.example.com", f"00000000-0000-4000-8000-{number:012}")


def node_key(number: int) -> KeyPair:
    return key_pair(b"node %2d" % number + bytes(25))


def ping(user: str = "alice", auth: Auth | None = None, words: tuple[str, ...] = ("ping",)) -> Request:
    return Request(VERSION, user, auth or NoAuth(), words, (), "run", None, 40_000, 0, False)


def unsigned(key: KeyFile) -> KeyAuth:
    return KeyAuth(key.public.hex(), b"nonce".ljust(32), b"")


class Heard(NamedTuple):
    """A message of the broker; `about` is the node that it speaks of to a client."""

    serial: int
    message: Message | None
    about: str = ""


class Talk:
    """The far end of a session."""

    def __init__(self, stream: trio.SocketStream, initiator: Initiator) -> None:
        self.stream = stream
        self._initiator = initiator
        self._arrived: list[bytes] = []

    async def shake_hands(self) -> None:
        """EOFError: the broker hung up, or was not in time."""
        with suppress(trio.BrokenResourceError):
            await self.stream.send_all(self._initiator.first())
            while received := bytes(await self.stream.receive_some()):
                if (done := self._initiator.feed(received)) is not None:
                    self.session, self._arrived = done
                    return
        raise EOFError

    async def say(self, *messages: Message, serial: int = 0) -> None:
        await self.say_raw(*(encode(message, serial) for message in messages))

    async def say_raw(self, *raw: bytes) -> None:
        """All in one piece."""
        await self.stream.send_all(b"".join(map(self.session.transport.seal, raw)))

    async def hear(self) -> Heard:
        """The broker's next message; EOFError: it hung up."""
        with trio.fail_after(PATIENCE):
            while not self._arrived:
                try:
                    received = bytes(await self.stream.receive_some(65536))
                except trio.BrokenResourceError as error:
                    raise EOFError from error
                if not received:
                    raise EOFError
                self._arrived = self.session.transport.open(received)
        raw = self._arrived.pop(0)
        if kind_of(raw) in REPORTS:
            serial, _, about, message = decode_report(raw)
            return Heard(serial, message, about.fqdn)
        return Heard(*decode(Side.BROKER, raw))

    async def hears(self) -> Message | None:
        return (await self.hear()).message

    async def rest(self) -> list[Message | None]:
        """Everything until the broker hangs up; then this side does."""
        messages = []
        try:
            while True:
                messages.append(await self.hears())
        except EOFError:
            await self.stream.aclose()
            return messages

    def signed(self, request: Request, key: KeyFile = ALICE) -> Request:
        return sign(request._replace(auth=unsigned(key)), key, self.session.hash)


class World:
    """A broker that listens on loopback, and everything that it reads and writes."""

    def __init__(self, home: Path, conf: MeshdConf) -> None:
        self.home = home
        self.trust("users", (ALICE.public, "alice"), (BOB.public, "bob"))
        self.trust("agents", *((node_key(number).public, node(number).fqdn) for number in range(4)))
        (home / "acl").write_text('deny %guests "show acls"\n')
        self.users = Watched(home / "users", parse_trust, Trust())
        self.agents = Watched(home / "agents", parse_trust, Trust())
        self.rules: Watched[tuple[acl.Rule, ...]] = Watched(home / "acl", acl.parse, ())
        self.groups: dict[str, tuple[str, ...]] = {
            "alice": ("staff",),
            "bob": ("guests",),
            "carol": ("staff",),
        }
        self.during_lookup: Callable[[], None] = lambda: None
        self.said = io.StringIO()
        self.warned: list[str] = []
        self.audit = Audit(home / "audit")
        authority = Authority(
            self.users,
            self.rules,
            Dropped(None, (), checked, Site()),
            Groups(0, trio.current_time, self._lookup),
            self,
            trio.current_time,
            self.look,
        )
        log = Log("meshd", "debug", "text", self.said)
        self.broker = Broker(
            conf, BROKER, self.agents, self.users, authority, os.urandom, self.look, log, self.audit
        )
        self.look()
        (self.listener,) = listen("127.0.0.1", 0)
        self.talks: list[Talk] = []

    def trust(self, name: str, *entries: tuple[bytes, str]) -> None:
        """Write a trust database anew."""
        text = "".join(f"{key.hex()} {holder}\n" for key, holder in entries)
        (self.home / f"{name}.new").write_text(text)
        (self.home / f"{name}.new").rename(self.home / name)

    def look(self) -> None:
        changed = [watched.refresh() for watched in (self.users, self.agents, self.rules)]
        if any(changed):
            self.broker.revoke()

    def _lookup(self, user: str) -> tuple[str, ...]:
        self.during_lookup()
        if user not in self.groups:
            raise UnknownUser(f"this host does not know the user {user!r}")
        return self.groups[user]

    async def check(self, user: str, password: str) -> Verdict:
        """What PAM would say."""
        await trio.lowlevel.checkpoint()
        if user == "slow":
            await trio.sleep_forever()
        if user == "broken":
            raise PamError("PAM did not answer")
        return Verdict(password == PASSWORD, "Authentication failure (PAM code 7)")

    async def run(self, nursery: trio.Nursery) -> None:
        nursery.start_soon(self.broker.run)
        nursery.start_soon(
            accept, self.listener, self.broker.door, self.broker.welcome, nursery, self.warned.append
        )

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream(*self.listener.getsockname())

    async def talk(self, peer: Peer, static: KeyPair | None = None, broker: KeyPair = BROKER) -> Talk:
        talk = Talk(await self.connect(), Initiator(peer, broker.public, os.urandom(32), static))
        self.talks.append(talk)
        await talk.shake_hands()
        return talk

    async def client(self) -> Talk:
        return await self.talk(Peer.CLIENT)

    async def asked(self, request: Request | None = None, key: KeyFile = ALICE) -> Talk:
        """A client that has sent a signed request."""
        client = await self.client()
        await client.say(client.signed(request or ping(key.name), key))
        return client

    async def agent(self, number: int, identity: Identity | None = None) -> Talk:
        """A node that the broker has welcomed."""
        agent = await self.talk(Peer.AGENT, node_key(number))
        await agent.say(Hello(VERSION, "0.1.0", *(identity or node(number))))
        assert isinstance(await agent.hears(), Welcome)
        return agent

    async def lives(self) -> None:
        """The broker serves an honest user, who may not be in time at once where time is short."""
        heard: list[Message | None] = []
        with trio.fail_after(PATIENCE):
            while not heard:
                with suppress(EOFError, trio.BrokenResourceError):
                    heard = await (await self.asked()).rest()
        assert isinstance(heard[0], Ok)
        assert isinstance(heard[-1], Done)

    def audited(self, event: str) -> list[dict[str, object]]:
        lines = [json.loads(line) for line in (self.home / "audit").read_text().splitlines()]
        return [line for line in lines if line["event"] == event]

    def written(self) -> str:
        return self.said.getvalue() + (self.home / "audit").read_text()

    def hang_up(self) -> None:
        for talk in self.talks:
            talk.stream.socket.close()

    async def nothing_is_left(self) -> None:
        """Everybody hangs up, and the broker forgets them all."""
        self.hang_up()
        broker = self.broker
        with trio.fail_after(PATIENCE):
            while broker.door.inside or broker._hub.links or broker._clients:
                await trio.lowlevel.checkpoint()
        assert not broker._tickets
        assert not broker._router.sessions
        assert not broker._router.requests
        assert broker._hub.queued == 0
        tally = broker.measured().tally
        assert set(tally.requests) == set(OUTCOMES)
        assert set(tally.refusals) == set(CODES)


@asynccontextmanager
async def world(home: Path, conf: MeshdConf | None = None) -> AsyncIterator[World]:
    made = World(home, conf or MeshdConf())
    with made.listener:
        async with trio.open_nursery() as nursery:
            await made.run(nursery)
            try:
                yield made
                await made.nothing_is_left()
            finally:
                made.hang_up()
            nursery.cancel_scope.cancel()
    made.audit.close()


def hasty() -> MeshdConf:
    """A broker that waits a moment for a handshake: on a busy host, too short for honest ones."""
    return MeshdConf(limits=attrs.evolve(MeshdLimits(), handshake=0.05))
