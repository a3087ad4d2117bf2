"""What this user's earlier requests have shown of the mesh: names of facts and of hosts, from their records.

The outputs in there are nodes' own: only what is a name, letters and digits and a few signs, comes out.
"""

from __future__ import annotations

import re
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from conf.addresses import is_host_name
from mesh import facts
from mesh.printing import harmless
from roles.records import RecordsError, place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from sqlite3 import Connection

ANSWERS = 20_000
"""The newest answers, of which hosts' names are taken."""

JOBS = 200
"""The newest requests, among which those for facts are looked for."""

OUTPUTS, OUTPUT_BYTES = 100, 65_536
"""Outputs of one request for facts that are read, and how far."""

STEPS = 5_000_000
"""Of SQLite's machine for one row, some tens of milliseconds: more is no database of ours."""

ABOUT_FACTS = re.compile(r"show facts?(?: |\Z)")
"""How the commands begin whose output is facts."""

FOR_FACTS = 5
"""Requests for facts whose output is read: one for all of them tells more than any for some."""

LISTED, SHOWN = 50, 60
"""Jobs that are named, and characters of their commands."""


class Known(NamedTuple):
    """Names of facts and of hosts, sorted, and the newest jobs, each with its command."""

    facts: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    jobs: tuple[tuple[int, str], ...] = ()


def known() -> Known:
    """What the records show; nothing where there are none, somebody writes them, or they are not ours."""
    try:
        import sqlite3
    except ImportError:  # a Python may lack it
        return Known()
    try:
        with closing(sqlite3.connect(f"{place().as_uri()}?mode=ro", timeout=0, uri=True)) as records:
            records.text_factory = lambda raw: raw.decode("utf-8", "replace")
            records.set_progress_handler(lambda: 1, STEPS)
            found = set(_facts(records))
            return Known(tuple(sorted(found)), tuple(sorted(_hosts(records))), tuple(_jobs(records)))
    except (sqlite3.Error, RecordsError):
        return Known()


def _hosts(records: Connection) -> set[str]:
    rows = records.execute("SELECT fqdn FROM answer ORDER BY rowid DESC LIMIT ?", (ANSWERS,))
    return {name for name in {row[0] for row in rows} if isinstance(name, str) and is_host_name(name)}


def _facts(records: Connection) -> Iterator[str]:
    for job in _about_facts(records):
        outputs = records.execute(
            "SELECT substr(output.bytes, 1, ?) FROM answer JOIN output ON output.id = answer.output"
            " WHERE answer.job = ? AND answer.outcome = 'ok' LIMIT ?",
            (OUTPUT_BYTES, job, OUTPUTS),
        )
        for output in {row[0] for row in outputs}:
            if isinstance(output, bytes):
                for line in output.decode("ascii", "replace").split("\n"):
                    name, equals, _ = line.partition("=")
                    if equals and facts.NAME.fullmatch(name):
                        yield name


def _about_facts(records: Connection) -> list[object]:
    rows = records.execute("SELECT id, command FROM job ORDER BY id DESC LIMIT ?", (JOBS,))
    asked = (job for job, command in rows if isinstance(command, str) and ABOUT_FACTS.match(command))
    return list(islice(asked, FOR_FACTS))


def _jobs(records: Connection) -> Iterator[tuple[int, str]]:
    rows = records.execute("SELECT id, command FROM job ORDER BY id DESC LIMIT ?", (LISTED,))
    for job, command in rows:
        if isinstance(job, int) and isinstance(command, str):
            yield job, " ".join(harmless(command[:SHOWN].encode(errors="replace")).split())
