"""What a client hears of its one request: the broker's messages in, answers and counts out. Pure."""

from __future__ import annotations

from mesh.messages import REPORTS as ABOUT_NODES
from mesh.messages import (
    Done,
    Error,
    Identity,
    Kind,
    Message,
    Ok,
    Ping,
    Pong,
    Result,
    Side,
    decode,
    decode_report,
    kind_of,
)
from mesh.printing import (
    DENIED,
    EXPIRED,
    FAILED,
    LOST,
    MALFORMED,
    OK,
    OPTOUT,
    SILENT,
    Answer,
    Tally,
    counted,
    refusal,
)
from mesh.session import State, advance

OUTCOMES = {
    Kind.OPTOUT: OPTOUT,
    Kind.DENIED: DENIED,
    Kind.EXPIRED: EXPIRED,
    Kind.LOST: LOST,
    Kind.SILENT: SILENT,
}
"""How a node closed that sent no RESULT; these have no body that could say more."""

MICROSECONDS = 1_000_000


class Hearing:
    """The course of one request, from the REQUEST sent to the last message.

    `sessions` is the broker's N, None until it has accepted the request; `serial` the request's; `tally` the
    counts so far, and the final ones once `finished`. Of a `plan`, an OPTIN is the answer: it is OK.
    """

    def __init__(self, plan: bool = False) -> None:
        self._plan = plan
        self.sessions: int | None = None
        self.serial = 0
        self.tally = Tally()
        self._state = State.ANSWER
        self._running: dict[Identity, int] = {}

    @property
    def finished(self) -> bool:
        """Whether the ledger is closed: nothing more will come."""
        return self._state is State.CLOSED

    def hear(self, raw: bytes) -> Answer | Pong | None:
        """The answer that a message is, or the PONG that it wants.

        Raises what the broker's ERROR means (printing.refusal), and WireError for what no broker may send.
        """
        kind = kind_of(raw)
        self._state = advance(self._state, Side.BROKER, kind)
        if kind in ABOUT_NODES:
            return self._node(raw)
        serial, message = decode(Side.BROKER, raw)
        match message:
            case Ok():
                self.serial = serial
                self.sessions = message.sessions
            case Error():
                raise refusal(message.code, message.sentence)
            case Ping():
                return Pong(message.now)
            case Done():
                self._settle(message)
        return None

    def give_up(self) -> list[Answer]:
        """End without the broker: whoever has not answered is silent, those that opted in by name."""
        nodes = [identity for identity, sessions in self._running.items() for _ in range(sessions)]
        self._running.clear()
        answers = [self._count(Answer(node.uuid, node.fqdn, SILENT)) for node in nodes]
        unnamed = max(0, (self.sessions or 0) - self.tally.closed)
        self.tally = self.tally._replace(silent=self.tally.silent + unnamed)
        return answers

    def _node(self, raw: bytes) -> Answer | None:
        _, kind, identity, message = decode_report(raw)
        running = self._running.get(identity, 0)
        if kind is Kind.OPTIN and self._plan:
            return self._count(Answer(identity.uuid, identity.fqdn, OK))
        if kind is Kind.OPTIN:
            self._running[identity] = running + 1
            self.tally = self.tally._replace(took_part=True)
            return None
        if running:
            self._running[identity] = running - 1
        return self._count(_answer(kind, identity, message))

    def _count(self, answer: Answer) -> Answer:
        self.tally = counted(self.tally, answer)
        return answer

    def _settle(self, done: Done) -> None:
        """The broker counts all nodes, the client only those that it is told of by name."""
        self.tally = self.tally._replace(
            optouts=done.optouts,
            denied=done.denied,
            expired=done.expired,
            lost=done.lost,
            silent=done.silent,
        )


def _answer(kind: Kind, identity: Identity, message: Message | None) -> Answer:
    if kind is not Kind.RESULT:
        return Answer(identity.uuid, identity.fqdn, OUTCOMES[kind])
    if not isinstance(message, Result):
        return Answer(identity.uuid, identity.fqdn, MALFORMED)
    return Answer(
        identity.uuid,
        identity.fqdn,
        FAILED if message.status else OK,
        message.status,
        message.output,
        message.error_output,
        message.truncated,
        message.duration / MICROSECONDS,
    )
