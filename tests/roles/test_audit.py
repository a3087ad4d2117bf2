import json
import os
import resource
import stat
import threading
from pathlib import Path

import pytest

from roles.audit import Audit, AuditError, place_of, timestamp


def events(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000.1234, "2023-11-14T22:13:20.123Z"),
        (1_700_000_000.9996, "2023-11-14T22:13:21.000Z"),
    ],
)
def test_times_are_rfc_3339_in_utc(seconds: float, text: str) -> None:
    assert timestamp(seconds) == text


def test_an_event_is_one_json_line(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    with Audit(path, now=lambda: 0) as audit:
        audit.write("request", user="alice", words=("show", "a\nb\u2028\udc80"), sessions=3)
    assert path.read_text().count("\n") == 1
    assert events(path) == [
        {
            "time": "1970-01-01T00:00:00.000Z",
            "event": "request",
            "user": "alice",
            "words": ["show", "a\nb\u2028\udc80"],
            "sessions": 3,
        }
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_events_of_one_moment_are_lines_of_their_own(tmp_path: Path) -> None:
    moments = iter((1.0, 2.0))
    with Audit(tmp_path / "audit", now=lambda: next(moments)) as audit:
        audit.write_together(("ran", {"serial": 1}), ("ended", {"serial": 1}))
        audit.write("ran", serial=2)
    assert [(event["event"], event["serial"], event["time"]) for event in events(tmp_path / "audit")] == [
        ("ran", 1, "1970-01-01T00:00:01.000Z"),
        ("ended", 1, "1970-01-01T00:00:01.000Z"),
        ("ran", 2, "1970-01-01T00:00:02.000Z"),
    ]


def test_it_is_only_added_to(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    for number in range(2):
        with Audit(path) as audit:
            audit.write("start", number=number)
    assert [event["number"] for event in events(path)] == [0, 1]


def test_lines_written_at_once_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "audit"

    def write(number: int) -> None:
        with Audit(path) as audit:
            for _ in range(50):
                audit.write("x", number=number, text=str(number) * 3000)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(events(path)) == 200


def test_reopening_goes_on_in_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    with Audit(path) as audit:
        audit.write("one")
        path.rename(tmp_path / "audit.1")
        audit.write("two")
        audit.reopen()
        audit.write("three")
    assert [event["event"] for event in events(tmp_path / "audit.1")] == ["one", "two"]
    assert [event["event"] for event in events(path)] == ["three"]


def test_a_file_that_cannot_be_reopened_leaves_the_old_one(tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    with Audit(directory / "audit") as audit:
        directory.rename(tmp_path / "moved")
        directory.write_text("in the way")
        with pytest.raises(AuditError, match="cannot open the audit log"):
            audit.reopen()
        audit.write("still")
    assert [event["event"] for event in events(tmp_path / "moved/audit")] == ["still"]


def test_no_file_keeps_nothing() -> None:
    with Audit(None) as audit:
        audit.write("x")
        audit.reopen()


@pytest.mark.parametrize("path", ["/dev/full", "/nonexistent/deeper/audit", "/dev/null/audit"])
def test_what_cannot_be_written_is_an_error_that_names_the_file(path: str) -> None:
    with pytest.raises(AuditError, match=f"audit log {path}: "), Audit(Path(path)) as audit:
        audit.write("x")


def test_what_is_started_does_not_inherit_it(tmp_path: Path) -> None:
    with Audit(tmp_path / "audit"):
        descriptors = [int(name) for name in os.listdir("/proc/self/fd")]
        ours = [
            number
            for number in descriptors
            if os.path.lexists(f"/proc/self/fd/{number}")
            and os.readlink(f"/proc/self/fd/{number}") == str(tmp_path / "audit")
        ]
        assert [os.get_inheritable(number) for number in ours] == [False]


def test_a_line_that_was_cut_short_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    audit = Audit(path, lambda: 0.0)
    audit.write("first")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, limits[1]))
    try:
        with pytest.raises(AuditError, match="no space for a whole line"):
            audit.write("second")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    audit.write("third")
    audit.write("fourth")
    audit.close()
    first, _cut, third, fourth = path.read_text().splitlines()
    assert [json.loads(line)["event"] for line in (first, third, fourth)] == ["first", "third", "fourth"]


def test_its_directory_is_made_and_no_more(tmp_path: Path) -> None:
    with Audit(tmp_path / "logs/audit") as audit:
        audit.write("x")
    assert stat.S_IMODE((tmp_path / "logs").stat().st_mode) == 0o750
    with pytest.raises(
        AuditError, match=r"/none/deeper/audit: No such file or directory \(audit.file names it\)$"
    ):
        Audit(tmp_path / "none/deeper/audit")
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_a_log_of_a_node_says_of_which(tmp_path: Path) -> None:
    with Audit(tmp_path / "audit", node="web01.example.com") as audit:
        audit.write("ran", user="alice")
    assert list(events(tmp_path / "audit")[0]) == ["time", "event", "node", "user"]
    assert events(tmp_path / "audit")[0]["node"] == "web01.example.com"


@pytest.mark.parametrize(
    ("path", "place"), [("audit", "audit"), ("new", "."), ("logs/new", "."), ("linked/audit", "linked/audit")]
)
def test_where_it_would_be_written_is_told_and_nothing_made(path: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("")
    (tmp_path / "linked").symlink_to(tmp_path)
    there = sorted(tmp_path.iterdir())
    assert place_of(tmp_path / path) == tmp_path / place
    assert sorted(tmp_path.iterdir()) == there


@pytest.mark.parametrize(
    "path", ["none/deeper/audit", "directory", "file/audit", "file/deeper/audit", "loop/audit"]
)
def test_where_it_cannot_be_written_it_says_what_opening_would(path: str, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(AuditError) as told:
        place_of(tmp_path / path)
    with pytest.raises(AuditError) as opening:
        Audit(tmp_path / path)
    assert str(told.value) == str(opening.value)


def test_where_there_is_only_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    with pytest.raises(AuditError, match=r"cannot open the audit log \S+/audit: Permission denied"):
        place_of(tmp_path / "audit")
