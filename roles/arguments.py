"""The command line of a role: argparse with one-line errors, examples in its help, and `--version`."""

from __future__ import annotations

import argparse
from typing import NoReturn

from conf.version import VERSION
from errors import CwError


class UsageError(CwError):
    """The command line makes no sense."""


class Parser(argparse.ArgumentParser):
    """The parser of `cw NAME`; `summary` opens its help, `examples` close it. Raises UsageError."""

    def __init__(self, name: str, summary: str, examples: str) -> None:
        super().__init__(
            prog=f"cw {name}",
            description=summary,
            epilog=f"examples:\n{examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.add_argument("--version", action="version", version=f"cw {VERSION}", help="print it and exit")

    def error(self, message: str) -> NoReturn:
        """What argparse calls when it understands no more."""
        raise UsageError(f"{message} (see {self.prog} --help)")
