"""The turns of a rollout: batch after batch is asked by its targets, until all were or too many failed."""

from __future__ import annotations

import time
from collections.abc import Sequence

from errors import CwError
from mesh.messages import Identity
from mesh.printing import LOST, SILENT, UNASKED, Answer, Tally, exit_status, summary
from mesh.rolling import Turns
from roles.checked import Checked
from roles.conversation import Caller, Ended, encoded
from roles.interrupts import INTERRUPTED
from roles.screen import Screen
from wire.transport import MAX_UNAUTHENTICATED

TARGETS = 8192
"""Targets of one request at most (mesh/messages.py), and the bytes that each takes of it."""
TARGET_BYTES = 38
PROOF_BYTES = 256
"""What a key's proof, or a password of a usual length, adds to a request that is not signed yet."""


class Rollout:
    """All turns of some nodes."""

    def __init__(self, checked: Checked, caller: Caller, screen: Screen) -> None:
        self._request = checked.request
        self._turns = checked.asked.turns or Turns()
        self._quiet = checked.asked.quiet
        self._caller = caller
        self._screen = screen
        self._asked = 0

    def run(self, nodes: Sequence[Identity], others: Tally) -> int:
        """Until all nodes have had their turn, or too many failed.

        `others` counts the nodes that do not take part: those that are missing among them have failed, too.
        """
        batches = self._turns.batches(nodes)
        self._screen.over(others)
        self._screen.accepted(len(nodes))
        failure: CwError | None = None
        interrupted = False
        try:
            for number, batch in enumerate(batches, 1):
                if self._turns.several and self._turns.too_many(self._screen.tally, len(nodes)):
                    self._stopped(len(nodes))
                    break
                if number > 1:
                    time.sleep(self._turns.pause)
                ended = self._turn(batch)
                failure, interrupted = ended.failure, ended.interrupted
                if failure or interrupted:
                    break
                if len(batches) > 1 and not self._quiet:
                    self._screen.tell(f"batch {number} of {len(batches)}: {summary(ended.tally)}")
        except KeyboardInterrupt:
            interrupted = True
        except CwError as error:  # the broker is gone, or takes no more: what others answered is still told
            failure = error
        unasked = [Answer(node.uuid, node.fqdn, UNASKED) for node in nodes[self._asked :]]
        self._screen.record.add(unasked, 0.0)
        self._screen.close()
        if interrupted:
            return INTERRUPTED
        if failure:
            raise failure
        return exit_status(self._screen.tally)

    def _stopped(self, nodes: int) -> None:
        tally = self._screen.tally
        failed, most = tally.failed + tally.missing, self._turns.failures.of(nodes)
        self._screen.tell(
            f"stopped, {nodes - self._asked} of {nodes} nodes not asked: {failed} failed or missing, "
            f"at most {most} may (--max-failures)"
        )

    def _turn(self, batch: Sequence[Identity]) -> Ended:
        """One batch, in as many requests as its targets take."""
        room = (MAX_UNAUTHENTICATED - PROOF_BYTES - len(encoded(self._request))) // TARGET_BYTES
        size = max(1, min(TARGETS, room))
        total = Ended(0, Tally(), None, False)
        for at in range(0, len(batch), size):
            ended = self._ask(batch[at : at + size])
            total = ended._replace(tally=total.tally.plus(ended.tally))
            if ended.failure or ended.interrupted:
                break
        return total

    def _ask(self, part: Sequence[Identity]) -> Ended:
        """One request. Raises CwError where none was made."""
        heard = _Part(self._screen, part)
        request = self._request._replace(targets=tuple(dict.fromkeys(node.uuid for node in part)))
        try:
            ended = self._caller.ask(request, heard)
        except KeyboardInterrupt:  # once more than the first, or while there was no session yet
            ended = Ended(None, heard.tally, None, True)
        self._asked += len(part)
        self._screen.over(ended.tally)
        if ended.failure or ended.interrupted:
            heard.keep_silent()
        else:
            heard.name_missing(ended.tally)
        return ended


class _Part:
    """Hears a request to some nodes, and names those of them that the broker only counts.

    `tally` has the counts so far.
    """

    def __init__(self, screen: Screen, nodes: Sequence[Identity]) -> None:
        self.tally = Tally()
        self._screen = screen
        self._nodes = nodes
        self._outcomes: dict[str, str] = {}

    @property
    def due(self) -> float | None:
        return self._screen.due

    def remark(self, text: str) -> None:
        self._screen.remark(text)

    def accepted(self, _sessions: int) -> None:
        return

    def answers(self, answers: Sequence[Answer], elapsed: float) -> None:
        self._outcomes.update((answer.uuid, answer.outcome) for answer in answers)
        self._screen.answers(answers, elapsed)

    def progress(self, tally: Tally) -> None:
        self.tally = tally
        self._screen.progress(tally)

    def name_missing(self, tally: Tally) -> None:
        """A target without a session is LOST, and one that says nothing SILENT, but both are only counted
        (protocol.md "A request" 4); where some are this and some that, nobody knows which.
        """
        named = list(self._outcomes.values())
        for outcome, count in ((LOST, tally.lost), (SILENT, tally.silent)):
            unheard = self._unheard(outcome)
            if unheard and len(unheard) == count - named.count(outcome):
                self._screen.answers(unheard, 0.0)
                return

    def keep_silent(self) -> None:
        """Nobody knows what became of those that had not answered when the request was cut short."""
        self._screen.record.add(self._unheard(SILENT), 0.0)

    def _unheard(self, outcome: str) -> list[Answer]:
        """Those nodes that nothing was heard of, with what that is taken for."""
        return [
            Answer(node.uuid, node.fqdn, outcome) for node in self._nodes if node.uuid not in self._outcomes
        ]
