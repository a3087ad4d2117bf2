"""Every ledger closes once with each session counted once, whatever agents, clients, time, trust and restarts
do: the router and the fan-out beside a model that a reader can check against the design.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mesh.fanout import TURN_BYTES, Fanout
from mesh.ledger import CLOSINGS
from mesh.messages import (
    Cancel,
    Denied,
    Done,
    Expired,
    Identity,
    Kind,
    Message,
    Ok,
    Optin,
    Optout,
    Result,
    Side,
    decode,
    decode_report,
    encode,
    kind_of,
    serial_of,
)
from mesh.router import Close, Effect, Finished, Router, Spread, Tell

KEYS = 6
LONG = bytes(TURN_BYTES // 2)
"""Behind what stands for a COMMAND: it goes to one session a turn, so that others overtake it."""
ANSWERS: tuple[Message, ...] = (Optin(), Optout(), Denied(), Expired(), Result(0, b"pong\n", b"", False, 12))


def identity(key: int) -> Identity:
    """Of a key's node; two of the nodes are copies of others, with their uuids."""
    return Identity(f"web{key:02}.example.com", f"00000000-0000-4000-8000-{key % (KEYS - 2):012}")


ABSENT = identity(KEYS - 3)._replace(uuid="00000000-0000-4000-8000-000000000099").uuid


class Asked:
    """What the design says of one request (mesh.md "Who answers: the ledger")."""

    def __init__(
        self, client: int, sessions: Iterable[int], absent: int, named: set[Kind], plan: bool
    ) -> None:
        self.client = client
        self.waiting = dict.fromkeys(sessions, False)
        self.size = len(self.waiting) + absent
        self.counts = Counter({Kind.LOST: absent})
        self.named = named
        self.plan = plan
        self.cancelled = False

    def done(self) -> Done:
        return Done(self.size, *(self.counts[kind] for kind in CLOSINGS))


class AnyInterleaving(RuleBasedStateMachine):
    """Agents come, go, answer anything to anything; clients ask, cancel, leave; keys are revoked; the broker
    is started again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0
        self.epoch = 0
        self.serials: list[int] = []
        self.over: set[int] = set()
        self.start()

    def start(self) -> None:
        """A broker with nothing in it; what was asked of an earlier one stays known."""
        self.epoch += 1
        self.router = Router(self.epoch, name_denied=self.epoch % 2 == 0)
        self.fanout = Fanout()
        self.count = self.dropped = 0
        self.sessions: dict[int, int] = {}
        """Session → its key."""
        self.asked: dict[int, Asked] = {}
        """What is on the wire, by serial."""
        self.arrived: dict[int, list[tuple[int, Kind]]] = {}
        """What each session was sent."""

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def perform(self, effects: list[Effect], told: list[tuple[int, Kind, str]], ends: dict[int, str]) -> None:
        """Check effects against the reports and the ends of requests that the model expects."""
        reports: list[tuple[int, Kind, str]] = []
        finished: dict[int, str] = {}
        for effect in effects:
            if isinstance(effect, Spread):
                assert effect.serial not in self.over
                self.fanout.add(effect.message, effect.sessions)
            elif isinstance(effect, Finished):
                asked = self.asked.pop(effect.serial)
                assert effect.serial not in self.over
                assert (effect.client, effect.done) == (asked.client, asked.done())
                self.over.add(effect.serial)
                finished[effect.serial] = effect.why
            elif isinstance(effect, Tell) and kind_of(effect.message) is Kind.DONE:
                serial, done = decode(Side.BROKER, effect.message)
                assert (effect.client, done) == (self.asked[serial].client, self.asked[serial].done())
            elif isinstance(effect, Tell) and kind_of(effect.message) is not Kind.OK:
                serial, kind, who, _ = decode_report(effect.message)
                assert serial not in self.over
                reports.append((serial, kind, who.fqdn))
        assert sorted(reports) == sorted(told)
        assert finished == ends

    def settle(self, closed: Iterable[tuple[int, int, Kind]], why: str, effects: list[Effect]) -> None:
        """Entries (serial, session) that the broker itself closes."""
        told, ends = [], {}
        for serial, session, kind in closed:
            asked = self.asked[serial]
            asked.counts[kind] += 1
            if asked.waiting.pop(session):
                told.append((serial, kind, identity(self.sessions[session]).fqdn))
            if not asked.waiting:
                ends[serial] = why
        self.perform(effects, told, ends)

    def gone(self, session: int, effects: list[Effect]) -> None:
        debts = [
            (serial, session, Kind.LOST) for serial in self.asked if session in self.asked[serial].waiting
        ]
        self.settle(debts, "closed", effects)
        del self.sessions[session]

    # -- agents

    @initialize(keys=st.sets(st.integers(0, KEYS - 1), min_size=2))
    def begin(self, keys: set[int]) -> None:
        for key in sorted(keys):
            self.join(key)

    @rule(key=st.integers(0, KEYS - 1))
    def join(self, key: int) -> None:
        """A session; the older one of the same key ends, as if it had left."""
        new = self.number()
        older = [session for session, held in self.sessions.items() if held == key]
        effects = self.router.join(new, bytes([key]) * 32, identity(key), float(new))
        assert [effect.session for effect in effects if isinstance(effect, Close)] == older
        for session in older:
            self.gone(session, effects)
        self.sessions[new] = key
        self.arrived[new] = []

    @precondition(lambda self: self.sessions)
    @rule(draw=st.data(), again=st.booleans())
    def leave(self, draw: st.DataObject, again: bool) -> None:
        session = draw.draw(st.sampled_from(sorted(self.sessions)))
        self.gone(session, self.router.leave(session))
        if again:
            assert self.router.leave(session) == []

    @precondition(lambda self: self.sessions)
    @rule(revoked=st.sets(st.integers(0, KEYS - 1), max_size=2))
    def revoke(self, revoked: set[int]) -> None:
        """A trust database is read again, without some of the agents' keys."""
        for session, key in list(self.sessions.items()):
            if key in revoked:
                self.gone(session, self.router.leave(session))

    @precondition(lambda self: self.serials and self.numbers)
    @rule(draw=st.data(), message=st.sampled_from(ANSWERS), times=st.integers(1, 2))
    def answer(self, draw: st.DataObject, message: Message, times: int) -> None:
        """Anything from anybody: in time, late, twice, of a session that is gone, to another broker's
        request.
        """
        session = draw.draw(st.integers(1, self.numbers))
        serial = draw.draw(st.sampled_from(self.serials))
        for _ in range(times):
            self.hear(session, serial, message)

    @precondition(lambda self: self.asked and self.sessions)
    @rule(draw=st.data(), message=st.sampled_from(ANSWERS))
    def answer_in_time(self, draw: st.DataObject, message: Message) -> None:
        self.hear(
            draw.draw(st.sampled_from(sorted(self.sessions))),
            draw.draw(st.sampled_from(sorted(self.asked))),
            message,
        )

    def hear(self, session: int, serial: int, message: Message) -> None:
        raw = encode(message, serial)
        kind = kind_of(raw)
        effects = self.router.answer(session, raw)
        asked = self.asked.get(serial)
        optin = kind is Kind.OPTIN
        if asked is None or session not in asked.waiting or (optin and asked.waiting[session]):
            self.dropped += 1
            assert effects == []
            return
        told = [(serial, kind, identity(self.sessions[session]).fqdn)] if kind in asked.named else []
        if optin and not asked.plan:
            asked.waiting[session] = True
        else:
            del asked.waiting[session]
            asked.counts[Kind.RESULT if optin else kind] += 1
        self.perform(effects, told, {} if asked.waiting else {serial: "closed"})

    # -- clients

    @rule(
        wanted=st.none() | st.sets(st.integers(0, KEYS - 1).map(lambda key: identity(key).uuid)),
        absent=st.booleans(),
        plan=st.booleans(),
        optouts=st.booleans(),
    )
    def ask(self, wanted: set[str] | None, absent: bool, plan: bool, optouts: bool) -> None:
        client = self.number()
        self.count += 1
        serial = (self.epoch << 32) + self.count
        named = {Kind.OPTIN, Kind.RESULT, Kind.EXPIRED}
        named |= ({Kind.OPTOUT} if optouts else set()) | ({Kind.DENIED} if self.router.name_denied else set())
        if wanted is None:
            asked = Asked(client, self.sessions, 0, named, plan)
        else:
            wanted = wanted | ({ABSENT} if absent or not wanted else set())
            reached = sorted(
                session for session, key in self.sessions.items() if identity(key).uuid in wanted
            )
            there = {identity(self.sessions[session]).uuid for session in reached}
            asked = Asked(client, reached, len(wanted - there), named, plan)
        self.serials.append(serial)
        self.asked[serial] = asked
        effects = self.router.ask(
            client, lambda serial: encode(Ok(0), serial) + LONG, targets=wanted, plan=plan, optouts=optouts
        )
        first = effects[0]
        assert isinstance(first, Tell)
        assert decode(Side.BROKER, first.message) == (serial, Ok(asked.size))
        self.perform(effects, [], {} if asked.waiting else {serial: "closed"})

    @precondition(lambda self: self.asked)
    @rule(draw=st.data())
    def deadline(self, draw: st.DataObject) -> None:
        serial = draw.draw(st.sampled_from(sorted(self.asked)))
        asked = self.asked[serial]
        silent = [(serial, session, Kind.SILENT) for session in asked.waiting]
        self.settle(silent, "deadline", self.router.expire(asked.client))

    @precondition(lambda self: self.asked)
    @rule(draw=st.data())
    def cancel(self, draw: st.DataObject) -> None:
        serial = draw.draw(st.sampled_from(sorted(self.asked)))
        asked = self.asked[serial]
        effects = self.router.cancel(asked.client)
        expected = [] if asked.cancelled else [Spread(serial, encode(Cancel(), serial), tuple(asked.waiting))]
        assert effects == expected
        asked.cancelled = True
        self.perform(effects, [], {})

    @precondition(lambda self: self.asked)
    @rule(draw=st.data(), why=st.sampled_from(["bye", "connection lost: reset", "key revoked"]))
    def forget(self, draw: st.DataObject, why: str) -> None:
        serial = draw.draw(st.sampled_from(sorted(self.asked)))
        client = self.asked[serial].client
        self.perform(self.router.forget(client, why), [], {serial: why})
        for nothing in (self.router.forget, lambda client, _: self.router.expire(client)):
            assert nothing(client, why) == []

    # -- the broker

    @precondition(lambda self: self.fanout)
    @rule(times=st.integers(1, 20))
    def turn(self, times: int) -> None:
        """Messages reach their sessions; a session is sent each at most once, a CANCEL after its COMMAND."""
        for session, message in (sending for _ in range(times) for sending in self.fanout.turn()):
            arrived = self.arrived[session]
            serial, kind = serial_of(message), kind_of(message)
            assert (serial, kind) not in arrived
            if kind is Kind.OK:  # stands for the COMMAND
                assert all(serial > earlier for earlier, other in arrived if other is Kind.OK)
            else:
                assert (serial, Kind.OK) in arrived
            arrived.append((serial, kind))

    @precondition(lambda self: self.count > 3)
    @rule(back=st.sets(st.integers(0, KEYS - 1)))
    def restart(self, back: set[int]) -> None:
        """A broker that ends, and another to which some agents come back."""
        for serial, asked in list(self.asked.items()):
            self.perform(
                self.router.forget(asked.client, "the broker stops"), [], {serial: "the broker stops"}
            )
        for session in list(self.sessions):
            assert self.router.leave(session) == []
            del self.sessions[session]
        self.nothing_is_left()
        self.start()
        self.begin(back)

    @invariant()
    def the_router_knows_what_the_model_knows(self) -> None:
        assert self.router.dropped == self.dropped
        assert self.router.sessions.keys() == self.sessions.keys()
        assert {serial: request.ledger.waiting for serial, request in self.router.requests.items()} == {
            serial: asked.waiting for serial, asked in self.asked.items()
        }
        for number, session in self.router.sessions.items():
            assert session.owes == {serial for serial in self.asked if number in self.asked[serial].waiting}

    def nothing_is_left(self) -> None:
        router = self.router
        assert not any((router.sessions, router.requests, router._by_client, router._by_key, router._by_uuid))

    def teardown(self) -> None:
        for session in list(self.sessions):
            self.gone(session, self.router.leave(session))
        assert self.over == set(self.serials)
        self.nothing_is_left()


TestAnyInterleaving = AnyInterleaving.TestCase
TestAnyInterleaving.settings = settings(max_examples=60, stateful_step_count=50)
