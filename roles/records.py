"""What a user asked and what came of it, kept in an SQLite database of theirs alone, bounded; nothing depends
on it. This is the writing side: roles/history.py reads.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from errors import CwError
from mesh.printing import Answer, Tally

if TYPE_CHECKING:
    from sqlite3 import Connection

LAYOUT = 1
"""The version of the tables (PRAGMA user_version)."""

TABLES = """
CREATE TABLE IF NOT EXISTS job(
    id INTEGER PRIMARY KEY AUTOINCREMENT, began REAL NOT NULL, seconds REAL, user TEXT NOT NULL,
    broker TEXT NOT NULL, command TEXT NOT NULL, filters TEXT NOT NULL, mode TEXT NOT NULL,
    run_time INTEGER NOT NULL, status INTEGER, error TEXT, ok INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0, optouts INTEGER NOT NULL DEFAULT 0, denied INTEGER NOT NULL DEFAULT 0,
    expired INTEGER NOT NULL DEFAULT 0, lost INTEGER NOT NULL DEFAULT 0, silent INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS output(
    id INTEGER PRIMARY KEY, job INTEGER NOT NULL REFERENCES job ON DELETE CASCADE, bytes BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS answer(
    job INTEGER NOT NULL REFERENCES job ON DELETE CASCADE, uuid TEXT NOT NULL, fqdn TEXT NOT NULL,
    outcome TEXT NOT NULL, status INTEGER, output INTEGER NOT NULL, error_output INTEGER NOT NULL,
    truncated INTEGER NOT NULL, duration REAL, elapsed REAL NOT NULL);
CREATE INDEX IF NOT EXISTS outputs ON output(job);
CREATE INDEX IF NOT EXISTS answers ON answer(job);
"""
"""Times are seconds, `began` since the epoch; `command` and `filters` canonical words; `seconds` and `status`
are NULL while a job runs, and for ever if its client was killed. An output is kept once a job.
"""

COUNTS = Tally._fields[:7]
"""The columns of a job that count."""

ANSWERS_AT_ONCE = 256
BYTES_AT_ONCE = 1 << 20
"""Answers, and bytes of their output, that wait to be written together."""

MOST_OUTPUT = 64 << 20
"""Bytes of output that are kept of one job, equal outputs once; what comes then is kept as cut at 0 bytes."""

MOST_IN_ALL = 256 << 20
"""Bytes of the database beyond which the oldest jobs go, however few there are."""

PATIENCE = 2.0
"""Seconds that another client may take to write a record of its own."""


class RecordsError(CwError):
    """The records cannot be used."""


class Asking(NamedTuple):
    """What a record says of its request from the start; `run_time` in milliseconds, 0 for the nodes' own."""

    user: str
    broker: str
    command: str
    filters: str
    mode: str
    run_time: int


def place() -> Path:
    """The database: among the state of the user's programs (XDG Base Directory Specification).

    Raises RecordsError where the user has no home.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    base = state if os.path.isabs(state) else os.path.expanduser("~/.local/state")
    if not os.path.isabs(base):
        raise RecordsError("there is no home directory to keep them in (HOME)")
    return Path(base) / "clockwork" / "records.db"


def opened(path: Path) -> Connection:
    """The database, to write in: made if it is not there. Raises RecordsError."""
    import sqlite3

    try:
        _insist_on_home(path.parent.parent)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _insist_on_privacy(path.parent, os.stat(path.parent))
        # Made here, as SQLite would make it for others to read.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            _insist_on_privacy(path, os.fstat(descriptor))
        finally:
            os.close(descriptor)
        database = sqlite3.connect(path, timeout=PATIENCE)
    except (OSError, sqlite3.Error) as error:
        raise unusable(path, error) from error
    try:
        # A record is not worth waiting for the disk: what a crash of the host breaks can be removed.
        database.executescript("PRAGMA synchronous = OFF; PRAGMA foreign_keys = ON")
        if layout(database) == 0:
            database.executescript(
                f"PRAGMA auto_vacuum = FULL; BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {LAYOUT}; COMMIT"
            )
        insist_on_layout(database, path)
    except sqlite3.Error as error:
        database.close()
        raise unusable(path, error) from error
    except RecordsError:
        database.close()
        raise
    return database


def layout(database: Connection) -> int:
    """The version of the tables; 0 where there are none."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    return int(version)


def insist_on_layout(database: Connection, path: Path) -> None:
    """Raises RecordsError if another version of cw made the tables."""
    if (found := layout(database)) != LAYOUT:
        raise RecordsError(f"{path} has layout {found}, this cw keeps {LAYOUT}: remove it to begin anew")


def unusable(path: Path, error: Exception) -> RecordsError:
    """What went wrong with the database, as one line."""
    why = error.strerror if isinstance(error, OSError) else str(error)
    return RecordsError(f"{path}: {why}")


def _insist_on_home(directory: Path) -> None:
    """Raises RecordsError where another user could put another directory in the place of one of ours, or
    would find one of ours among their own: as root in a user's home.
    """
    while not directory.exists():
        directory = directory.parent
    if os.stat(directory).st_uid not in (0, os.geteuid()):
        raise RecordsError(f"{directory} belongs to another user")


def _insist_on_privacy(path: Path, status: os.stat_result) -> None:
    """Raises RecordsError where others could see, or choose, what is written: as root in a user's home."""
    if status.st_uid != os.geteuid():
        raise RecordsError(f"{path} belongs to another user")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise RecordsError(f"{path}: others can change it: chmod go-w {path}")


class Record:
    """The record of one command while it runs; `complaint` says why there is none.

    `keep` is how many jobs there may be; 0: nothing is kept.
    """

    def __init__(self, keep: int, asking: Asking) -> None:
        self.complaint = ""
        self._keep = keep
        self._asking = asking
        self._began = time.time()
        self._started = time.monotonic()
        self._database: Connection | None = None
        self._job = 0
        self._outputs: dict[bytes, int] = {}
        self._bytes = 0
        self._waiting: list[tuple[Answer, float]] = []
        self._weight = 0

    def begin(self) -> None:
        """Note what was asked. Done while nodes work; again, it changes nothing."""
        if self._keep and not self._job:
            self._attempt(self._note_job)

    def add(self, answers: Sequence[Answer], elapsed: float) -> None:
        """Keep answers that came so many seconds after they were asked for."""
        if not self._keep:
            return
        self._waiting += [(answer, elapsed) for answer in answers]
        self._weight += sum(len(answer.output) + len(answer.error_output) for answer in answers)
        if len(self._waiting) >= ANSWERS_AT_ONCE or self._weight >= BYTES_AT_ONCE:
            self.begin()
            self._attempt(self._note_answers)

    def end(self, tally: Tally, status: int | None, error: str | None = None) -> None:
        """Note how it ended: its exit status, None where it did not come to one, and what cut it short."""
        self.begin()
        self._attempt(lambda database: self._note_end(database, tally, status, error))
        if self._database:
            self._database.close()

    def _attempt(self, write: Callable[[Connection], None]) -> None:
        """Write, if that is still to be tried; a failure is the last."""
        if not self._keep:
            return
        try:
            import sqlite3
        except ImportError:
            self._give_up("this Python has no sqlite3")
            return
        try:
            if self._database is None:
                self._database = opened(place())
            with self._database:
                write(self._database)
        except (RecordsError, sqlite3.Error) as error:
            self._give_up(str(error))
        except KeyboardInterrupt:
            self._outputs.clear()  # the last of them may be undone
            raise

    def _give_up(self, why: str) -> None:
        self._keep = 0
        self.complaint = f"no record of this is kept: {why} (records.keep = 0 wants none)"

    def _note_job(self, database: Connection) -> None:
        columns = ("began", *Asking._fields)
        self._job = _inserted(database, "job", columns, (self._began, *self._asking))

    def _note_answers(self, database: Connection) -> None:
        rows = []
        for answer, elapsed in self._waiting:
            output, error_output = (
                self._kept(database, answer.output),
                self._kept(database, answer.error_output),
            )
            cut = answer.truncated or output is None
            row = (self._job, answer.uuid, answer.fqdn, answer.outcome, answer.status)
            rows.append((*row, output or 0, error_output or 0, cut, answer.duration, elapsed))
        database.executemany("INSERT INTO answer VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self._waiting, self._weight = [], 0

    def _kept(self, database: Connection, output: bytes) -> int | None:
        """The number of an output, 0 of an empty one; None: there is no room for it."""
        if not output:
            return 0
        number = self._outputs.get(output)
        if number is None and self._bytes + len(output) <= MOST_OUTPUT:
            self._bytes += len(output)
            number = _inserted(database, "output", ("job", "bytes"), (self._job, output))
            self._outputs[output] = number
        return number

    def _note_end(self, database: Connection, tally: Tally, status: int | None, error: str | None) -> None:
        self._note_answers(database)
        counts = ", ".join(f"{count} = ?" for count in COUNTS)
        seconds = time.monotonic() - self._started
        database.execute(
            f"UPDATE job SET seconds = ?, status = ?, error = ?, {counts} WHERE id = ?",  # noqa: S608
            (seconds, status, error, *tally[:7], self._job),
        )
        database.execute(
            "DELETE FROM job WHERE id NOT IN (SELECT id FROM job ORDER BY id DESC LIMIT ?)", (self._keep,)
        )
        while _size(database) > MOST_IN_ALL:
            if not database.execute("DELETE FROM job WHERE id = (SELECT min(id) FROM job)").rowcount:
                break


def _inserted(database: Connection, table: str, columns: Sequence[str], values: Sequence[object]) -> int:
    """The number of a new row."""
    marks = ", ".join("?" * len(columns))
    row = f"INSERT INTO {table}({', '.join(columns)}) VALUES({marks})"
    return database.execute(row, values).lastrowid or 0


def _size(database: Connection) -> int:
    """Bytes of the database that are in use."""
    pages, free, each = (
        int(database.execute(f"PRAGMA {what}").fetchone()[0])
        for what in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * each
