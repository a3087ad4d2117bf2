"""A user's connection to the broker, and what the audit log says about its request."""

from __future__ import annotations

from collections.abc import Callable

import trio

from mesh.messages import Command, Request, encode
from mesh.session import State
from mesh.words import canonical, shown
from net.hub import Link
from roles.authority import Accepted


class Client:
    """A user's connection, from its REQUEST on."""

    __slots__ = ("began", "ended", "key", "link", "scope", "state", "summary")

    def __init__(self, link: Link, request: Request) -> None:
        self.link = link
        self.state = State.ANSWER
        self.scope = trio.CancelScope()
        """Cancelled when the request is over, whatever its task is waiting for."""
        self.began = 0.0
        """When the request was put on the wire, in seconds of a steady clock."""
        self.ended = "connection lost"
        """How the request ended: what it is called unless another end is noted."""
        self.key = ""
        """The public key, in hex, that authenticated the request; empty after a password."""
        self.summary: dict[str, object] = {
            "user": request.user,
            "address": link.address,
            "command": canonical(request.words),
            "filters": request.filters,
            "mode": request.mode,
        }
        """What every line of the audit log says about the request."""

    def known(self, refused: str) -> dict[str, object]:
        """The summary for a line about a refusal: a stranger cannot fill the audit log with his words."""
        if refused != "authentication":
            return self.summary
        brief = {name: self.summary[name] for name in ("user", "address")}
        return brief | {"command": shown(str(self.summary["command"]))}


def command_of(request: Request, accepted: Accepted, issued: int, ttl: int) -> Callable[[int], bytes]:
    """What makes the encoded COMMAND of a serial; `issued` and `ttl` in milliseconds (protocol.md
    "Messages"). It raises MessageError.
    """
    sent = accepted.sent
    command = Command(
        user=request.user,
        groups=accepted.groups,
        how=accepted.how,
        words=accepted.command.words,
        arguments=accepted.command.places,
        module=sent.module,
        image=sent.image,
        filters=request.filters,
        mode=request.mode,
        targets=request.targets,
        issued=issued,
        ttl=ttl,
        run_time=request.run_time,
    )
    return lambda serial: encode(command, serial)
