"""The life of an agent: a session with each broker for ever, rules and facts kept fresh, an orderly end."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import AsyncIterator, Sequence

import trio

from conf.addresses import Address, dialled
from conf.schema import CogdConf
from conf.version import VERSION
from errors import CwError
from mesh.messages import VERSION as PROTOCOL
from mesh.messages import Hello
from net.bounded import bounded
from net.dial import LONGEST_PAUSE, DialError, Joined, TurnedAway, join, pauses
from net.spawner import Spawner
from roles.agent import Agent
from roles.audit import Audit, reopen
from roles.here import Here
from roles.identity import Identity
from roles.instant import at_once
from roles.log import Log
from roles.runner import Runner
from roles.systemd import notify
from vm.machine import Limits
from wire.errors import WireError
from wire.handshake import Initiator, Peer

LOOK = 1.0
"""Seconds between two looks at the rules file."""
DEADLINE = 10.0
"""Seconds that an attempt to join a broker may take, from the look-up of its name to its HELLO."""


class SpawnerDied(CwError):
    """The process that starts commands died, so this agent has ended too, to be started again."""

    status = 70


def milliseconds() -> int:
    """CLOCK_BOOTTIME, which goes on while the node sleeps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class Standing:
    """What systemd is told: which sessions there are; READY once there is one, or every broker was tried.

    An agent that waits to be trusted, or for its broker, does all it can: it must not be started anew for it.
    """

    def __init__(self, brokers: Sequence[Address]) -> None:
        self._untried = set(brokers)
        self._joined: set[Address] = set()
        self._all = len(brokers)

    def note(self, broker: Address, joined: bool) -> None:
        """A session has begun; or one has ended, or did not come about."""
        self._untried.discard(broker)
        (self._joined.add if joined else self._joined.discard)(broker)
        ready = "READY=1\n" if self._joined or not self._untried else ""
        notify(f"{ready}STATUS=connected to {len(self._joined)} of {self._all} brokers")


class Life:
    """One agent's life."""

    def __init__(self, conf: CogdConf, identity: Identity, here: Here, log: Log, audit: Audit) -> None:
        self._conf = conf
        self._identity = identity
        self._here = here
        self._log = log
        self._audit = audit
        self._brokers = [dialled(text) for text in conf.agent.brokers]
        self._standing = Standing(self._brokers)
        self._hello = Hello(PROTOCOL, VERSION, identity.fqdn, identity.uuid)
        self._gathered = trio.Event()
        self._hurry = trio.Event()
        self._ending = trio.Event()
        self._random = random.SystemRandom().random

    async def run(self, spawner: Spawner) -> None:
        """Serve until told to stop and nothing runs any more. Raises SpawnerDied."""
        limits = self._conf.limits
        runner = Runner(spawner, limits.concurrent)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async with trio.open_nursery() as services:
                async with trio.open_nursery() as errands:
                    agent = Agent(
                        node=self._here.node,
                        host=self._here,
                        runner=runner,
                        at_once=at_once,
                        limits=Limits(
                            limits.instructions,
                            limits.run_time,
                            output=limits.output,
                            memory=limits.memory,
                            processes=limits.processes,
                        ),
                        concurrent=limits.concurrent,
                        bounded=bounded,
                        milliseconds=milliseconds,
                        log=self._log,
                        audit=self._audit,
                        errands=errands,
                    )
                    services.start_soon(self._watch, runner)
                    services.start_soon(self._obey, signals, agent)
                    services.start_soon(self._keep_rules)
                    services.start_soon(self._keep_facts)
                    for broker in self._brokers:
                        services.start_soon(self._keep_session, broker, agent)
                    await self._ending.wait()
                    notify("STOPPING=1")
                    self._log.info("stopping: what runs may end first")
                    agent.close("this agent is stopping")
                services.cancel_scope.cancel()
        if runner.dead:
            raise SpawnerDied
        self._log.info("stopped")

    async def _watch(self, runner: Runner) -> None:
        await runner.watch()
        self._log.error("the process that starts commands died")
        self._ending.set()

    async def _obey(self, signals: AsyncIterator[int], agent: Agent) -> None:
        """SIGHUP reloads; the first SIGTERM or SIGINT ends this life, the second also what runs."""
        async for number in signals:
            if number == signal.SIGHUP:
                self._reload()
            elif not self._ending.is_set():
                self._ending.set()
            else:
                agent.stop()

    def _reload(self) -> None:
        self._here.look()
        self._hurry.set()
        reopen(self._audit, self._log)

    async def _keep_rules(self) -> None:
        while True:
            await trio.sleep(LOOK)
            self._here.look()

    async def _keep_facts(self) -> None:
        while True:
            await self._here.gather()
            self._gathered.set()
            with trio.move_on_after(self._conf.facts.interval):
                await self._hurry.wait()
            self._hurry = trio.Event()

    async def _keep_session(self, broker: Address, agent: Agent) -> None:
        """A session with `broker`, for ever; the log hears once why there is none, not at each attempt."""
        await self._gathered.wait()
        waits, said = pauses(self._random), ""
        while True:
            try:
                joined = await join(broker, self._initiator(), self._hello, milliseconds, DEADLINE)
            except (DialError, WireError) as error:
                sentence = self._why_not(broker, error)
                if sentence != said:
                    self._log.warning(sentence)
                said = sentence
                self._standing.note(broker, joined=False)
            else:
                said = ""
                if await self._attend(broker, joined, agent):
                    waits = pauses(self._random)
            await trio.sleep(next(waits))

    async def _attend(self, broker: Address, joined: Joined, agent: Agent) -> bool:
        """A session from its HELLO to its end; whether it lasted, so that its end is no sign of trouble."""
        began = trio.current_time()
        self._log.info(f"connected to {broker}")
        self._standing.note(broker, joined=True)
        try:
            await agent.attend(joined, str(broker))
        except (DialError, WireError) as error:
            self._log.warning(f"lost {broker}: {error}")
        finally:
            joined.link.close()
        self._standing.note(broker, joined=False)
        return trio.current_time() - began > LONGEST_PAUSE

    def _initiator(self) -> Initiator:
        return Initiator(Peer.AGENT, self._identity.broker_key, os.urandom(32), self._identity.key)

    def _why_not(self, broker: Address, error: CwError) -> str:
        if isinstance(error, TurnedAway) and error.code == "untrusted":
            trust = self._identity.trust
            return f"waiting to be trusted by {broker}: {error}; there: {trust}"
        return f"no session with {broker}: {error}"
