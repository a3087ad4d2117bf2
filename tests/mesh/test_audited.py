"""What a line of an audit log is taken for, which lines are wanted, and how one looks to people."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.audited import LONGEST, OUTCOMES, Entry, Wanted, entry_of, line_of, outcomes, wants
from mesh.printing import ACTING

TIME = "2026-01-31T23:00:00.123Z"
ASKED = {
    "user": "alice",
    "address": "192.0.2.7",
    "command": "show fact a",
    "filters": ["role = web"],
    "mode": "run",
}
RAN = {"node": "web01.example.com", "user": "alice", "command": "show fact a", "filters": []}


def entry(event: str, **fields: Any) -> Entry:
    line = json.dumps({"time": TIME, "event": event, **fields}).encode()
    found = entry_of(line)
    assert found is not None
    return found


LINES: list[tuple[Entry, list[str], str]] = [
    (entry("request", **ASKED), ["begun"], 'alice at 192.0.2.7  show fact a -w "role = web"  begun'),
    (
        entry("request", **ASKED | {"mode": "plan", "filters": []}),
        ["begun"],
        "alice at 192.0.2.7  show fact a (plan)  begun",
    ),
    (
        entry(
            "done",
            **ASKED | {"filters": []},
            ended="closed",
            sessions=4,
            results=2,
            optouts=1,
            denied=1,
            lost=0,
        ),
        ["answered", "optout", "denied"],
        "alice at 192.0.2.7  show fact a  2 answered, 1 optout, 1 denied",
    ),
    (
        entry("done", **ASKED | {"filters": []}, ended="deadline", sessions=3, expired=1, lost=1, silent=1),
        ["expired", "lost", "silent"],
        "alice at 192.0.2.7  show fact a  1 expired, 1 lost, 1 silent",
    ),
    (
        entry("done", **ASKED | {"filters": []}, ended="bye", sessions=3, results=1),
        ["answered", "left"],
        "alice at 192.0.2.7  show fact a  1 answered, left: bye",
    ),
    (
        entry("done", user="a", command="ping", ended="key revoked", sessions=3),
        ["left"],
        "a  ping  left: key revoked",
    ),
    (entry("done", user="a", command="ping", ended="closed", sessions=0), ["nobody"], "a  ping  nobody"),
    (
        entry(
            "refused",
            user="a",
            address="::1",
            command="ping",
            code="authentication",
            why="key 1 is not listed",
        ),
        ["refused"],
        "a at ::1  ping  refused: key 1 is not listed",
    ),
    (
        entry("refused", user="a", command="ping", code="denied", why="the rules"),
        ["denied"],
        "a  ping  denied: the rules",
    ),
    (
        entry("agent refused", address="::1", key="0123456789abcdef", fqdn="web07.example.com"),
        ["refused"],
        "agent web07.example.com at ::1  refused: key 0123456789abcdef",
    ),
    (entry("ran", **RAN, effect="reads"), ["begun"], "alice on web01.example.com  show fact a  begun: reads"),
    (
        entry("ran", **RAN, effect="executes", run_as="jack"),
        ["begun"],
        "alice on web01.example.com  show fact a  begun: executes as jack",
    ),
    (
        entry("ended", **RAN, status=0, fault="", seconds=0.0125),
        ["ok"],
        "alice on web01.example.com  show fact a  ok, 0.013 s",
    ),
    (
        entry("ended", **RAN, status=124, fault="killed: run time", seconds=60.0),
        ["failed"],
        "alice on web01.example.com  show fact a  failed: status 124, 60.000 s, killed: run time",
    ),
    (entry("denied", **RAN), ["denied"], "alice on web01.example.com  show fact a  denied"),
    (entry("expired", **RAN, age=5), ["expired"], "alice on web01.example.com  show fact a  expired"),
    (entry("cancelled", **RAN), ["cancelled"], "alice on web01.example.com  show fact a  cancelled"),
    (
        entry("refused", **RAN, status=126, sentence="image refused"),
        ["refused"],
        "alice on web01.example.com  show fact a  refused: image refused",
    ),
    (entry("crowned", user="alice"), [], "alice  crowned"),
]


@pytest.mark.parametrize(("entry", "ended", "line"), LINES, ids=[line for *_, line in LINES])
def test_what_is_said_of_an_event(entry: Entry, ended: list[str], line: str) -> None:
    assert outcomes(entry) == ended
    assert line_of(entry) == f"{TIME}  {line}"
    for word in OUTCOMES:  # what people read is what they can ask for
        assert wants(Wanted(outcome=word), entry) == (word in ended)
        if word in ended:
            assert re.search(rf"\b{word}\b", line)


def test_every_outcome_is_that_of_some_event() -> None:
    assert {word for _, ended, _ in LINES for word in ended} == OUTCOMES.keys()


ASKING = entry("request", **ASKED)
RUNNING = entry("ran", **RAN)
REFUSED_AGENT = entry("agent refused", fqdn="Web07.example.com")


@pytest.mark.parametrize(
    ("wanted", "entry", "fits"),
    [
        (Wanted(), ASKING, True),
        (Wanted(user="alice"), ASKING, True),
        (Wanted(user="alic"), ASKING, False),
        (Wanted(user="alice"), REFUSED_AGENT, False),
        (Wanted(node="web01.example.com"), RUNNING, True),
        (Wanted(node="WEB01.example.com"), RUNNING, True),
        (Wanted(node="web01"), RUNNING, False),
        (Wanted(node="web07.example.com"), REFUSED_AGENT, True),
        (Wanted(node="web01.example.com"), ASKING, False),
        (Wanted(verb=("show",)), ASKING, True),
        (Wanted(verb=("show", "fact")), ASKING, True),
        (Wanted(verb=("show", "fact", "a")), ASKING, True),
        (Wanted(verb=("show", "fact", "a", "b")), ASKING, False),
        (Wanted(verb=("sho",)), ASKING, False),
        (Wanted(verb=("show", "facts")), ASKING, False),
        (Wanted(verb=("show",)), REFUSED_AGENT, False),
        (Wanted(verb=("exec",)), entry("refused", command='exec -- sh -c "rm -rf …'), True),
        (
            Wanted(verb=("exec", "--", "sh", "-c", "rm")),
            entry("refused", command='exec -- sh -c "rm -rf …'),
            False,
        ),
        (Wanted(verb=("exec", "--", "a b")), entry("ran", command='exec -- "a b" c'), True),
        (Wanted(since=TIME), ASKING, True),
        (Wanted(since="2026-01-31T23:00:00.124Z"), ASKING, False),
        (Wanted(until=TIME), ASKING, True),
        (Wanted(until="2026-01-31T23:00:00.122Z"), ASKING, False),
        (Wanted(user="alice", verb=("ping",)), ASKING, False),
    ],
)
def test_all_that_is_asked_for_must_fit(wanted: Wanted, entry: Entry, fits: bool) -> None:
    assert wants(wanted, entry) is fits


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"time": "2026-01-31T23:00:00.123Z"}',
        b'{"event": "ran"}',
        b'{"time": "2026-01-31 23:00:00", "event": "ran"}',
        b'{"time": 1, "event": "ran"}',
        b'{"time": "2026-01-31T23:00:00.123Z", "event": 1}',
        b'{"time": "2026-01-31T23:00:00.123Z", "event": "ra',
        '{"time": "2026-01-31T23:00:00.123Z", "event": "rän"}'.encode(),
        b'{"time": "2026-01-31T23:00:00.123Z", "event": "ran"}\r',
        b'{"time": "2026-01-31T23:00:00.123Z", "event": "\x9b2J"}',
        b'{"a": ' * 100_000,
        b"9" * 10_000,
        b'{"time": "2026-01-31T23:00:00.123Z", "event": "ran", "x": "' + b"x" * LONGEST + b'"}',
    ],
    ids=lambda line: line[:60],
)
def test_what_no_daemon_has_written_is_none(line: bytes) -> None:
    assert entry_of(line) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
FIELDS = (
    *("user", "node", "fqdn", "address", "command", "filters", "mode", "ended", "status", "seconds", "fault"),
    *("effect", "run_as", "why", "code", "key", "sessions", "results", "denied"),
)
EVENTS = ("request", "done", "refused", "agent refused", "ran", "ended", "denied", "expired", "cancelled")


@given(st.sampled_from(EVENTS) | st.text(), st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_whatever_the_fields_are_a_line_is_one_and_harmless(event: str, fields: dict[str, Any]) -> None:
    line = json.dumps({"time": TIME, "event": event, **fields})
    found = entry_of(line.encode())
    assert found is not None
    shown = line_of(found)
    assert not {ord(character) for character in shown} & {*ACTING, *range(0xD800, 0xE000)}
    assert set(outcomes(found)) <= OUTCOMES.keys()
    wants(Wanted("a", "b", ("c",), "2026", "2027", "ok"), found)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_entry_or_none(line: bytes) -> None:
    found = entry_of(line)
    assert found is None or found.time
