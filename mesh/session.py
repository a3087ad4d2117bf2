"""Which message each side of a session may send when: a table. Anything else ends the session."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from mesh.messages import Kind, Message, Side, decode, kind_of
from wire.errors import WireError


class OutOfTurn(WireError):
    """The peer sent a message that it may not send now."""


class State(IntEnum):
    """What a session waits for: an agent's begins in AGENT_HELLO, a client's in REQUEST."""

    AGENT_HELLO = 1
    BROKER_HELLO = 2
    OPEN = 3
    REQUEST = 4
    ANSWER = 5
    RUNNING = 6
    CLOSED = 7


def _staying(state: State, sender: Side, kinds: Iterable[Kind]) -> dict[tuple[State, Side, Kind], State]:
    """Rows for what may be sent as often as one likes."""
    return {(state, sender, kind): state for kind in kinds}


_ANSWERS = (Kind.OPTIN, Kind.OPTOUT, Kind.DENIED, Kind.EXPIRED, Kind.RESULT)

NEXT: dict[tuple[State, Side, Kind], State] = {
    # An agent's session.
    (State.AGENT_HELLO, Side.AGENT, Kind.HELLO): State.BROKER_HELLO,
    (State.AGENT_HELLO, Side.BROKER, Kind.ERROR): State.CLOSED,
    (State.BROKER_HELLO, Side.BROKER, Kind.HELLO): State.OPEN,
    (State.BROKER_HELLO, Side.BROKER, Kind.ERROR): State.CLOSED,
    **_staying(State.OPEN, Side.BROKER, (Kind.COMMAND, Kind.CANCEL, Kind.PING)),
    **_staying(State.OPEN, Side.AGENT, (*_ANSWERS, Kind.PONG)),
    (State.OPEN, Side.BROKER, Kind.ERROR): State.CLOSED,
    # A client's session: one request, which the broker may take its time to authenticate.
    (State.REQUEST, Side.CLIENT, Kind.REQUEST): State.ANSWER,
    (State.REQUEST, Side.BROKER, Kind.ERROR): State.CLOSED,
    (State.ANSWER, Side.BROKER, Kind.OK): State.RUNNING,
    (State.ANSWER, Side.BROKER, Kind.ERROR): State.CLOSED,
    **_staying(State.ANSWER, Side.BROKER, (Kind.PING,)),
    **_staying(State.ANSWER, Side.CLIENT, (Kind.CANCEL, Kind.PONG)),
    (State.ANSWER, Side.CLIENT, Kind.BYE): State.CLOSED,
    **_staying(State.RUNNING, Side.BROKER, (*_ANSWERS, Kind.LOST, Kind.SILENT, Kind.PING)),
    **_staying(State.RUNNING, Side.CLIENT, (Kind.CANCEL, Kind.PONG)),
    (State.RUNNING, Side.BROKER, Kind.DONE): State.CLOSED,
    (State.RUNNING, Side.BROKER, Kind.ERROR): State.CLOSED,
    (State.RUNNING, Side.CLIENT, Kind.BYE): State.CLOSED,
}
"""What may be sent: the session's state, the side that sends, the message → the state after it."""


def advance(state: State, sender: Side, kind: Kind) -> State:
    """The state after `sender` sent a message of `kind`; raises OutOfTurn if it may not."""
    after = NEXT.get((state, sender, kind))
    if after is None:
        raise OutOfTurn(f"the {sender.name.lower()} sent {kind.name}, which it may not in state {state.name}")
    return after


def opening(side: Side, messages: list[bytes]) -> Message:
    """The message that opens a session: HELLO of an agent, who must wait for the answer then, REQUEST of a
    client. Raises WireError.
    """
    state = advance(State.AGENT_HELLO if side is Side.AGENT else State.REQUEST, side, kind_of(messages[0]))
    for early in messages[1:] if side is Side.AGENT else ():
        advance(state, side, kind_of(early))
    return decode(side, messages[0])[1]
