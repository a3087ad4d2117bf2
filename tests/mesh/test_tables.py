"""What is drawn for people: tables, paragraphs and bars; each for hostile output and narrow terminals."""

import re
import unicodedata

import pytest
from hypothesis import given, settings

from mesh.formats import FORMS
from mesh.formats.histogram import histogram
from mesh.formats.table import MOST_COLUMNS, NARROWEST, WIDEST, cut, width
from mesh.printing import Answer
from tests.answers import PLAIN, SCREEN, answers, closed, printed, ran

COLOUR = re.compile(r"\x1b\[(?:0|2|31|32|33|1;33)m")


@settings(max_examples=50)
@given(answers())
def test_nothing_that_nodes_print_acts_on_a_terminal(said: list[Answer]) -> None:
    for form in ("line", *FORMS):
        text = printed(form, said)
        assert not [c for c in text if unicodedata.category(c) in ("Cc", "Zl", "Zp") and c not in "\t\n"]
        assert COLOUR.sub("", printed(form, said, SCREEN._replace(columns=10_000))) == text
        assert "\x1b" not in COLOUR.sub("", printed(form, said, SCREEN))


def facts(fqdn: str, output: str, status: int = 0) -> Answer:
    return ran(output.encode(), status, fqdn=fqdn)


TABLES: list[tuple[list[Answer], str]] = [
    (
        [facts("web10", "role=web\nos=Debian 12\n"), facts("web2", "os=Debian 12\nrole=db\n")],
        """
NODE   STATUS  os         role
web2   0       Debian 12  db
web10  0       Debian 12  web
""",
    ),
    (
        [facts("a", "k=1\n"), facts("b", "j=2\n"), facts("c", "k=\n"), facts("d", "no such thing\n", 1)],
        """
NODE  STATUS  k  j  OUTPUT
a     0       1  -
b     0       -  2
c     0          -
d     1       -  -  no such thing
""",
    ),
    (
        [facts("a", "k=1\nand\nk=2\nmore\n"), closed("lost", "b")],
        """
NODE  STATUS  k     OUTPUT
a     0       1, 2  and; more
b     lost    -
""",
    ),
    (
        [facts("a", "k=\x1b[2J\ty\n=x\n"), facts("b", "k=世界\n"), facts("c", "k=é\n")],
        """
NODE  STATUS  k          OUTPUT
a     0       \\x1b[2J y  =x
b     0       世界
c     0       é
""",
    ),
    (
        [facts("a", "pong\n")],
        """
NODE  STATUS  OUTPUT
a     0       pong
""",
    ),
]


@pytest.mark.parametrize(("said", "text"), TABLES)
def test_a_table(said: list[Answer], text: str) -> None:
    assert printed("table", said) == text.removeprefix("\n")


def test_odd_values_are_coloured_on_a_terminal() -> None:
    said = [facts(name, f"os={os}\nid={name}\n") for name, os in (("a", "12"), ("b", "11"), ("c", "12"))]
    assert printed("table", [*said, closed("lost", "d")], SCREEN) == (
        "NODE  STATUS  os  id\n"
        "a     0       12  a\n"
        "b     0       \x1b[1;33m11\x1b[0m  b\n"
        "c     0       12  c\n"
        "\x1b[33md\x1b[0m     \x1b[33mlost\x1b[0m    -   -\n"
    )


def test_a_terminal_that_is_too_narrow_cuts_the_widest() -> None:
    said = [
        facts("web01.example.com", f"a=1\nlong={'x' * 100}\n"),
        facts("web02.example.com", "a=2\nlong=y\n"),
    ]
    lines = printed("table", said, SCREEN._replace(colours=False)).splitlines()
    assert max(map(len, lines)) == SCREEN.columns
    assert lines[1].endswith(" 1  " + "x" * 29 + "…")
    assert f" 1  {'x' * 100}\n" in printed("table", said)
    narrow = printed("table", said, SCREEN._replace(colours=False, columns=10)).splitlines()
    assert narrow[1].startswith("web01.example.com  0       1  ")
    assert narrow[1].endswith("x" * (NARROWEST - 1) + "…")


def test_a_long_value_is_no_width_for_the_others() -> None:
    lines = printed("table", [facts("a", f"k={'x' * 5000}\nj=1\n"), facts("b", "k=y\nj=1\n")]).splitlines()
    assert lines[2] == f"b     0       {'y':{WIDEST}}  1"


def test_one_node_with_many_keys_leaves_room_for_the_others() -> None:
    many = "".join(f"x{number}=1\n" for number in range(500))
    said = [facts("a", many), *(facts(f"b{number}", "role=web\nos=12\n") for number in range(3))]
    head, first, *_ = printed("table", said).splitlines()
    assert len(head.split()) == MOST_COLUMNS + 3
    assert {"role", "os", "OUTPUT"} < set(head.split())
    assert first.endswith("x499=1")


def test_a_node_that_says_one_key_a_hundred_thousand_times_takes_no_time() -> None:
    assert len(printed("table", [facts("a", "k=1\n" * 100_000)])) > 300_000
    assert printed("table", [facts("a", "k=1\n" * 100_000)], SCREEN).count("…") == 1


@pytest.mark.parametrize(
    ("text", "columns", "kept"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("世界人", 5, "世界…"),
        ("世界人", 4, "世…"),
        ("é" * 9, 3, "éé…"),
    ],
)
def test_a_text_is_cut_to_columns(text: str, columns: int, kept: str) -> None:
    assert cut(text, columns) == kept
    assert width(kept) <= columns


def test_paragraphs_have_failures_last() -> None:
    said = [
        facts("b", "E: \x1b[2J\n", 3)._replace(error_output=b"why\x07\n\nnot\n"),
        facts("c", "a\nb\n"),
        closed("lost", "a"),
        facts("a10", "pong\n"),
        facts("a9", ""),
    ]
    assert printed("pretty", said) == (
        "a9: ok, 0.250 s\n\n"
        "a10: ok, 0.250 s\n    pong\n\n"
        "c: ok, 0.250 s\n    a\n    b\n\n"
        "a: lost\n\n"
        "b: failed, status 3, 0.250 s\n    E: \\x1b[2J\n  ! why\\x07\n  ! \n  ! not\n"
    )
    by_name = printed("pretty", said, PLAIN._replace(sort=True))
    assert re.findall(r"(?m)^(\w+):", by_name) == ["a", "a9", "a10", "b", "c"]
    assert (
        "\x1b[31mb: failed, status 3, 0.250 s\x1b[0m\n    E: \\x1b[2J\n\x1b[31m  ! why\\x07\x1b[0m\n"
        in printed("pretty", said, SCREEN)
    )


def test_a_histogram() -> None:
    times = [*((0.015, f"a{n}") for n in range(8)), *((0.03, f"b{n}") for n in range(4)), (0.7, "slow")]
    assert histogram(times, 40) == (
        "13 answered: half within 0.015 s, 95 % within 0.700 s, the last, slow, after 0.700 s\n"
        "  to 0.02 s  █████████████████████████ 8\n"
        "  to 0.05 s  ████████████▌ 4\n"
        "  to  0.1 s\n"
        "  to  0.2 s\n"
        "  to  0.5 s\n"
        "  to    1 s  ███▏ 1\n"
    )


def test_a_histogram_of_one_and_of_none() -> None:
    assert histogram([], 80) == ""
    only = histogram([(1e6, "a")], 1).splitlines()
    assert only[0].endswith(
        "half within 1000000.000 s, 95 % within 1000000.000 s, the last, a, after 1000000.000 s"
    )
    assert only[1] == "  to 500000 s  ████████ 1"
