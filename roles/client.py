"""`cw ping` and every other command to nodes: asks a broker once, and prints what the nodes answer."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from auth.keys import KeyFile, broker_key
from conf.client import ClientConf, insist_on_file, load
from errors import CwError
from mesh.command import canonical, split_shell
from mesh.command import parse as parse_command
from mesh.hearing import Hearing
from mesh.messages import VERSION, Auth, Bye, Cancel, KeyAuth, MessageError, NoAuth, Pong, Request, encode
from mesh.printing import LINE, Answer, Printer, error_lines, exit_status, harmless, summary, timing
from net.channel import Channel, Late, dial
from roles.credentials import chosen_key, method, password, user_name
from roles.interrupts import INTERRUPTED, Interrupts
from roles.options import Asked, UsageError, parse

if TYPE_CHECKING:
    from mesh.formats import Collector
    from roles.progress import Progress

GRACE = 2.0
"""Seconds beyond its own deadline that a broker has to say how the request ended."""

AFTER_CANCEL = 3.0
"""Seconds that the nodes have to end, and the broker to say so, after Ctrl-C."""

FAREWELL = 0.5
"""Seconds in which a BYE must go out."""


class RequestTooLong(CwError):
    """The request cannot be sent."""


class Checked(NamedTuple):
    """A command line that makes sense, with all that it takes to ask: nothing was sent yet.

    `request` has no authentication yet; `key` is None where a password has to be asked for.
    """

    asked: Asked
    conf: ClientConf
    broker_key: bytes
    key: KeyFile | None
    request: Request


def main(argv: Sequence[str]) -> int:
    """Ask, and print the answers; the exit status is one of mesh.md's table. Raises CwError."""
    asked = parse(argv)
    if asked.wants == "version":
        from conf.version import VERSION as OURS

        print(f"cw {OURS}")
        return 0
    if asked.wants == "help":
        from roles.usage import described, usage

        print(usage(described(_without_mesh(asked.words))))
        return 0
    checked = check(asked)
    if asked.verbose:
        how = method(asked.key, checked.conf.key, checked.key)
        _remark(f"cw: {harmless(os.fsencode(f'asking as {checked.request.user} with {how}'))}\n")
    if asked.noop:
        print(intention(checked))
        return 0
    request = checked.request._replace(auth=_proof(checked.key))
    if asked.verbose and isinstance(request.auth, NoAuth):
        _remark("cw: no password was given\n")
    _encoded(request)
    with dial(checked.conf.broker, checked.broker_key, request.timeout / 1000) as channel:
        if checked.key:
            from auth.signing import sign

            request = sign(request, checked.key, channel.hash)
        if asked.verbose:
            _remark(f"cw: connected to {channel.peer}\n")
        with Interrupts() as interrupts:
            return Conversation(channel, request, asked, interrupts).held()


def check(asked: Asked) -> Checked:
    """Everything that can be known to be wrong without a broker, found out. Raises CwError, status 2."""
    words = parse_command(_command_words(asked.words)).words
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
        words=words,
        filters=asked.filters,
        mode="run",
        targets=None,
        timeout=round(timeout * 1000),
        run_time=round(asked.run_time * 1000),
        optouts=asked.optouts,
    )
    _encoded(request)
    key = chosen_key(asked.key, conf.key)
    return Checked(asked, conf, broker_key(conf.broker_key, Path.cwd()), key, request)


def _command_words(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words that go to nodes."""
    words = _without_mesh(words)
    if not words:
        raise UsageError("a command is missing (see cw mesh --help)")
    return words


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


def _proof(key: KeyFile | None) -> Auth:
    return KeyAuth(key.public.hex(), os.urandom(32), b"") if key else password()


def _encoded(request: Request) -> bytes:
    try:
        return encode(request)
    except MessageError as error:
        raise RequestTooLong(f"the request cannot be sent: {error}") from error


def _remark(text: str) -> None:
    """To standard error, if that takes it: the answers and the exit status do not depend on it."""
    with suppress(OSError):
        _put(sys.stderr.fileno(), text)


def _put(descriptor: int, text: str) -> None:
    """Write in UTF-8 whatever the locale: the same bytes for every script.

    Not through Python's buffers: what could not be written would be tried again, and complained of, at exit.
    """
    rest = memoryview(text.encode("utf-8", "backslashreplace"))
    while rest:
        rest = rest[os.write(descriptor, rest) :]


class Conversation:
    """One request, from sending it to the summary."""

    def __init__(self, channel: Channel, request: Request, asked: Asked, interrupts: Interrupts) -> None:
        self._channel = channel
        self._request = request
        self._asked = asked
        self._interrupts = interrupts
        self._on_terminal = sys.stdout.isatty()
        self._printer = self._chosen_printer()
        self._progress: Progress | None = None
        self._times: list[tuple[float, str]] = []
        self._hearing = Hearing()
        self._cancelled = False
        self._within = request.timeout / 1000
        self._began = time.monotonic()
        self._deadline = self._began + self._within

    def held(self) -> int:
        """The exit status. Raises what ended the request early, once everything that came is printed."""
        failure: CwError | None = None
        try:
            self._channel.send(encode(self._request), self._within)
            while not self._hearing.finished:
                self._listen()
        except Late:
            failure = self._silence()
        except CwError as error:
            failure = error
        finally:
            self._hide_progress()
            if not self._hearing.finished:
                self._take_leave()
        self._conclude(failure)
        if self._cancelled:
            return INTERRUPTED
        if failure:
            raise failure
        return exit_status(self._hearing.tally)

    def _listen(self) -> None:
        """Wait for the broker's next words or for Ctrl-C, and do what they ask."""
        accepted = self._hearing.sessions is not None
        wake = None if self._cancelled else self._interrupts.descriptor
        pause = self._progress.due if self._progress else None
        messages = self._channel.receive(self._deadline, wake, pause)
        if not messages and self._interrupts.pressed and not self._cancelled:
            self._cancel()
        answers = []
        try:
            for raw in messages:
                match self._hearing.hear(raw):
                    case Answer() as answer:
                        answers.append(answer)
                    case Pong() as pong:
                        self._channel.send(encode(pong), self._within)
        finally:  # an ERROR may come with the last answers
            self._print(answers)
        if not accepted and self._hearing.sessions is not None:
            self._begin(self._hearing.sessions)
        if self._progress:
            self._progress.show(self._hearing.tally)

    def _cancel(self) -> None:
        self._cancelled = True
        self._deadline = time.monotonic() + AFTER_CANCEL
        self._channel.send(encode(Cancel(), self._hearing.serial), AFTER_CANCEL)

    def _begin(self, sessions: int) -> None:
        """The broker has put the command on the wire."""
        if not self._cancelled:
            # The broker's own deadline counts from here: it may have waited for PAM until now.
            self._deadline = time.monotonic() + self._within + GRACE
        if not self._asked.quiet and sys.stderr.isatty():
            from roles.progress import Progress
            from roles.terminal import able

            self._progress = Progress(sys.stderr.fileno(), sessions) if able(sys.stderr) else None

    def _print(self, answers: Sequence[Answer]) -> None:
        elapsed = time.monotonic() - self._began
        if self._asked.histogram:
            self._times += [(elapsed, answer.fqdn) for answer in answers if answer.status is not None]
        if self._asked.only:
            answers = [answer for answer in answers if answer.outcome in self._asked.only]
        if not answers:
            return
        self._printer.print(answers)
        verbose, stderr = self._asked.verbose, self._asked.verbose or self._asked.stderr
        told = (timing(one, elapsed) * verbose + error_lines(one) * stderr for one in answers)
        self._tell("".join(told))

    def _chosen_printer(self) -> Printer | Collector:
        """What prints in the form that was asked for; plain lines need nothing that is not here already."""
        if self._asked.form == "line" and not self._asked.sort and not self._on_terminal:
            return Printer(LINE, self._write)
        from mesh.formats import printer
        from roles.terminal import look

        return printer(self._asked.form, look(sys.stdout, self._asked.sort), self._write)

    def _write(self, text: str) -> None:
        """To standard output; an OSError of that ends the conversation."""
        if text:
            if self._on_terminal:
                self._hide_progress()
            _put(sys.stdout.fileno(), text)

    def _tell(self, text: str) -> None:
        """To standard error."""
        if text:
            self._hide_progress()
            _remark(text)

    def _hide_progress(self) -> None:
        if self._progress:
            self._progress.hide()

    def _silence(self) -> Late:
        did = "answer" if self._hearing.sessions is None else "end the request"
        return Late(f"the broker {self._channel.peer} did not {did} in {self._within:g} seconds")

    def _take_leave(self) -> None:
        """Say BYE, if anybody is there to hear it; a broken connection says the same."""
        try:
            self._channel.send(encode(Bye(), self._hearing.serial), FAREWELL)
        except CwError:
            return

    def _conclude(self, failure: CwError | None) -> None:
        """What is printed at the end of a request that the broker accepted, however it ended."""
        if self._hearing.sessions is None:
            return
        if self._cancelled or isinstance(failure, Late):
            self._print(self._hearing.give_up())
        self._printer.close()
        if self._asked.histogram:
            from mesh.formats.histogram import histogram
            from roles.terminal import columns

            self._tell(histogram(self._times, columns(sys.stderr.fileno())))
        if not self._asked.quiet:
            self._tell(f"{summary(self._hearing.tally)}\n")
