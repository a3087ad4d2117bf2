"""Numbers and strings are compared with those that the C library writes."""

import ctypes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vm.faults import Fault
from vm.formats import WIDEST, Field, Topic, parse

LIBC = ctypes.CDLL(None)
NUMBERS = st.one_of(st.sampled_from([0, 1, 7, 8, 2**31 - 1, 2**31, 2**32 - 1]), st.integers(0, 2**32 - 1))


def c_number(directive: str, number: int) -> bytes:
    buffer = ctypes.create_string_buffer(WIDEST + 64)
    LIBC.snprintf(buffer, len(buffer), directive.encode(), ctypes.c_uint(number))
    return buffer.value


def c_text(directive: str, text: bytes) -> bytes:
    buffer = ctypes.create_string_buffer(WIDEST + 64)
    LIBC.snprintf(buffer, len(buffer), directive.encode(), ctypes.c_char_p(text))
    return buffer.value


def field(directive: str) -> Field:
    (part,) = parse(f"%[c]{directive}".encode())
    assert isinstance(part, Field)
    assert part.register == 2
    return part


DIRECTIVES = st.builds(
    lambda flags, width, precision: "".join(flags) + width + precision,
    st.lists(st.sampled_from("-+ #0"), max_size=4),
    st.sampled_from(["", "1", "9", "40"]),
    st.sampled_from(["", ".", ".0", ".1", ".8", ".30"]),
)


@given(DIRECTIVES, st.sampled_from("diouxX"), NUMBERS)
@example("#", "x", 0)
@example("#.0", "o", 0)
@example("+08.3", "d", 2**32 - 1)
def test_numbers_as_the_c_library_writes_them(directive: str, letter: str, number: int) -> None:
    assert field(directive + letter).of_number(number) == c_number("%" + directive + letter, number)


@given(
    st.sampled_from(["", "-"]),
    st.sampled_from(["", "1", "9", "40"]),
    st.sampled_from(["", ".", ".0", ".2", ".30"]),
    st.binary(max_size=30).map(lambda text: text.replace(b"\0", b"")),
)
def test_strings_as_the_c_library_writes_them(left: str, width: str, precision: str, text: bytes) -> None:
    directive = f"{left}{width}{precision}s"
    assert field(directive).of_text(text) == c_text("%" + directive, text)


def test_a_format_is_its_parts_in_order() -> None:
    assert parse(b"") == ()
    assert parse(b"plain") == (b"plain",)
    assert parse(b"100%%") == (b"100", b"%")
    a = field("s")._replace(register=0)
    assert parse(b"<%[a]s>%T.") == (b"<", a, b">", Topic(), b".")


@pytest.mark.parametrize(
    "template",
    ["%", "a%", "%s", "%[a]", "%[a", "%[q]s", "%[A]s", "%[a]z", "%[a]ls", "%[a]*d", "%[a]1000000000d", "%t"],
)
def test_what_is_no_format_is_a_fault(template: str) -> None:
    with pytest.raises(Fault, match="bad format"):
        parse(template.encode())


def test_widths_and_precisions_are_bounded() -> None:
    assert len(field(f"{WIDEST}d").of_number(1)) == WIDEST
    for directive in (f"{WIDEST + 1}d", f".{WIDEST + 1}d", "999999999s"):
        with pytest.raises(Fault, match="over 4096"):
            field(directive)


def test_so_are_the_directives_of_one_format() -> None:
    assert len(parse(b"%[a]d" * 4096)) == 4096
    with pytest.raises(Fault, match="more than 4096 directives"):
        parse(b"%[a]d" * 10_000)
