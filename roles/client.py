"""`cw ping` and every other command to nodes: asks a broker, and prints what the nodes answer."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from auth.keys import KeyFile, broker_key
from conf.client import ClientConf, insist_on_file, load
from errors import CwError
from mesh.command import GRAMMAR, Command, UnknownVerb, canonical, split_shell
from mesh.command import parse as parse_command
from mesh.grammar import EXECUTES, WRITES
from mesh.messages import VERSION, NoAuth, Request
from mesh.printing import exit_status, harmless
from roles.conversation import Caller, Ended, encoded
from roles.credentials import chosen_key, method, user_name
from roles.interrupts import INTERRUPTED
from roles.options import Asked, UsageError, parse
from roles.records import Asking, Record
from roles.screen import Screen


class Checked(NamedTuple):
    """A command line that makes sense, with all that it takes to ask: nothing was sent yet.

    `request` has no authentication yet; `key` is None where a password has to be asked for. `effect` is what
    the command does to a node at most.
    """

    asked: Asked
    conf: ClientConf
    broker_key: bytes
    key: KeyFile | None
    request: Request
    effect: str

    @property
    def acts(self) -> bool:
        """Whether the user is to be asked if so many nodes are meant."""
        return self.effect in (WRITES, EXECUTES) and not self.asked.yes


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


Way = Callable[["Checked", Caller, Screen], int]
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


def check(asked: Asked) -> Checked:
    """Everything that can be known to be wrong without a broker, found out. Raises CwError, status 2."""
    command = _command(asked)
    if asked.filters:
        from mesh.filters import parse_all
        from net.bounded import bounded

        parse_all(asked.filters, bounded)
    conf = load(Path(asked.config) if asked.config else None, asked.set)
    if asked.config is None:
        insist_on_file(conf)
    timeout = conf.timeout if asked.timeout is None else asked.timeout
    request = Request(
        version=VERSION,
        user=user_name(asked.username, conf.username),
        auth=NoAuth(),
        words=command.words,
        filters=asked.filters,
        mode="run",
        targets=None,
        timeout=round(timeout * 1000),
        run_time=round(asked.run_time * 1000),
        optouts=asked.optouts,
    )
    encoded(request)
    key = chosen_key(asked.key, conf.key)
    return Checked(asked, conf, broker_key(conf.broker_key, Path.cwd()), key, request, command.verb.effect)


def _command(asked: Asked) -> Command:
    """The command that goes to nodes; what the site has added is looked at where cw itself has no such."""
    words = _without_mesh(asked.words)
    if not words:
        raise UsageError("a command is missing (see cw mesh --help)")
    try:
        return parse_command(words)
    except UnknownVerb:
        from roles.site import grammar

        return parse_command(words, grammar(asked))


def _help(asked: Asked) -> str:
    """The text of --help for the words; with what the site has added, if that can be read."""
    from roles.site import grammar
    from roles.usage import described, usage

    words = _without_mesh(asked.words)
    try:
        known = grammar(asked)
    except CwError as error:
        known = GRAMMAR
        sentence = harmless(os.fsencode(str(error)))
        print(f"cw: {sentence}; so this is without the site's own commands", file=sys.stderr)
    return usage(described(words, known))


def _without_mesh(words: tuple[str, ...]) -> tuple[str, ...]:
    """`mesh` in front is no word of the command, and a single word behind it is a whole line."""
    if words[:1] != ("mesh",):
        return words
    return split_shell(words[1]) if len(words) == 2 else words[1:]


def intention(checked: Checked) -> str:
    """One line: what would be asked, of whom, by whom."""
    request = checked.request
    proof = f"the key {checked.key.public.hex()}" if checked.key else "a password"
    where = "".join(f" -w {canonical([text])}" for text in request.filters)
    line = f"{canonical(request.words)}{where}, asked of {checked.conf.broker} by {request.user} with {proof}"
    return harmless(f"nothing sent: {line}".encode())


def concluded(ended: Ended, screen: Screen) -> int:
    """The exit status of a single request, once everything that came of it is printed.

    Raises what ended the request early.
    """
    tally = screen.over(ended.tally)
    if ended.sessions is not None:
        screen.close()
    if ended.interrupted:
        return INTERRUPTED
    if ended.failure:
        raise ended.failure
    return exit_status(tally)
