"""The command line of a role: argparse with one-line errors, examples in its help, and `--version`."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from conf.version import VERSION
from errors import CwError

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

    def __init__(self, name: str, summary: str, examples: str) -> None:
        super().__init__(
            prog=f"cw {name}",
            description=summary,
            epilog=f"examples:\n{examples}",
            formatter_class=_Formatter,
            allow_abbrev=False,
        )
        self.add_argument("--version", action="version", version=f"cw {VERSION}", help="print it and exit")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """What argparse calls behind the help and the version."""
        sys.stdout.flush()  # here, where a failure can still be told
        super().exit(status, message)

    def error(self, message: str) -> NoReturn:
        """What argparse calls when it understands no more."""
        shown = message if len(message) <= LONGEST else message[: LONGEST - 4] + " ..."
        raise UsageError(f"{shown} (see {self.prog} --help)")


def of_daemon(name: str, summary: str, examples: str, file: Path) -> Parser:
    """The parser of a role that goes on: which configuration, and what to do with it."""
    parser = Parser(name, summary, examples)
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help=f"instead of {file}")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override one key"
    )
    parser.add_argument(
        "--show-config", action="store_true", help="print the effective configuration and exit"
    )
    parser.add_argument(
        "--test", action="store_true", help="check configuration, keys and permissions and exit"
    )
    return parser
