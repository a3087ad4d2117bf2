"""Preface and length-prefixed records, what both sides send before and around everything secret. Pure."""

from __future__ import annotations

from wire.errors import RecordError

PREFACE_AGENT = b"cw/1A"
PREFACE_CLIENT = b"cw/1C"
PREFACE_BYTES = 5

LENGTH_BYTES = 2
MAX_RECORD = 65535
"""Bytes in the longest record, its length not counted."""


def frame(record: bytes) -> bytes:
    """`record` as it travels: 2 bytes of big-endian length, then itself."""
    size = len(record)
    if size > MAX_RECORD:
        raise RecordError(f"a record of {size} bytes is longer than {MAX_RECORD}")
    return size.to_bytes(LENGTH_BYTES, "big") + record


def take(stream: bytes, size: int) -> tuple[bytes, bytes] | None:
    """The first record of `stream`, which must have `size` bytes, and what follows; None: not all there yet.

    For handshakes, whose records have one length each: any other is refused as soon as it is announced, so
    that a stranger makes nobody wait for bytes or keep them. Raises RecordError.
    """
    if len(stream) < LENGTH_BYTES:
        return None
    announced = int.from_bytes(stream[:LENGTH_BYTES], "big")
    if announced != size:
        raise RecordError(
            f"the peer does not speak cw's protocol: its record has {announced} bytes where {size} were due"
        )
    end = LENGTH_BYTES + size
    if len(stream) < end:
        return None
    return bytes(stream[LENGTH_BYTES:end]), bytes(stream[end:])
