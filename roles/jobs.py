"""`cw jobs`: what was asked before, by the records of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from mesh.printing import harmless, summary
from mesh.words import canonical, split
from roles.arguments import Parser
from roles.history import Job, jobs
from roles.records import place

EXAMPLES = """\
  cw jobs                     all that are kept, the newest last
  cw job 12                   the answers of number 12 once more
  cw job 12 --rerun failed    ask its failed nodes again
"""

HEAD = ("ID", "WHEN", "STATUS", "ANSWERS", "COMMAND")

LONGEST = 100
"""Characters of a command in the list."""


def main(argv: Sequence[str]) -> int:
    """Print a line a job. Raises CwError."""
    parser().parse_args(argv)
    found = jobs()
    if not found:
        print(f"cw: no records in {place()}", file=sys.stderr)
        return 0
    rows = [HEAD, *map(_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    sys.stdout.buffer.write("".join(f"{line}\n" for line in lines).encode())
    return 0


def parser() -> Parser:
    """The command line."""
    about = "Lists the requests that there are records of, the newest last; cw job ID has the answers."
    return Parser("jobs", about, EXAMPLES)


def _row(job: Job) -> tuple[str, ...]:
    asked = command(job)
    shown = asked if len(asked) <= LONGEST else f"{asked[: LONGEST - 1]}…"
    return str(job.id), when(job), ended(job), _answers(job), shown


def _answers(job: Job) -> str:
    if job.error and not job.tally.closed:
        return "none"
    return summary(job.tally).partition(": ")[2] or summary(job.tally)


def when(job: Job) -> str:
    """When it began, in local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job.began))


def ended(job: Job) -> str:
    """Its exit status; what was killed, or still runs, has none."""
    return "-" if job.status is None else str(job.status)


def command(job: Job) -> str:
    """What was asked, in one harmless line."""
    where = "".join(f" -w {canonical([text])}" for text in split(job.filters))
    plan = " (dry run)" if job.mode == "plan" else ""
    return harmless(f"{job.command}{where}{plan}".encode(errors="replace"))
