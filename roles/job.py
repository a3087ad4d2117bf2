"""`cw job ID`: the answers of an earlier request once more, beside those of another, or asked anew."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter

from conf.version import VERSION
from errors import CwError
from mesh.formats.comparison import compared, text_of
from mesh.messages import Identity
from mesh.printing import UNASKED, Answer
from mesh.words import split
from roles.checked import check
from roles.client import carried_out
from roles.history import Job, job
from roles.jobs import command, when
from roles.options import OPTIONS, Asked, Option, UsageError, none_of, parse
from roles.records import Asking, Record
from roles.rollout import go_round
from roles.screen import Screen
from roles.terminal import look

DIFFERENT = 1
"""Exit status of a comparison that finds something."""

RERUN = {
    "failed": ("failed", "malformed"),
    "missing": ("lost", "silent", "expired", UNASKED),
    "all": ("ok", "failed", "malformed", "lost", "silent", "expired", UNASKED),
}
"""Whom --rerun asks again, and by which outcomes they are known."""

USAGES = {
    "cw job ID [OPTION…]": "what ID was asked, and all its answers (cw jobs: the IDs)",
    "cw job ID --diff ID2": "who answered otherwise in ID2, and how; status 1 if any did",
    "cw job ID --rerun WHICH": "ask its failed, its missing or all nodes the same, a new job",
}
NOTE = (
    "The options that print answers are those of cw ping (--fold, --json, --only, --sort, …); with",
    "--rerun all others but -w are too (--batch, --yes, --timeout, …).",
)
EXAMPLES = {
    "cw job 12 --fold": "equal answers together",
    "cw job 12 --diff 15": "what has changed since",
    "cw job 12 --rerun failed --batch 10": "once more where it failed, ten at a time",
}


class NobodyToAsk(CwError):
    """No node of the job is meant."""

    status = 6


def _rerun(asked: Asked, value: str) -> Asked:
    if value not in RERUN:
        raise none_of(RERUN, "--rerun", value)
    return asked._replace(rerun=value)


EVERY_OPTION = (
    *OPTIONS,
    Option(("--rerun",), "|".join(RERUN), _rerun, "ask those nodes the same again"),
)

PRINTING = {
    *(
        "words",
        "form",
        "sort",
        "only",
        "optouts",
        "histogram",
        "stderr",
        "verbose",
        "quiet",
        "wants",
        "rerun",
    ),
    *("config", "set"),
}
"""What a command line may say where nobody is asked; the configuration is then of no use."""


def main(argv: Sequence[str]) -> int:
    """Show, compare or ask again; the exit status. Raises CwError."""
    asked = parse(argv, EVERY_OPTION)
    if asked.wants == "help":
        print(usage())
        return 0
    if asked.wants == "version":
        print(f"cw {VERSION}")
        return 0
    if asked.filters:
        raise UsageError("the filters of a job are its own: -w goes with another request")
    if not asked.rerun and any(
        getattr(asked, field) != usual
        for field, usual in Asked._field_defaults.items()
        if field not in PRINTING
    ):
        raise UsageError("nobody is asked without --rerun: only options that print answers go with cw job")
    match [_number(word) for word in asked.words]:
        case [number] if asked.rerun:
            return _ask_again(*_found(number), asked)
        case [number]:
            return _show(number, asked)
        case [one, other] if asked.form == "diff" and not asked.rerun:
            return _compare(one, other, asked)
    raise UsageError(
        "expected cw job ID, cw job ID --diff ID2 or cw job ID --rerun WHICH (see cw job --help)"
    )


def usage() -> str:
    """The text of `cw job --help`."""
    usages = "\n".join(f"       {written:32}{sentence}" for written, sentence in USAGES.items())
    return "\n".join(
        (
            f"usage: {usages.lstrip()}",
            "",
            *(f"  {line}" for line in NOTE),
            *(f"  $ {line:38} # {why}" for line, why in EXAMPLES.items()),
        )
    )


def _number(word: str) -> int:
    if word.isascii() and word.isdigit() and len(word) < 19:
        return int(word)
    raise UsageError(f"expected the number of a job, as cw jobs shows it, got {word[:40]!r}")


def _found(number: int) -> tuple[Job, list[Answer]]:
    found, answers = job(number)
    return found, [answer for answer, _ in answers]


def _show(number: int, asked: Asked) -> int:
    found, answers = job(number)
    screen = Screen(asked, Record(0, Asking(*found[3:9])))
    if not asked.quiet:
        screen.tell(_about(found))
    for elapsed, together in groupby(answers, itemgetter(1)):
        screen.answers([answer for answer, _ in together], elapsed)
    screen.over(found.tally)
    screen.close()
    return 0


def _about(found: Job) -> str:
    """One line: what it was, and how it ended."""
    end = f"exit status {found.status}" if found.status is not None else "not seen to end"
    why = f" ({found.error})" if found.error else ""
    asked = f"{command(found)}, asked of {found.broker} by {found.user}, {when(found)}"
    return f"job {found.id}: {asked}: {end}{why}"


def _compare(one: int, other: int, asked: Asked) -> int:
    (_, before), (_, after) = _found(one), _found(other)
    comparison = compared(before, after)
    screen = Screen(asked, Record(0, Asking("", "", "", "", "", 0)))
    screen.write("".join(text_of(comparison, look(sys.stdout, asked.sort))))
    changed = sum(map(len, comparison.changed.values()))
    if not asked.quiet:
        screen.tell(
            f"from job {one} to job {other}: {changed} answered otherwise, {comparison.same} the same"
        )
    return DIFFERENT if changed else 0


def _ask_again(found: Job, answers: Sequence[Answer], asked: Asked) -> int:
    outcomes = RERUN[asked.rerun]
    nodes = [Identity(answer.fqdn, answer.uuid) for answer in answers if answer.outcome in outcomes]
    if not nodes:
        meant = "answered or should have" if asked.rerun == "all" else f"is {asked.rerun}"
        raise NobodyToAsk(f"no node of job {found.id} {meant}: there is nobody to ask again")
    run_time = asked.run_time or found.run_time / 1000
    again = asked._replace(words=split(found.command), filters=split(found.filters), run_time=run_time)
    return carried_out(check(again), partial(go_round, nodes))
