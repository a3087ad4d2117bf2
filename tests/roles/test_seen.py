"""Names from the records of earlier requests, whatever nodes wrote into them and whatever the file is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from mesh.printing import Answer, Tally
from mesh.words import canonical
from roles import seen
from roles.records import Asking, Record, opened, place
from roles.seen import Known, known

HOSTILE = (
    "$(touch pwned)", "`touch pwned`", "a;touch pwned", "a b", "a'b", 'a"b', "a\nb", "a\x1b]0;x\x07", "a\\b",
    "~root", "-rf", "a*", "{a,b}", "!1", "a&", "a|b", "a>b", "#a", "ü", "", "a\tb", "é" * 300, "x" * 300,
)  # fmt: skip


def record(command: str, answers: Mapping[str, bytes], outcome: str = "ok") -> None:
    """Keep a request, and what nodes answered by name, as the client does."""
    kept = Record(100, Asking("alice", "127.0.0.1:2315", command, "", "run", 0))
    kept.begin()
    kept.add([Answer("", fqdn, outcome, 0, output) for fqdn, output in answers.items()], 0.1)
    kept.end(Tally(), 0)
    assert kept.complaint == ""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "50% of #1?"))
    return place()


def test_facts_come_from_requests_for_facts_and_hosts_from_all() -> None:
    record("show facts", {"web01.example.com": b"role=web\nsys.arch=x86_64\n"})
    record("show fact site", {"db01.example.com": b"site=north\n"})
    record("show factsheet", {"db01.example.com": b"wrong=1\n"})
    record('show file "/etc/a b"', {"mail01.example.com": b"owner=root\n"})
    record("show facts", {"web02": b"failed=1\n"}, outcome="failed")
    assert known() == Known(
        ("role", "site", "sys.arch"),
        ("db01.example.com", "mail01.example.com", "web01.example.com", "web02"),
        (
            *((5, "show facts"), (4, 'show file "/etc/a b"'), (3, "show factsheet"), (2, "show fact site")),
            (1, "show facts"),
        ),
    )


def test_what_nodes_say_is_a_name_or_nothing() -> None:
    lines = "".join(f"{name}=1\n" for name in HOSTILE).encode() + b"\xff=1\nno equals\nrole=$(touch pwned)\n"
    record("show facts", {**dict.fromkeys(HOSTILE, lines), "web01": lines})
    assert known()[:2] == (("b", "role"), ("web01",))  # "a\nb=1" is two lines


def test_commands_are_one_harmless_line_each() -> None:
    record(canonical(["exec", "--", "a\tb\n\x1b[2J", "x" * 200]), {})
    assert known().jobs == ((1, ('exec -- "a b\\x0a\\x1b[2J" ' + "x" * 200)[:66]),)


def test_only_the_newest_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "ANSWERS", 3)
    monkeypatch.setattr(seen, "LISTED", 2)
    for number in range(8):
        record("show facts", {f"web{number}": f"fact{number}=1\n".encode()})
    assert known() == Known(
        ("fact3", "fact4", "fact5", "fact6", "fact7"),
        ("web5", "web6", "web7"),
        ((8, "show facts"), (7, "show facts")),
    )


def test_nothing_is_known_and_nothing_made_where_there_are_no_records(state: Path) -> None:
    assert known() == Known()
    assert not state.parent.exists()


def test_nothing_is_known_while_somebody_writes(state: Path) -> None:
    record("ping", {"web01": b"pong\n"})
    writer = opened(state)
    writer.execute("BEGIN EXCLUSIVE")
    assert known() == Known()
    writer.close()
    assert known().hosts == ("web01",)


def test_reading_changes_nothing(state: Path) -> None:
    record("ping", {"web01": b"pong\n"})
    before = state.read_bytes()
    assert known().hosts == ("web01",)
    assert state.read_bytes() == before
    assert [path.name for path in state.parent.iterdir()] == ["records.db"]


def no_database(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)


def a_directory(path: Path) -> None:
    path.mkdir()


def made(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(script)


def other_tables(path: Path) -> None:
    made(path, "CREATE TABLE answer (name TEXT)")


def an_endless_view(path: Path) -> None:
    made(
        path,
        "CREATE TABLE job (id INTEGER PRIMARY KEY, command TEXT);"
        "CREATE VIEW answer AS WITH RECURSIVE n(rowid, fqdn) AS (SELECT 1, 'x' UNION ALL SELECT rowid + 1,"
        " 'x' FROM n) SELECT rowid, fqdn FROM n;",
    )


def other_types(path: Path) -> None:
    made(
        path,
        "CREATE TABLE job (id INTEGER PRIMARY KEY, command); CREATE TABLE output (id INTEGER, bytes);"
        "CREATE TABLE answer (job, fqdn, outcome, output);"
        "INSERT INTO job VALUES (1, 'show facts'), (2, NULL), (3, x'ff'), (4, 1.5);"
        "INSERT INTO output VALUES (1, 'text=1'), (2, NULL), (3, 5);"
        "INSERT INTO answer VALUES (1, x'ff', 'ok', 1), (1, NULL, 'ok', 2), (1, 5, 'ok', 3);",
    )


def test_values_of_other_types_are_passed_over(state: Path) -> None:
    state.parent.mkdir(parents=True)
    other_types(state)
    assert known() == Known((), (), ((1, "show facts"),))


@pytest.mark.parametrize("make", [no_database, a_directory, other_tables, an_endless_view])
def test_nothing_is_known_of_what_is_not_ours(make: Callable[[Path], None], state: Path) -> None:
    state.parent.mkdir(parents=True)
    make(state)
    assert known() == Known()
