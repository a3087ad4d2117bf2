"""`cw localsys`: packages and services of this host, whichever system manages them."""

from __future__ import annotations

from collections.abc import Sequence

from conf.version import VERSION
from host.systems.actions import ACTIONS, UsageError, perform
from host.systems.tools import Tools

EXAMPLES = {
    "cw localsys identify": "packages apt, services systemd",
    "cw localsys pkg-install sudo": "the latest; prints the version that is installed then",
    "cw localsys pkg-install sudo 1.9.13": "up or down to that one",
    "cw localsys svc-init nginx reload": "have it read its configuration again",
}


def usage() -> str:
    """The text of `cw localsys --help`, which fits a screen."""
    return "\n".join(
        (
            "usage: cw localsys ACTION [WORD…], where ACTION is one of",
            *(f"  {f'{name} {row.words}':29} {row.sentence}" for name, row in ACTIONS.items()),
            "",
            "exit status: 0 done, or yes; 1 failed, or no; 2 usage; 125 unknown action; 126 unknown system",
            "",
            *(f"  $ {line:38} # {why}" for line, why in EXAMPLES.items()),
        )
    )


def main(argv: Sequence[str]) -> int:
    """Do one action; 0 done or yes, 1 failed or no, 125 unknown action, 126 unknown system."""
    match argv:
        case []:
            raise UsageError("an action is missing (see cw localsys --help)")
        case ["--help" | "-h", *_] | [_, "--help" | "-h"]:
            print(usage())
            return 0
        case ["--version", *_]:
            print(f"cw {VERSION}")
            return 0
    reply = perform(Tools(), argv)
    for line in reply.lines:
        print(line)
    return reply.status
