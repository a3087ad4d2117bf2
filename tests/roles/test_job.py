"""`cw jobs` and `cw job`: earlier requests listed, shown, compared, asked again."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import cw
from auth.keys import SIGNING, write_pair
from conf.version import VERSION
from mesh.messages import Ok, Optin, Request, Result
from mesh.printing import UNASKED, Answer, Tally
from roles import jobs
from roles.options import FORMS
from roles.records import Asking, Record, place
from tests.fake_broker import Link, broker, done, node
from tests.sessions import BROKER

Run = Callable[..., tuple[int, str, str]]
PING = Asking("alice", "broker:2315", "ping", "", "run", 0)


def answer(number: int, outcome: str = "ok", output: bytes = b"pong\n") -> Answer:
    about = node(number)
    status = {"ok": 0, "failed": 1}.get(outcome)
    return Answer(about.uuid, about.fqdn, outcome, status, output if status is not None else b"")


MIXED = [
    answer(1),
    answer(2, "failed", b"no\n"),
    answer(3, "lost"),
    answer(4, "silent"),
    answer(5, "malformed"),
    answer(6, UNASKED),
    answer(7, "expired"),
    answer(8, "optout"),
    answer(9, "denied"),
]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, str, str]:
        return (cw.main(list(words)), *capfd.readouterr())

    return run


def kept(
    answers: list[Answer], asking: Asking = PING, status: int | None = 0, error: str | None = None
) -> None:
    record = Record(9, asking)
    record.add(answers, 0.5)
    outcomes = [one.outcome for one in answers]
    record.end(Tally(ok=outcomes.count("ok"), failed=outcomes.count("failed")), status, error)


def test_the_list(run: Run) -> None:
    kept([answer(1)])
    kept(MIXED, PING._replace(command='exec -- echo "a b"', filters='role=web "a = b"'), status=5)
    kept([], PING._replace(mode="plan", command="show facts"), status=3, error="authentication failed")
    kept([answer(1)], PING._replace(command="exec --shell " + "x" * 200), status=None)
    status, output, errors = run("jobs")
    assert (status, errors) == (0, "")
    lines = [
        re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "WHEN", line).split(None, 3) for line in output.splitlines()
    ]
    assert lines[0] == ["ID", "WHEN", "STATUS", "ANSWERS" + " " * 9 + "COMMAND"]
    assert lines[1] == ["1", "WHEN", "0", "1 ok" + " " * 12 + "ping"]
    assert lines[2] == ["2", "WHEN", "5", '1 ok, 1 failed  exec -- echo "a b" -w role=web -w "a = b"']
    assert lines[3] == ["3", "WHEN", "3", "none" + " " * 12 + "show facts (dry run)"]
    assert lines[4][:3] == ["4", "WHEN", "-"]
    assert lines[4][3].endswith("x…")
    assert len(lines[4][3]) <= 16 + jobs.LONGEST


def test_no_list(run: Run) -> None:
    assert run("jobs") == (0, "", f"cw: no records in {place()}\n")


def test_all_answers_again(run: Run) -> None:
    kept(MIXED, status=5)
    status, output, errors = run("job", "1")
    assert status == 0
    assert output.splitlines() == [
        "web01.example.com 0 pong",
        "web02.example.com 1 no",
        *(f"web0{n}.example.com - {how}" for n, how in ((3, "lost"), (4, "silent"), (5, "malformed"))),
        *(f"web0{n}.example.com - {how}" for n, how in ((6, "unasked"), (7, "expired"), (8, "optout"))),
        "web09.example.com - denied",
    ]
    about = r"cw: job 1: ping, asked of broker:2315 by alice, [-0-9]+ [:0-9]+: exit status 5\n"
    assert re.fullmatch(about + r"2 answered: 1 ok, 1 failed\n", errors)


def test_in_any_form(run: Run) -> None:
    kept(MIXED)
    assert run("job", "1", "-q", "--fold", "--only", "ok")[1] == "web01.example.com (1) 0 pong\n"
    assert [one["outcome"] for one in json.loads(run("job", "1", "-q", "--json")[1])] == [
        one.outcome for one in MIXED
    ]
    assert "answered after 0.500 s" in run("job", "1", "-v")[2]


@pytest.mark.parametrize("form", [form.names[-1] for form in FORMS])
def test_every_outcome_in_every_form(run: Run, form: str) -> None:
    kept(MIXED)
    status, output, _ = run("job", "1", "-q", form)
    assert status == 0
    assert "unasked" in output


def test_the_version(run: Run) -> None:
    assert run("job", "--version") == (0, f"cw {VERSION}\n", "")


def test_what_ended_it_is_told(run: Run) -> None:
    kept([], status=3, error="authentication failed")
    assert "exit status 3 (authentication failed)\n" in run("job", "1")[2]
    kept([], status=None)
    assert "not seen to end\n" in run("job", "2")[2]


def test_compared(run: Run) -> None:
    kept([answer(1), answer(2), answer(3)])
    kept([answer(1), answer(2, "failed", b"no\n"), answer(4)])
    status, output, errors = run("job", "1", "--diff", "2")
    assert status == 1
    assert output == (
        "web02.example.com (1) 0 -> 1\n    -pong\n    +no\n"
        "web03.example.com (1) 0 -> absent\n    -pong\n"
        "web04.example.com (1) absent -> 0\n    +pong\n"
    )
    assert errors == "cw: from job 1 to job 2: 3 answered otherwise, 1 the same\n"
    assert run("job", "1", "--diff", "1") == (
        0,
        "",
        "cw: from job 1 to job 1: 0 answered otherwise, 3 the same\n",
    )


def test_a_diff_within_one(run: Run) -> None:
    kept([answer(1), answer(2), answer(3, output=b"other\n")])
    assert "+other" in run("job", "1", "--diff")[1]


USAGE = "expected cw job ID, cw job ID --diff ID2 or cw job ID --rerun WHICH (see cw job --help)"
WRONG = [
    ([], USAGE),
    (["1", "2"], USAGE),
    (["1", "2", "3", "--diff"], USAGE),
    (["1", "2", "--diff", "--rerun", "all"], USAGE),
    (["last"], "expected the number of a job, as cw jobs shows it, got 'last'"),
    (["-1"], "unknown option -1 (see cw ping --help; words after -- are no options)"),
    (["9" * 30], f"expected the number of a job, as cw jobs shows it, got '{'9' * 30}'"),
    (["1", "--rerun", "some"], "--rerun: expected one of failed, missing, all, got 'some'"),
    (["1", "-w", "a=b"], "the filters of a job are its own: -w goes with another request"),
    (
        ["1", "--batch", "2"],
        "nobody is asked without --rerun: only options that print answers go with cw job",
    ),
    (["1", "-t", "2"], "nobody is asked without --rerun: only options that print answers go with cw job"),
    (["7"], "there is no job 7 (cw jobs lists those there are)"),
]


@pytest.mark.parametrize(("words", "sentence"), WRONG)
def test_wrong_words(run: Run, words: list[str], sentence: str) -> None:
    kept([answer(1)])
    assert run("job", *words) == (2, "", f"cw: {sentence}\n")


class Asked:
    """A client's configuration, and the requests that came."""

    def __init__(self, tmp_path: Path) -> None:
        self.requests: list[Request] = []
        self._file = tmp_path / "cw.toml"
        self._key = tmp_path / "alice.key"
        write_pair(self._key, SIGNING, "alice", bytes(range(32)))

    def answers(self, link: Link) -> None:
        """Whoever is asked answers; who would take part says so."""
        request = link.request()
        self.requests.append(request)
        numbers = [1, 2] if request.targets is None else [int(uuid[-12:]) for uuid in request.targets]
        link.say(Ok(len(numbers)))
        for number in numbers:
            link.report(
                node(number), Optin() if request.mode == "plan" else Result(0, b"fine\n", b"", False, 1)
            )
        link.say(done(sessions=len(numbers), results=len(numbers)))

    def run(self, run: Run, *words: str, connections: int = 1) -> tuple[int, str, str]:
        with broker(*[self.answers] * connections) as listener:
            self._file.write_text(
                f'[mesh]\nbroker = "{listener.address}"\nbroker_key = "{BROKER.public.hex()}"\n'
                f'username = "alice"\nkey = "{self._key}"\n'
            )
            return run(*words, "-c", str(self._file))


@pytest.mark.parametrize(
    ("which", "numbers"), [("failed", [2, 5]), ("missing", [3, 4, 6, 7]), ("all", [1, 2, 3, 4, 5, 6, 7])]
)
def test_asked_again(tmp_path: Path, run: Run, which: str, numbers: list[int]) -> None:
    asking = PING._replace(command='exec -- echo "a b"', filters='role=web "a = b"', run_time=7000)
    kept(MIXED, asking, status=5)
    asked = Asked(tmp_path)
    status, output, _ = asked.run(run, "job", "1", "--rerun", which)
    assert status == 0
    assert output == "".join(f"web0{number}.example.com 0 fine\n" for number in numbers)
    (request,) = asked.requests
    assert request.words == ("exec", "--", "echo", "a b")
    assert request.filters == ("role=web", "a = b")
    assert request.run_time == 7000
    assert request.targets == tuple(node(number).uuid for number in numbers)
    again = run("job", "2", "-q")[1]
    assert again == output


def test_asked_again_in_turns(tmp_path: Path, run: Run) -> None:
    kept([answer(number) for number in (1, 2, 3)])
    asked = Asked(tmp_path)
    status, _, errors = asked.run(run, "job", "1", "--rerun", "all", "--batch", "2", "-t", "7", connections=2)
    assert status == 0
    assert [len(request.targets or ()) for request in asked.requests] == [2, 1]
    assert {request.timeout for request in asked.requests} == {7000}
    assert errors.endswith("3 answered: 3 ok\n")


def test_many_are_confirmed_again(tmp_path: Path, run: Run) -> None:
    kept([answer(number) for number in (1, 2, 3)], PING._replace(command="exec -- true"))
    asked = Asked(tmp_path)
    status, _, errors = asked.run(
        run, "job", "1", "--rerun", "all", "--set", "mesh.confirm_above=2", connections=0
    )
    assert status == 2
    assert "would go to 3 nodes" in errors


def test_a_dry_run_is_carried_out_by_asking_again(tmp_path: Path, run: Run) -> None:
    asked = Asked(tmp_path)
    assert asked.run(run, "ping", "--dry-run")[1] == "web01.example.com\nweb02.example.com\n"
    assert (
        asked.run(run, "job", "1", "--rerun", "all")[1]
        == "web01.example.com 0 fine\nweb02.example.com 0 fine\n"
    )
    assert [request.mode for request in asked.requests] == ["plan", "run"]


def test_nothing_is_sent_again_where_nothing_is_to_be_sent(tmp_path: Path, run: Run) -> None:
    kept([answer(1)], PING._replace(command="exec -- true"))
    status, output, errors = Asked(tmp_path).run(run, "job", "1", "--rerun", "all", "-n", connections=0)
    assert (status, errors) == (0, "")
    assert output.startswith("nothing sent: exec -- true, asked of ")
    assert len(run("jobs")[1].splitlines()) == 2


@pytest.mark.parametrize(
    ("which", "sentence"),
    [("failed", "no node of job 1 is failed"), ("missing", "no node of job 1 is missing")],
)
def test_nobody_to_ask_again(run: Run, which: str, sentence: str) -> None:
    kept([answer(1)])
    assert run("job", "1", "--rerun", which) == (6, "", f"cw: {sentence}: there is nobody to ask again\n")


def test_the_help(run: Run) -> None:
    status, output, _ = run("job", "--help")
    assert status == 0
    assert len(output.splitlines()) <= 24
    assert max(map(len, output.splitlines())) <= 100


def test_every_request_leaves_a_record(tmp_path: Path, run: Run) -> None:
    asked = Asked(tmp_path)
    asked.run(run, "ping")
    asked.run(run, "ping", "--set", "records.keep=0")
    output = run("jobs")[1]
    assert len(output.splitlines()) == 2
    assert run("job", "1", "-q")[1] == "web01.example.com 0 fine\nweb02.example.com 0 fine\n"
