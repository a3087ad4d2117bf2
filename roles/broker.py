"""The broker between its listening sockets and its router: greets strangers, performs what the router
decides.
"""

from __future__ import annotations

import shlex
import socket
import time
from collections.abc import Callable

import trio

from auth.keys import short
from auth.refusals import Refusals
from auth.trust import Trust
from conf.schema import MeshdConf
from conf.version import VERSION
from conf.watched import Watched
from mesh.fanout import Fanout
from mesh.messages import VERSION as PROTOCOL
from mesh.messages import (
    Error,
    Hello,
    Identity,
    Kind,
    MessageError,
    Ping,
    Request,
    Side,
    VersionUnknown,
    Welcome,
    decode,
    encode,
    kind_of,
)
from mesh.router import Close, Effect, Finished, Router, Spread, Tell, Warn
from mesh.session import State, advance, opening
from net.greet import Lanes, greet
from net.hub import Bounds, Hub, Link
from net.serve import Door, Ticket
from roles.asking import Client, command_of
from roles.audit import Audit, AuditError
from roles.authority import Accepted, Authority, Refused
from roles.log import Log
from roles.tally import Handshake, Measured, Tally
from wire.errors import WireError
from wire.handshake import Peer, Responder
from wire.noise import KeyPair
from wire.transport import MAX_FROM_AGENT

SWEEPS = 10
"""Sweeps for dead and idle sessions in each heartbeat interval."""
REQUESTS = 512
"""Requests on the wire at once; each costs memory for every session, so one more is told to come again."""
AFTERWARDS = 1024
"""Bytes of the longest message of a client that has asked: what it may still say is short."""
_ANSWERS = frozenset({Kind.OPTIN, Kind.OPTOUT, Kind.DENIED, Kind.EXPIRED, Kind.RESULT})


def milliseconds() -> int:
    """The broker's monotonic clock, by which commands age (protocol.md "A request" 6)."""
    return time.monotonic_ns() // 1_000_000


class Broker:
    """All sessions of a broker. `random` gives that many random bytes; `look` reads changed files again."""

    def __init__(
        self,
        conf: MeshdConf,
        key: KeyPair,
        agents: Watched[Trust],
        users: Watched[Trust],
        authority: Authority,
        random: Callable[[int], bytes],
        look: Callable[[], None],
        log: Log,
        audit: Audit,
    ) -> None:
        self.door = Door(conf.limits.unauthenticated)
        self._conf = conf
        self._key = key
        self._agents = agents
        self._users = users
        self._authority = authority
        self._random = random
        self._look = look
        self._log = log
        self._audit = audit
        limits = conf.limits
        self._hub = Hub(Bounds(limits.queue, limits.queues, limits.stall), time.monotonic, self._ended)
        self._router = Router(int.from_bytes(random(4)), name_denied=conf.acl.name_denied)
        self._fanout = Fanout()
        self._spread = trio.Event()
        self._clients: dict[int, Client] = {}
        self._tickets: dict[int, Ticket] = {}
        """Places at the door of sessions that are not authenticated yet."""
        self._lanes = Lanes()
        self._quiet = trio.Event()
        self._closing = False
        self._tally = Tally()
        self._refusals = Refusals()
        self._perform: dict[type, Callable[..., None]] = {
            Tell: self._tell,
            Spread: self._begin_spread,
            Finished: self._finished,
            Close: self._close_session,
            Warn: self._warn,
        }

    # -- life

    async def run(self) -> None:
        """Serve established sessions until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hub.run)
                nursery.start_soon(self._lanes.run)
                nursery.start_soon(self._spread_for_ever)
                nursery.start_soon(self._sweep_for_ever)
        finally:
            self._hub.close()

    async def _sweep_for_ever(self) -> None:
        heartbeat = self._conf.limits.heartbeat
        while True:
            await trio.sleep(heartbeat / SWEEPS)
            self._hub.sweep(heartbeat, encode(Ping(milliseconds())))

    async def _spread_for_ever(self) -> None:
        while True:
            await self._spread.wait()
            self._spread = trio.Event()
            while self._fanout:
                for number, message in self._fanout.turn():
                    link = self._hub.links.get(number)
                    if link is not None:
                        self._hub.post(link, message)
                self._hub.flush()
                await self._hub.room()

    async def drain(self) -> None:
        """Take no new request, and wait until those on the wire are answered and clients have read it all."""
        self._closing = True
        while self._clients or any(link.established.peer is Peer.CLIENT for link in self._hub.links.values()):
            await self._quiet.wait()

    def _note_quiet(self) -> None:
        """A client's link or request has ended: perhaps the last."""
        self._quiet.set()
        self._quiet = trio.Event()

    def revoke(self) -> None:
        """After a trust database changed: end the sessions and requests of keys that are no longer in it."""
        for number, session in list(self._router.sessions.items()):
            if not self._trusts(session.key, session.fqdn):
                self._turn_out(number, "untrusted", "the agent's key was revoked")
        for client in list(self._clients.values()):
            if client.key and client.summary["user"] not in self._users.value.names_of(client.key):
                self._hub.post(client.link, encode(Error("denied", "the key was revoked")))
                self._hub.finish(client.link)
                self.perform(self._router.cancel(client.link.number))
                self.perform(self._router.forget(client.link.number, "key revoked"))
        self._hub.flush()

    def measured(self) -> Measured:
        """What metrics are read from."""
        clients = len(self._clients)
        return Measured(self.door, self._hub, self._router, self._authority, self._tally, clients)

    # -- effects

    def perform(self, effects: list[Effect]) -> None:
        """Do what the router decided; what is to be sent leaves with the hub's next flush."""
        for effect in effects:
            self._perform[type(effect)](effect)

    def _tell(self, effect: Tell) -> None:
        link = self._hub.links.get(effect.client)
        if link is not None:
            self._hub.post(link, effect.message)

    def _begin_spread(self, effect: Spread) -> None:
        self._fanout.add(effect.message, effect.sessions)
        self._spread.set()

    def _finished(self, effect: Finished) -> None:
        client = self._clients[effect.client]
        client.state = State.CLOSED
        client.ended = effect.why
        self._tally.ledger(effect.done)
        if effect.why in ("closed", "deadline"):
            self._tally.latency.observe(time.monotonic() - client.began)
        self._hub.finish(client.link)
        client.scope.cancel()
        self._note(
            "done",
            serial=f"{effect.serial:016x}",
            ended=effect.why,
            **client.summary,
            **effect.done._asdict(),
        )

    def _close_session(self, effect: Close) -> None:
        self._turn_out(effect.session, "denied", effect.reason)

    def _turn_out(self, session: int, code: str, reason: str) -> None:
        """Close an agent's session at once, having told it why as far as it listens."""
        link = self._hub.links.get(session)
        if link is not None:
            self._hub.post(link, encode(Error(code, reason)))
            self._hub.flush()
            self._hub.drop(link, reason)

    def _warn(self, effect: Warn) -> None:
        self._log.warning(effect.sentence)

    def _refuse(self, link: Link, code: str, sentence: str) -> None:
        self._tally.refusals[code] += 1
        self._hub.post(link, encode(Error(code, sentence)))
        self._hub.finish(link)
        self._hub.flush()

    def _ended(self, link: Link, reason: str) -> None:
        """The hub's word that a link is closed."""
        ticket = self._tickets.pop(link.number, None)
        if ticket is not None:
            ticket.leave()
        if link.established.peer is Peer.AGENT:
            session = self._router.sessions.get(link.number)
            self.perform(self._router.leave(link.number))
            if ticket is None:
                name = f"agent {session.fqdn}" if session else "a former session"
                self._log.info(f"{name} at {link.address} is gone: {reason}")
        else:
            if (client := self._clients.get(link.number)) is not None:
                self.perform(self._router.forget(link.number, f"connection lost: {reason}"))
                client.scope.cancel()
            self._log.debug(f"client at {link.address} is gone: {reason}")
            self._note_quiet()

    # -- strangers

    async def welcome(self, sock: socket.socket, address: str, ticket: Ticket) -> None:
        """A new connection: handshake and first message under one deadline, then the session it asks for."""
        try:
            with trio.fail_after(self._conf.limits.handshake):
                responder = Responder(self._key, self._random(32))
                established, messages = await greet(sock, responder, ticket, self._lanes)
        except BaseException as error:
            sock.close()
            ticket.leave()
            if not isinstance(error, WireError | trio.TooSlowError):
                raise
            late = isinstance(error, trio.TooSlowError)
            self._tally.handshakes[Handshake.LATE if late else Handshake.FAILED] += 1
            self._log.debug(f"no session with {address}: {str(error) or 'nothing said in time'}")
            return
        self._tally.handshakes[Handshake.COMPLETED] += 1
        agent = established.peer is Peer.AGENT
        link = self._hub.add(sock, address, established, self._from_agent if agent else self._from_client)
        self._tickets[link.number] = ticket
        try:
            first = opening(Side.AGENT if agent else Side.CLIENT, messages)
            if not agent:
                link.transport.lower(AFTERWARDS)
        except WireError as error:
            self._log.info(f"refused a connection from {address}: {error}")
            self._refuse(link, "version" if isinstance(error, VersionUnknown) else "invalid", str(error))
            return
        if isinstance(first, Hello) and established.remote_static is not None:
            self._join(link, established.remote_static, first)
        elif isinstance(first, Request):
            self._clients[link.number] = client = Client(link, first)
            self._hub.hand_over(link, messages[1:])
            await self._ask(client, first)

    def _join(self, link: Link, key: bytes, hello: Hello) -> None:
        if not self._trusts(key, hello.fqdn):
            self._look()  # it may have been listed this very moment
        if not self._trusts(key, hello.fqdn):
            self._refuse_agent(link, key, hello)
            return
        self._tickets.pop(link.number).leave()
        self._tally.joined += 1
        limits = self._conf.limits
        link.transport.max_message = min(MAX_FROM_AGENT, limits.message)
        self.perform(self._router.join(link.number, key, Identity(hello.fqdn, hello.uuid), time.monotonic()))
        self._hub.post(
            link, encode(Welcome(PROTOCOL, VERSION, round(limits.heartbeat * 1000), milliseconds()))
        )
        self._hub.flush()
        self._log.info(f"agent {hello.fqdn} at {link.address} is connected", key=key.hex(), version=hello.cw)

    def _trusts(self, key: bytes, fqdn: str) -> bool:
        """Whether a session may have this key and name: what is listed belongs together, key and name."""
        agents = self._agents.value
        if names := agents.names_of(key.hex()):
            return fqdn in names
        return self._conf.auth.agent_trust == "any" and not agents.keys_of(fqdn)

    def _refuse_agent(self, link: Link, key: bytes, hello: Hello) -> None:
        if listed := ", ".join(self._agents.value.names_of(key.hex())):
            why, sentence = f"is listed as {listed}", f"this key is listed as {listed}, not {hello.fqdn}"
        elif self._conf.auth.agents is None:
            why = "is not trusted: auth.agents names no trust database"
            sentence = "this broker knows no agent's key"
        else:
            cure = shlex.join(["cw", "trust", "-d", str(self._conf.auth.agents), f"{key.hex()}={hello.fqdn}"])
            why = f"is not trusted; to accept it: {cure}"
            sentence = "this broker does not know the agent's key yet"
        if self._refusals.is_news(key, time.monotonic()):
            self._log.warning(f"agent {hello.fqdn} at {link.address} refused: its key {key.hex()} {why}")
            self._note("agent refused", address=link.address, key=short(key.hex()), fqdn=hello.fqdn)
        self._refuse(link, "untrusted", sentence)

    def _from_agent(self, link: Link, raw: bytes) -> None:
        kind = kind_of(raw)
        if kind in _ANSWERS:
            self.perform(self._router.answer(link.number, raw))
            return
        advance(State.OPEN, Side.AGENT, kind)
        decode(Side.AGENT, raw)

    # -- users

    def _from_client(self, link: Link, raw: bytes) -> None:
        client = self._clients[link.number]
        kind = kind_of(raw)
        decode(Side.CLIENT, raw)
        client.state = advance(client.state, Side.CLIENT, kind)
        if kind is Kind.BYE or (kind is Kind.CANCEL and client.state is State.ANSWER):
            client.ended = "bye"
            self.perform(self._router.forget(link.number, "bye"))
            self._hub.drop(link, "bye")
        elif kind is Kind.CANCEL:
            self.perform(self._router.cancel(link.number))

    async def _ask(self, client: Client, request: Request) -> None:
        """One request, from its REQUEST to its end."""
        link = client.link
        try:
            with client.scope:
                accepted = await self._authority.judge(request, link.established.hash, link.address)
                await trio.lowlevel.checkpoint_if_cancelled()  # the client may have gone meanwhile
                if self._closing:
                    raise Refused("closing", "the broker is shutting down")
                if len(self._router.requests) >= REQUESTS:
                    raise Refused("busy", f"{REQUESTS} requests are under way: try again later")
                client.key = accepted.key
                client.summary["authenticated"] = accepted.how
                self._note_request(client)
                self._tickets.pop(link.number).leave()
                self._put_on_the_wire(client, request, accepted)
                await trio.sleep(min(request.timeout / 1000, self._conf.limits.request_time))
                self.perform(self._router.expire(link.number))
                self._hub.flush()
        except Refused as refused:
            client.ended = "refused"
            self._log.info(f"refused {request.user} at {link.address}: {refused.why}")
            self._note("refused", code=refused.code, why=refused.why, **client.known(refused.code))
            self._refuse(link, refused.code, str(refused))
        finally:
            self.perform(self._router.forget(link.number, "the broker stops"))
            del self._clients[link.number]
            self._tally.requests[client.ended.partition(":")[0]] += 1
            self._note_quiet()

    def _note_request(self, client: Client) -> None:
        """The audit log's line before anything is sent: what cannot be noted is not done."""
        try:
            self._audit.write("request", **client.summary)
        except AuditError as error:
            raise Refused("failed", "the broker cannot write its audit log", str(error)) from error

    def _note(self, event: str, **fields: object) -> None:
        """A line of the audit log about what has happened already."""
        try:
            self._audit.write(event, **fields)
        except AuditError as error:
            self._log.error(str(error))

    def _put_on_the_wire(self, client: Client, request: Request, accepted: Accepted) -> None:
        ttl = min(request.timeout, round(self._conf.limits.request_time * 1000))
        command = command_of(request, accepted, milliseconds(), ttl)
        try:
            effects = self._router.ask(
                client.link.number,
                command,
                targets=request.targets,
                optouts=request.optouts,
                plan=request.mode == "plan",
            )
        except MessageError as error:
            raise Refused("invalid", str(error)) from error
        client.state = State.RUNNING
        client.began = time.monotonic()
        self.perform(effects)
        self._hub.flush()
