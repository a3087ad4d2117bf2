"""The words of the mesh: what its members can tell each other. No rule, no bound, no byte."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    """A message's first byte."""

    HELLO = 1
    REQUEST = 2
    OK = 3
    ERROR = 4
    COMMAND = 5
    OPTIN = 6
    OPTOUT = 7
    DENIED = 8
    EXPIRED = 9
    RESULT = 10
    LOST = 11
    SILENT = 12
    DONE = 13
    CANCEL = 14
    BYE = 15
    PING = 16
    PONG = 17


class Side(IntEnum):
    """Who sends."""

    AGENT = 1
    BROKER = 2
    CLIENT = 3


class _Bare(tuple[()]):
    """A message without fields: true, and equal to its own kind alone."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __ne__(self, other: object) -> bool:
        return type(self) is not type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Hello(NamedTuple):
    """Agent → broker, first: who it says it is; `cw` is the version of cw."""

    version: int
    cw: str
    fqdn: str
    uuid: str


class Welcome(NamedTuple):
    """Broker → agent, the answer to HELLO: milliseconds between heartbeats, and the broker's clock."""

    version: int
    cw: str
    heartbeat: int
    now: int


class KeyAuth(NamedTuple):
    """A user's public key in base 16, 32 random bytes, and 64 bytes of signature or, before that, none."""

    public: str
    nonce: bytes
    signature: bytes


class PasswordAuth(NamedTuple):
    """A password, never shown."""

    password: str

    def __repr__(self) -> str:
        return "PasswordAuth(password=…)"


class NoAuth(_Bare):
    """No proof of who asks."""

    __slots__ = ()


Auth = KeyAuth | PasswordAuth | NoAuth


class Request(NamedTuple):
    """Client → broker, first and only: what a user asks of the nodes.

    `mode` is `run` or `plan`; `targets` are uuids, None for all; `timeout` and `run_time` milliseconds,
    `run_time` 0 for the node's own limit; `optouts` asks for opt-outs one by one instead of counted.
    """

    version: int
    user: str
    auth: Auth
    words: tuple[str, ...]
    filters: tuple[str, ...]
    mode: str
    targets: tuple[str, ...] | None
    timeout: int
    run_time: int
    optouts: bool


class Ok(NamedTuple):
    """Broker → client: the command goes to so many sessions."""

    sessions: int


class Error(NamedTuple):
    """Broker → client or agent, last: why not.

    Codes: authentication denied unrecognised invalid untrusted busy version failed closing.
    """

    code: str
    sentence: str


class Command(NamedTuple):
    """Broker → agents: the `words` of `user`, who is in `groups` and was authenticated by `how`, as an image.

    `arguments` are the places among the words, from 0 and ascending, of those that the image's program gets,
    for nodes that do not know the verb; `module` is the verb's module and its version (`mesh/1`); `issued`
    the broker's clock, `ttl` and `run_time`, all in milliseconds; the rest as in Request.
    """

    user: str
    groups: tuple[str, ...]
    how: str
    words: tuple[str, ...]
    arguments: tuple[int, ...]
    module: str
    image: bytes
    filters: tuple[str, ...]
    mode: str
    targets: tuple[str, ...] | None
    issued: int
    ttl: int
    run_time: int


class Optin(_Bare):
    """Agent → broker → client: the command runs here now, or would if it were not for `plan`."""

    __slots__ = ()


class Optout(_Bare):
    """Agent → broker → client: the filters do not match here."""

    __slots__ = ()


class Denied(_Bare):
    """Agent → broker → client: the access rules say no."""

    __slots__ = ()


class Expired(_Bare):
    """Agent → broker → client: the command came too late to run."""

    __slots__ = ()


class Result(NamedTuple):
    """Agent → broker → client: how it ended; `truncated`: output was cut; `duration` is in microseconds."""

    status: int
    output: bytes
    error_output: bytes
    truncated: bool
    duration: int


class Lost(_Bare):
    """Broker → client: the session broke before it answered."""

    __slots__ = ()


class Silent(_Bare):
    """Broker → client: no answer before the deadline."""

    __slots__ = ()


class Done(NamedTuple):
    """Broker → client, last: of how many sessions, so many closed as what."""

    sessions: int
    results: int
    optouts: int
    denied: int
    expired: int
    lost: int
    silent: int


class Cancel(_Bare):
    """Client → broker → agents: stop what is running."""

    __slots__ = ()


class Bye(_Bare):
    """Client → broker, last: it has heard enough."""

    __slots__ = ()


class Ping(NamedTuple):
    """Broker → agent or client: the broker's clock, milliseconds."""

    now: int


class Pong(NamedTuple):
    """The answer to a PING, with its number."""

    now: int


class Identity(NamedTuple):
    """The node that a report is of, as the broker knows it."""

    fqdn: str
    uuid: str


Message = (
    Hello
    | Welcome
    | Request
    | Ok
    | Error
    | Command
    | Optin
    | Optout
    | Denied
    | Expired
    | Result
    | Lost
    | Silent
    | Done
    | Cancel
    | Bye
    | Ping
    | Pong
)
