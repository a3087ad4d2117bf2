"""Messages as bytes: tables of who may say what within which bounds, and what reads and writes by them. Pure.

A message is one byte of kind, eight bytes of serial (zero where it means nothing) and a body: its fields as a
MessagePack array, or nothing at all for a message without fields.
"""

from __future__ import annotations

from typing import NamedTuple

from mesh.vocabulary import (
    Auth,
    Bye,
    Cancel,
    Command,
    Denied,
    Done,
    Error,
    Expired,
    Hello,
    Identity,
    KeyAuth,
    Kind,
    Lost,
    Message,
    NoAuth,
    Ok,
    Optin,
    Optout,
    PasswordAuth,
    Ping,
    Pong,
    Request,
    Result,
    Side,
    Silent,
    Welcome,
)
from wire.codec import (
    Binary,
    Boolean,
    Maybe,
    Nothing,
    OneOf,
    Record,
    Several,
    Shape,
    Text,
    Uint,
    read_first,
    read_whole,
)
from wire.errors import CodecError, WireError
from wire.primitives import HASH_BYTES, blake2s
from wire.transport import MAX_FROM_AGENT, MAX_MESSAGE, MAX_UNAUTHENTICATED

__all__ = [
    # The vocabulary, so that whoever speaks needs one import.
    "Kind",
    "Side",
    "Hello",
    "Welcome",
    "KeyAuth",
    "PasswordAuth",
    "NoAuth",
    "Request",
    "Ok",
    "Error",
    "Command",
    "Optin",
    "Optout",
    "Denied",
    "Expired",
    "Result",
    "Lost",
    "Silent",
    "Done",
    "Cancel",
    "Bye",
    "Ping",
    "Pong",
    "Identity",
    "Auth",
    "Message",
    # What is made of it here.
    "MAX_IMAGE",
    "MAX_OUTPUT",
    "REPORTS",
    "VERSION",
    "MessageError",
    "VersionUnknown",
    "decode",
    "decode_report",
    "encode",
    "encode_identity",
    "is_host_name",
    "is_uuid",
    "kind_of",
    "relay",
    "serial_of",
    "to_sign",
]

VERSION = 1
"""The version of the protocol that this cw speaks."""

HEADER_BYTES = 9
MAX_IMAGE = 256 << 10
MAX_OUTPUT = MAX_FROM_AGENT - 1024
"""Bytes that a RESULT's output and error output may have together."""


class MessageError(WireError):
    """A message is not what its kind prescribes."""


class VersionUnknown(MessageError):
    """The peer speaks a newer version of the protocol, which this cw does not know."""


def is_host_name(text: str) -> bool:
    """Whether `text` is a host name: dotted labels of letters, digits and inner hyphens (RFC 1123 §2.1)."""
    return (
        0 < len(text) <= 253
        and text.isascii()
        and all(
            len(label) <= 63 and label.replace("-", "a").isalnum() and "-" not in (label[0], label[-1])
            for label in text.split(".")
        )
    )


def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID in the canonical form, lower case (RFC 4122 §3)."""
    return [len(part) for part in text.split("-")] == [8, 4, 4, 4, 12] and not text.strip("0123456789abcdef-")


def _is_public_key(text: str) -> bool:
    return len(text) == 64 and not text.strip("0123456789abcdef")


_count = Uint(2**32 - 1)
_milliseconds = Uint(2**53)
_version = Uint(2**16 - 1, least=1)
_name = Text(255)
_fqdn = Text(253, is_host_name, "a host name")
_uuid = Text(36, is_uuid, "a UUID in lower case")
_mode = Text(4, ("run", "plan").__contains__, "run or plan")
_words = Several(Text(128 << 10), 1024)
_places = Several(Uint(1023), 1024)
_filters = Several(Text(4096), 64)
_targets = Maybe(Several(_uuid, 8192))
_groups = Several(_name, 1024)
_output = Binary(range(MAX_OUTPUT + 1))

_KEY_FIELDS: dict[str, Shape[object]] = {
    "public": Text(64, _is_public_key, "a public key in base 16"),
    "nonce": Binary((32,)),
    "signature": Binary((0, 64)),
}
_auth: OneOf[Auth] = OneOf(
    {
        KeyAuth: Record(KeyAuth, _KEY_FIELDS, "key"),
        PasswordAuth: Record(PasswordAuth, {"password": Text(4096)}, "password"),
        NoAuth: Record(NoAuth, {}, "none"),
    }
)

_HELLO = Record(Hello, {"version": _version, "cw": _name, "fqdn": _fqdn, "uuid": _uuid})
_WELCOME = Record(
    Welcome, {"version": _version, "cw": _name, "heartbeat": _milliseconds, "now": _milliseconds}
)
_REQUEST = Record(
    Request,
    {
        "version": _version,
        "user": _name,
        "auth": _auth,
        "words": _words,
        "filters": _filters,
        "mode": _mode,
        "targets": _targets,
        "timeout": _milliseconds,
        "run_time": _milliseconds,
        "optouts": Boolean(),
    },
)
_COMMAND = Record(
    Command,
    {
        "user": _name,
        "groups": _groups,
        "how": _name,
        "words": _words,
        "arguments": _places,
        "module": _name,
        "image": Binary(range(MAX_IMAGE + 1)),
        "filters": _filters,
        "mode": _mode,
        "targets": _targets,
        "issued": _milliseconds,
        "ttl": _milliseconds,
        "run_time": _milliseconds,
    },
)
_RESULT = Record(
    Result,
    {
        "status": _count,
        "output": _output,
        "error_output": _output,
        "truncated": Boolean(),
        "duration": Uint(2**53),
    },
)
_ERROR = Record(Error, {"code": Text(32), "sentence": Text(16 << 10)})
_DONE = Record(Done, dict.fromkeys(Done._fields, _count))
_IDENTITY = Record(Identity, {"fqdn": _fqdn, "uuid": _uuid})


class _Row(NamedTuple):
    """What the protocol says of a type of message: its body, and how many bytes it may have in all."""

    kind: Kind
    senders: tuple[Side, ...]
    body: Shape[Message]
    most: int = MAX_MESSAGE


_ROWS: dict[type[Message], _Row] = {
    Hello: _Row(Kind.HELLO, (Side.AGENT,), _HELLO),
    Welcome: _Row(Kind.HELLO, (Side.BROKER,), _WELCOME),
    Request: _Row(Kind.REQUEST, (Side.CLIENT,), _REQUEST, MAX_UNAUTHENTICATED),
    Ok: _Row(Kind.OK, (Side.BROKER,), Record(Ok, {"sessions": _count})),
    Error: _Row(Kind.ERROR, (Side.BROKER,), _ERROR),
    Command: _Row(Kind.COMMAND, (Side.BROKER,), _COMMAND),
    Optin: _Row(Kind.OPTIN, (Side.AGENT,), Nothing(Optin)),
    Optout: _Row(Kind.OPTOUT, (Side.AGENT,), Nothing(Optout)),
    Denied: _Row(Kind.DENIED, (Side.AGENT,), Nothing(Denied)),
    Expired: _Row(Kind.EXPIRED, (Side.AGENT,), Nothing(Expired)),
    Result: _Row(Kind.RESULT, (Side.AGENT,), _RESULT, MAX_FROM_AGENT),
    Lost: _Row(Kind.LOST, (), Nothing(Lost)),
    Silent: _Row(Kind.SILENT, (), Nothing(Silent)),
    Done: _Row(Kind.DONE, (Side.BROKER,), _DONE),
    Cancel: _Row(Kind.CANCEL, (Side.BROKER, Side.CLIENT), Nothing(Cancel)),
    Bye: _Row(Kind.BYE, (Side.CLIENT,), Nothing(Bye)),
    Ping: _Row(Kind.PING, (Side.BROKER,), Record(Ping, {"now": _milliseconds})),
    Pong: _Row(Kind.PONG, (Side.AGENT, Side.CLIENT), Record(Pong, {"now": _milliseconds})),
}

REPORTS = frozenset((Kind.OPTIN, Kind.OPTOUT, Kind.DENIED, Kind.EXPIRED, Kind.RESULT, Kind.LOST, Kind.SILENT))
"""What a client hears of a node: always behind an identity block, read by `decode_report` alone."""

_WITHOUT_SERIAL = frozenset((Kind.HELLO, Kind.REQUEST, Kind.PING, Kind.PONG))
_WITH_VERSION = frozenset((Kind.HELLO, Kind.REQUEST))

_KINDS = {int(kind): kind for kind in Kind}
_SENT = {(sender, row.kind): row for row in _ROWS.values() for sender in row.senders}
_REPORTED = {row.kind: row for row in _ROWS.values() if row.kind in REPORTS}


def encode(message: Message, serial: int = 0) -> bytes:
    """`message` as it goes into a session; raises MessageError if it breaks a bound of its kind."""
    row = _ROWS[type(message)]
    kind = row.kind
    if serial and kind in _WITHOUT_SERIAL:
        raise MessageError(f"{kind.name}: has no serial")
    raw = (kind << 64 | serial).to_bytes(HEADER_BYTES, "big")
    try:
        raw += row.body.write(message)
    except CodecError as error:
        raise MessageError(f"{kind.name}: {error}") from error
    if len(raw) > row.most:
        raise MessageError(f"{kind.name}: {len(raw)} bytes are more than {row.most}")
    return raw


def decode(sender: Side, raw: bytes) -> tuple[int, Message]:
    """Serial and message that `sender` sent; raises MessageError, VersionUnknown."""
    kind = kind_of(raw)
    serial = serial_of(raw)
    row = _SENT.get((sender, kind))
    if row is None:
        raise MessageError(f"{kind.name}: not for the {sender.name.lower()} to send")
    if serial and kind in _WITHOUT_SERIAL:
        raise MessageError(f"{kind.name}: has no serial")
    if len(raw) > row.most:
        raise MessageError(f"{kind.name}: {len(raw)} bytes are more than {row.most}")
    try:
        return serial, read_whole(row.body, raw, HEADER_BYTES)
    except CodecError as error:
        if kind in _WITH_VERSION:
            _refuse_newer(raw)
        raise MessageError(f"{kind.name}: {error}") from error


def kind_of(raw: bytes) -> Kind:
    """The kind of a message, its body unread; raises MessageError."""
    if len(raw) < HEADER_BYTES:
        raise MessageError(f"a message of {len(raw)} bytes is shorter than its header")
    try:
        return _KINDS[raw[0]]
    except KeyError:
        raise MessageError(f"there is no kind {raw[0]} of message") from None


def serial_of(raw: bytes) -> int:
    """The serial of a message that has a kind."""
    return int.from_bytes(raw[1:HEADER_BYTES], "big")


def encode_identity(identity: Identity) -> bytes:
    """The identity block of a session, to encode once; raises MessageError."""
    try:
        return _IDENTITY.write(identity)
    except CodecError as error:
        raise MessageError(f"identity: {error}") from error


def relay(raw: bytes, identity: bytes) -> bytes:
    """An agent's message (or the broker's own about a session) as a client hears it, its body untouched."""
    return b"".join((raw[:HEADER_BYTES], identity, raw[HEADER_BYTES:]))


def decode_report(raw: bytes) -> tuple[int, Kind, Identity, Message | None]:
    """Serial, kind, node and message that a broker relayed; None: the node's body is malformed.

    Raises MessageError if what the broker itself adds is wrong.
    """
    kind = kind_of(raw)
    row = _REPORTED.get(kind)
    if row is None:
        raise MessageError(f"{kind.name}: is not about a node")
    try:
        identity, start = _IDENTITY.read(raw, HEADER_BYTES)
    except CodecError as error:
        raise MessageError(f"{kind.name}: identity: {error}") from error
    message: Message | None
    try:
        message = read_whole(row.body, raw, start)
    except CodecError:
        message = None
    return serial_of(raw), kind, identity, message


def to_sign(request: Request, handshake_hash: bytes) -> bytes:
    """What a key signs: this session, and the request as yet unsigned (protocol.md "Authentication").

    Raises MessageError if the request is not authenticated by key.
    """
    if not isinstance(request.auth, KeyAuth) or len(handshake_hash) != HASH_BYTES:
        raise MessageError("REQUEST: only a key signs, and only a session's handshake hash")
    unsigned = request._replace(auth=request.auth._replace(signature=b""))
    return b"cw/1 request\0" + handshake_hash + blake2s(encode(unsigned)[HEADER_BYTES:])


def _refuse_newer(raw: bytes) -> None:
    """Raises VersionUnknown if a body that could not be read says it is of a newer version than ours."""
    try:
        version = read_first(_version, raw, HEADER_BYTES)
    except CodecError:
        return
    if version > VERSION:
        raise VersionUnknown(f"the peer speaks version {version} of the protocol, this cw {VERSION}")
