"""`cw audit`: what it shows of which logs, what it tells of the rest, and how it ends."""

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from mesh.audited import OUTCOMES
from roles import audit_logs
from roles.arguments import UsageError
from roles.audit import Audit
from roles.audit_logs import moment
from tests.conftest import CHECKOUT

NOW = 1_769_900_400.0  # 2026-01-31T23:00:00Z


class Ended:
    """How a run ended."""

    def __init__(self, status: int, output: str, errors: str) -> None:
        self.status = status
        self.lines = output.splitlines()
        self.errors = errors


Run = Callable[..., Ended]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("time.time", lambda: NOW)

    def run(*words: object) -> Ended:
        status = audit_logs.main([str(word) for word in words])
        sys.stdout.flush()
        return Ended(status, *capfd.readouterr())

    return run


@pytest.fixture
def logs(tmp_path: Path) -> tuple[Path, Path]:
    """A broker's and an agent's: three hours, one hour, a minute ago."""
    broker, agent = tmp_path / "meshd.audit", tmp_path / "cogd.audit"
    for ago, user, words in ((10_800, "alice", "show facts"), (3600, "bob", "ping"), (60, "alice", "ping")):
        asked = {"user": user, "command": words, "filters": []}
        with Audit(broker, partial(float, NOW - ago)) as log:
            log.write("request", address="192.0.2.7", **asked)
            log.write("done", ended="closed", sessions=1, results=1, **asked)
        with Audit(agent, partial(float, NOW - ago), node="web01.example.com") as log:
            log.write("ended", status=int(user == "bob"), fault="", seconds=0.5, **asked)
    return broker, agent


def test_every_line_of_every_log_for_people(run: Run, logs: tuple[Path, Path]) -> None:
    ended = run(*logs)
    assert (ended.status, ended.errors) == (0, "")
    assert ended.lines == [
        "2026-01-31T20:00:00.000Z  alice at 192.0.2.7  show facts  begun",
        "2026-01-31T20:00:00.000Z  alice  show facts  1 answered",
        "2026-01-31T22:00:00.000Z  bob at 192.0.2.7  ping  begun",
        "2026-01-31T22:00:00.000Z  bob  ping  1 answered",
        "2026-01-31T22:59:00.000Z  alice at 192.0.2.7  ping  begun",
        "2026-01-31T22:59:00.000Z  alice  ping  1 answered",
        "2026-01-31T20:00:00.000Z  alice on web01.example.com  show facts  ok, 0.500 s",
        "2026-01-31T22:00:00.000Z  bob on web01.example.com  ping  failed: status 1, 0.500 s",
        "2026-01-31T22:59:00.000Z  alice on web01.example.com  ping  ok, 0.500 s",
    ]


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["--user", "bob"], 3),
        (["--user", "eve"], 0),
        (["--node", "web01.example.com"], 3),
        (["--verb", "show"], 3),
        (["--verb", "show facts"], 3),
        (["--verb", "show *"], 3),
        (["--verb", "ALL"], 9),
        (["--verb", "sho"], 0),
        (["--since", "2h"], 6),
        (["--since", "120m"], 6),
        (["--since", "61s"], 3),
        (["--until", "2h"], 3),
        (["--since", "2026-01-31"], 9),
        (["--until", "2026-01-31"], 9),
        (["--until", "2026-01-30"], 0),
        (["--since", "2026-02-01"], 0),
        (["--since", "2026-01-31T23:00:00+01:00"], 6),
        (["--since", "2026-01-31t22:00:00z", "--until", "2026-01-31T22:00:00.000Z"], 3),
        (["--outcome", "ok"], 2),
        (["--outcome", "begun", "--user", "alice"], 2),
        (["--outcome", "failed", "--since", "30m"], 0),
    ],
)
def test_what_is_asked_for(run: Run, logs: tuple[Path, Path], words: list[str], count: int) -> None:
    before = run(*words, *logs)
    behind = run(logs[0], *words, logs[1])
    assert len(before.lines) == count
    assert before.status == (0 if count else 1)
    assert (behind.status, behind.lines) == (before.status, before.lines)


def test_json_is_the_lines_themselves(run: Run, logs: tuple[Path, Path]) -> None:
    written = [line for log in logs for line in log.read_text().splitlines()]
    assert run("--json", *logs).lines == written
    assert run("--json", "--user", "bob", *logs).lines == [
        x for x in written if json.loads(x)["user"] == "bob"
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--outcome", "good"],
            f"--outcome: expected one of {', '.join(OUTCOMES)}, got 'good' .see cw audit --help.",
        ),
        (["--outcome", "refsued"], "--outcome: expected .*, got 'refsued': did you mean 'refused'."),
        (["--since", "yesterday"], "--since: expected a time like 2h .*, got 'yesterday'"),
        (["--since", "2026-02-30"], "--since: there is no such time: '2026-02-30'"),
        (["--until", "2026-01-31T23:00:00"], "--until: expected a time .*, got '2026-01-31T23:00:00'"),
        (["--until", "2026-01-31T24:61:00Z"], "--until: there is no such time: .*"),
        (["--until", ""], "--until: expected a time .*, got ''"),
        (["--verb", ""], "--verb: expected words in the pattern.*"),
        (["--verb", "sh* x"], r"--verb: expected \* only as the last word of a pattern, got: .*"),
        (["--verb", 'show "fact'], "--verb: expected a word or a whole quoted string at: .*"),
        (["--user", ""], "--user: expected a name, got none"),
        (["--node", ""], "--node: expected a name, got none"),
        (["--usr"], "unknown option --usr: did you mean '--user'."),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_shown(
    run: Run, logs: tuple[Path, Path], words: list[str], sentence: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match=f"^{sentence}$"):
        run(*words, *logs)
    assert capfd.readouterr().out == ""


def test_without_a_log_there_is_nothing_to_show(run: Run) -> None:
    with pytest.raises(UsageError, match="FILE"):
        run()


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("0s", "2026-01-31T23:00:00.000Z", "2026-01-31T23:00:00.000Z"),
        ("7d", "2026-01-24T23:00:00.000Z", "2026-01-24T23:00:00.000Z"),
        ("2w", "2026-01-17T23:00:00.000Z", "2026-01-17T23:00:00.000Z"),
        ("999999999w", "1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00.000Z"),
        ("2024-02-29", "2024-02-29T00:00:00.000Z", "2024-02-29T23:59:59.999Z"),
        ("2026-01-31T23:00:00.5+23:59", "2026-01-30T23:01:00.500Z", "2026-01-30T23:01:00.500Z"),
        ("0001-01-01T00:00:00+23:59", "1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00.000Z"),
    ],
)
def test_ways_to_write_a_time(text: str, first: str, last: str) -> None:
    assert moment("--since", text, NOW, "T00:00:00.000Z") == first
    assert moment("--until", text, NOW, "T23:59:59.999Z") == last


def test_lines_of_no_daemon_and_halves_are_counted_and_told_once(
    run: Run, logs: tuple[Path, Path], tmp_path: Path
) -> None:
    log = logs[0]
    whole = log.read_text()
    long = '{"x": "' + "x" * (2 << 20) + '"}\n'
    log.write_text(whole + "hello\n\n" + long + whole + whole[:100])
    ended = run(log)
    assert len(ended.lines) == 12
    assert ended.status == 0
    assert ended.errors == (
        f"cw: 3 lines were passed over, not being of an audit log, or not whole (first: {log}:7)\n"
    )
    (tmp_path / "other\x1b[2J").write_text("x")
    ended = run(tmp_path / "other\x1b[2J")
    assert (ended.status, ended.lines) == (1, [])
    assert re.fullmatch(
        rf"cw: 1 line was passed over, .* \(first: {tmp_path}/other\\x1b\[2J:1\)\n", ended.errors
    )


def test_a_last_line_without_its_end_is_one_if_it_is_whole(run: Run, logs: tuple[Path, Path]) -> None:
    logs[0].write_bytes(logs[0].read_bytes()[:-1])
    assert len(run(logs[0]).lines) == 6


def test_a_log_that_cannot_be_read_is_told_and_the_others_are_shown(
    run: Run, logs: tuple[Path, Path], tmp_path: Path
) -> None:
    ended = run(tmp_path, logs[0], tmp_path / "none", "--user", "bob")
    assert ended.status == 2
    assert len(ended.lines) == 2
    assert ended.errors == (
        f"cw: cannot read {tmp_path}: Is a directory\n"
        f"cw: cannot read {tmp_path}/none: No such file or directory\n"
    )


def test_standard_input_is_shown_as_it_comes(logs: tuple[Path, Path]) -> None:
    """A line is shown while more may follow, as where a log is followed."""
    words = [sys.executable, "cw.py", "audit", "--user", "bob", "-"]
    with subprocess.Popen(words, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shown:
        assert shown.stdin is not None
        assert shown.stdout is not None
        shown.stdin.write(logs[0].read_bytes())
        shown.stdin.flush()
        assert shown.stdout.readline() == b"2026-01-31T22:00:00.000Z  bob at 192.0.2.7  ping  begun\n"
        shown.stdin.close()
        assert shown.stdout.readline() == b"2026-01-31T22:00:00.000Z  bob  ping  1 answered\n"
        assert shown.wait() == 0


def test_memory_does_not_grow_with_the_log(logs: tuple[Path, Path]) -> None:
    """64 MiB of one line, and of short ones, in an address space that does not hold them."""

    def confined() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (80 << 20, 80 << 20))

    line = logs[1].read_bytes().splitlines(keepends=True)[0]
    words = [sys.executable, "cw.py", "audit", "-", "--json"]
    for text, shown in ((b"x" * (64 << 20), 0), (line * ((64 << 20) // len(line) // 8), None)):
        ended = subprocess.run(
            words, cwd=CHECKOUT, input=text, capture_output=True, check=False, preexec_fn=confined
        )
        assert ended.returncode == (1 if shown == 0 else 0), ended.stderr
        assert ended.stdout == (b"" if shown == 0 else text)


def test_a_reader_that_has_seen_enough_ends_it(logs: tuple[Path, Path]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "cw.py", "audit", str(logs[0])]
    ended = subprocess.run(words, cwd=CHECKOUT, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_help_fits_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        audit_logs.main(["--help"])
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 24
    assert "examples:" in text
