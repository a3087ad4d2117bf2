"""Bodies of messages: shapes that read and write a strict part of MessagePack. Pure.

A shape says what may stand at a place: an unsigned integer, a boolean, nil, text, binary or an array, each
bounded. Every value has one encoding, MessagePack's shortest, and any other is refused, so
`write(read(raw))` is `raw`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Generic, Protocol, TypeVar

from wire.errors import CodecError

T_co = TypeVar("T_co", covariant=True)


class Shape(Protocol[T_co]):
    """What may stand at a place of a body. Both methods raise CodecError, which never quotes a value."""

    def write(self, value: object) -> bytes:
        """`value` as MessagePack."""

    def read(self, raw: bytes, at: int) -> tuple[T_co, int]:
        """The value that begins at `raw[at]`, its lengths checked before anything is made of it, and its end.

        IndexError says that `raw` ends before `at`; a Record, which is what stands outermost, makes it a
        CodecError.
        """


# What follows a tag: bytes of a number, and the smallest one that needs so many.
_UINTS = {0xCC: (1, 1 << 7), 0xCD: (2, 1 << 8), 0xCE: (4, 1 << 16), 0xCF: (8, 1 << 32)}
_TEXTS = {0xD9: (1, 32), 0xDA: (2, 1 << 8), 0xDB: (4, 1 << 16)}
_BINARIES = {0xC4: (1, 0), 0xC5: (2, 1 << 8), 0xC6: (4, 1 << 16)}
_ARRAYS = {0xDC: (2, 16), 0xDD: (4, 1 << 16)}
_NIL = 0xC0
_BOOLEANS = {0xC2: False, 0xC3: True}
_FIX_TEXT, _FIX_ARRAY = 0xA0, 0x90


def _number(raw: bytes, at: int, widths: Mapping[int, tuple[int, int]], expected: str) -> tuple[int, int]:
    """The value or length after the tag at `at`, and the place after it."""
    try:
        width, smallest = widths[raw[at]]
    except KeyError:
        raise CodecError(f"expected {expected}") from None
    end = at + 1 + width
    if end > len(raw):
        raise CodecError("ends too early")
    number = int.from_bytes(raw[at + 1 : end], "big")
    if number < smallest:
        raise CodecError("a number is not in its shortest form")
    return number, end


def _tagged(number: int, widths: Mapping[int, tuple[int, int]]) -> bytes:
    """The shortest tag for `number`, and the number."""
    for tag, (width, _) in widths.items():
        if number < 1 << 8 * width:
            return (tag << 8 * width | number).to_bytes(1 + width, "big")
    raise CodecError(f"{number} is too much for MessagePack")


class Uint:
    """A whole number from `least` to `most`."""

    __slots__ = ("_least", "_most")

    def __init__(self, most: int, least: int = 0) -> None:
        self._least = least
        self._most = most

    def write(self, value: object) -> bytes:
        """MessagePack's positive fixint and uint 8 to 64."""
        if type(value) is not int:
            raise CodecError("expected a whole number")
        if not self._least <= value <= self._most:
            raise self._out_of_bounds()
        return value.to_bytes(1, "big") if value < 0x80 else _tagged(value, _UINTS)

    def read(self, raw: bytes, at: int) -> tuple[int, int]:
        """The number."""
        value, end = raw[at], at + 1
        if value >= 0x80:
            value, end = _number(raw, at, _UINTS, "a whole number")
        if not self._least <= value <= self._most:
            raise self._out_of_bounds()
        return value, end

    def _out_of_bounds(self) -> CodecError:
        return CodecError(f"expected a whole number from {self._least} to {self._most}")


class Boolean:
    """True or false."""

    __slots__ = ()

    def write(self, value: object) -> bytes:
        """MessagePack's true and false."""
        if value is True:
            return b"\xc3"
        if value is False:
            return b"\xc2"
        raise CodecError("expected true or false")

    def read(self, raw: bytes, at: int) -> tuple[bool, int]:
        """The truth value."""
        try:
            return _BOOLEANS[raw[at]], at + 1
        except KeyError:
            raise CodecError("expected true or false") from None


class Binary:
    """Bytes, as many as one of `lengths`."""

    __slots__ = ("_lengths",)

    def __init__(self, lengths: Container[int]) -> None:
        self._lengths = lengths

    def write(self, value: object) -> bytes:
        """MessagePack's bin 8 to 32."""
        if type(value) is not bytes:
            raise CodecError("expected bytes")
        self._check(len(value))
        return _tagged(len(value), _BINARIES) + value

    def read(self, raw: bytes, at: int) -> tuple[bytes, int]:
        """The bytes."""
        size, start = _number(raw, at, _BINARIES, "bytes")
        self._check(size)
        end = start + size
        if end > len(raw):
            raise CodecError("ends too early")
        return raw[start:end], end

    def _check(self, size: int) -> None:
        if size not in self._lengths:
            raise CodecError(f"{size} bytes are not as many as there may be")


class Text:
    """Text of at most `most` bytes of UTF-8, for which `rule` holds; `expected` says what the rule wants."""

    __slots__ = ("_expected", "_most", "_rule")

    def __init__(self, most: int, rule: Callable[[str], bool] | None = None, expected: str = "text") -> None:
        self._most = most
        self._rule = rule
        self._expected = expected

    def write(self, value: object) -> bytes:
        """MessagePack's str, fixed to 32."""
        if type(value) is not str:
            raise CodecError(f"expected {self._expected}")
        try:
            encoded = value.encode()
        except UnicodeEncodeError:
            raise CodecError("the text is not Unicode") from None
        size = len(encoded)
        if size > self._most:
            raise self._too_long(size)
        if self._rule is not None and not self._rule(value):
            raise CodecError(f"expected {self._expected}")
        return (bytes((_FIX_TEXT | size,)) if size < 32 else _tagged(size, _TEXTS)) + encoded

    def read(self, raw: bytes, at: int) -> tuple[str, int]:
        """The text."""
        size, start = raw[at] ^ _FIX_TEXT, at + 1
        if size >= 32:
            size, start = _number(raw, at, _TEXTS, self._expected)
        if size > self._most:
            raise self._too_long(size)
        end = start + size
        if end > len(raw):
            raise CodecError("ends too early")
        try:
            value = raw[start:end].decode()
        except UnicodeDecodeError:
            raise CodecError("the text is not UTF-8") from None
        if self._rule is not None and not self._rule(value):
            raise CodecError(f"expected {self._expected}")
        return value, end

    def _too_long(self, size: int) -> CodecError:
        return CodecError(f"a text of {size} bytes is longer than {self._most}")


def _count(raw: bytes, at: int, expected: str) -> tuple[int, int]:
    """How many elements the array at `at` has, no more than there are bytes for, and where they begin."""
    count, start = raw[at] ^ _FIX_ARRAY, at + 1
    if count >= 16:
        count, start = _number(raw, at, _ARRAYS, expected)
    if count > len(raw) - start:
        raise CodecError("ends too early")
    return count, start


def _counted(count: int) -> bytes:
    return bytes((_FIX_ARRAY | count,)) if count < 16 else _tagged(count, _ARRAYS)


class Several(Generic[T_co]):
    """A tuple of at most `most` values of one shape."""

    __slots__ = ("_item", "_most")

    def __init__(self, item: Shape[T_co], most: int) -> None:
        self._item = item
        self._most = most

    def write(self, value: object) -> bytes:
        """MessagePack's array."""
        if not isinstance(value, tuple):
            raise CodecError("expected several values")
        self._check(len(value))
        write = self._item.write
        return _counted(len(value)) + b"".join([write(item) for item in value])

    def read(self, raw: bytes, at: int) -> tuple[tuple[T_co, ...], int]:
        """The values."""
        count, at = _count(raw, at, "several values")
        self._check(count)
        read = self._item.read
        items = []
        for _ in range(count):
            item, at = read(raw, at)
            items.append(item)
        return tuple(items), at

    def _check(self, count: int) -> None:
        if count > self._most:
            raise CodecError(f"{count} values are more than {self._most}")


class Maybe(Generic[T_co]):
    """A value of one shape, or None."""

    __slots__ = ("_item",)

    def __init__(self, item: Shape[T_co]) -> None:
        self._item = item

    def write(self, value: object) -> bytes:
        """MessagePack's nil, or the value."""
        return b"\xc0" if value is None else self._item.write(value)

    def read(self, raw: bytes, at: int) -> tuple[T_co | None, int]:
        """The value or None."""
        return (None, at + 1) if raw[at] == _NIL else self._item.read(raw, at)


class Record(Generic[T_co]):
    """A named tuple: an array of exactly its fields, in order; `tag`, if any, is a text before them."""

    __slots__ = ("_fields", "_make", "head")

    def __init__(
        self, make: Callable[..., T_co], fields: Mapping[str, Shape[object]], tag: str | None = None
    ) -> None:
        self._make = make
        self._fields = tuple(fields.items())
        self.head = _counted(len(fields)) if tag is None else _counted(1 + len(fields)) + Text(31).write(tag)

    def write(self, value: object) -> bytes:
        """MessagePack's array of the fields; `value` must be a tuple as long as they are many."""
        if not isinstance(value, tuple) or len(value) != len(self._fields):
            raise CodecError(f"expected {len(self._fields)} fields")
        parts = [self.head]
        for (name, shape), item in zip(self._fields, value, strict=True):
            try:
                parts.append(shape.write(item))
            except CodecError as error:
                raise CodecError(f"{name}: {error}") from None
        return b"".join(parts)

    def read(self, raw: bytes, at: int) -> tuple[T_co, int]:
        """The named tuple."""
        if not raw.startswith(self.head, at):
            raise CodecError(f"expected {len(self._fields)} fields")
        at += len(self.head)
        items = []
        for name, shape in self._fields:
            try:
                item, at = shape.read(raw, at)
            except (CodecError, IndexError) as error:
                raise CodecError(f"{name}: {error if isinstance(error, CodecError) else 'missing'}") from None
            items.append(item)
        return self._make(*items), at


class Nothing(Generic[T_co]):
    """A value that takes no bytes at all."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], T_co]) -> None:
        self._make = make

    def write(self, _value: object) -> bytes:
        """No bytes."""
        return b""

    def read(self, _raw: bytes, at: int) -> tuple[T_co, int]:
        """The value, new."""
        return self._make(), at


class OneOf(Generic[T_co]):
    """A record of one of several types, each with a tag of its own."""

    __slots__ = ("_records",)

    def __init__(self, records: Mapping[type[object], Record[T_co]]) -> None:
        self._records = records

    def write(self, value: object) -> bytes:
        """The record of the type that `value` has."""
        record = self._records.get(type(value))
        if record is None:
            raise CodecError("expected one of the known kinds")
        return record.write(value)

    def read(self, raw: bytes, at: int) -> tuple[T_co, int]:
        """The record whose tag stands there."""
        for record in self._records.values():
            if raw.startswith(record.head, at):
                return record.read(raw, at)
        raise CodecError("expected one of the known kinds")


def read_whole(shape: Shape[T_co], raw: bytes, at: int) -> T_co:
    """The value that fills `raw` from `at` to its end; raises CodecError."""
    value, end = shape.read(raw, at)
    if end != len(raw):
        raise CodecError("more bytes than belong to it")
    return value


def read_first(shape: Shape[T_co], raw: bytes, at: int) -> T_co:
    """The first value of the array that begins at `raw[at]`, whatever follows it; raises CodecError."""
    try:
        _, start = _count(raw, at, "several values")
        return shape.read(raw, start)[0]
    except IndexError:
        raise CodecError("ends too early") from None
