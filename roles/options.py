"""The command line of a command to nodes: options anywhere before a `--`, all other words are the command."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from errors import CwError, meant

if TYPE_CHECKING:
    from mesh.rolling import Share, Turns

SHORTEST_WAIT, LONGEST_WAIT = 0.001, 7 * 86_400.0
"""Seconds that a user may ask to be waited for."""

SEED_LIMIT = 64
"""Characters of a seed."""


class UsageError(CwError):
    """The command line makes no sense."""


class Asked(NamedTuple):
    """What a command line asks for: `words` are the command's; None means that the option was not given."""

    words: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    timeout: float | None = None
    run_time: float = 0.0
    username: str | None = None
    key: str | None = None
    config: str | None = None
    set: tuple[str, ...] = ()
    form: str = "line"
    sort: bool = False
    only: tuple[str, ...] = ()
    optouts: bool = False
    turns: Turns | None = None
    limit: int = 0
    seed: str = ""
    dry_run: bool = False
    yes: bool = False
    histogram: bool = False
    stderr: bool = False
    noop: bool = False
    verbose: bool = False
    quiet: bool = False
    wants: str = ""
    rerun: str = ""


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not SHORTEST_WAIT <= seconds <= LONGEST_WAIT:
        raise ValueError(f"a number of seconds from {SHORTEST_WAIT:g} to {LONGEST_WAIT:g}")
    return seconds


def _in_form(asked: Asked, form: str) -> Asked:
    if asked.form not in ("line", form):
        first, second = sorted((asked.form, form))
        raise UsageError(f"--{first} and --{second} exclude each other")
    return asked._replace(form=form)


def none_of(words: Collection[str], name: str, value: str) -> UsageError:
    """The error for an option's value that is none of the words that there are."""
    return UsageError(f"{name}: expected one of {', '.join(words)}, got {value[:40]!r}{meant(value, words)}")


ONLY = {
    "ok": ("ok",),
    "failed": ("failed", "malformed"),
    "lost": ("lost", "silent", "expired"),
    "optout": ("optout",),
}
"""What --only takes, and the outcomes that each stands for."""


def _only(asked: Asked, value: str) -> Asked:
    outcomes = ONLY.get(value)
    if outcomes is None:
        raise none_of(ONLY, "--only", value)
    return asked._replace(only=(*asked.only, *outcomes), optouts=asked.optouts or "optout" in outcomes)


def _turns(asked: Asked) -> Turns:
    from mesh.rolling import Turns

    return asked.turns or Turns()


def _share(text: str, least: int) -> Share:
    from mesh.rolling import share

    return share(text, least)


def _nodes(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 9 and int(text):
        return int(text)
    raise ValueError("a number of nodes, from 1 on")


def _seed(text: str) -> str:
    if not 0 < len(text) <= SEED_LIMIT:
        raise ValueError(f"1 to {SEED_LIMIT} characters")
    return text


class Option(NamedTuple):
    """One option: how it is written, the name of its value (empty: it takes none), what it does."""

    names: tuple[str, ...]
    value: str
    take: Callable[[Asked, str], Asked]
    sentence: str


class Form(NamedTuple):
    """A form to print answers in, called as its last name is: it `waits` for all, or prints as they come."""

    names: tuple[str, ...]
    sentence: str
    waits: bool = False


FORMS = (
    Form(("--json",), "one array"),
    Form(("--jsonl",), "one a line"),
    Form(("-T", "--text"), "with UUIDs"),
    Form(("-X", "--xml"), "XML"),
    Form(("-Y", "--yaml"), "YAML"),
    Form(("--fold",), "equal answers together", waits=True),
    Form(("--diff",), "from the most common answer", waits=True),
    Form(("--table",), "key=value as columns", waits=True),
    Form(("-P", "--pretty"), "pretty, failures last", waits=True),
)


def _of_form(form: Form) -> Option:
    name = form.names[-1].removeprefix("--")
    return Option(form.names, "", lambda asked, _: _in_form(asked, name), form.sentence)


OPTIONS: tuple[Option, ...] = (
    Option(
        ("-w", "--where"),
        "FILTER",
        lambda asked, value: asked._replace(filters=(*asked.filters, value)),
        "ask only nodes whose facts match; given again, all must",
    ),
    Option(
        ("-t", "--timeout"),
        "SECONDS",
        lambda asked, value: asked._replace(timeout=_seconds(value)),
        "how long to wait for answers (40)",
    ),
    Option(
        ("--run-time",),
        "SECONDS",
        lambda asked, value: asked._replace(run_time=_seconds(value)),
        "how long a node may take, if less than its own limit",
    ),
    Option(("-u", "--username"), "USER", lambda asked, value: asked._replace(username=value), "who"),
    Option(
        ("-k", "--key"),
        "FILE",
        lambda asked, value: asked._replace(key=value),
        "the key to sign with; -k0: a password",
    ),
    Option(
        ("-c", "--config"),
        "FILE",
        lambda asked, value: asked._replace(config=value),
        "not /etc/clockwork/cw.toml, ~/.clockwork/cw.toml",
    ),
    Option(
        ("--set",),
        "SECTION.KEY=VALUE",
        lambda asked, value: asked._replace(set=(*asked.set, value)),
        "override one key",
    ),
    *map(_of_form, FORMS),
    Option(("--sort",), "", lambda asked, _: asked._replace(sort=True), "by name"),
    Option(("--only",), "OUTCOME", _only, f"print only {', '.join(ONLY)}; given again, more"),
    Option(
        ("--optouts",),
        "",
        lambda asked, _: asked._replace(optouts=True),
        "name who is filtered out",
    ),
    Option(
        ("--canary",),
        "N",
        lambda asked, value: asked._replace(turns=_turns(asked)._replace(canary=_nodes(value))),
        "so many first",
    ),
    Option(
        ("--batch",),
        "N|N%",
        lambda asked, value: asked._replace(turns=_turns(asked)._replace(batch=_share(value, 1))),
        "at a time",
    ),
    Option(
        ("--pause",),
        "SECONDS",
        lambda asked, value: asked._replace(turns=_turns(asked)._replace(pause=_seconds(value))),
        "in between",
    ),
    Option(
        ("--max-failures",),
        "N|N%",
        lambda asked, value: asked._replace(turns=_turns(asked)._replace(failures=_share(value, 0))),
        "may fail or be missing: 0",
    ),
    Option(("--limit",), "N", lambda asked, value: asked._replace(limit=_nodes(value)), "only so many"),
    Option(("--seed",), "TEXT", lambda asked, value: asked._replace(seed=_seed(value)), "those it draws"),
    Option(("--dry-run",), "", lambda asked, _: asked._replace(dry_run=True), "tell who would"),
    Option(("--yes",), "", lambda asked, _: asked._replace(yes=True), "no question"),
    Option(
        ("--histogram",),
        "",
        lambda asked, _: asked._replace(histogram=True),
        "of answer times",
    ),
    Option(
        ("--stderr",),
        "",
        lambda asked, _: asked._replace(stderr=True),
        "nodes' error output",
    ),
    Option(("-n", "--noop"), "", lambda asked, _: asked._replace(noop=True), "check, send nothing"),
    Option(
        ("-v", "--verbose"),
        "",
        lambda asked, _: asked._replace(verbose=True),
        "times and error output",
    ),
    Option(("-q", "--quiet"), "", lambda asked, _: asked._replace(quiet=True), "no summary, and no progress"),
    Option(("-h", "--help"), "", lambda asked, _: asked._replace(wants="help"), "this text"),
    Option(("--version",), "", lambda asked, _: asked._replace(wants="version"), "the version of cw"),
)
"""Every option of a command to nodes; the help is written from it."""

EXEC = (["exec"], ["mesh", "exec"])
OF_EXEC = ("--", "--shell")
"""Words of the command exec: all behind the first are of another program, and one behind the second."""


def parse(argv: Sequence[str], options: Sequence[Option] = OPTIONS) -> Asked:
    """What the words ask for. Raises UsageError, one line."""
    asked = begun(argv, options)
    _insist_on_sense(asked)
    return asked


def begun(argv: Sequence[str], options: Sequence[Option] = OPTIONS) -> Asked:
    """The same of a line that may go on: the option that another needs may still come. Raises UsageError."""
    by_name = {name: option for option in options for name in option.names}
    asked = Asked()
    words: list[str] = []
    rest = deque(argv)
    while rest:
        word = rest.popleft()
        if word in OF_EXEC and words in EXEC:
            words.append(word)
            taken = len(rest) if word == "--" else min(len(rest), 1)
            words += [rest.popleft() for _ in range(taken)]
            continue
        if word == "--":
            words += rest
            break
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        _insist_on_dashes(words)
        name, attached = _spelled(word)
        option = by_name.get(name)
        if option is None:
            known = (*by_name, *OF_EXEC) if words in EXEC else by_name
            hint = meant(name, known) or " (see cw ping --help; words after -- are no options)"
            raise UsageError(f"unknown option {name[:40]}{hint}")
        if not option.value:
            asked = option.take(asked, "")
            if attached is not None and name.startswith("--"):
                raise UsageError(f"{name} takes no value")
            if attached:
                rest.appendleft(f"-{attached}")
            continue
        if attached is None:
            if not rest:
                raise UsageError(f"{name} needs its {option.value}")
            attached = rest.popleft()
        try:
            asked = option.take(asked, attached)
        except ValueError as error:
            raise UsageError(f"{name}: expected {error}, got {attached[:40]!r}") from error
    return asked._replace(words=tuple(words))


def _insist_on_dashes(words: Sequence[str]) -> None:
    """Raises UsageError before an option that may be the program's that exec has been given already."""
    if words[:-1] in EXEC:
        raise UsageError("a program and its arguments go behind --: cw exec -- ARGV…")


def _insist_on_sense(asked: Asked) -> None:
    """Raises UsageError for an option that has no effect without another, or none with another."""
    if asked.turns and not asked.turns.several:
        raise UsageError("--pause and --max-failures go with --batch or --canary")
    if asked.seed and not asked.limit:
        raise UsageError("--seed goes with --limit")
    if asked.dry_run and asked.form not in ("line", "json", "jsonl", "fold"):
        raise UsageError(f"--dry-run prints names, or --json, --jsonl or --fold, not --{asked.form}")


def _spelled(word: str) -> tuple[str, str | None]:
    """The option's name, and what is attached to it: `--name=VALUE`, `-xVALUE`."""
    if word.startswith("--"):
        name, equals, attached = word.partition("=")
        return name, attached if equals else None
    return word[:2], word[2:] or None
