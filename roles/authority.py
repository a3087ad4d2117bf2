"""Whether a REQUEST may go on the wire: its form, who asks, the broker's own rules, the user's groups."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from auth.groups import Groups
from auth.keys import short
from auth.pam import Authenticator, PamError
from auth.signing import verified
from auth.throttle import Throttle
from auth.trust import Trust
from conf.dropped import Dropped
from conf.watched import Watched
from errors import CwError
from mesh import acl, command, filters
from mesh.messages import KeyAuth, PasswordAuth, Request
from mesh.site import Sent, Site
from net.bounded import bounded
from net.serve import block_of


class Refused(CwError):
    """The request goes no further: `code` and the sentence are for the client, `why` is for log and audit."""

    def __init__(self, code: str, sentence: str, why: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.why = why or sentence


class Failure(StrEnum):
    """Why an authentication failed, for who counts."""

    KEY = "key"
    PASSWORD = "password"
    THROTTLED = "too many failures"
    UNABLE = "not checked"
    METHOD = "no method"


class Accepted(NamedTuple):
    """What a request turned out to be."""

    command: command.Command
    sent: Sent
    key: str
    """The public key, in hex, that the request is signed with; empty after a password."""
    groups: tuple[str, ...]

    @property
    def how(self) -> str:
        """How the user was authenticated, as agents and logs are told."""
        return f"key {short(self.key)}" if self.key else "password"


class Authority:
    """Judges requests: for `commands`, those of cw and of the site.

    `authenticator` is None where passwords are off; `look` reads the files again that have changed.
    """

    def __init__(
        self,
        users: Watched[Trust],
        rules: Watched[tuple[acl.Rule, ...]],
        commands: Dropped[Site],
        groups: Groups,
        authenticator: Authenticator | None,
        clock: Callable[[], float],
        look: Callable[[], None],
    ) -> None:
        self._users = users
        self._rules = rules
        self._commands = commands
        self._groups = groups
        self._authenticator = authenticator
        self._clock = clock
        self._look = look
        self._throttle = Throttle()
        self.failures: dict[str, int] = dict.fromkeys(Failure, 0)
        """How often users were told that authentication failed, by why it did."""

    async def judge(self, request: Request, handshake_hash: bytes, address: str) -> Accepted:
        """Authenticate first, so that a stranger learns nothing; then everything else. Raises Refused."""
        auth = request.auth
        key = ""
        if isinstance(auth, KeyAuth):
            key = auth.public
            self._check_key(request, key, handshake_hash)
        elif isinstance(auth, PasswordAuth):
            await self._check_password(request.user, auth.password, address)
        else:
            raise self._failed(Failure.METHOD, "no method of authentication")
        site = self._commands.value
        try:
            checked = command.parse(request.words, site.grammar)
            filters.parse_all(request.filters, bounded)
        except command.UnrecognisedCommand as error:
            raise Refused("unrecognised", str(error)) from error
        except filters.FilterError as error:
            raise Refused("invalid", str(error)) from error
        if request.targets is not None and not request.targets:
            raise Refused("invalid", "the list of targets is empty")
        try:
            groups = await self._groups.of(request.user)
        except CwError as error:
            raise Refused(
                "failed", f"the groups of {request.user} could not be looked up", str(error)
            ) from error
        if key:
            self._check_listed(request.user, key)  # again: the lookup may have taken seconds
        sent = site.sent(checked.verb)
        effect = sent.effect.word
        if acl.judge(self._rules.value, request.user, groups, checked.words, effect) is acl.Verdict.DENY:
            raise Refused("denied", "permission denied", "the broker's rules deny it")
        return Accepted(checked, sent, key, groups)

    def _check_key(self, request: Request, key: str, handshake_hash: bytes) -> None:
        if not verified(request, handshake_hash):
            raise self._failed(
                Failure.KEY,
                f"the signature of key {short(key)} is not good for this request on this connection",
            )
        self._check_listed(request.user, key)

    def _check_listed(self, user: str, key: str) -> None:
        if user not in self._users.value.names_of(key):
            self._look()  # it may have been listed this very moment
        names = self._users.value.names_of(key)
        if user not in names:
            listed = f"is listed for {', '.join(names)}" if names else "is not listed"
            raise self._failed(Failure.KEY, f"key {short(key)} {listed}")

    async def _check_password(self, user: str, password: str, address: str) -> None:
        if self._authenticator is None:
            raise self._failed(Failure.METHOD, "a password, and passwords are off")
        block = block_of(address)
        if not self._throttle.admits(user, block, self._clock()):
            raise self._failed(Failure.THROTTLED, "too many failures of this user from this address")
        try:
            accepted, reason = await self._authenticator.check(user, password)
        except PamError as error:
            raise self._failed(Failure.UNABLE, str(error)) from error
        if not accepted:
            raise self._failed(Failure.PASSWORD, reason)
        self._throttle.succeeded(user, block)

    def _failed(self, failure: Failure, why: str) -> Refused:
        """All that a user hears of a failed authentication is that it failed (mesh.md "Who may ask")."""
        self.failures[failure] += 1
        return Refused("authentication", "authentication failed", why)
