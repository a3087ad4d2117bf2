"""An established session: messages in, sealed records out, and back. Pure: sockets are the caller's.

Each record is one Noise transport message; its plaintext begins with a byte, 1 (more follows) or 0 (last).
There is one way to split: every record but the last is full, and a message that fits one record is one
record.
"""

from __future__ import annotations

from typing import NoReturn

from wire.errors import ChunkError, RecordError, SessionDead, WireError
from wire.noise import Cipher
from wire.primitives import TAG_BYTES
from wire.records import LENGTH_BYTES, MAX_RECORD

MAX_MESSAGE = 1 << 20
"""Bytes of the longest message that anybody may send."""

MAX_FROM_AGENT = MAX_MESSAGE - 1024
"""Bytes of the longest message that an agent may send: with an identity block, one that a client takes."""

MAX_UNAUTHENTICATED = 128 << 10
"""Bytes of the longest message that a client may send before it is authenticated."""

CHUNK_BYTES = MAX_RECORD - TAG_BYTES - 1
"""Bytes of a message that a full record carries."""

_OVERHEAD = TAG_BYTES + 1
_LAST = b"\0"
_MORE = b"\1"
_DEAD = -1


class Transport:
    """One established session.

    `max_message`, in bytes, bounds what the peer may send; it may be changed at any time. After an error of
    `open` the session is dead: both ciphers have forgotten their keys and everything raises SessionDead.
    """

    __slots__ = ("_chunks", "_held", "_pending", "_receive", "_send", "_wanted", "max_message")

    def __init__(self, send: Cipher, receive: Cipher, max_message: int) -> None:
        self._send = send
        self._receive = receive
        self.max_message = max_message
        self._pending = bytearray()
        self._wanted = LENGTH_BYTES
        self._chunks: list[bytes] = []
        self._held = 0

    def seal(self, message: bytes) -> bytes:
        """`message` as the bytes to send.

        Raises ChunkError if it is longer than MAX_MESSAGE, after which the session lives on; SessionDead,
        NonceExhausted.
        """
        size = len(message)
        if size <= CHUNK_BYTES:
            return (size + _OVERHEAD).to_bytes(LENGTH_BYTES, "big") + self._send.encrypt(_LAST + message)
        if size > MAX_MESSAGE:
            raise ChunkError(f"a message of {size} bytes is longer than {MAX_MESSAGE}")
        records: list[bytes] = []
        for start in range(0, size, CHUNK_BYTES):
            end = start + CHUNK_BYTES
            record = self._send.encrypt((_MORE if end < size else _LAST) + message[start:end])
            records += (len(record).to_bytes(LENGTH_BYTES, "big"), record)
        return b"".join(records)

    def open(self, received: bytes) -> list[bytes]:
        """The messages that `received`, the next bytes from the socket, completes.

        Raises RecordError, DecryptError, ChunkError, NonceExhausted, SessionDead; each ends the session, and
        messages completed by the same `received` are lost with it.
        """
        if self._wanted == _DEAD:
            raise SessionDead
        stream = received
        if self._pending:
            self._pending += received
            if len(self._pending) < self._wanted:
                return []
            stream = bytes(self._pending)
            self._pending = bytearray()
        messages: list[bytes] = []
        at, end = 0, len(stream)
        while at < end:
            start = at + LENGTH_BYTES
            if start > end:
                self._wait(stream[at:], LENGTH_BYTES)
                break
            size = stream[at] << 8 | stream[at + 1]
            # Refused before it is waited for, kept or decrypted.
            if not _OVERHEAD <= size <= _OVERHEAD + self.max_message - self._held:
                self._die(self._wrong_size(size))
            if start + size > end:
                self._wait(stream[at:], LENGTH_BYTES + size)
                break
            at = start + size
            try:
                plaintext = self._receive.decrypt(stream[start:at])
            except WireError as error:
                self._die(error)
            if plaintext[0] == 0 and not self._chunks:
                messages.append(plaintext[1:])
            else:
                self._join(plaintext, messages)
        return messages

    def lower(self, max_message: int) -> None:
        """Let the peer send less from now on. Raises ChunkError where it has begun something longer: that is
        forgotten, and nothing more is opened; the session still seals.
        """
        self.max_message = max_message
        waited_for = self._wanted - LENGTH_BYTES - _OVERHEAD if self._pending else 0
        if self._held + waited_for > max_message:
            self._forget()
            raise self._too_long()

    def _wait(self, start_of_record: bytes, wanted: int) -> None:
        """Keeps what came of a record until `wanted` bytes are there."""
        self._pending = bytearray(start_of_record)
        self._wanted = wanted

    def _join(self, plaintext: bytes, messages: list[bytes]) -> None:
        """Adds one part of a split message, and the message to `messages` if it was the last."""
        flag, size = plaintext[0], len(plaintext) - 1
        if flag > 1 or (size != CHUNK_BYTES if flag else not size):
            self._die(ChunkError("a message was split in another way than the protocol's"))
        self._chunks.append(plaintext[1:])
        self._held += size
        if not flag:
            messages.append(b"".join(self._chunks))
            self._chunks = []
            self._held = 0

    def _wrong_size(self, size: int) -> WireError:
        if size < _OVERHEAD:
            return RecordError(f"a record of {size} bytes is shorter than the empty message's")
        return self._too_long()

    def _too_long(self) -> ChunkError:
        return ChunkError(
            f"a message is longer than the {self.max_message} bytes that this session allows now"
        )

    def _die(self, error: WireError) -> NoReturn:
        self._send.kill()
        self._receive.kill()
        self._forget()
        raise error

    def _forget(self) -> None:
        self._pending = bytearray()
        self._chunks = []
        self._wanted = _DEAD
