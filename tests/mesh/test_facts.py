"""Facts, and the lines that say them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.facts import COMPLAINTS, VALUE_LIMIT, fault_of, lines_of, parse_lines

NAME = "expected a fact name (letters, digits, _ . : -), got: "


@pytest.mark.parametrize(
    ("text", "facts", "complaints"),
    [
        ("", {}, []),
        ("a=1\n", {"a": "1"}, []),
        ("a=1\nb.c:d-e_F=2", {"a": "1", "b.c:d-e_F": "2"}, []),
        ("a=x=y\n", {"a": "x=y"}, []),
        ("a=\n", {"a": ""}, []),
        ("a= b \t\n", {"a": " b \t"}, []),
        ("a=1\r\nb=2\r\n", {"a": "1", "b": "2"}, []),
        ("\n \na=1\n\t\n", {"a": "1"}, []),
        ("a=1\na=2\n", {"a": "2"}, []),
        ("a=ünï\u2028x\n", {"a": "ünï\u2028x"}, []),
        ("garbage\na=1", {"a": "1"}, ["line 1: expected NAME=VALUE, got: garbage"]),
        ("a=1\n\n a=2", {"a": "1"}, [f"line 3: {NAME} a"]),
        ("=1", {}, [f"line 1: {NAME}"]),
        ("-a=1", {}, [f"line 1: {NAME}-a"]),
        ("a b=1", {}, [f"line 1: {NAME}a b"]),
        ("ü=1", {}, [f"line 1: {NAME}ü"]),
        ("a=\x1b[2J", {}, [r"line 1: a: expected a value without control characters, got: \x1b[2J"]),
        ("a=x\0", {}, [r"line 1: a: expected a value without control characters, got: x\x00"]),
        ("a=x\ry", {}, [r"line 1: a: expected a value without control characters, got: x\ry"]),
        (
            "a=" + "x" * (VALUE_LIMIT + 1),
            {},
            [f"line 1: a: expected a value of at most {VALUE_LIMIT} characters, got {VALUE_LIMIT + 1}"],
        ),
    ],
)
def test_lines(text: str, facts: dict[str, str], complaints: list[str]) -> None:
    assert parse_lines(text) == (facts, complaints)


def test_complaints_are_few() -> None:
    _, complaints = parse_lines("x\n" * 1000)
    assert len(complaints) == COMPLAINTS + 1
    assert complaints[-1] == f"and {1000 - COMPLAINTS} more"


def test_names_are_bounded() -> None:
    assert fault_of("a" * 255, "") == ""
    assert fault_of("a" * 256, "") == NAME + "a" * 80 + "…"
    assert fault_of("a\n", "") == NAME + r"a\n"


def test_lines_of_are_sorted() -> None:
    assert lines_of({"b": "2", "a": "", "a.b": "x=y"}.items()) == ["a=", "a.b=x=y", "b=2"]


@given(st.text() | st.text("ab=.\n\r -", max_size=30))
def test_what_is_parsed_can_be_said_again(text: str) -> None:
    facts, complaints = parse_lines(text)
    assert not any(fault_of(name, value) for name, value in facts.items())
    assert all(complaint.isprintable() for complaint in complaints)
    assert parse_lines("\n".join(lines_of(facts.items()))) == (facts, [])
