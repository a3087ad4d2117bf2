"""`cw man`: a page of the manual, made from the same tables and parsers as `--help`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import dedent

from conf.kinds import Key
from conf.text import assignment
from conf.version import VERSION
from mesh.command import GRAMMAR
from roles.arguments import Parser
from roles.completing import CLIENT, Commands, parser_of
from roles.options import OPTIONS, Option
from roles.pages import ADMINISTRATOR, AT_LENGTH, DATE, FILTERS, OUTPUT, ROLES, More
from roles.pages import CLIENT as OF_CLIENT
from roles.roff import Page

EXAMPLES = """\
  cw man meshd | man -l -                      read it
  cw man meshd > /usr/local/share/man/man8/cw-meshd.8
"""

CONFIGURATION = "The configuration, unless told otherwise."

WHOLE = "cw"
"""The page about the client and all that there is."""


def main(argv: Sequence[str], commands: Commands) -> int:
    """Print the page."""
    name = parser(commands).parse_args(argv).name
    print(page(name, commands), end="")
    return 0


def parser(commands: Commands) -> Parser:
    """The command line."""
    words = Parser("man", "Prints a page of the manual, for man(1): roff with man(7) macros.", EXAMPLES)
    words.add_argument(
        "name",
        choices=(WHOLE, *commands),
        metavar="NAME",
        help="cw, or a subcommand; those that go to nodes are in cw",
    )
    return words


def names(commands: Commands) -> Iterator[tuple[str, str, int]]:
    """(name as `page` takes it, name of the page, section) of the whole manual."""
    yield WHOLE, WHOLE, 1
    for name, (module, _) in commands.items():
        if module != CLIENT:
            yield name, f"cw-{name}", 8 if name in ADMINISTRATOR else 1


def page(name: str, commands: Commands) -> str:
    """The page about a subcommand."""
    module, summary = commands.get(name, (CLIENT, ""))
    if module == CLIENT:
        return _client(commands)
    title, section = next((title, section) for known, title, section in names(commands) if known == name)
    made = Page(title, section, DATE, f"cw-{VERSION}")
    _name(made, title, summary)
    more = ROLES.get(name, More())
    match name:
        case "localsys":
            examples = _localsys(made)
        case "job":
            examples = _job(made)
        case _:
            reads = parser_of(name, module, commands)
            _role(made, reads, more)
            if reads.schema:
                more = more._replace(files={str(reads.schema.FILE): CONFIGURATION, **more.files})
            examples = _lines(reads.epilog or "")
    _tables(made, more)
    _examples(made, examples)
    _see_also(made, title, commands)
    return str(made)


def _client(commands: Commands) -> str:
    from conf.client import KEYS
    from roles.usage import EXAMPLES as CLIENT_EXAMPLES
    from roles.usage import TOGETHER

    made = Page(WHOLE, 1, DATE, f"cw-{VERSION}")
    _name(made, WHOLE, "a mesh of hosts: broker, agent and client in one file")
    made.section("SYNOPSIS")
    made.text("cw COMMAND [WORD…] [OPTION…]")
    made.section("DESCRIPTION")
    _paragraphs(made, OF_CLIENT.about)
    made.section("COMMANDS")
    for name, (_, summary) in commands.items():
        made.row(f"cw {name}", f"{_sentence(summary)}")
    made.section("COMMANDS TO NODES")
    made.text("What is done to a node is at most: pure, nothing; reads; writes; executes.")
    for verb in GRAMMAR:
        expected = "".join(f" {argument.expected}." for argument in verb.forms)
        made.row(verb.usage, f"{_sentence(verb.sentence)} Effect: {verb.effect}.{expected}")
    made.section("OPTIONS")
    made.text("Anywhere before a --, behind which all words are the command's.")
    parted = {names for several in TOGETHER.values() for names in several}
    _options(made, (option for option in OPTIONS if option.names not in parted))
    for title, several in TOGETHER.items():
        made.part(title[:1].upper() + title[1:])
        _options(made, (option for option in OPTIONS if option.names in several))
    made.section("FILTERS")
    _paragraphs(made, FILTERS)
    made.section("OUTPUT")
    _paragraphs(made, OUTPUT)
    _keys(made, KEYS)
    _tables(made, OF_CLIENT)
    _examples(made, CLIENT_EXAMPLES.items())
    _see_also(made, WHOLE, commands)
    return str(made)


def _options(made: Page, options: Iterable[Option]) -> None:
    for option in options:
        made.row(
            f"{', '.join(option.names)} {option.value}".rstrip(),
            AT_LENGTH.get(option.names[-1]) or _sentence(option.sentence),
        )


def _name(made: Page, title: str, summary: str) -> None:
    made.section("NAME")
    made.text(f"{title} - {summary}")


def _role(made: Page, reads: Parser, more: More) -> None:
    """What its parser knows of a role."""
    made.section("SYNOPSIS")
    made.text(" ".join(reads.format_usage().split()).removeprefix("usage: "))
    made.section("DESCRIPTION")
    _paragraphs(made, f"{reads.description}\n\n{more.about}")
    made.section("OPTIONS")
    for action in reads.actions():
        value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else "")
        tag = ", ".join(action.option_strings)
        made.row(f"{tag} {value if action.nargs != 0 else ''}".strip(), _sentence(reads.told(action)))
    if reads.schema:
        from conf.schema import keys_of

        _keys(made, keys_of(reads.schema))


def _localsys(made: Page) -> Iterable[tuple[str, str]]:
    """What the table of actions knows; its examples."""
    from host.systems.actions import ACTIONS
    from roles.localsys import EXAMPLES as OF_LOCALSYS

    made.section("SYNOPSIS")
    made.text("cw localsys ACTION [WORD…]")
    made.section("DESCRIPTION")
    made.text("Manages packages and services of this host, whichever system it has for them, in one form.")
    made.section("ACTIONS")
    for name, row in ACTIONS.items():
        made.row(f"{name} {row.words}".rstrip(), _sentence(row.sentence))
    return OF_LOCALSYS.items()


def _job(made: Page) -> Iterable[tuple[str, str]]:
    """What its help has; its examples."""
    from roles.job import EVERY_OPTION, NOTE, USAGES
    from roles.job import EXAMPLES as OF_JOB

    made.section("SYNOPSIS")
    for usage in USAGES:
        made.text(usage)
    made.section("DESCRIPTION")
    for usage, sentence in USAGES.items():
        made.row(usage, _sentence(sentence))
    made.section("OPTIONS")
    made.text(" ".join(NOTE))
    _options(made, (option for option in EVERY_OPTION if option not in OPTIONS))
    return OF_JOB.items()


def _keys(made: Page, keys: Iterable[Key]) -> None:
    """Every key of a configuration with its default."""
    made.section("CONFIGURATION")
    made.text(
        "TOML; each key is shown in full and with its default. Relative paths start from the file's "
        "directory. --set SECTION.KEY=VALUE overrides one key for a run."
    )
    for key in keys:
        made.row(
            f"{key.section}.{assignment(key, key.default)}", f"{key.sentence} Expected: {key.kind.expected}."
        )


def _tables(made: Page, more: More) -> None:
    for title, rows in (
        ("EXIT STATUS", dict(sorted(more.statuses.items(), key=lambda row: int(row[0].partition("+")[0])))),
        ("ENVIRONMENT", more.environment),
        ("FILES", more.files),
    ):
        _rows(made, title, rows)


def _rows(made: Page, title: str, rows: Mapping[str, str]) -> None:
    if rows:
        made.section(title)
        for tag, sentences in rows.items():
            made.row(tag, sentences)


def _examples(made: Page, rows: Iterable[tuple[str, str]]) -> None:
    made.section("EXAMPLES")
    for words, why in rows:
        if why:
            made.row(words, _sentence(why))
        else:
            made.line(words)


def _lines(epilog: str) -> Iterator[tuple[str, str]]:
    """Each example, and what it is of, two spaces or more behind it."""
    for line in epilog.splitlines()[1:]:
        words, _, why = re.sub(r"(?<=\S) {2,}", "\t", line.strip()).partition("\t")
        yield words, why


def _see_also(made: Page, title: str, commands: Commands) -> None:
    made.section("SEE ALSO")
    made.references((other, section) for _, other, section in names(commands) if other != title)


def _paragraphs(made: Page, text: str) -> None:
    for paragraph in dedent(text).strip().split("\n\n"):
        made.text(paragraph)


def _sentence(text: str) -> str:
    """With a capital in front, where that is no name, and a stop behind."""
    first = text.split(" ", 1)[0]
    begun = text[:1].upper() + text[1:] if first.isalpha() or first.endswith((",", ":", ";")) else text
    return begun if begun.endswith(".") else f"{begun}."
