"""A command in turns, on some nodes, told only or confirmed: against a broker that says what a test wants."""

import json
import os
import pty
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

import cw
from auth.keys import SIGNING, write_pair
from mesh.messages import (
    Bye,
    Cancel,
    Denied,
    Lost,
    Message,
    NoAuth,
    Ok,
    Optin,
    Optout,
    Ping,
    Pong,
    Request,
    Result,
    Silent,
    encode,
)
from mesh.printing import Tally
from net.channel import Unreachable
from roles import conversation, turns
from roles.history import job
from roles.screen import Screen
from tests.fake_broker import Link, broker, done, node
from tests.sessions import BROKER
from wire.transport import MAX_UNAUTHENTICATED

Script = Callable[[Link], None]
FINE = Result(0, b"", b"", False, 1000)
BAD = Result(1, b"no\n", b"", False, 1000)
UNIT = ("service", "nginx", "restart")


class Ended(NamedTuple):
    status: int
    output: str
    errors: str


class Mesh:
    """A broker's scripts for the plan and for each batch, and the requests that came."""

    def __init__(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.requests: list[Request] = []
        self.scripts: list[Script] = []
        self._configuration = tmp_path / "cw.toml"
        self._key = tmp_path / "alice.key"
        self._capfd = capfd
        write_pair(self._key, SIGNING, "alice", bytes(range(32)))

    def plan(self, nodes: int, first: int = 1, **others: int) -> None:
        """So many would take part."""
        self.says({number: Optin() for number in range(first, first + nodes)}, **others)

    def says(self, answers: dict[int, Message], **others: int) -> None:
        """These nodes answer so in the next request; the other counts are as given."""

        def script(link: Link) -> None:
            self.requests.append(link.request())
            link.say(Ok(len(answers) + sum(others.values())))
            for number, answer in answers.items():
                with suppress(ConnectionError):
                    link.report(node(number), answer)
            kinds: dict[type, str] = {Optout: "optouts", Lost: "lost", Silent: "silent", Denied: "denied"}
            counts = dict(others)
            for answer in answers.values():
                kind = kinds.get(type(answer), "results")
                counts[kind] = counts.get(kind, 0) + 1
            with suppress(ConnectionError):  # who has heard enough has hung up
                link.say(done(sessions=len(answers) + sum(others.values()), **counts))

        self.scripts.append(script)

    def leaves(self) -> None:
        """In the next request the broker hangs up once it has accepted."""

        def script(link: Link) -> None:
            self.requests.append(link.request())
            link.say(Ok(1))

        self.scripts.append(script)

    def ask(self, *words: str) -> Ended:
        with broker(*self.scripts) as listener:
            self._configuration.write_text(
                f'[mesh]\nbroker = "{listener.address}"\nbroker_key = "{BROKER.public.hex()}"\n'
                f'username = "alice"\nkey = "{self._key}"\ntimeout = 20\n'
            )
            status = cw.main(["-c", str(self._configuration), *words])
        return Ended(status, *self._capfd.readouterr())

    @property
    def targets(self) -> list[list[int] | None]:
        """The numbers of the nodes that each request was for; None: all."""
        return [
            None if request.targets is None else [int(uuid[-12:]) for uuid in request.targets]
            for request in self.requests
        ]


@pytest.fixture
def mesh(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Mesh:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Mesh(tmp_path, capfd)


def outcomes() -> list[str]:
    """Those that there is a record of, in the order of the answers."""
    return [answer.outcome for answer, _ in job(1)[1]]


def test_batches_are_asked_one_after_the_other(mesh: Mesh) -> None:
    mesh.plan(5, optouts=2, denied=1)
    mesh.says({1: FINE})
    mesh.says({2: FINE, 3: FINE})
    mesh.says({5: FINE, 4: FINE})
    ended = mesh.ask(*UNIT, "--canary", "1", "--batch", "2", "--pause", "0.001", "-w", "role=web")
    assert mesh.targets == [None, [1], [2, 3], [4, 5]]
    assert [request.mode for request in mesh.requests] == ["plan", "run", "run", "run"]
    assert {request.words for request in mesh.requests} == {UNIT}
    assert {request.filters for request in mesh.requests} == {("role=web",)}
    assert ended.status == 0
    assert ended.output == "".join(f"web0{number}.example.com 0\n" for number in (1, 2, 3, 5, 4))
    assert ended.errors.splitlines() == [
        "cw: batch 1 of 3: 1 answered: 1 ok",
        "cw: batch 2 of 3: 2 answered: 2 ok",
        "cw: batch 3 of 3: 2 answered: 2 ok",
        "5 answered: 5 ok; 2 opted out; 1 denied",
    ]


def test_every_request_has_a_proof_of_its_own(mesh: Mesh) -> None:
    mesh.plan(2)
    mesh.says({1: FINE})
    mesh.says({2: FINE})
    mesh.ask("ping", "--batch", "1")
    assert len({request.auth for request in mesh.requests}) == 3


@pytest.mark.parametrize(
    ("answer", "status", "outcome"), [(BAD, 1, "1 no"), (Lost(), 5, "- lost"), (Silent(), 5, "- silent")]
)
def test_it_stops_where_too_many_failed_or_are_missing(
    mesh: Mesh, answer: Message, status: int, outcome: str
) -> None:
    mesh.plan(6)
    mesh.says({1: FINE, 2: answer})
    ended = mesh.ask("ping", "--batch", "2")
    assert mesh.targets == [None, [1, 2]]
    assert ended.status == status
    assert ended.output == f"web01.example.com 0\nweb02.example.com {outcome}\n"
    assert (
        "cw: stopped, 4 of 6 nodes not asked: 1 failed or missing, at most 0 may (--max-failures)"
        in ended.errors
    )


def test_so_many_may_fail(mesh: Mesh) -> None:
    mesh.plan(4)
    mesh.says({1: BAD})
    mesh.says({2: Lost()})
    mesh.says({3: BAD})
    ended = mesh.ask("ping", "--batch", "1", "--max-failures", "50%")
    assert mesh.targets == [None, [1], [2], [3]]
    assert ended.status == 5
    assert "1 of 4 nodes not asked: 3 failed or missing, at most 2 may" in ended.errors


def test_after_the_last_batch_there_is_nothing_to_stop(mesh: Mesh) -> None:
    mesh.plan(1)
    mesh.says({1: BAD})
    ended = mesh.ask("ping", "--batch", "1")
    assert (ended.status, ended.errors) == (1, "1 answered: 1 failed\n")


def test_who_is_missing_from_the_plan_has_failed(mesh: Mesh) -> None:
    mesh.plan(2, silent=1)
    ended = mesh.ask("ping", "--batch", "1")
    assert mesh.targets == [None]
    assert ended.status == 5
    assert "stopped, 2 of 2 nodes not asked: 1 failed or missing, at most 0 may" in ended.errors


def test_a_target_that_is_gone_is_named(mesh: Mesh) -> None:
    mesh.plan(3)
    mesh.says({1: FINE, 2: Lost()}, lost=1)
    ended = mesh.ask("ping", "--batch", "3")
    assert ended.output == "web01.example.com 0\nweb02.example.com - lost\nweb03.example.com - lost\n"
    assert ended.errors.endswith("1 answered: 1 ok; 2 lost\n")
    assert ended.status == 5


def test_a_target_that_says_nothing_is_named(mesh: Mesh) -> None:
    mesh.plan(3)
    mesh.says({1: FINE, 2: Silent()}, silent=1)
    ended = mesh.ask("ping", "--batch", "3")
    assert ended.output == "web01.example.com 0\nweb02.example.com - silent\nweb03.example.com - silent\n"
    assert ended.status == 5


def test_who_denies_it_meanwhile_is_not_taken_for_lost(mesh: Mesh) -> None:
    mesh.plan(3)
    mesh.says({1: FINE}, lost=1, denied=1)
    ended = mesh.ask("ping", "--batch", "3")
    assert ended.output == "web01.example.com 0\n"
    assert ended.errors.endswith("1 answered: 1 ok; 1 denied; 1 lost\n")


def test_some_are_drawn_the_same_again(mesh: Mesh) -> None:
    mesh.plan(30)
    mesh.says({1: FINE})
    first = mesh.ask("ping", "--limit", "4", "--seed", "monday")
    mesh.plan(30)
    mesh.says({1: FINE})
    mesh.scripts = mesh.scripts[2:]
    mesh.ask("ping", "--limit", "4", "--seed", "monday")
    assert mesh.targets[1] == mesh.targets[3]
    assert len(mesh.targets[1] or []) == 4
    assert "--seed" not in first.errors


def test_the_seed_of_a_draw_is_told(mesh: Mesh) -> None:
    mesh.plan(30)
    mesh.says({1: FINE})
    ended = mesh.ask("ping", "--limit", "4")
    told = ended.errors.splitlines()[0]
    assert told.startswith("cw: 4 of 30 nodes drawn (--seed ")
    seed = told.split()[7]
    mesh.plan(30)
    mesh.says({1: FINE})
    mesh.scripts = mesh.scripts[2:]
    mesh.ask("ping", "--limit", "4", "--seed", seed)
    assert mesh.targets[1] == mesh.targets[3]


DRY = [
    ([], "web01.example.com\nweb02.example.com\nweb03.example.com\n"),
    (["--fold"], "web[01-02].example.com (2)\nweb03.example.com (1)\n"),
]


@pytest.mark.parametrize(("form", "output"), DRY)
def test_a_dry_run_tells_who_would_take_part(mesh: Mesh, form: list[str], output: str) -> None:
    mesh.plan(3, optouts=1)
    ended = mesh.ask(*UNIT, "--dry-run", "--batch", "2", *form)
    assert [request.mode for request in mesh.requests] == ["plan"]
    assert ended == (
        0,
        output,
        "cw: 3 would take part in 2 batches; 1 opted out; service nginx restart: executes; nothing was run\n",
    )


def test_a_dry_run_in_json(mesh: Mesh) -> None:
    mesh.plan(2)
    ended = mesh.ask("ping", "--dry-run", "--canary", "1", "--json", "-q")
    assert json.loads(ended.output) == [
        {"uuid": node(1).uuid, "fqdn": node(1).fqdn, "batch": 1},
        {"uuid": node(2).uuid, "fqdn": node(2).fqdn, "batch": 2},
    ]
    mesh.plan(1)
    mesh.scripts = mesh.scripts[1:]
    assert mesh.ask("ping", "--dry-run", "--jsonl").output.count("\n") == 1


def test_a_dry_run_has_no_other_form(mesh: Mesh) -> None:
    ended = mesh.ask("ping", "--dry-run", "--xml")
    assert (ended.status, ended.output) == (2, "")
    assert ended.errors == "cw: --dry-run prints names, or --json, --jsonl or --fold, not --xml\n"


@pytest.mark.parametrize("form", [["--json"], ["--jsonl"], ["--fold"], []])
def test_a_dry_run_prints_no_others_among_the_names(mesh: Mesh, form: list[str]) -> None:
    slow = Result(125, b"filter too slow\n", b"", False, 0)
    mesh.says({1: Optin(), 2: Optout(), 3: slow})
    ended = mesh.ask("ping", "--dry-run", "--optouts", *form)
    assert ended.status == 1
    assert "web01" in ended.output
    assert len(ended.output.splitlines()) == 1
    assert ended.errors.splitlines() == [
        "cw: web02.example.com - optout",
        "cw: web03.example.com 125 filter too slow",
        "cw: 1 would take part; 1 failed; 1 opted out; ping: pure; nothing was run",
    ]
    assert outcomes() == ["optout", "failed", "ok"]


def test_who_fails_in_the_plan_has_taken_part(mesh: Mesh) -> None:
    mesh.says({1: BAD}, denied=1)
    assert mesh.ask("ping", "--limit", "1").status == 1


def test_a_node_that_comes_twice_is_asked_once(mesh: Mesh) -> None:
    def twice(link: Link) -> None:
        mesh.requests.append(link.request())
        link.say(Ok(2))
        link.report(node(1), Optin())
        link.report(node(1), Optin())
        link.say(done(sessions=2, results=2))

    mesh.scripts.append(twice)
    mesh.says({1: FINE})
    assert mesh.ask("ping", "--batch", "1").status == 0
    assert mesh.targets == [None, [1]]


def test_nodes_with_one_uuid_are_not_asked_one_by_one(mesh: Mesh) -> None:
    def alike(link: Link) -> None:
        mesh.requests.append(link.request())
        link.say(Ok(2))
        link.report(node(1), Optin())
        link.report(node(1)._replace(fqdn="clone.example.com"), Optin())
        link.say(done(sessions=2, results=2))

    mesh.scripts.append(alike)
    ended = mesh.ask("ping", "--batch", "1")
    assert (ended.status, ended.output) == (2, "")
    assert "cw: web01.example.com and clone.example.com have the same UUID, " in ended.errors


@pytest.mark.parametrize(("counts", "status"), [({"optouts": 2}, 6), ({"denied": 1}, 3), ({"lost": 1}, 5)])
@pytest.mark.parametrize("how", ["--dry-run", "--batch=1", "--limit=1"])
def test_nobody_takes_part(mesh: Mesh, how: str, counts: dict[str, int], status: int) -> None:
    mesh.plan(0, **counts)
    ended = mesh.ask("ping", how)
    assert (ended.status, ended.output) == (status, "")
    assert mesh.targets == [None]


def test_who_is_filtered_out_is_named_where_that_is_wanted(mesh: Mesh) -> None:
    mesh.says({1: Optin(), 2: Optout()})
    mesh.says({1: FINE})
    ended = mesh.ask("ping", "--batch", "1", "--optouts")
    assert ended.output == "web02.example.com - optout\nweb01.example.com 0\n"
    assert ended.errors.endswith("1 answered: 1 ok; 1 opted out\n")


def test_a_plan_takes_little_time_and_its_broker_all_that_there_is(mesh: Mesh) -> None:
    mesh.plan(1)
    mesh.says({1: FINE})
    mesh.ask("ping", "--batch", "1", "-t", "30")
    assert [request.timeout for request in mesh.requests] == [10_000, 30_000]


def test_few_nodes_are_not_asked_about(mesh: Mesh) -> None:
    mesh.plan(3)
    mesh.says({1: FINE, 2: FINE, 3: FINE})
    ended = mesh.ask(*UNIT, "--set", "mesh.confirm_above=5")
    assert [request.mode for request in mesh.requests] == ["plan", "run"]
    assert ended.status == 0
    assert ended.errors == "3 answered: 3 ok\n"


def test_few_that_would_take_part_of_many_are_not_asked_about(mesh: Mesh) -> None:
    mesh.plan(3, optouts=10)
    mesh.says({1: FINE, 2: FINE, 3: FINE})
    ended = mesh.ask(*UNIT, "--set", "mesh.confirm_above=5")
    assert mesh.targets == [None, [1, 2, 3]]  # whom it goes to was counted, and nobody else is asked
    assert ended.errors == "3 answered: 3 ok; 10 opted out\n"


def test_many_nodes_need_a_yes(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        mesh.plan(4)
        ended = mesh.ask(*UNIT, "--set", "mesh.confirm_above=3")
    assert [request.mode for request in mesh.requests] == ["plan"]
    assert ended == (
        2,
        "",
        "cw: service nginx restart would go to 4 nodes, more than mesh.confirm_above = 3: give --yes\n",
    )


@pytest.mark.parametrize("words", [("ping",), ("show", "facts"), ("file", "/etc/motd", "get")])
def test_what_only_looks_needs_none(mesh: Mesh, words: tuple[str, ...]) -> None:
    mesh.says({1: FINE})
    assert mesh.ask(*words, "--set", "mesh.confirm_above=0").status == 0
    assert [request.mode for request in mesh.requests] == ["run"]


def test_with_a_yes_there_is_no_plan(mesh: Mesh) -> None:
    mesh.says({1: FINE})
    assert mesh.ask(*UNIT, "--yes", "--set", "mesh.confirm_above=0").status == 0
    assert [request.mode for request in mesh.requests] == ["run"]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal as standard input; the descriptor is what its user types on."""
    typed, given = pty.openpty()
    with os.fdopen(given) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        yield typed
    os.close(typed)


@pytest.mark.parametrize("answer", [b"y\n", b"YES\n"])
def test_a_yes_on_the_terminal(mesh: Mesh, terminal: int, answer: bytes) -> None:
    mesh.plan(3)
    mesh.says({1: FINE, 2: FINE, 3: FINE})
    os.write(terminal, answer)
    ended = mesh.ask(*UNIT, "--set", "mesh.confirm_above=2")
    assert ended.status == 0
    assert ended.errors.startswith(
        "cw: service nginx restart: executes on 3 nodes: web[01-03].example.com\nGo on? [y/N] "
    )


def test_what_is_to_be_confirmed_does_nothing_to_the_terminal(mesh: Mesh, terminal: int) -> None:
    mesh.plan(1)
    os.write(terminal, b"n\n")
    ended = mesh.ask("exec", "--set", "mesh.confirm_above=0", "--", "echo", "\x1b[2J\nping: pure")
    assert ended.errors.startswith('cw: exec -- echo "\\x1b[2J\\x0aping: pure": executes on 1 node: web01')


@pytest.mark.parametrize("answer", [b"\n", b"n\n", b"yeah\n", b"\xff\n", b"\x04"])
def test_anything_else_on_the_terminal(mesh: Mesh, terminal: int, answer: bytes) -> None:
    mesh.plan(3)
    os.write(terminal, answer)
    ended = mesh.ask(*UNIT, "--set", "mesh.confirm_above=2")
    assert (ended.status, ended.output) == (2, "")
    assert ended.errors.endswith("cw: Nothing was run: it was not confirmed.\n")
    assert len(mesh.requests) == 1


def test_a_connection_that_breaks_ends_it(mesh: Mesh) -> None:
    mesh.plan(2)
    mesh.leaves()
    ended = mesh.ask("ping", "--batch", "1")
    assert ended.status == 4
    assert len(mesh.requests) == 2
    assert "the connection to the broker" in ended.errors


def test_ctrl_c_between_two_batches(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(_seconds: float) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(time, "sleep", pressed)
    mesh.plan(3)
    mesh.says({1: FINE})
    ended = mesh.ask("ping", "--batch", "1", "--pause", "7")
    assert ended.status == 130
    assert ended.output == "web01.example.com 0\n"
    assert ended.errors.endswith("1 answered: 1 ok\n")
    assert len(mesh.requests) == 2


def test_ctrl_c_before_the_plan_is_accepted(mesh: Mesh) -> None:
    def slow(link: Link) -> None:
        mesh.requests.append(link.request())
        os.kill(os.getpid(), signal.SIGINT)
        assert isinstance(link.hear(), Cancel)
        link.say(Ok(1), done(sessions=1))

    mesh.scripts.append(slow)
    ended = mesh.ask(*UNIT)
    assert ended == (130, "", "")
    assert [request.mode for request in mesh.requests] == ["plan"]


def test_ctrl_c_with_the_last_words_of_a_batch(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    def last(link: Link) -> None:
        mesh.requests.append(link.request())
        link.say(Ok(1), done(sessions=1, results=1))

    def pressed(_part: object, _sessions: int) -> None:
        signal.raise_signal(signal.SIGINT)

    mesh.plan(2)
    mesh.scripts.append(last)
    monkeypatch.setattr("roles.turns._Part.accepted", pressed)
    ended = mesh.ask("ping", "--batch", "1")
    assert ended.status == 130
    assert len(mesh.requests) == 2


def test_ctrl_c_twice(mesh: Mesh) -> None:
    def hangs(link: Link) -> None:
        mesh.requests.append(link.request())
        link.say(Ok(2))
        link.report(node(1), FINE)
        link.say(Ping(1), serial=0)
        assert isinstance(link.hear(), Pong)
        os.kill(os.getpid(), signal.SIGINT)
        assert isinstance(link.hear(), Cancel)
        os.kill(os.getpid(), signal.SIGINT)
        assert isinstance(link.hear(), Bye)

    mesh.plan(3)
    mesh.scripts.append(hangs)
    ended = mesh.ask("ping", "--batch", "2")
    assert (ended.status, ended.output) == (130, "web01.example.com 0\n")
    assert ended.errors.endswith("1 answered: 1 ok\n")
    assert outcomes() == ["ok", "silent", "unasked"]


@pytest.mark.parametrize(
    ("form", "output"),
    [("--fold", "web01.example.com (1) 0\n"), ("--json", '"outcome": "ok", '), ("--table", "web01")],
)
def test_answers_are_told_where_the_broker_is_gone_at_the_next_batch(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch, form: str, output: str
) -> None:
    def gone(*_: object) -> None:
        raise Unreachable("cannot reach the broker")

    def dies(_seconds: float) -> None:
        monkeypatch.setattr(conversation, "dial", gone)

    monkeypatch.setattr(time, "sleep", dies)
    mesh.plan(2)
    mesh.says({1: FINE})
    ended = mesh.ask("ping", "--batch", "1", form)
    assert ended.status == 4
    assert output in ended.output
    assert form != "--json" or len(json.loads(ended.output)) == 1
    assert ended.errors.endswith("1 answered: 1 ok\ncw: cannot reach the broker\n")
    assert outcomes() == ["ok", "unasked"]


def test_nobody_is_silent_who_was_not_asked(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TARGETS", 1)
    mesh.plan(3)
    mesh.leaves()
    assert mesh.ask("ping", "--canary", "2").status == 4
    assert outcomes() == ["silent", "unasked", "unasked"]


def test_more_targets_than_a_request_holds(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TARGETS", 2)
    mesh.plan(5)
    mesh.says({1: FINE, 2: FINE})
    mesh.says({3: FINE, 4: FINE})
    mesh.says({5: FINE})
    ended = mesh.ask("ping", "--canary", "5")
    assert mesh.targets == [None, [1, 2], [3, 4], [5]]
    assert ended.errors == "5 answered: 5 ok\n"


def test_a_long_command_leaves_room_for_fewer_targets(mesh: Mesh) -> None:
    mesh.says({})
    mesh.ask("exec", "--shell", "x" * 100_000, "--yes")
    unsigned = mesh.requests.pop()._replace(auth=NoAuth())
    around = len(encode(unsigned)) - 100_000 + turns.PROOF_BYTES
    mesh.scripts.clear()
    mesh.plan(5)
    mesh.says({1: FINE, 2: FINE})
    mesh.says({3: FINE, 4: FINE})
    mesh.says({5: FINE})
    room = 2 * turns.TARGET_BYTES + 1
    ended = mesh.ask("exec", "--shell", "x" * (MAX_UNAUTHENTICATED - around - room), "--canary", "5", "--yes")
    assert mesh.targets == [None, [1, 2], [3, 4], [5]]
    assert ended.status == 0
    assert all(len(encode(request)) <= MAX_UNAUTHENTICATED for request in mesh.requests)


class Line:
    """A line of progress, always due."""

    due = 0.0
    shown = False

    def show(self, _tally: Tally) -> None:
        self.shown = True

    def hide(self) -> None:
        self.shown = False


def test_the_progress_of_a_plan_goes_with_it(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line()
    monkeypatch.setattr(Screen, "accepted", lambda screen, _: setattr(screen, "_progress", line))
    mesh.leaves()
    assert mesh.ask("ping", "--limit", "1").status == 4
    assert not line.shown
