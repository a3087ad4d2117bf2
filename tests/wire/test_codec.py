from collections.abc import Callable
from typing import NamedTuple

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from wire.errors import CodecError

MOST = 2**64 - 1
UINT, TEXT, BINARY = Uint(MOST), Text(1 << 20), Binary(range(1 << 20))


class Line(NamedTuple):
    number: int
    label: str
    points: tuple[int, ...]
    note: bytes | None
    solid: bool


class Dot(NamedTuple):
    at: int


class Gap(NamedTuple):
    of: int


DOTS: OneOf[object] = OneOf({Dot: Record(Dot, {"at": UINT}, "dot"), Gap: Record(Gap, {"of": UINT}, "gap")})
LINE = Record(
    Line,
    {
        "number": UINT,
        "label": TEXT,
        "points": Several(Uint(255), 20),
        "note": Maybe(Binary(range(40))),
        "solid": Boolean(),
    },
)

# Values on both sides of every width, so that an independent MessagePack must agree on each tag.
SAME_AS_MSGPACK: list[tuple[Shape[object], object]] = [
    *((UINT, number) for power in (0, 1, 5, 7, 8, 16, 32) for number in (2**power - 1, 2**power)),
    (UINT, MOST),
    *((TEXT, "x" * size) for size in (0, 1, 31, 32, 255, 256, 65535, 65536)),
    (TEXT, "grüße, 世界, \0, 🙂"),
    *((BINARY, b"\xc1" * size) for size in (0, 1, 255, 256, 65535, 65536)),
    *((Several(Uint(0), 100_000), (0,) * size) for size in (0, 1, 15, 16, 65535, 65536)),
    (Boolean(), True),
    (Boolean(), False),
    (Maybe(UINT), None),
    (Maybe(UINT), 5),
    (LINE, Line(1, "one", (1, 2, 200), b"note", True)),
    (LINE, Line(2**40, "", (), None, False)),
]


def plain(value: object) -> object:
    return [plain(item) for item in value] if isinstance(value, tuple) else value


@pytest.mark.parametrize(
    ("shape", "value"),
    SAME_AS_MSGPACK,
    ids=[f"{type(shape).__name__}-{number}" for number, (shape, _) in enumerate(SAME_AS_MSGPACK)],
)
def test_every_width_is_msgpacks(shape: Shape[object], value: object) -> None:
    raw = shape.write(value)
    assert raw == msgpack.packb(plain(value))
    assert msgpack.unpackb(raw) == plain(value)
    assert shape.read(b"before" + raw + b"after", 6) == (value, 6 + len(raw))


LINES = st.builds(
    Line,
    number=st.integers(0, MOST),
    label=st.text(max_size=300),
    points=st.lists(st.integers(0, 255), max_size=20).map(tuple),
    note=st.none() | st.binary(max_size=39),
    solid=st.booleans(),
)


@given(LINES)
def test_records_are_msgpacks(line: Line) -> None:
    raw = LINE.write(line)
    assert raw == msgpack.packb(plain(line))
    assert read_whole(LINE, raw, 0) == line


@given(LINES, st.data())
def test_cuts_and_trailing_bytes_are_refused(line: Line, draw: st.DataObject) -> None:
    raw = LINE.write(line)
    with pytest.raises(CodecError):
        read_whole(LINE, raw[: draw.draw(st.integers(0, len(raw) - 1))], 0)
    with pytest.raises(CodecError):
        read_whole(LINE, raw + b"\0", 0)


def test_every_flipped_bit_gives_another_line_or_a_declared_error() -> None:
    line = Line(2**40, "label ü", (1, 2, 200), b"note", True)
    raw = LINE.write(line)
    for bit in range(len(raw) * 8):
        broken = (int.from_bytes(raw, "big") ^ 1 << bit).to_bytes(len(raw), "big")
        check_canonical(broken)


def check_canonical(raw: bytes) -> None:
    """Whatever is read is what this one encoding says, also to an independent MessagePack."""
    try:
        line = read_whole(LINE, raw, 0)
    except CodecError:
        return
    assert LINE.write(line) == raw
    assert msgpack.unpackb(raw) == plain(line)


@given(st.binary(max_size=60))
def test_random_bytes_raise_declared_errors_only(raw: bytes) -> None:
    check_canonical(raw)


@given(
    st.lists(
        st.one_of(st.integers(-(2**63), MOST), st.text(), st.binary(), st.none(), st.booleans(), st.floats())
    )
)
def test_random_values_raise_declared_errors_only(values: list[object]) -> None:
    check_canonical(msgpack.packb(values))


def test_depth_is_what_the_shape_says() -> None:
    with pytest.raises(CodecError):
        read_whole(LINE, b"\x91" * 100_000, 0)


REFUSED: dict[str, tuple[Shape[object], bytes]] = {
    "a boolean for a number": (UINT, b"\xc3"),
    "a negative number": (UINT, b"\xff"),
    "a signed number": (UINT, b"\xd0\x05"),
    "a number for a boolean": (Boolean(), b"\x01"),
    "nil": (UINT, b"\xc0"),
    "a float": (UINT, msgpack.packb(1.0)),
    "text for bytes": (BINARY, b"\xa1x"),
    "bytes for text": (TEXT, b"\xc4\x01x"),
    "an array for text": (TEXT, b"\x91\x01"),
    "text for an array": (Several(UINT, 9), b"\xa1x"),
    "a map for an array": (Several(UINT, 9), b"\x81\x01\x01"),
    "a map for a record": (LINE, msgpack.packb(Line(1, "", (), None, True)._asdict())),
    "an extension": (BINARY, msgpack.packb(msgpack.ExtType(1, b"x"))),
    "a byte that MessagePack never uses": (UINT, b"\xc1"),
    "a number in 8 bits that needs 7": (UINT, b"\xcc\x7f"),
    "a number in 16 bits that needs 8": (UINT, b"\xcd\x00\xff"),
    "a number in 32 bits that needs 16": (UINT, b"\xce\x00\x00\xff\xff"),
    "a number in 64 bits that needs 32": (UINT, b"\xcf\x00\x00\x00\x00\xff\xff\xff\xff"),
    "a text's length in 8 bits that needs 5": (TEXT, b"\xd9\x1f" + b"x" * 31),
    "a text's length in 16 bits that needs 8": (TEXT, b"\xda\x00\xff" + b"x" * 255),
    "a text's length in 32 bits that needs 16": (TEXT, b"\xdb\x00\x00\xff\xff" + b"x" * 65535),
    "bytes' length in 16 bits that needs 8": (BINARY, b"\xc5\x00\xff" + b"x" * 255),
    "bytes' length in 32 bits that needs 16": (BINARY, b"\xc6\x00\x00\xff\xff" + b"x" * 65535),
    "a count in 16 bits that needs 4": (Several(UINT, 99), b"\xdc\x00\x0f" + bytes(15)),
    "a count in 32 bits that needs 16": (Several(UINT, 99999), b"\xdd\x00\x00\xff\xff" + bytes(65535)),
    "a number cut off": (UINT, b"\xcd\x01"),
    "a text cut off": (TEXT, b"\xa2x"),
    "a text of 4 GiB": (Text(2**32), b"\xdb\xff\xff\xff\xff"),
    "bytes of 4 GiB": (Binary(range(2**32)), b"\xc6\xff\xff\xff\xff"),
    "4 Gi values": (Several(UINT, 2**32), b"\xdd\xff\xff\xff\xff"),
    "more values than bytes": (Several(UINT, 99), b"\x92\x01"),
    "a number too great": (Uint(9), b"\x0a"),
    "a number too small": (Uint(9, least=3), b"\x02"),
    "a text too long": (Text(2), b"\xa3abc"),
    "a text too long in bytes": (Text(2), b"\xa3\xe4\xb8\x96"),
    "too many bytes": (Binary(range(3)), b"\xc4\x03abc"),
    "not one of the lengths": (Binary((0, 4)), b"\xc4\x03abc"),
    "too many values": (Several(UINT, 2), b"\x93\1\1\1"),
    "text against its rule": (Text(9, str.isupper, "capitals"), b"\xa1x"),
    "text that is not UTF-8": (TEXT, b"\xa1\xff"),
    "text with an over-long NUL": (TEXT, b"\xa2\xc0\x80"),
    "text with half a surrogate pair": (TEXT, b"\xa3\xed\xa0\x80"),
    "a field too few": (LINE, b"\x94\x01\xa0\x90\xc0"),
    "a field too many": (LINE, b"\x96\x01\xa0\x90\xc0\xc3\xc3"),
    "an unknown tag": (DOTS, b"\x92\xa3bar\x01"),
    "a tag with the fields of none": (DOTS, b"\x93\xa3dot\x01\x01"),
    "no tag": (DOTS, b"\x91\x01"),
}


@pytest.mark.parametrize(("shape", "raw"), REFUSED.values(), ids=REFUSED.keys())
def test_all_else_is_refused(shape: Shape[object], raw: bytes) -> None:
    with pytest.raises(CodecError):
        read_whole(shape, raw, 0)


UNWRITABLE: dict[str, tuple[Shape[object], object]] = {
    "a boolean for a number": (UINT, True),
    "a float for a number": (UINT, 1.0),
    "a negative number": (UINT, -1),
    "a number too great": (Uint(9), 10),
    "a number too great for MessagePack": (Uint(2**65), 2**64),
    "a number for a boolean": (Boolean(), 1),
    "text for bytes": (BINARY, "x"),
    "bytes that can change": (BINARY, bytearray(b"x")),
    "too many bytes": (Binary(range(3)), b"abc"),
    "bytes for text": (TEXT, b"x"),
    "text too long": (Text(2), "世"),
    "text against its rule": (Text(9, str.isupper, "capitals"), "x"),
    "text that is not Unicode": (TEXT, "\udcff"),
    "a list for a tuple": (Several(UINT, 9), [1]),
    "too many values": (Several(UINT, 2), (1, 1, 1)),
    "a field too few": (LINE, (1, "")),
    "no record at all": (LINE, None),
    "a record of no known kind": (DOTS, Line(1, "", (), None, True)),
}


@pytest.mark.parametrize(("shape", "value"), UNWRITABLE.values(), ids=UNWRITABLE.keys())
def test_nothing_is_written_that_would_be_refused(shape: Shape[object], value: object) -> None:
    with pytest.raises(CodecError):
        shape.write(value)


def test_an_error_names_the_field_and_never_the_value() -> None:
    secret = Line(1, "secret", (1, 999), None, True)
    with pytest.raises(CodecError, match=r"^points: expected a whole number from 0 to 255$"):
        LINE.write(secret)
    raw = msgpack.packb(plain(secret))
    with pytest.raises(CodecError, match=r"^points: expected a whole number from 0 to 255$"):
        read_whole(LINE, raw, 0)
    with pytest.raises(CodecError, match=r"^note: missing$"):
        read_whole(LINE, b"\x95\x01\xa0\x90", 0)


@pytest.mark.parametrize("dot", [Dot(5), Gap(5)], ids=repr)
def test_a_record_is_told_by_its_tag(dot: Dot | Gap) -> None:
    raw = DOTS.write(dot)
    assert msgpack.unpackb(raw) == [type(dot).__name__.lower(), 5]
    back = read_whole(DOTS, raw, 0)
    assert (type(back), back) == (type(dot), dot)


def test_nothing_takes_no_bytes() -> None:
    make: Callable[[], str] = "made".upper
    shape = Nothing(make)
    assert shape.write("MADE") == b""
    assert read_whole(shape, b"", 0) == "MADE"
    with pytest.raises(CodecError):
        read_whole(shape, b"\0", 0)


def test_the_first_value_is_read_whatever_follows() -> None:
    assert read_first(UINT, b"\x93\x07\xff\xff", 0) == 7
    assert read_first(UINT, b"\xdc\x00\x10\xcd\x01\x00" + bytes(15), 0) == 256
    for raw in (b"", b"\x90", b"\x92", b"\xa1x", b"\x91\xa1"):
        with pytest.raises(CodecError):
            read_first(UINT, raw, 0)
