"""`cw ping` and every other command to nodes: asks a broker, and prints what the nodes answer."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from errors import CwError
from mesh.command import GRAMMAR, canonical
from mesh.printing import harmless
from roles.checked import Checked, check, intention, without_mesh
from roles.conversation import Caller
from roles.credentials import method
from roles.options import Asked, parse
from roles.records import Asking, Record
from roles.screen import Screen, concluded


def main(argv: Sequence[str]) -> int:
    """Ask, and print the answers; the exit status is one of mesh.md's table. Raises CwError."""
    asked = parse(argv)
    if asked.wants == "version":
        from conf.version import VERSION as OURS

        print(f"cw {OURS}")
        return 0
    if asked.wants == "help":
        print(_help(asked))
        return 0
    checked = check(asked)
    if asked.turns or asked.limit or asked.dry_run or checked.acts:
        from roles.rollout import roll_out

        return carried_out(checked, roll_out)
    return carried_out(checked, _ask_all)


Way = Callable[[Checked, Caller, Screen], int]
"""How a command is carried out; the exit status. Raises CwError."""


def carried_out(checked: Checked, way: Way) -> int:
    """Do it in that way, unless nothing is to be sent, and keep a record of it; the exit status.

    Raises what the way does.
    """
    asked, request = checked.asked, checked.request
    if asked.noop:
        print(intention(checked))
        return 0
    mode = "plan" if asked.dry_run else request.mode
    words = (request.user, checked.conf.broker, canonical(request.words), canonical(request.filters))
    screen = Screen(asked, Record(checked.conf.keep, Asking(*words, mode, request.run_time)))
    how = method(asked.key, checked.conf.key, checked.key)
    screen.remark(f"asking as {request.user} with {how}")
    status, error = None, None
    try:
        caller = Caller(checked.conf.broker, checked.broker_key, checked.key, request.timeout / 1000)
        status = way(checked, caller, screen)
    except CwError as failure:
        status, error = failure.status, str(failure)
        raise
    finally:
        screen.record.end(screen.tally, status, error)
        if screen.record.complaint:
            screen.tell(screen.record.complaint)
    return status


def _ask_all(checked: Checked, caller: Caller, screen: Screen) -> int:
    return concluded(caller.ask(checked.request, screen), screen)


def _help(asked: Asked) -> str:
    """The text of --help for the words; with what the site has added, if that can be read."""
    from roles.site import grammar
    from roles.usage import described, usage

    words = without_mesh(asked.words)
    try:
        known = grammar(asked)
    except CwError as error:
        known = GRAMMAR
        sentence = harmless(os.fsencode(str(error)))
        print(f"cw: {sentence}; so this is without the site's own commands", file=sys.stderr)
    return usage(described(words, known))
