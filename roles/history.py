"""What the records of a user's requests hold: the reading side of roles/records.py. It changes nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import NamedTuple

from mesh.printing import Answer, Tally
from roles.records import COUNTS, PATIENCE, RecordsError, insist_on_layout, layout, opened, place, unusable


class NoSuchJob(RecordsError):
    """There is no record of that job."""


class Job(NamedTuple):
    """What was asked: `began` in seconds since the epoch, `seconds` and `status` None if no end was seen,
    `command` and `filters` canonical words, `run_time` in milliseconds, `error` what cut it short.
    """

    id: int
    began: float
    seconds: float | None
    user: str
    broker: str
    command: str
    filters: str
    mode: str
    run_time: int
    status: int | None
    error: str | None
    tally: Tally


_JOBS = f"SELECT {', '.join((*Job._fields[:-1], *COUNTS))} FROM job"  # noqa: S608 - names of our own

_ANSWERS = """
SELECT
    uuid, fqdn, outcome, status, coalesce(said.bytes, x''), coalesce(errors.bytes, x''), truncated,
    duration, elapsed
FROM answer
    LEFT JOIN output AS said ON said.id = output LEFT JOIN output AS errors ON errors.id = error_output
WHERE answer.job = ? ORDER BY answer.rowid
"""


def jobs() -> list[Job]:
    """All that there are, the oldest first. Raises RecordsError."""
    with _reading() as database:
        return [_job(row) for row in database.execute(f"{_JOBS} ORDER BY id")] if database else []


def job(number: int) -> tuple[Job, list[tuple[Answer, float]]]:
    """One, and its answers as they came, each with its seconds. Raises NoSuchJob, RecordsError."""
    with _reading() as database:
        row = database.execute(f"{_JOBS} WHERE id = ?", (number,)).fetchone() if database else None
        if database is None or row is None:
            raise NoSuchJob(f"there is no job {number} (cw jobs lists those there are)")
        answers = [
            (Answer(uuid, fqdn, outcome, status, bytes(output), bytes(errors), bool(cut), duration), elapsed)
            for uuid, fqdn, outcome, status, output, errors, cut, duration, elapsed in database.execute(
                _ANSWERS, (number,)
            )
        ]
    return _job(row), answers


@contextmanager
def _reading() -> Iterator[sqlite3.Connection | None]:
    """The database; None where there is none yet. Raises RecordsError."""
    path = place()
    try:
        os.stat(path)
        if os.path.lexists(f"{path}-journal"):  # if its client was killed, only who may write undoes it
            opened(path).close()
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    except OSError as error:
        raise unusable(path, error) from error
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", timeout=PATIENCE, uri=True)) as database:
            if layout(database) == 0:  # being made this moment
                yield None
                return
            insist_on_layout(database, path)
            yield database
    except sqlite3.Error as error:
        raise unusable(path, error) from error


def _job(row: Sequence[object]) -> Job:
    return Job._make((*row[: len(Job._fields) - 1], Tally._make((*row[-len(COUNTS) :], False))))
