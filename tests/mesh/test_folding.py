"""Equal answers together, and how the others differ from the most common one."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.formats.changes import MOST, changes
from mesh.printing import Answer
from tests.answers import PLAIN, SCREEN, answers, closed, printed, ran

SORTED = PLAIN._replace(sort=True)


def web(number: int, output: bytes = b"0.1.0\n", status: int = 0) -> Answer:
    return ran(output, status, fqdn=f"web{number:02}.example.com")


FOLDED: list[tuple[list[Answer], str]] = [
    ([web(n) for n in range(1, 7)], "web[01-06].example.com (6) 0 0.1.0\n"),
    (
        [web(3), web(1, b"0.2.0\n"), web(2)],
        "web[02-03].example.com (2) 0 0.1.0\nweb01.example.com (1) 0 0.2.0\n",
    ),
    (
        [web(1), web(2, status=1), web(3, b"0.1.0"), closed("lost", "db1"), closed("lost", "db2")],
        "db[1-2] (2) - lost\nweb[01,03].example.com (2) 0 0.1.0\nweb02.example.com (1) 1 0.1.0\n",
    ),
    ([web(1, b"a\nb\n")], "web01.example.com (1) 0\n    a\n    b\n"),
    (
        [web(1, b"\x1b[2J\nweb02.example.com (1) 0\n")],
        "web01.example.com (1) 0\n    \\x1b[2J\n    web02.example.com (1) 0\n",
    ),
    ([web(1), web(1)], "web01.example.com (2) 0 0.1.0\n"),
    (
        [web(1), web(2)._replace(truncated=True)],
        "web01.example.com (1) 0 0.1.0\nweb02.example.com (1) 0\n    0.1.0\n    [cut at 6 bytes]\n",
    ),
]


@pytest.mark.parametrize(("said", "text"), FOLDED)
def test_equal_answers_are_one(said: list[Answer], text: str) -> None:
    assert printed("fold", said) == text


def test_the_odd_ones_are_last_or_all_are_in_order_of_names() -> None:
    said = [web(1, b"x"), web(2), web(3), closed("silent", "db")]
    assert [line.split()[0] for line in printed("fold", said).splitlines()] == [
        "web[02-03].example.com",
        "db",
        "web01.example.com",
    ]
    assert [line.split()[0] for line in printed("fold", said, SORTED).splitlines()] == [
        "db",
        "web01.example.com",
        "web[02-03].example.com",
    ]


@given(answers())
def test_every_node_is_counted_once(said: list[Answer]) -> None:
    for form in ("fold", "diff"):
        heads = re.findall(r"(?m)^[^ ].* \(([0-9]+)\) (?:-|[0-9]+)", printed(form, said))
        assert sum(map(int, heads)) == len(said)


TEN = b"".join(b"line %d\n" % number for number in range(10))
DIFFERENCES: list[tuple[list[Answer], str]] = [
    (
        [web(1), web(2), web(3, b"0.2.0\n")],
        "web[01-02].example.com (2) 0 0.1.0\nweb03.example.com (1) 0\n    -0.1.0\n    +0.2.0\n",
    ),
    (
        [web(1), web(2, status=1), web(3)],
        "web[01,03].example.com (2) 0 0.1.0\nweb02.example.com (1) 1\n    the same output\n",
    ),
    (
        [web(1), closed("lost", "a"), closed("lost", "b"), closed("lost", "c")],
        "web01.example.com (1) 0 0.1.0\na,b,c (3) - lost\n",
    ),
    ([closed("lost", "a")], "a (1) - lost\n"),
    ([web(2), web(1, b"x")], "web01.example.com (1) 0 x\nweb02.example.com (1) 0\n    -x\n    +0.1.0\n"),
    (
        [web(1, TEN), web(2, TEN), web(3, TEN.replace(b"8", b"\x1b[8m"))],
        "web[01-02].example.com (2) 0\n"
        + "".join(f"    line {number}\n" for number in range(10))
        + "web03.example.com (1) 0\n    @@ -6 +6 @@\n     line 5\n     line 6\n     line 7\n"
        + "    -line 8\n    +line \\x1b[8m\n     line 9\n",
    ),
]


@pytest.mark.parametrize(("said", "text"), DIFFERENCES)
def test_others_differ_from_the_most_common_answer(said: list[Answer], text: str) -> None:
    assert printed("diff", said) == text


def test_a_difference_is_coloured_on_a_terminal() -> None:
    shown = printed("diff", [web(1), web(2), web(3, b"\x1b\n", 1), closed("lost", "db")], SCREEN)
    assert shown == (
        "web[01-02].example.com (2) 0 0.1.0\n"
        "\x1b[33mdb (1) - lost\x1b[0m\n"
        "\x1b[31mweb03.example.com (1) 1\x1b[0m\n"
        "    \x1b[31m-0.1.0\x1b[0m\n    \x1b[32m+\\x1b\x1b[0m\n"
    )


LINES = st.lists(st.sampled_from("abc"), max_size=12)


def common(old: list[str], new: list[str]) -> int:
    """How many lines the longest common subsequence has, by the book."""
    row = [0] * (len(new) + 1)
    for line in old:
        before = row[:]
        for at, other in enumerate(new):
            row[at + 1] = before[at] + 1 if line == other else max(row[at], before[at + 1])
    return row[-1]


@given(LINES, LINES)
def test_changes_make_one_of_the_other_and_are_the_fewest(old: list[str], new: list[str]) -> None:
    found = changes(old, new)
    assert [line for mark, line in found if mark != "+"] == old
    assert [line for mark, line in found if mark != "-"] == new
    assert sum(mark == " " for mark, _ in found) == common(old, new)


def test_what_differs_everywhere_is_replaced_in_little_time() -> None:
    source = random.Random(1)
    old, new = ([source.choice("ab") for _ in range(50_000)] for _ in range(2))
    found = changes(["first", *old, "last"], ["first", *new, "last"])
    assert [line for mark, line in found if mark != "+"] == ["first", *old, "last"]
    assert [line for mark, line in found if mark != "-"] == ["first", *new, "last"]
    assert (found[0].mark, found[-1].mark) == (" ", " ")
    assert sum(mark != " " for mark, _ in found) > MOST
