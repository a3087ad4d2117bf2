"""Names as ranges: nothing is lost or invented, and people would write them so."""

import itertools
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.formats.names import fold, natural

ITEM = re.compile(r"(?:[^,\[]|\[[^]]*\])+")
PART = re.compile(r"\[([0-9,-]+)\]")


def expand(folded: str) -> list[str]:
    """The names that a folded text stands for: the other direction, as simple as it can be."""
    return [name for one in ITEM.findall(folded) for name in _products(one)]


def _products(text: str) -> Iterator[str]:
    parts = PART.split(text)
    choices = [_numbers(part) if odd else [part] for part, odd in zip(parts, itertools.cycle((0, 1)))]
    return ("".join(chosen) for chosen in itertools.product(*choices))


def _numbers(ranges: str) -> list[str]:
    numbers = []
    for one in ranges.split(","):
        first, dash, last = one.partition("-")
        if dash:
            numbers += [str(n).zfill(len(first)) for n in range(int(first), int(last) + 1)]
        else:
            numbers.append(one)
    return numbers


FOLDED = [
    ([], ""),
    (["web01.example.com"], "web01.example.com"),
    (["localhost", "db"], "db,localhost"),
    ([f"web{n:02}.example.com" for n in (1, 2, 3, 7)], "web[01-03,07].example.com"),
    (["web01", "web02"], "web[01-02]"),
    (["web1", "web3"], "web[1,3]"),
    ([f"web{n}" for n in range(8, 12)], "web[8-11]"),
    ([f"web{n:02}" for n in range(98, 102)], "web[98-101]"),
    (["web1", "web01", "web001"], "web[1,01,001]"),
    (["web9", "web10", "web09"], "web[9,09-10]"),
    ([f"r{r}n{n}" for r in (1, 2) for n in (1, 2, 3)], "r[1-2]n[1-3]"),
    ([f"r{r}n{n}" for r in (1, 2) for n in (1, 2)] + ["r2n3"], "r1n[1-2],r2n[1-3]"),
    (["web2.b.org", "web10.b.org", "db1.b.org", "web1.a.org"], "db1.b.org,web1.a.org,web[2,10].b.org"),
    (["10.0.0.1", "10.0.0.2", "10.0.1.1", "10.0.1.2"], "10.0.[0-1].[1-2]"),
    (["a1b2c3d4e5", "a1b2c3d4e6"], "a1b2c3d4e5,a1b2c3d4e6"),
    (["web01", "web01", "web02"], "web[01-02]"),
    ([f"n{n:05}" for n in range(10_000)], "n[00000-09999]"),
]


@pytest.mark.parametrize(("names", "folded"), FOLDED)
def test_names_are_folded(names: list[str], folded: str) -> None:
    assert fold(names) == folded
    assert fold(names[::-1]) == folded
    assert sorted(expand(folded)) == sorted(set(names))


NAME = st.from_regex(r"[a-c]{0,2}[0-9]{0,3}(-[0-9]{1,2})?(\.[ab][0-2]?){0,2}", fullmatch=True)


@given(st.one_of(st.lists(NAME), st.lists(st.from_regex(r"r[0-2]n0?[0-9]{1,2}", fullmatch=True))))
def test_every_name_is_there_once(names: list[str]) -> None:
    assert sorted(expand(fold(names))) == sorted({name for name in names if name})


@given(st.lists(st.text("0123456789-.ab", min_size=1, max_size=253)))
def test_whatever_the_names_are(names: list[str]) -> None:
    assert sorted(expand(fold(names))) == sorted(set(names))


def test_names_are_in_the_order_that_people_expect() -> None:
    names = ["web10", "web2", "web01", "web1", "db", "web", "web1.b", "web1.a10", "web1.a9", "10", "9"]
    assert sorted(names, key=natural) == [
        "9", "10", "db", "web", "web01", "web1", "web1.a9", "web1.a10", "web1.b", "web2", "web10",
    ]  # fmt: skip


def test_long_and_many_names_take_no_time() -> None:
    names = [f"{'a1' * 120}-{number}" for number in range(1_000)]
    assert sorted(expand(fold(names))) == sorted(names)
