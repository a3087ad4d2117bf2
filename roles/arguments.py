"""The command line of a role: argparse with one-line errors, examples in its help, and `--version`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from conf.version import VERSION
from errors import CwError, meant

if TYPE_CHECKING:
    from conf.schema import Conf

LONGEST = 200
"""Characters of a complaint of argparse at most: it quotes what it was given."""


class UsageError(CwError):
    """The command line makes no sense."""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal. argparse would import shutil, and with it every compression there is, to
    know how wide that is, even where nobody asks for help.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    """Of the terminal; COLUMNS says otherwise, and 80 where there is none (as shutil.get_terminal_size)."""
    with suppress(ValueError):
        if (columns := int(os.environ.get("COLUMNS", "0"))) > 0:
            return columns
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


class Parser(argparse.ArgumentParser):
    """The parser of `cw NAME`; `summary` opens its help, `examples` close it. Raises UsageError."""

    schema: type[Conf] | None = None
    """Of the configuration that the role reads."""
    _given: Sequence[str] = ()

    def __init__(self, name: str, summary: str, examples: str) -> None:
        super().__init__(
            prog=f"cw {name}",
            description=summary,
            epilog=f"examples:\n{examples}",
            formatter_class=_Formatter,
            allow_abbrev=False,
        )
        self.add_argument("--version", action="version", version=f"cw {VERSION}", help="print it and exit")

    def add_configuration(self, schema: type[Conf]) -> None:
        """Let it be said which configuration is read, and what is otherwise in it."""
        self.schema = schema
        self.add_argument("-c", "--config", type=Path, metavar="FILE", help=f"instead of {schema.FILE}")
        self.add_argument(
            "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override one key"
        )

    def options(self) -> dict[str, argparse.Action]:
        """Every option by each of its names."""
        return dict(self._option_string_actions)

    def actions(self) -> list[argparse.Action]:
        """Every word and option, in the order of the help."""
        return [action for group in self._action_groups for action in group._group_actions]

    def positionals(self) -> list[argparse.Action]:
        """The words that are no options, in order."""
        return [action for action in self._actions if not action.option_strings]

    def told(self, action: argparse.Action) -> str:
        """What the help says of it."""
        return self._get_formatter()._expand_help(action) if action.help else ""

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """What argparse calls behind the help and the version."""
        sys.stdout.flush()  # here, where a failure can still be told
        super().exit(status, message)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """What argparse parses with."""
        self._given = args or []
        return super().parse_known_args(args, namespace)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """What argparse calls for each value; as other errors of cw are, and with a suggestion."""
        if action.choices is not None and value not in action.choices:
            words = [str(word) for word in action.choices]
            name = "/".join(action.option_strings) or action.metavar or action.dest
            hint = meant(value, words) or f" (see {self.prog} --help)"
            raise UsageError(f"{name}: expected one of {', '.join(words)}, got {value[:40]!r}{hint}")

    def error(self, message: str) -> NoReturn:
        """What argparse calls when it understands no more.

        A misspelt option is to blame for whatever is missing or superfluous.
        """
        unknown = None if message.startswith("argument ") else self._unknown()
        if unknown is not None:
            hint = meant(unknown, self.options()) or f" (see {self.prog} --help)"
            raise UsageError(f"unknown option {unknown[:40]}{hint}")
        shown = message if len(message) <= LONGEST else message[: LONGEST - 4] + " ..."
        raise UsageError(f"{shown} (see {self.prog} --help)")

    def _unknown(self) -> str | None:
        """The first option given that there is not."""
        for word in self._given:
            if word == "--":
                break
            name = word.partition("=")[0] if word.startswith("--") else word[:2]
            if len(name) > 1 and name.startswith("-") and name not in self.options():
                return str(name)
        return None


def of_daemon(name: str, summary: str, examples: str, schema: type[Conf]) -> Parser:
    """The parser of a role that goes on: which configuration, and what to do with it."""
    parser = Parser(name, summary, examples)
    parser.add_configuration(schema)
    parser.add_argument(
        "--show-config", action="store_true", help="print the effective configuration and exit"
    )
    parser.add_argument(
        "--test", action="store_true", help="check configuration, keys and permissions and exit"
    )
    return parser
