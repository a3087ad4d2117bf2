from itertools import product

import pytest

from mesh.messages import Kind, Side
from mesh.session import NEXT, OutOfTurn, State, advance
from wire.errors import WireError

EVERYTHING = list(product(State, Side, Kind))


def talk(state: State, *said: tuple[Side, Kind]) -> State:
    for sender, kind in said:
        state = advance(state, sender, kind)
    return state


def test_whatever_is_sent_is_in_the_table_or_out_of_turn() -> None:
    for state, sender, kind in EVERYTHING:
        if (state, sender, kind) in NEXT:
            assert advance(state, sender, kind) is NEXT[state, sender, kind]
        else:
            with pytest.raises(
                OutOfTurn, match=rf"^the {sender.name.lower()} sent {kind.name},.*{state.name}$"
            ):
                advance(state, sender, kind)
    assert set(NEXT) < set(EVERYTHING)
    assert issubclass(OutOfTurn, WireError)


def test_a_closed_session_takes_nothing() -> None:
    assert not [row for row in NEXT if row[0] is State.CLOSED]


def test_every_state_is_reached_and_left() -> None:
    assert set(NEXT.values()) | {State.AGENT_HELLO, State.REQUEST} == set(State)
    assert {state for state, _, _ in NEXT} == set(State) - {State.CLOSED}


def test_agents_and_clients_keep_to_their_own_states() -> None:
    agents = {state for state, sender, _ in NEXT if sender is Side.AGENT}
    clients = {state for state, sender, _ in NEXT if sender is Side.CLIENT}
    assert agents == {State.AGENT_HELLO, State.OPEN}
    assert clients == {State.REQUEST, State.ANSWER, State.RUNNING}


def test_an_agents_day() -> None:
    hello = [(Side.AGENT, Kind.HELLO), (Side.BROKER, Kind.HELLO)]
    work = [
        (Side.BROKER, Kind.PING),
        (Side.AGENT, Kind.PONG),
        (Side.BROKER, Kind.COMMAND),
        (Side.AGENT, Kind.OPTIN),
        (Side.BROKER, Kind.COMMAND),
        (Side.AGENT, Kind.DENIED),
        (Side.BROKER, Kind.CANCEL),
        (Side.AGENT, Kind.RESULT),
    ]
    assert talk(State.AGENT_HELLO, *hello, *work) is State.OPEN
    assert talk(State.AGENT_HELLO, *hello, *work, (Side.BROKER, Kind.ERROR)) is State.CLOSED
    assert talk(State.AGENT_HELLO, hello[0], (Side.BROKER, Kind.ERROR)) is State.CLOSED


def test_a_clients_minute() -> None:
    asked = [(Side.CLIENT, Kind.REQUEST), (Side.BROKER, Kind.PING), (Side.CLIENT, Kind.PONG)]
    told = [
        (Side.BROKER, Kind.OK),
        (Side.BROKER, Kind.OPTIN),
        (Side.CLIENT, Kind.CANCEL),
        (Side.BROKER, Kind.RESULT),
        (Side.BROKER, Kind.LOST),
        (Side.BROKER, Kind.SILENT),
    ]
    assert talk(State.REQUEST, *asked, *told, (Side.BROKER, Kind.DONE)) is State.CLOSED
    assert talk(State.REQUEST, *asked, *told, (Side.CLIENT, Kind.BYE)) is State.CLOSED
    assert talk(State.REQUEST, *asked, (Side.BROKER, Kind.ERROR)) is State.CLOSED
    assert talk(State.REQUEST, *asked, (Side.CLIENT, Kind.BYE)) is State.CLOSED


@pytest.mark.parametrize(
    ("state", "sender", "kind"),
    [
        (State.AGENT_HELLO, Side.AGENT, Kind.RESULT),  # a session exists only once its HELLO came
        (State.AGENT_HELLO, Side.CLIENT, Kind.HELLO),
        (State.BROKER_HELLO, Side.AGENT, Kind.HELLO),
        (State.BROKER_HELLO, Side.BROKER, Kind.COMMAND),
        (State.OPEN, Side.AGENT, Kind.COMMAND),
        (State.OPEN, Side.AGENT, Kind.LOST),
        (State.OPEN, Side.BROKER, Kind.RESULT),
        (State.REQUEST, Side.CLIENT, Kind.CANCEL),
        (State.ANSWER, Side.CLIENT, Kind.REQUEST),  # one a connection
        (State.ANSWER, Side.BROKER, Kind.RESULT),  # OK precedes every answer
        (State.RUNNING, Side.CLIENT, Kind.REQUEST),
        (State.RUNNING, Side.CLIENT, Kind.RESULT),
    ],
)
def test_what_must_not_be(state: State, sender: Side, kind: Kind) -> None:
    with pytest.raises(OutOfTurn):
        advance(state, sender, kind)
