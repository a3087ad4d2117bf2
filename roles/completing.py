"""What may stand where a user's cursor is: the words of commands, options and their values, known names.

From the same tables and parsers that read a command line. Everything that comes out is inert: no shell sees
more in it than letters.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from errors import CwError
from mesh.command import GRAMMAR, Argument, Verb, following, verbs_for
from roles.options import ONLY, OPTIONS, Option, UsageError, begun

if TYPE_CHECKING:
    from argparse import Action

    from conf.kinds import Key
    from roles.arguments import Parser

Commands = Mapping[str, tuple[str, str]]
"""Every subcommand: its module and what it is for."""

CLIENT = "roles.client"

INERT = re.compile(r"[A-Za-z0-9_.:=/@%+,-]+")
"""Words in which no shell sees anything: no quote, white space, expansion or operator."""

_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")

ACCOUNTS_BYTES = 1 << 20
"""Read of /etc/passwd and of /etc/group at most."""


class Files(Enum):
    """Names that the shell itself knows best."""

    FILES = "files"
    DIRECTORIES = "directories"


class Candidate(NamedTuple):
    """A word, and what it stands for; the sentence may be empty."""

    word: str
    sentence: str = ""


Choice = list[Candidate] | Files


def choice(words: Sequence[str], current: str, commands: Commands) -> Choice:
    """What `current` may become, behind the words of a command line after `cw`."""
    found = _choice(words, current, commands)
    if isinstance(found, Files):
        return found
    fitting = (one for one in found if one.word.startswith(current) and INERT.fullmatch(one.word))
    return list({one.word: one for one in fitting}.values())


def _choice(words: Sequence[str], current: str, commands: Commands) -> Choice:
    if not words and not current.startswith("-"):
        found = [Candidate(name, summary) for name, (_, summary) in commands.items()]
        return found + [Candidate(verb.words[0], verb.sentence) for verb in _of_site(words)]
    name = words[0] if words else ""
    if name in commands:
        module, _ = commands[name]
    else:
        goes = not words or name.startswith("-") or any(name == verb.words[0] for verb in _of_site(words))
        module = CLIENT if goes else ""
    match module:
        case "":
            return []
        case "roles.client":
            return _of_client(words, current)
        case "roles.job":
            return _of_job(words[1:], current)
        case "roles.localsys":
            from host.systems.actions import ACTIONS

            return [] if words[1:] else [Candidate(action, row.sentence) for action, row in ACTIONS.items()]
    return _of_parser(parser_of(name, module, commands), words[1:], current)


def parser_of(name: str, module: str, commands: Commands) -> Parser:
    """What reads the command line of a role. Trio, which some import, is not loaded for it."""
    from roles.lean import postpone

    postpone("trio")
    make = importlib.import_module(module).parser
    parser: Parser = make(commands) if name in ("completion", "man") else make()
    return parser


# Commands to nodes


def _of_client(words: Sequence[str], current: str) -> Choice:
    command = _around_options(words, current, OPTIONS)
    if not isinstance(command, tuple):
        return command
    if command[:1] == ("mesh",):
        command = command[1:]
    found: list[Candidate] = []
    if current.startswith("-") and "--" not in words:
        found += _options(OPTIONS)
    grammar = (*GRAMMAR, *_of_site(words))
    for part in following(command, grammar):
        if isinstance(part, str):
            found.append(Candidate(part, _told(grammar, *command, part)))
            continue
        names = _named(part, current)
        if isinstance(names, Files):
            return found or names
        found += names
    return found


def _of_job(words: Sequence[str], current: str) -> Choice:
    from roles.job import EVERY_OPTION
    from roles.seen import known

    command = _around_options(words, current, EVERY_OPTION)
    if not isinstance(command, tuple):
        return command
    if current.startswith("-") and "--" not in words:
        return _options(EVERY_OPTION)
    return [Candidate(str(number), asked) for number, asked in known().jobs] if len(command) < 2 else []


def _around_options(
    words: Sequence[str], current: str, options: Sequence[Option]
) -> tuple[str, ...] | Choice:
    """The words of the command so far; or, where the value of an option is being written, what that may be.

    A line that makes no sense is not completed.
    """
    by_name = {name: option for option in options for name in option.names}
    name, equals, value = current.partition("=")
    if equals and name.startswith("--") and "--" not in words:
        option = by_name.get(name)
        return _with_front(_value(option.value, value, _client_keys), current, value) if option else []
    try:
        return begun(words, options).words
    except UsageError:
        last = words[-1] if words else ""
        option = by_name.get(last if last.startswith("--") else f"-{last[-1:]}")
        if option is not None and option.value and last.startswith("-"):
            return _value(option.value, current, _client_keys)
        return []


def _options(options: Iterable[Option]) -> list[Candidate]:
    return [Candidate(name, option.sentence) for option in options for name in option.names]


def _of_site(words: Sequence[str]) -> tuple[Verb, ...]:
    """The commands that the site has added, if they can be read; a line that makes no sense names no site."""
    from roles.site import added

    try:
        return added(begun(words, OPTIONS))
    except CwError:
        return ()


def _told(grammar: Sequence[Verb], *words: str) -> str:
    """What the command does that the words are, or the only one that they begin."""
    verbs = verbs_for(words, grammar)
    return verbs[0].sentence if len(verbs) == 1 or verbs[0].form == words else ""


def _named(argument: Argument, current: str) -> Choice:
    match argument.names:
        case "file":
            return Files.FILES
        case "fact":
            return [Candidate(name) for name in _facts()]
        case "user":
            return [Candidate(name) for name in _accounts("/etc/passwd")]
        case "group":
            return [Candidate(name) for name in _accounts("/etc/group")]
        case "whom":
            if current.startswith("%"):
                return [Candidate(f"%{name}") for name in _accounts("/etc/group")]
            return [Candidate(name) for name in _accounts("/etc/passwd")]
    return []


def _client_keys() -> Iterable[Key]:
    from conf.client import KEYS

    return KEYS


# Roles


def _of_parser(parser: Parser, words: Sequence[str], current: str) -> Choice:
    options = parser.options()
    name, equals, value = current.partition("=")
    if equals and name in options and "--" not in words:
        return _with_front(_of_action(options[name], value, parser), current, value)
    if words and words[-1] in options and options[words[-1]].nargs != 0:
        return _of_action(options[words[-1]], current, parser)
    place = sum(_is_positional(words, at, options) for at in range(len(words)))
    positionals = parser.positionals()
    action = positionals[min(place, len(positionals) - 1)] if positionals else None
    if action is not None and place >= len(positionals) and action.nargs in (None, "?"):
        action = None
    takes_all = action is not None and action.nargs == "..."
    if current.startswith("-") and "--" not in words and not takes_all:
        return [Candidate(name, parser.told(option)) for name, option in options.items()]
    return [] if action is None else _of_action(action, current, parser)


def _is_positional(words: Sequence[str], at: int, options: Mapping[str, Action]) -> bool:
    before = words[at - 1] if at else ""
    if before in options and options[before].nargs != 0:
        return False
    return not words[at].startswith("-") or "--" in words[:at]


def _of_action(action: Action, current: str, parser: Parser) -> Choice:
    if action.choices is not None:
        return [Candidate(str(word)) for word in action.choices]
    metavar = action.metavar if isinstance(action.metavar, str) else ""

    def keys() -> Iterable[Key]:
        from conf.schema import keys_of

        return keys_of(parser.schema) if parser.schema else ()

    return _value(metavar, current, keys)


# Values


def _value(name: str, current: str, keys: Callable[[], Iterable[Key]]) -> Choice:
    """What the value of an option may be, which its help calls `name`."""
    match name:
        case "FILE" | "OUT" | "ARG" | "KEY.pub|HEX=NAME":
            return Files.FILES
        case "DIR":
            return Files.DIRECTORIES
        case "OUTCOME":
            return [Candidate(outcome) for outcome in ONLY]
        case "USER":
            return [Candidate(account) for account in _accounts("/etc/passwd")]
        case "FILTER":
            return _filters(current)
        case "failed|missing|all":
            return [Candidate(which) for which in name.split("|")]
        case "SECTION.KEY=VALUE":
            return [Candidate(f"{key.path}=", key.sentence) for key in keys()]
    return []


def _with_front(found: Choice, current: str, value: str) -> Choice:
    """The words as the shell sees them, with what is in front of the value: `--only=`."""
    if isinstance(found, Files):
        return found
    front = current[: len(current) - len(value)]
    return [Candidate(front + one.word, one.sentence) for one in found]


def _filters(current: str) -> Choice:
    fact, equals, _ = current.partition("=")
    if not equals:
        return [Candidate(f"{name}=") for name in _facts()]
    if fact != "sys.fqdn":
        return []
    from roles.seen import known

    return [Candidate(f"{fact}={host}") for host in known().hosts]


def _facts() -> Sequence[str]:
    """Those of nodes that have answered, else those that every node has."""
    from roles.seen import known

    if seen := known().facts:
        return seen
    from net.builtin import builtin, times

    return sorted({*builtin("", "-", ""), *times(0), "sys.hostid"})


def _accounts(path: str) -> list[str]:
    """Names in a file like /etc/passwd: a name service would be asked for all it has, which may be many."""
    try:
        with open(path, "rb") as stream:
            text = stream.read(ACCOUNTS_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    names = (line.partition(":")[0] for line in text.split("\n"))
    return [name for name in names if _ACCOUNT.fullmatch(name)]
