"""A command whose nodes are known before it runs: in turns, on some of them, told only, or once confirmed.

The nodes are asked first whether they would take part (mode `plan`); then those of each turn are the targets
of a request of their own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from errors import CwError
from mesh.command import canonical
from mesh.formats.names import fold
from mesh.messages import Identity
from mesh.printing import OK, Answer, Tally, exit_status, line, summary
from mesh.rolling import Turns, drawn, in_order
from roles.checked import Checked
from roles.conversation import Caller
from roles.interrupts import INTERRUPTED
from roles.screen import Screen, concluded
from roles.turns import Rollout

PLAN_TIME = 10.0
"""Seconds at most that nodes are given to say whether they would take part: it takes them milliseconds."""

NOBODY = Tally()


class NotConfirmed(CwError):
    """Nothing was run: it was not confirmed."""


class Alike(CwError):
    """Two nodes cannot be told apart: nothing was run."""


class Few(CwError):
    """The plan need not be waited for: there are too few nodes for a question."""


def roll_out(checked: Checked, caller: Caller, screen: Screen) -> int:
    """Ask who would take part, and do with them what is wanted; the exit status. Raises CwError."""
    asked = checked.asked
    some = bool(asked.turns or asked.limit)
    plan = _Plan(screen, -1 if some or asked.dry_run else checked.conf.confirm_above)
    timeout = min(checked.request.timeout, round(PLAN_TIME * 1000))
    ended = caller.ask(checked.request._replace(mode="plan", timeout=timeout), plan)
    screen.over(NOBODY)
    if ended.interrupted:
        return INTERRUPTED
    if isinstance(ended.failure, Few):
        return concluded(caller.ask(checked.request, screen), screen)
    if ended.failure:
        raise ended.failure
    if asked.dry_run:  # names alone are printed
        screen.record.add(plan.others, 0.0)
        for answer in plan.others:
            screen.tell(line(answer).removesuffix("\n"))
    else:
        screen.answers(plan.others, 0.0)
    others = ended.tally._replace(ok=0, took_part=ended.tally.failed > 0)
    return go_round(plan.nodes, checked, caller, screen, others)


def go_round(
    nodes: Sequence[Identity], checked: Checked, caller: Caller, screen: Screen, others: Tally = NOBODY
) -> int:
    """Do with these nodes what is wanted; the exit status. `others` counts those that take no part."""
    if checked.asked.turns or checked.asked.limit:
        nodes = _distinct(nodes)
    nodes = _drawn(in_order(nodes), checked, screen)
    if checked.asked.dry_run:
        return _told(nodes, others, checked, screen)
    _confirm(nodes, checked, screen)
    return Rollout(checked, caller, screen).run(nodes, others)


class _Plan:
    """Hears who would take part, and `others` that are named. Raises Few if no more sessions than `enough`
    are asked.
    """

    def __init__(self, screen: Screen, enough: int) -> None:
        self.nodes: list[Identity] = []
        self.others: list[Answer] = []
        self._screen = screen
        self._enough = enough

    @property
    def due(self) -> float | None:
        return self._screen.due

    def remark(self, text: str) -> None:
        self._screen.remark(text)

    def accepted(self, sessions: int) -> None:
        if sessions <= self._enough:
            raise Few
        self._screen.accepted(sessions)

    def answers(self, answers: Sequence[Answer], _elapsed: float) -> None:
        self.nodes += [Identity(answer.fqdn, answer.uuid) for answer in answers if answer.outcome == OK]
        self.others += [answer for answer in answers if answer.outcome != OK]

    def progress(self, tally: Tally) -> None:
        self._screen.progress(tally)


def _distinct(nodes: Sequence[Identity]) -> list[Identity]:
    """Each once. Raises Alike where two have one UUID, which is how a request names its targets."""
    known: dict[str, Identity] = {}
    for node in nodes:
        other = known.setdefault(node.uuid, node)
        if other != node:
            raise Alike(
                f"{other.fqdn} and {node.fqdn} have the same UUID, {node.uuid}, so neither can be asked "
                "without the other: on one, remove the file uuid in its agent.state_dir; nothing was run"
            )
    return list(known.values())


def _drawn(nodes: Sequence[Identity], checked: Checked, screen: Screen) -> Sequence[Identity]:
    limit = checked.asked.limit
    if not limit or limit >= len(nodes):
        return nodes
    seed = checked.asked.seed
    if not seed:
        seed = os.urandom(4).hex()
        screen.tell(f"{limit} of {len(nodes)} nodes drawn (--seed {seed} draws them again)")
    return drawn(nodes, limit, seed)


def _told(nodes: Sequence[Identity], others: Tally, checked: Checked, screen: Screen) -> int:
    """--dry-run: who would take part, in the form that is wanted."""
    batches = (checked.asked.turns or Turns()).batches(nodes)
    name = canonical(checked.request.words)
    match checked.asked.form:
        case "line":
            text = "".join(f"{node.fqdn}\n" for node in nodes)
        case "fold":
            text = "".join(f"{fold(node.fqdn for node in batch)} ({len(batch)})\n" for batch in batches)
        case form:
            text = _objects(batches, form)
    screen.write(text)
    tally = screen.over(others._replace(ok=len(nodes)))
    screen.record.add([Answer(node.uuid, node.fqdn, OK) for node in nodes], 0.0)
    if not checked.asked.quiet:
        turns = f" in {len(batches)} batches" if len(batches) > 1 else ""
        failed = f"; {others.failed} failed" if others.failed else ""
        rest = failed + summary(others._replace(failed=0)).removeprefix("0 answered")
        screen.tell(f"{len(nodes)} would take part{turns}{rest}; {name}: {checked.effect}; nothing was run")
    return exit_status(tally)


def _objects(batches: Sequence[Sequence[Identity]], form: str) -> str:
    import json

    objects = [
        json.dumps({"uuid": node.uuid, "fqdn": node.fqdn, "batch": number})
        for number, batch in enumerate(batches, 1)
        for node in batch
    ]
    return (
        f"[{(',' + chr(10)).join(objects)}]\n" if form == "json" else "".join(f"{one}\n" for one in objects)
    )


def _nodes(nodes: Sequence[Identity]) -> str:
    return "1 node" if len(nodes) == 1 else f"{len(nodes)} nodes"


def _confirm(nodes: Sequence[Identity], checked: Checked, screen: Screen) -> None:
    """Ask on the terminal whether so many are meant, if the command acts on them. Raises NotConfirmed."""
    above = checked.conf.confirm_above
    if not checked.acts or len(nodes) <= above:
        return
    words = canonical(checked.request.words)
    if not sys.stdin.isatty():
        raise NotConfirmed(
            f"{words} would go to {_nodes(nodes)}, more than mesh.confirm_above = {above}: give --yes"
        )
    who = fold(node.fqdn for node in in_order(nodes))
    shown = who if len(who) <= 200 else f"{who[:200]}…"
    screen.tell(f"{words}: {checked.effect} on {_nodes(nodes)}: {shown}")
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.buffer.readline().strip().lower() not in (b"y", b"yes"):
        raise NotConfirmed
