"""What a peer can do wrong on the wire; nothing else is ever raised for bytes that came from outside."""

from errors import CwError


class WireError(CwError):
    """The peer broke the protocol."""

    status = 4


class RecordError(WireError):
    """The peer does not speak cw's protocol."""


class HandshakeError(WireError):
    """The handshake failed."""


class DecryptError(WireError):
    """A record was altered on its way, or was sealed with another key."""


class SessionDead(WireError):
    """The session ended with an earlier error."""


class NonceExhausted(WireError):
    """The session has sealed all the messages that its keys allow."""


class ChunkError(WireError):
    """A message is longer than the session allows, or was split in another way than the protocol's."""


class CodecError(WireError):
    """A message's body is not what its type prescribes."""
