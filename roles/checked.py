"""A command line that makes sense: all that can be known to be wrong without a broker is found out here."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from auth.keys import KeyFile, broker_key
from conf.client import ClientConf, insist_on_file, load
from mesh.command import Command, UnknownVerb, canonical, split_shell
from mesh.command import parse as parse_command
from mesh.grammar import EXECUTES, WRITES
from mesh.messages import VERSION, NoAuth, Request
from mesh.printing import harmless
from roles.conversation import encoded
from roles.credentials import chosen_key, user_name
from roles.options import Asked, UsageError


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
    words = without_mesh(asked.words)
    if not words:
        raise UsageError("a command is missing (see cw mesh --help)")
    try:
        return parse_command(words)
    except UnknownVerb:
        from roles.site import grammar

        return parse_command(words, grammar(asked))


def without_mesh(words: tuple[str, ...]) -> tuple[str, ...]:
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
