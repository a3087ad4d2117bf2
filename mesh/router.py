"""The broker's rules for sessions and requests: events in, effects out. Pure: no socket, no clock, no keys.

Sessions and clients are numbers that the broker's edge gives and never uses again. A message that the edge
hands in was already checked against the session's state table, so only its serial and its sender's debts are
judged here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from mesh.ledger import Ledger
from mesh.messages import (
    Cancel,
    Done,
    Identity,
    Kind,
    Lost,
    Ok,
    Silent,
    encode,
    encode_identity,
    kind_of,
    relay,
    serial_of,
)

KEY_REUSE = 3
KEY_REUSE_WINDOW = 60.0
"""So many sessions replaced by one of the same key, within so many seconds, are worth a log line
(protocol.md "The wire").
"""


class Tell(NamedTuple):
    """Send `message` to the client."""

    client: int
    message: bytes


class Spread(NamedTuple):
    """Put `message` on the wire of each of `sessions`, after every earlier Spread to the same session."""

    serial: int
    message: bytes
    sessions: Collection[int]


class Finished(NamedTuple):
    """The request is over: its client has been told DONE or is gone; `done` are the counts for the audit
    log.
    """

    client: int
    serial: int
    done: Done
    why: str


class Close(NamedTuple):
    """Close the agent's session; what it owed was already settled."""

    session: int
    reason: str


class Warn(NamedTuple):
    """Worth a line in the log."""

    sentence: str


Effect = Tell | Spread | Finished | Close | Warn


class Session(NamedTuple):
    """An agent's session as the router knows it."""

    key: bytes
    fqdn: str
    uuid: str
    identity: bytes
    """The identity block, encoded once (protocol.md "Messages")."""
    owes: set[int]
    """Serials of the requests in whose ledgers the session has an open entry."""


class Request(NamedTuple):
    """A request on the wire."""

    client: int
    ledger: Ledger
    named: frozenset[int]
    """Kinds of answer that the client hears one by one; the rest are only counted."""
    plan: bool
    cancelled: bool = False


ALWAYS_NAMED = frozenset({Kind.OPTIN, Kind.RESULT, Kind.EXPIRED})
_FINAL = frozenset({Kind.OPTOUT, Kind.DENIED, Kind.EXPIRED, Kind.RESULT})


class Router:
    """All sessions and all open requests of a broker.

    `epoch` is the random 32-bit number of this broker's life, the upper half of every serial.
    """

    def __init__(self, epoch: int, *, name_denied: bool = False) -> None:
        self.sessions: dict[int, Session] = {}
        self.requests: dict[int, Request] = {}
        self.name_denied = name_denied
        self.dropped = 0
        """Late, repeated and unknown answers, which nobody hears of."""
        self._serial = epoch << 32
        self._by_client: dict[int, int] = {}
        self._by_key: dict[bytes, int] = {}
        self._by_uuid: dict[str, set[int]] = {}
        self._replaced: dict[bytes, deque[float]] = {}
        """When sessions of a key were replaced; the key whose last time is oldest comes first."""

    # -- agents

    def join(self, number: int, key: bytes, identity: Identity, now: float) -> list[Effect]:
        """Begin an agent's session, closing an older one of the same key; `now` in seconds of any steady
        clock.
        """
        effects: list[Effect] = []
        older = self._by_key.get(key)
        if older is not None:
            effects += self.leave(older)
            effects.append(Close(older, "a newer session of the same key"))
            effects += self._note_reuse(key, identity, now)
        self.sessions[number] = Session(key, identity.fqdn, identity.uuid, encode_identity(identity), set())
        self._by_key[key] = number
        self._by_uuid.setdefault(identity.uuid, set()).add(number)
        return effects

    def _note_reuse(self, key: bytes, identity: Identity, now: float) -> list[Effect]:
        times = self._replaced.pop(key, deque(maxlen=KEY_REUSE))
        times.append(now)
        self._replaced[key] = times
        while now - next(iter(self._replaced.values()))[-1] > KEY_REUSE_WINDOW:
            del self._replaced[next(iter(self._replaced))]
        if len(times) < KEY_REUSE or now - times[0] > KEY_REUSE_WINDOW:
            return []
        times.clear()
        times.append(now)
        return [Warn(f"key used twice: {key.hex()} ({identity.fqdn}) opens one session after another")]

    def leave(self, number: int) -> list[Effect]:
        """End an agent's session: what it still owed is LOST. A session that is unknown, or ended already,
        is nothing.
        """
        session = self.sessions.pop(number, None)
        if session is None:
            return []
        if self._by_key.get(session.key) == number:
            del self._by_key[session.key]
        siblings = self._by_uuid[session.uuid]
        siblings.discard(number)
        if not siblings:
            del self._by_uuid[session.uuid]
        effects: list[Effect] = []
        for serial in list(session.owes):
            effects += self._give_up(serial, number, session, Kind.LOST)
        return effects

    def answer(self, number: int, raw: bytes) -> list[Effect]:
        """An OPTIN, OPTOUT, DENIED, EXPIRED or RESULT as an agent sent it; its body is passed on
        untouched.
        """
        serial = serial_of(raw)
        session = self.sessions.get(number)
        request = self.requests.get(serial)
        if session is None or request is None:
            self.dropped += 1
            return []
        kind = kind_of(raw)
        ledger = request.ledger
        if kind in _FINAL or request.plan:
            closed = ledger.close(number, kind if kind in _FINAL else Kind.RESULT)
            if closed is not None:
                session.owes.discard(serial)
        else:
            closed = ledger.opt_in(number) or None
        if closed is None:
            self.dropped += 1
            return []
        effects: list[Effect] = []
        if kind in request.named:
            effects.append(Tell(request.client, relay(raw, session.identity)))
        if not ledger.waiting:
            effects += self._finish(serial, "closed")
        return effects

    # -- clients

    def ask(
        self,
        client: int,
        command: Callable[[int], bytes],
        *,
        targets: Iterable[str] | None = None,
        optouts: bool = False,
        plan: bool = False,
    ) -> list[Effect]:
        """Put an authenticated, permitted request on the wire.

        `command` makes the encoded COMMAND, given its serial; what it raises leaves everything as it was.
        `targets` are uuids, or None for every session. The number of sessions is fixed here, and the OK that
        tells it precedes every answer (protocol.md "A request" 1).
        """
        self._serial += 1
        serial = self._serial
        message = command(serial)
        absent = 0
        if targets is None:
            sessions: Collection[int] = tuple(self.sessions)
        else:
            wanted = set(targets)
            present = wanted & self._by_uuid.keys()
            absent = len(wanted) - len(present)
            sessions = sorted(number for uuid in present for number in self._by_uuid[uuid])
        named = (
            ALWAYS_NAMED
            | ({Kind.OPTOUT} if optouts else set())
            | ({Kind.DENIED} if self.name_denied else set())
        )
        ledger = Ledger(sessions, absent)
        self.requests[serial] = Request(client, ledger, named, plan)
        self._by_client[client] = serial
        effects: list[Effect] = [Tell(client, encode(Ok(ledger.sessions), serial))]
        if not sessions:
            return effects + self._finish(serial, "closed")
        for number in sessions:
            self.sessions[number].owes.add(serial)
        return [*effects, Spread(serial, message, sessions)]

    def expire(self, client: int) -> list[Effect]:
        """The client's deadline: whoever has not answered is SILENT."""
        serial = self._by_client.get(client)
        if serial is None:
            return []
        effects: list[Effect] = []
        for number in list(self.requests[serial].ledger.waiting):
            effects += self._give_up(serial, number, self.sessions[number], Kind.SILENT)
        return effects

    def cancel(self, client: int) -> list[Effect]:
        """CANCEL from the client: to every session that has not answered yet, once. The ledger stays open
        for their answers.
        """
        serial = self._by_client.get(client)
        if serial is None or (request := self.requests[serial]).cancelled:
            return []
        self.requests[serial] = request._replace(cancelled=True)
        return [Spread(serial, encode(Cancel(), serial), tuple(request.ledger.waiting))]

    def forget(self, client: int, why: str) -> list[Effect]:
        """BYE, or a broken connection: nobody listens any more. What runs on the agents goes on."""
        serial = self._by_client.get(client)
        if serial is None:
            return []
        return self._finish(serial, why)

    # -- both

    def _give_up(self, serial: int, number: int, session: Session, closing: Kind) -> list[Effect]:
        request = self.requests[serial]
        opted_in = request.ledger.close(number, closing)
        session.owes.discard(serial)
        effects: list[Effect] = []
        if opted_in:
            raw = encode(Lost() if closing is Kind.LOST else Silent(), serial)
            effects.append(Tell(request.client, relay(raw, session.identity)))
        if not request.ledger.waiting:
            effects += self._finish(serial, "closed" if closing is Kind.LOST else "deadline")
        return effects

    def _finish(self, serial: int, why: str) -> list[Effect]:
        request = self.requests.pop(serial)
        del self._by_client[request.client]
        for number in request.ledger.waiting:
            self.sessions[number].owes.discard(serial)
        done = request.ledger.done()
        effects: list[Effect] = []
        if why in ("closed", "deadline"):
            effects.append(Tell(request.client, encode(done, serial)))
        effects.append(Finished(request.client, serial, done, why))
        return effects
