"""A user's connection to the broker, and what the audit log says about its request."""

from __future__ import annotations

import trio

from mesh.messages import Request
from mesh.session import State
from mesh.words import canonical, shown
from net.hub import Link


class Client:
    """A user's connection, from its REQUEST on."""

    __slots__ = ("key", "link", "scope", "state", "summary")

    def __init__(self, link: Link, request: Request) -> None:
        self.link = link
        self.state = State.ANSWER
        self.scope = trio.CancelScope()
        """Cancelled when the request is over, whatever its task is waiting for."""
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
