"""Passwords, asked of PAM in a process of its own for each, so that a slow module delays nobody else."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import NamedTuple, Protocol

import trio

from auth import services
from errors import CwError

SHADOW = Path("/etc/shadow")
LIMIT = 20.0
"""Seconds that PAM may take; then the process that asks it is killed."""
AT_ONCE = 64
"""Passwords that are checked at once; more wait."""
AT_ONCE_PER_USER = 4
"""Passwords of one user that are checked at once; more wait."""
MAX_PASSWORD = 1024
"""Bytes of a password at most. None at all is no proof, though Debian's common-auth (nullok) takes it for an
account without a password."""
MAX_USER = 255
"""Characters of a user's name at most."""

_QUESTION = struct.Struct("!HH")
_ACCEPTED, _REFUSED, _UNABLE = b"A", b"R", b"E"
_MAX_REASON = 1024


class PamError(CwError):
    """The password could not be checked."""


class Verdict(NamedTuple):
    """What PAM thinks of a password; `reason` is for the log, never for the user."""

    accepted: bool
    reason: str


class Children(Protocol):
    """Who starts a process for each password, whose work is `answer`."""

    def start(self, limit: float) -> tuple[int, socket.socket]:
        """Number of a new process, killed after `limit` seconds; our end of its channel. Raises OSError."""

    def kill(self, number: int) -> None:
        """End it now."""


class Authenticator(Protocol):
    """Who can tell whether a password is right."""

    async def check(self, user: str, password: str) -> Verdict:
        """Raises PamError if there is no telling."""


def require(service: str) -> None:
    """Raises PamError unless passwords can be checked under this service."""
    if not services.service_exists(service):
        raise PamError(
            f"{services.DIRECTORY / service} is missing, so passwords cannot be checked: "
            f"copy conf/pam.d/clockwork there, or set auth.pam_service"
        )
    _load()


def doubt() -> str:
    """Why this process may be unable to check most users' passwords, in a sentence; empty if it can.

    As anybody but root, pam_unix asks unix_chkpwd(8), which answers for the user who asks alone.
    """
    if os.geteuid() == 0 or os.access(SHADOW, os.R_OK, effective_ids=True):
        return ""
    return (
        f"passwords: this broker is not root and cannot read {SHADOW}: "
        "pam_unix can check those of its own user alone"
    )


class Pam:
    """The Authenticator that asks PAM."""

    def __init__(self, children: Children, limit: float = LIMIT) -> None:
        self._children = children
        self._limit = limit
        self._at_once = trio.Semaphore(AT_ONCE)
        self._users: dict[str, _Turns] = {}

    async def check(self, user: str, password: str) -> Verdict:
        """Ask PAM: authentication, then account management. Cancelled, it kills the process that asks.

        Raises PamError if PAM gave no answer in time, or none at all.
        """
        secret = password.encode("utf-8", "surrogatepass")
        if not 0 < len(user) <= MAX_USER or not user.isprintable():
            return Verdict(False, "no user has such a name")
        if not 0 < len(secret) <= MAX_PASSWORD or b"\0" in secret:
            return Verdict(False, "no password is like that")
        turns = self._users.setdefault(user, _Turns())
        turns.waiting += 1
        try:
            async with turns.at_once, self._at_once:
                return await self._ask(user.encode(), secret)
        finally:
            turns.waiting -= 1
            if not turns.waiting:
                del self._users[user]

    async def _ask(self, user: bytes, secret: bytes) -> Verdict:
        try:
            number, ours = self._children.start(self._limit)
        except OSError as error:
            raise PamError(
                f"the process that checks passwords cannot be reached: {error.strerror}"
            ) from error
        answer = b""
        async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as channel:
            with trio.move_on_after(self._limit + 1):
                try:
                    await channel.send_all(_QUESTION.pack(len(user), len(secret)) + user + secret)
                    while len(answer) <= _MAX_REASON and (more := await channel.receive_some()):
                        answer += more
                except trio.BrokenResourceError as error:
                    raise PamError("the process that asked PAM ended before it answered") from error
                finally:
                    if not answer:
                        self._children.kill(number)
        verdict, reason = answer[:1], answer[1:].decode("utf-8", "replace")
        if verdict not in (_ACCEPTED, _REFUSED):
            raise PamError(
                f"PAM did not answer: {reason or f'killed after {self._limit:g} seconds, or crashed'}"
            )
        return Verdict(verdict == _ACCEPTED, reason)


class _Turns:
    """Whose turn it is among the passwords of one user."""

    def __init__(self) -> None:
        self.at_once = trio.Semaphore(AT_ONCE_PER_USER)
        self.waiting = 0


def _load() -> type:
    """python-pam's class, with libpam loaded. Raises PamError if that cannot be."""
    from pam import PamAuthenticator

    try:
        PamAuthenticator()
    except (AttributeError, OSError) as error:
        raise PamError("libpam cannot be loaded (Debian: apt install libpam0g)") from error
    found: type = PamAuthenticator
    return found


def answer(service: str, channel: socket.socket) -> None:
    """The life of the process for one password."""
    os.environ.clear()
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    with channel, channel.makefile("rb") as questions:
        lengths = _QUESTION.unpack(questions.read(_QUESTION.size))
        user, secret = (questions.read(length).decode("utf-8", "surrogatepass") for length in lengths)
        try:
            accepted, reason = judge(service, user, secret)
            code = _ACCEPTED if accepted else _REFUSED
        except PamError as error:
            code, reason = _UNABLE, str(error)
        channel.sendall(code + reason.encode("utf-8", "replace")[:_MAX_REASON])


def judge(service: str, user: str, password: str) -> Verdict:
    """Ask PAM here and now, which may take seconds. Raises PamError.

    The name must be the one that the password database gives back: rules and logs know a user by one name.
    """
    import pwd

    asked = _load()()
    password_bytes = password.encode("utf-8", "surrogatepass")
    accepted: bool = asked.authenticate(user.encode(), password_bytes, service.encode(), resetcreds=False)
    if not accepted:
        return Verdict(False, f"{asked.reason} (PAM code {asked.code})")
    try:
        known = pwd.getpwnam(user).pw_name
    except KeyError:
        return Verdict(False, "the password is right, but the password database does not have the user")
    if known != user:
        return Verdict(False, f"the password is right, but the user is called {known!r}")
    return Verdict(True, "accepted")
