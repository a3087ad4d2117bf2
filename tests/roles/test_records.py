"""Records of requests: what they hold, their bounds, who can see them, what becomes of failures."""

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mesh.printing import UNASKED, Answer, Tally
from roles import records, seen
from roles.history import NoSuchJob, job, jobs
from roles.records import Asking, Record, RecordsError

PING = Asking("alice", "127.0.0.1:2315", "ping", "", "run", 0)
ANSWERS = [
    Answer("u1", "web01.example.com", "ok", 0, b"pong\n", b"", False, 0.5),
    Answer("u2", "web02.example.com", "failed", 3, b"\xff\x00", b"no\n", True, 0.25),
    Answer("u3", "web03.example.com", "lost"),
    Answer("u4", "web04.example.com", UNASKED),
]


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return records.place()


def recorded(answers: list[Answer], keep: int = 9, asking: Asking = PING) -> Record:
    record = Record(keep, asking)
    record.begin()
    record.add(answers, 1.5)
    record.end(Tally(ok=1, failed=1, lost=1, optouts=4, took_part=True), 5)
    return record


def test_what_is_kept() -> None:
    asking = Asking("alice", "broker:1", 'exec -- echo "a b"', '"a = b" c=d', "run", 7000)
    assert recorded(ANSWERS, asking=asking).complaint == ""
    (found,) = jobs()
    assert found[3:9] == asking
    assert (found.id, found.status, found.error) == (1, 5, None)
    assert found.tally == Tally(ok=1, failed=1, lost=1, optouts=4)
    again, answers = job(1)
    assert again == found
    assert answers == [(answer, 1.5) for answer in ANSWERS]


def test_numbers_rise_and_are_never_used_again() -> None:
    for _ in range(4):
        recorded([], keep=2)
    assert [found.id for found in jobs()] == [3, 4]
    recorded([], keep=1)
    assert [found.id for found in jobs()] == [5]


def test_what_goes_takes_its_answers_along(database: Path) -> None:
    recorded(ANSWERS, keep=1)
    recorded([], keep=1)
    with sqlite3.connect(database) as opened:
        assert opened.execute("SELECT count(*) FROM answer").fetchone() == (0,)
        assert opened.execute("SELECT count(*) FROM output").fetchone() == (0,)
    opened.close()


def test_equal_outputs_are_kept_once(database: Path) -> None:
    recorded([ANSWERS[0]] * 1000)
    with sqlite3.connect(database) as opened:
        assert opened.execute("SELECT count(*) FROM output").fetchone() == (1,)
    opened.close()
    assert len(job(1)[1]) == 1000


def test_a_job_keeps_so_much_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST_OUTPUT", 10)
    said = [Answer(f"u{n}", f"n{n}", "ok", 0, bytes([n]) * 4, b"", False, 0.0) for n in range(1, 4)]
    recorded(said)
    assert [(answer.output, answer.truncated) for answer, _ in job(1)[1]] == [
        (b"\x01" * 4, False),
        (b"\x02" * 4, False),
        (b"", True),
    ]


def test_the_oldest_go_where_the_database_is_full(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST_IN_ALL", 300_000)
    for number in range(6):
        recorded([Answer("u", "n", "ok", 0, bytes([number]) * 100_000, b"", False, 0.0)])
    assert [found.id for found in jobs()] == [5, 6]
    assert database.stat().st_size < 400_000


def test_answers_are_written_while_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record(9, PING)
    record.begin()
    record.add(ANSWERS * 63, 0.1)
    assert job(1)[1] == []
    record.add(ANSWERS, 0.2)
    assert len(job(1)[1]) == 256
    found, _ = job(1)
    assert (found.status, found.seconds) == (None, None)
    record.end(Tally(), 0)
    assert job(1)[0].status == 0


def test_two_commands_at_once() -> None:
    one, other = Record(9, PING), Record(9, PING)
    one.begin()
    other.begin()
    one.add(ANSWERS[:1], 0.0)
    other.add(ANSWERS[1:], 0.0)
    other.end(Tally(), 0)
    one.end(Tally(), 0)
    assert [len(job(number)[1]) for number in (1, 2)] == [1, 3]


def test_a_refusal_is_kept() -> None:
    record = Record(9, PING)
    record.end(Tally(), 3, "authentication failed")
    (found,) = jobs()
    assert (found.status, found.error) == (3, "authentication failed")


def test_nothing_is_kept_where_none_is_wanted(database: Path) -> None:
    assert recorded(ANSWERS, keep=0).complaint == ""
    assert not database.parent.exists()
    assert jobs() == []


def test_nobody_else_can_read_them(database: Path) -> None:
    os.umask(0)
    try:
        recorded(ANSWERS)
    finally:
        os.umask(0o022)
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    assert stat.S_IMODE(database.parent.stat().st_mode) == 0o700


def linked(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.symlink_to(path.parent / "elsewhere")


def foreign(path: Path) -> None:
    path.parent.mkdir(parents=True)
    os.chown(path.parent, 12345, 12345)


def open_to_others(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.parent.chmod(0o777)


def garbage(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database at all, whatever else it is" * 100)


def of_tomorrow(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as opened:
        opened.execute("PRAGMA user_version = 99")
    opened.close()


def file_in_the_way(path: Path) -> None:
    path.parent.parent.mkdir(parents=True)
    path.parent.write_text("")


BROKEN = [
    (linked, "Too many levels of symbolic links"),
    (foreign, "belongs to another user"),
    (open_to_others, "others can change it: chmod go-w "),
    (garbage, "file is not a database"),
    (of_tomorrow, "has layout 99, this cw keeps 1: remove it to begin anew"),
    (file_in_the_way, "File exists"),
]


@pytest.mark.parametrize(("breaks", "why"), BROKEN)
def test_what_cannot_be_kept_is_told_and_does_no_harm(database: Path, breaks: object, why: str) -> None:
    assert callable(breaks)
    breaks(database)
    record = recorded(ANSWERS)
    assert record.complaint.startswith("no record of this is kept: ")
    assert why in record.complaint
    assert record.complaint.endswith("(records.keep = 0 wants none)")


@pytest.mark.parametrize(("breaks", "why"), [BROKEN[3], BROKEN[4]])
def test_what_cannot_be_read_is_one_line(database: Path, breaks: object, why: str) -> None:
    assert callable(breaks)
    breaks(database)
    with pytest.raises(RecordsError, match=why):
        jobs()


def test_nothing_of_root_is_put_into_a_home_of_another_user(database: Path) -> None:
    home = database.parent.parent
    home.mkdir()
    os.chown(home, 12345, 12345)
    assert f"{home} belongs to another user" in recorded(ANSWERS).complaint
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("home", ["", "relative"])
def test_without_a_home_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", home)
    if not home:
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as of a user without an account
    assert "there is no home directory to keep them in (HOME)" in recorded(ANSWERS).complaint
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RecordsError, match="there is no home directory"):
        jobs()
    assert seen.known() == seen.Known()


def test_a_client_that_was_killed_leaves_records_that_can_be_read(database: Path) -> None:
    recorded(ANSWERS)
    dies = (
        "import os, sqlite3, sys; db = sqlite3.connect(sys.argv[1]);"
        "db.executescript('PRAGMA synchronous = OFF; PRAGMA cache_size = 1; BEGIN');"
        "db.execute('DELETE FROM answer');"
        "[db.execute('INSERT INTO output(job, bytes) VALUES(1, zeroblob(9999))') for _ in range(99)];"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", dies, str(database)], check=False)
    assert database.with_name("records.db-journal").exists()
    assert len(jobs()) == 1
    assert [answer for answer, _ in job(1)[1]] == ANSWERS


def test_an_output_whose_writing_was_interrupted_is_written_again(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (Answer(f"u{n}", f"n{n}", "ok", 0, bytes([n]), b"", False, 0.0) for n in (1, 2))
    record = Record(9, PING)
    record.begin()
    inserted = records._inserted

    def interrupted(*row: Any) -> int:
        if bytes([2]) in row[3]:
            raise KeyboardInterrupt
        return inserted(*row)

    monkeypatch.setattr(records, "_inserted", interrupted)
    monkeypatch.setattr(records, "ANSWERS_AT_ONCE", 2)
    with pytest.raises(KeyboardInterrupt):
        record.add([one, other], 0.0)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_STATE_HOME", str(database.parent.parent))
    record.end(Tally(ok=2), 130)
    assert [answer.output for answer, _ in job(1)[1]] == [one.output, other.output]


def test_a_locked_database_is_not_waited_for_long(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded([])
    monkeypatch.setattr(records, "PATIENCE", 0.01)
    other = sqlite3.connect(database)
    other.execute("BEGIN EXCLUSIVE")
    try:
        assert "database is locked" in recorded(ANSWERS).complaint
    finally:
        other.close()
    assert len(jobs()) == 1


def test_there_is_no_such_job() -> None:
    with pytest.raises(NoSuchJob, match=r"^there is no job 7 \(cw jobs lists those there are\)$"):
        job(7)
    recorded([])
    with pytest.raises(NoSuchJob):
        job(2**62)


@pytest.mark.parametrize("state", ["", "relative/state"])
def test_where_they_are(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", state)
    monkeypatch.setenv("HOME", "/home/alice")
    assert records.place() == Path("/home/alice/.local/state/clockwork/records.db")
