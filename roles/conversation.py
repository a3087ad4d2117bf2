"""One request over one connection, from the handshake to the last answer; what is heard goes to a `Hears`."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from errors import CwError
from mesh.hearing import Hearing
from mesh.messages import Auth, Bye, Cancel, KeyAuth, MessageError, NoAuth, Pong, Request, encode
from mesh.printing import Answer, Tally
from net.channel import Channel, Late, dial
from roles.credentials import password
from roles.interrupts import Interrupts

if TYPE_CHECKING:
    from auth.keys import KeyFile

GRACE = 2.0
"""Seconds beyond its own deadline that a broker has to say how the request ended."""

AFTER_CANCEL = 3.0
"""Seconds that the nodes have to end, and the broker to say so, after Ctrl-C."""

FAREWELL = 0.5
"""Seconds in which a BYE must go out."""


class RequestTooLong(CwError):
    """The request cannot be sent."""


class Hears(Protocol):
    """Who is told what a request comes to: roles/screen.py."""

    @property
    def due(self) -> float | None:
        """When, by `time.monotonic`, it wants `progress` again; None: whenever something comes."""
        ...

    def remark(self, text: str) -> None:
        """Take a line about the conversation itself, for who wants to know more."""
        ...

    def accepted(self, sessions: int) -> None:
        """The command goes to so many sessions."""
        ...

    def answers(self, answers: Sequence[Answer], elapsed: float) -> None:
        """Take answers, so many seconds after the request was sent."""
        ...

    def progress(self, tally: Tally) -> None:
        """Take the counts so far."""
        ...


class Ended(NamedTuple):
    """How a request ended: `sessions` is None where the broker did not accept it, `failure` what cut it
    short, `interrupted` whether Ctrl-C was pressed.
    """

    sessions: int | None
    tally: Tally
    failure: CwError | None
    interrupted: bool


class Caller:
    """A user who may ask a broker several times: a password is asked for once.

    A broker has `patience` seconds to take a request, which PAM may take some of.
    """

    def __init__(self, broker: str, broker_key: bytes, key: KeyFile | None, patience: float) -> None:
        self._broker = broker
        self._broker_key = broker_key
        self._key = key
        self._patience = patience
        self._password: Auth | None = None

    def ask(self, request: Request, hears: Hears) -> Ended:
        """Ask once. Raises ChannelError where no session is made, RequestTooLong, PasswordUnusable."""
        request = request._replace(auth=self._proof(hears))
        encoded(request)
        with dial(self._broker, self._broker_key, self._patience) as channel:
            if self._key:
                from auth.signing import sign

                request = sign(request, self._key, channel.hash)
            hears.remark(f"connected to {channel.peer}")
            with Interrupts() as interrupts:
                return _Conversation(channel, request, hears, interrupts, self._patience).held()

    def _proof(self, hears: Hears) -> Auth:
        if self._key:
            return KeyAuth(self._key.public.hex(), os.urandom(32), b"")
        if self._password is None:
            self._password = password()
            if isinstance(self._password, NoAuth):
                hears.remark("no password was given")
        return self._password


def encoded(request: Request) -> bytes:
    """The request's bytes. Raises RequestTooLong."""
    try:
        return encode(request)
    except MessageError as error:
        raise RequestTooLong(f"the request cannot be sent: {error}") from error


class _Conversation:
    def __init__(
        self, channel: Channel, request: Request, hears: Hears, interrupts: Interrupts, patience: float
    ) -> None:
        self._channel = channel
        self._request = request
        self._hears = hears
        self._interrupts = interrupts
        self._hearing = Hearing(plan=request.mode == "plan")
        self._cancelled = False
        self._within = patience
        self._began = time.monotonic()
        self._deadline = self._began + self._within

    def held(self) -> Ended:
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
            if not self._hearing.finished:
                self._take_leave()
        if self._hearing.sessions is not None and (self._cancelled or isinstance(failure, Late)):
            self._tell(self._hearing.give_up())
        return Ended(self._hearing.sessions, self._hearing.tally, failure, self._interrupts.pressed)

    def _listen(self) -> None:
        """Wait for the broker's next words or for Ctrl-C, and do what they ask."""
        accepted = self._hearing.sessions is not None
        wake = None if self._cancelled else self._interrupts.descriptor
        messages = self._channel.receive(self._deadline, wake, self._hears.due)
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
            self._tell(answers)
        if not accepted and self._hearing.sessions is not None:
            self._begin(self._hearing.sessions)
        self._hears.progress(self._hearing.tally)

    def _cancel(self) -> None:
        self._cancelled = True
        self._deadline = time.monotonic() + AFTER_CANCEL
        self._channel.send(encode(Cancel(), self._hearing.serial), AFTER_CANCEL)

    def _begin(self, sessions: int) -> None:
        """The broker has put the command on the wire."""
        if not self._cancelled:
            # The broker's own deadline counts from here: it may have waited for PAM until now.
            self._within = self._request.timeout / 1000
            self._deadline = time.monotonic() + self._within + GRACE
        self._hears.accepted(sessions)

    def _tell(self, answers: Sequence[Answer]) -> None:
        if answers:
            self._hears.answers(answers, time.monotonic() - self._began)

    def _silence(self) -> Late:
        did = "answer" if self._hearing.sessions is None else "end the request"
        return Late(f"the broker {self._channel.peer} did not {did} in {self._within:g} seconds")

    def _take_leave(self) -> None:
        """Say BYE, if anybody is there to hear it; a broken connection says the same."""
        try:
            self._channel.send(encode(Bye(), self._hearing.serial), FAREWELL)
        except CwError:
            return
