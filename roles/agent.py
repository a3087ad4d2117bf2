"""A node's side of its sessions: what becomes of each COMMAND, from its admission to its answer.

A session reads and judges one message at a time; what is admitted runs beside it, so that heartbeats go on
and commands pass each other. What runs belongs to the node, not to the session it came by: a lost broker
stops nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import trio

from mesh import messages
from mesh.admission import (
    FAULT,
    Abstain,
    Admit,
    Case,
    Decision,
    Deny,
    Drop,
    Expire,
    Node,
    Refuse,
    Weighed,
    expired,
    judge_image,
    objection,
    strange,
    unweighed,
    weigh,
)
from mesh.clock import BrokerClock
from mesh.command import canonical
from mesh.filters import Bounded
from net.dial import Joined, LinkBroken, TurnedAway
from roles.audit import Audit, AuditError
from roles.log import Log
from roles.runner import Stop, failed
from vm.host import Host
from vm.machine import Limits, Outcome
from vm.opcodes import Effect
from wire.errors import WireError

WAITING = 64
"""Admitted commands that may wait for their turn; one that comes then gets a RESULT that says so."""
SLACK = 5.0
"""Seconds beyond two heartbeats after which a silent session is dead."""
SHORTEST_HEARTBEAT = 1.0
"""Seconds: a session is never given up sooner than after two of these, however often its broker pings."""


class Runs(Protocol):
    """What runs admitted commands: roles/runner.py."""

    async def run(self, admitted: Admit, limits: Limits, host: Host, stop: Stop) -> Outcome:
        """Run it to its end."""
        ...


class Session:
    """One session with a broker, from its HELLO on; `milliseconds` is our own clock."""

    def __init__(self, joined: Joined, broker: str, milliseconds: Callable[[], int]) -> None:
        self.broker = broker
        self.link = joined.link
        self.link.patience = 2 * max(joined.welcome.heartbeat / 1000, SHORTEST_HEARTBEAT) + SLACK
        self.last = 0
        """The highest serial seen."""
        self.over = False
        self.errands: dict[int, Errand] = {}
        """What this session waits for, by serial."""
        self._milliseconds = milliseconds
        self._clock = BrokerClock()
        self._clock.sample(joined.welcome.now, joined.at)

    def now(self) -> int:
        """The broker's milliseconds."""
        return self._clock.at(self._milliseconds())

    async def echo(self, ping: messages.Ping) -> None:
        """Answer a heartbeat, and learn from it what time it is at the broker."""
        self._clock.sample(ping.now, self._milliseconds())
        await self.link.send(messages.Pong(ping.now))

    async def answer(self, serial: int, *answers: messages.Message) -> None:
        """Send answers, unless the session is over: results are never sent on a later one."""
        if self.over:
            return
        try:
            await self.link.send(*answers, serial=serial)
        except (LinkBroken, WireError):
            # Nothing more can be said here; the task that reads will find the connection closed.
            self.over = True
            self.link.close()


class Asked(NamedTuple):
    """A COMMAND as it came."""

    session: Session
    serial: int
    command: messages.Command

    async def answer(self, *answers: messages.Message) -> None:
        """Answer it, where it came from."""
        await self.session.answer(self.serial, *answers)

    def admitted(self) -> Asked:
        """The same without what only its admission needed: a megabyte is too much to keep waiting."""
        return self._replace(command=self.command._replace(groups=(), image=b"", targets=None))


class Errand:
    """An admitted command on its way to its answer."""

    def __init__(self, asked: Asked, admitted: Admit) -> None:
        self.asked = asked
        self.admitted = admitted
        self.stop = Stop()
        self.turn = trio.CancelScope()
        """Around its wait for a free place."""

    def end(self) -> None:
        """Have it end early, in whatever state it is."""
        self.stop.ask()
        self.turn.cancel()


class Agent:
    """What all sessions of a node share.

    `node` says what the node goes by at the moment, `limits` bound each command, `concurrent` of which run at
    once, in the nursery `errands`; `at_once` tells how one ends that takes no time, or None.
    `milliseconds` is CLOCK_BOOTTIME.
    """

    def __init__(
        self,
        *,
        node: Callable[[], Node],
        host: Host,
        runner: Runs,
        at_once: Callable[[Admit, Limits, Host], Outcome | None],
        limits: Limits,
        concurrent: int,
        bounded: Bounded,
        milliseconds: Callable[[], int],
        log: Log,
        audit: Audit,
        errands: trio.Nursery,
    ) -> None:
        self._node = node
        self._host = host
        self._runner = runner
        self._at_once = at_once
        self._limits = limits
        self._places = trio.Semaphore(concurrent)
        self._bounded = bounded
        self._milliseconds = milliseconds
        self._log = log
        self._audit = audit
        self._errands = errands
        self._waiting: set[Errand] = set()
        self._running: set[Errand] = set()
        self._closed = ""

    async def attend(self, joined: Joined, broker: str) -> None:
        """Serve a session until it ends: TurnedAway, LinkBroken or another WireError says why."""
        session = Session(joined, broker, self._milliseconds)
        try:
            while True:
                serial, message = await session.link.receive()
                match message:
                    case messages.Command():
                        await self._consider(Asked(session, serial, message))
                    case messages.Ping():
                        await session.echo(message)
                    case messages.Cancel() if serial in session.errands:
                        session.errands[serial].end()
                    case messages.Error(code, sentence):
                        raise TurnedAway(code, sentence)
        finally:
            session.over = True
            for errand in self._waiting.intersection(session.errands.values()):
                errand.end()

    def close(self, why: str) -> None:
        """Start nothing more, not even what waits for its turn; what runs goes on."""
        self._closed = why
        for errand in self._waiting:
            errand.end()

    def stop(self) -> None:
        """Have everything that runs end now."""
        for errand in self._running:
            errand.end()

    async def _consider(self, asked: Asked) -> None:
        session = asked.session
        crowded = len(self._waiting) >= WAITING
        unable = self._closed or (f"busy: {WAITING} commands wait for their turn here" if crowded else "")
        case = Case(
            asked.command, asked.serial, session.last, session.now(), self._node(), unable, self._bounded
        )
        session.last = max(session.last, asked.serial)
        if unweighed(case):
            case = case._replace(weighed=await self._weigh(asked.command.image))
        decision: Decision | None = objection(case)
        if decision is None:
            decision = await self._judge_image(case)
        if isinstance(decision, Admit):
            if not await self._answered_at_once(asked, decision):
                await self._accept(Errand(asked.admitted(), decision))
        elif isinstance(decision, Drop):
            self._log.warning(f"{session.broker} sent serial {asked.serial:016x} again, or late: dropped")
        else:
            event, answer = _CLOSINGS[type(decision)]
            if event:
                self._note(event, asked, decision._asdict())
            await asked.answer(answer(decision))

    async def _weigh(self, image: bytes) -> Weighed:
        """In a thread, as what follows."""
        try:
            return await trio.to_thread.run_sync(weigh, image)
        except RuntimeError as error:
            return Weighed(Effect.EXECUTES, _without_thread(error))

    async def _judge_image(self, case: Case) -> Decision:
        """A stranger's image in a thread, since other sessions and what runs must not wait for it."""
        if not strange(case):
            return judge_image(case)
        try:
            return await trio.to_thread.run_sync(judge_image, case)
        except RuntimeError as error:
            return _without_thread(error)

    async def _answered_at_once(self, asked: Asked, admitted: Admit) -> bool:
        if not (admitted.runs and self._places.value):
            return False
        began = trio.current_time()
        outcome = self._at_once(admitted, self._limits_of(asked.command), self._host)
        if outcome is None:
            return False
        seconds = trio.current_time() - began
        answer = self._recorded(
            asked, ("ran", _manner(asked, admitted)), ("ended", _end(outcome, seconds))
        ) or _result(outcome, seconds)
        await asked.answer(messages.Optin(), answer)
        return True

    async def _accept(self, errand: Errand) -> None:
        asked = errand.asked
        await asked.answer(messages.Optin())
        if not errand.admitted.runs or asked.session.over:
            return
        if self._closed:  # while that was being sent
            await asked.answer(self._end_early(asked))
        else:
            asked.session.errands[asked.serial] = errand
            self._waiting.add(errand)
            self._errands.start_soon(self._carry_out, errand)

    async def _carry_out(self, errand: Errand) -> None:
        """An admitted command, from the wait for its turn to its answer."""
        with errand.turn:
            await self._places.acquire()
        self._waiting.discard(errand)
        if errand.turn.cancelled_caught:
            answer = self._end_early(errand.asked)
        else:
            self._running.add(errand)
            try:
                answer = await self._take_turn(errand)
            finally:
                self._running.discard(errand)
                self._places.release()
        await errand.asked.answer(answer)
        del errand.asked.session.errands[errand.asked.serial]

    async def _take_turn(self, errand: Errand) -> messages.Message:
        """Run a command if it is still wanted; the answer to send."""
        asked, command = errand.asked, errand.asked.command
        if errand.stop.asked:
            return self._end_early(asked)
        if late := expired(command, asked.session.now()):
            self._note("expired", asked, late._asdict())
            return messages.Expired()
        if unable := self._recorded(asked, ("ran", _manner(asked, errand.admitted))):
            return unable
        began = trio.current_time()
        limits = self._limits_of(command)
        outcome = await self._runner.run(errand.admitted, limits, self._host, errand.stop)
        seconds = trio.current_time() - began
        self._note("ended", asked, _end(outcome, seconds))
        return _result(outcome, seconds)

    def _limits_of(self, command: messages.Command) -> Limits:
        if not command.run_time:
            return self._limits
        return self._limits._replace(seconds=min(self._limits.seconds, command.run_time / 1000))

    def _recorded(self, asked: Asked, *events: tuple[str, Mapping[str, object]]) -> messages.Message | None:
        """Record what is about to run, or has run and not shown it yet; the answer where that cannot be."""
        try:
            self._record(asked, *events)
        except AuditError as error:
            self._log.error(f"{error}; so nothing runs")
            return _result(failed("the audit log of this node cannot be written"), 0.0)
        return None

    def _end_early(self, asked: Asked) -> messages.Message:
        self._note("cancelled", asked, {})
        return _result(failed("cancelled before its turn came"), 0.0)

    def _note(self, event: str, asked: Asked, more: Mapping[str, object]) -> None:
        """Add to the audit log what is so, whether it can be written or not."""
        try:
            self._record(asked, (event, more))
        except AuditError as error:
            self._log.error(str(error))

    def _record(self, asked: Asked, *events: tuple[str, Mapping[str, object]]) -> None:
        common = {
            "serial": f"{asked.serial:016x}",
            "broker": asked.session.broker,
            "user": asked.command.user,
            "authenticated": asked.command.how.partition(" ")[0],
            "command": canonical(asked.command.words),
            "filters": asked.command.filters,
        }
        if asked.command.mode != "run":
            common["mode"] = asked.command.mode
        self._audit.write_together(*[(event, {**common, **more}) for event, more in events])


def _manner(asked: Asked, admitted: Admit) -> dict[str, str]:
    """What the audit log says of how a command runs; and of what module, where that is not the node's own."""
    run_as = {"run_as": admitted.run_as} if admitted.run_as else {}
    module = {"module": asked.command.module} if admitted.program is None else {}
    return {"effect": admitted.effect.word, **run_as, **module}


def _without_thread(error: RuntimeError) -> Refuse:
    """The host has no thread left (threading.Thread.start)."""
    return Refuse(FAULT, f"the image could not be verified: {error}")


def _end(outcome: Outcome, seconds: float) -> dict[str, object]:
    """What it says of how one ended."""
    return {"status": outcome.status, "fault": outcome.fault, "seconds": round(seconds, 6)}


def _refusal(refused: Refuse) -> messages.Result:
    """On standard output, which users are shown."""
    return messages.Result(refused.status, refused.sentence.encode(errors="replace") + b"\n", b"", False, 0)


def _result(outcome: Outcome, seconds: float) -> messages.Result:
    """What ended a command is the last line of its output too, which is what users are shown."""
    output = outcome.output
    if outcome.fault and not outcome.truncated:
        if output and not output.endswith(b"\n"):
            output += b"\n"
        output += outcome.error_output.splitlines(keepends=True)[-1]
    return messages.Result(
        outcome.status, output, outcome.error_output, outcome.truncated, round(seconds * 1_000_000)
    )


_CLOSINGS: Mapping[type, tuple[str, Callable[[Any], messages.Message]]] = {
    Deny: ("denied", lambda _: messages.Denied()),
    Expire: ("expired", lambda _: messages.Expired()),
    Abstain: ("", lambda _: messages.Optout()),
    Refuse: ("refused", _refusal),
}
"""What a command that is not admitted leaves in the audit log, and its answer."""
