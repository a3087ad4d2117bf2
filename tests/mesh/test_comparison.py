"""Two jobs side by side."""

from mesh.formats.comparison import compared, text_of
from mesh.printing import Answer
from tests.answers import PLAIN, closed, ran


def web(number: int, output: bytes = b"1\n", status: int = 0) -> Answer:
    return ran(output, status, fqdn=f"web{number:02}.example.com")


def text(before: list[Answer], after: list[Answer]) -> str:
    return "".join(text_of(compared(before, after), PLAIN))


def test_the_same_is_counted_alone() -> None:
    said = [web(1), web(2, status=1), closed("lost", "db")]
    assert compared(said, said[::-1]) == ({}, 3)


def test_those_that_changed_alike_stand_together() -> None:
    before = [web(number, b"a\nb\nc\n") for number in range(1, 5)]
    after = [web(3, b"a\nB\nc\n"), web(1, b"a\nB\nc\n"), web(4, b"a\nb\nc\n"), web(2, b"a\nb\nc\n", status=1)]
    assert text(before, after) == (
        "web[01,03].example.com (2) 0\n     a\n    -b\n    +B\n     c\nweb02.example.com (1) 0 -> 1\n"
    )
    assert compared(before, after).same == 1


def test_who_is_in_one_of_them_only() -> None:
    text_of_it = text([web(1)], [web(2, b"x\n")])
    assert text_of_it == (
        "web01.example.com (1) 0 -> absent\n    -1\nweb02.example.com (1) absent -> 0\n    +x\n"
    )


def test_outcomes_are_compared_too() -> None:
    assert text([web(1)], [closed("silent", "web01.example.com")]) == (
        "web01.example.com (1) 0 -> silent\n    -1\n"
    )


def test_a_final_newline_is_no_difference() -> None:
    assert compared([web(1, b"1")], [web(1, b"1\n")]).same == 1


def test_nothing_that_a_node_printed_acts() -> None:
    assert "\x1b" not in text([web(1)], [web(1, b"\x1b[2J")])
