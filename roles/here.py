"""The node that an agent speaks for: its facts and rules as they are now, and the upkeep of both."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from conf.schema import CogdConf
from conf.version import VERSION
from conf.watched import Watched
from errors import CwError
from host.local import Local
from mesh import acl, admission
from net.builtin import times
from net.gather import every_fact
from roles.identity import Identity
from roles.log import Log
from vm.opcodes import Effect


class _Moment(NamedTuple):
    """All facts in one second; `gathered` are those but the time. One tuple, since threads share it."""

    second: int
    gathered: Mapping[str, str]
    facts: Mapping[str, str]


class Here(Local):
    """The machine's host, and what commands are judged by."""

    def __init__(
        self, conf: CogdConf, identity: Identity, rules: Watched[tuple[acl.Rule, ...]], log: Log
    ) -> None:
        self._conf = conf
        self._identity = identity
        self._rules = rules
        self._log = log
        self._gathered: dict[str, str] = {}
        self._now: _Moment = _Moment(0, self._gathered, {})
        self._complaint = ""
        self._max_effect = Effect[conf.agent.max_effect.upper()]

    # -- for the machine; called from its threads

    def facts(self) -> Mapping[str, str]:
        """Name to value: what was gathered, and what time it is now."""
        second, gathered, moment = int(time.time()), self._gathered, self._now
        if moment.second != second or moment.gathered is not gathered:
            self._now = moment = _Moment(second, gathered, times(second) | gathered)
        return moment.facts

    def acls(self) -> Sequence[str]:
        """The rules in force."""
        return [acl.line_of(rule) for rule in self._rules.value]

    def log(self, level: str, text: str) -> None:
        """What a command logs."""
        self._log.info(f"a command says ({level}): {text}")

    # -- for admission

    def node(self) -> admission.Node:
        """What commands are judged by."""
        return admission.Node(self._identity.uuid, (self._rules.value,), self.facts, self._max_effect)

    # -- upkeep

    async def gather(self) -> None:
        """Find out all facts anew."""
        facts = self._conf.facts
        self._gathered = await every_fact(
            self._identity.fqdn,
            self._identity.uuid,
            VERSION,
            facts.gatherers,
            facts.static,
            facts.time_limit,
            self._log.warning,
        )

    def look(self) -> None:
        """Read the rules if they have changed; what cannot be used is logged once and changes nothing.

        No file where there never was one is nothing new: the start has said that every command is denied.
        """
        try:
            if self._rules.refresh():
                self._log.info(f"{self._rules.path} was read again")
                self._complaint = ""
        except CwError as error:
            if str(error) == self._complaint or not (self._rules.good or self._rules_are_there()):
                return
            self._complaint = str(error)
            now = "the last good rules stay in force" if self._rules.good else "every command is denied"
            self._log.error(f"{error}; {now}")

    def _rules_are_there(self) -> bool:
        return self._rules.path is not None and os.path.lexists(self._rules.path)
