"""Filters: every sentence of mesh.md "Filters"."""

import re
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.filters import (
    LENGTH_LIMIT,
    VALUE_LIMIT,
    FilterError,
    FilterTooSlow,
    TooSlow,
    matches,
    parse,
    parse_all,
    unbounded,
)

T = TypeVar("T")

FACTS = {
    "sys.fqdn": "web01.example.com",
    "role": "web",
    "a:b_c-d.0": "x",
    "spaced": "  two  words ",
    "slash": "/etc/",
    "regex": "/^web/",
    "quote": '"web"',
    "equals": "a=b",
    "bang": "!x",
    "empty": "",
    "lines": "one\ntwo",
    "long": "a" * VALUE_LIMIT + "b",
}


def holds(text: str) -> bool:
    return matches([parse(text, unbounded)], FACTS, unbounded)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # the four forms
        ("role=web", True),
        ("role=db", False),
        ("role!=web", False),
        ("role!=db", True),
        ("role=/we/", True),
        ("role=/db/", False),
        ("role!=/we/", False),
        ("role!=/db/", True),
        # names
        ("a:b_c-d.0=x", True),
        # equality minds case; regular expressions do not, and search
        ("role=Web", False),
        ("role!=Web", True),
        ("role=/WEB/", True),
        ("role=/E/", True),
        ("sys.fqdn=/^web/", True),
        ("sys.fqdn=/^example/", False),
        ("sys.fqdn=/example/", True),
        ("sys.fqdn=/com$/", True),
        ("sys.fqdn=/(?<=01)\\.(?=exa)/", True),
        ("sys.fqdn=/^web0[1-3]\\.(dev|example)\\.com$/", True),
        ("role=//", True),
        ("empty=//", True),
        ("empty!=//", False),
        # white space around the operator is ignored, and is significant inside the value
        ("role = web", True),
        ("role\t=\n web", True),
        ("role != web", False),
        ("role !=web", False),
        ("role = /^w/", True),
        ("role=web ", False),
        ('spaced="  two  words "', True),
        ("spaced=two  words ", False),
        ("spaced=/two  words/", True),
        ("spaced=/two words/", False),
        # the first = or != splits
        ("equals=a=b", True),
        ("equals!=a=b", False),
        ("equals=a!=b", False),
        ("equals==a=b", False),
        ("bang=!x", True),
        ("bang!=!x", False),
        # a fact that a node does not have never matches, negated or not
        ("nope=web", False),
        ("nope!=web", False),
        ("nope=//", False),
        ("nope!=/web/", False),
        ("nope=", False),
        ("SYS.FQDN=/web/", False),
        # an empty value
        ("empty=", True),
        ('empty=""', True),
        ("empty!=", False),
        ("role!=", True),
        # quotes make a value literal even if it begins with a slash
        ('slash="/etc/"', True),
        ('regex="/^web/"', True),
        ('role="/web/"', False),
        ('role="web"', True),
        ('quote=""web""', True),
        ("slash=/etc/", True),
        ("slash=/^\\/etc\\/$/", True),
        ("slash=/^/etc/$/", True),
        ("role=we/b/", False),
        # data, not code
        ("role=$(id)", False),
        ("role=.*", False),
        ("lines=/^one$/", False),
        ("lines=/(?m)^one$/", True),
        # values are cut before a pattern sees them
        ("long=/b/", False),
        ("long=/a$/", True),
    ],
)
def test_every_form(text: str, expected: bool) -> None:
    assert holds(text) is expected


def test_all_must_match() -> None:
    def both(*texts: str) -> bool:
        return matches(parse_all(texts, unbounded), FACTS, unbounded)

    assert both()
    assert both("role=web", "sys.fqdn=/^web/")
    assert not both("role=web", "sys.fqdn=/^db/")
    assert not both("role=db", "sys.fqdn=/^web/")


FORM = "expected FACT = VALUE or FACT != VALUE, where FACT is letters, digits, _ . : -"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", f"filter : {FORM}"),
        ("role", f"filter role: {FORM}"),
        ("=web", f"filter =web: {FORM}"),
        ("!=web", f"filter !=web: {FORM}"),
        (" role=web", f"filter  role=web: {FORM}"),
        ("ro le=web", f"filter ro le=web: {FORM}"),
        ("-role=web", f"filter -role=web: {FORM}"),
        ("rôle=web", f"filter rôle=web: {FORM}"),
        ("role! =web", f"filter role! =web: {FORM}"),
        ("role~/web/", f"filter role~/web/: {FORM}"),
        ("a!b=c", f"filter a!b=c: {FORM}"),
        ("$(id)=x", f"filter $(id)=x: {FORM}"),
        ("\x1b[2J=x", rf"filter \x1b[2J=x: {FORM}"),
        ("role=/web", "filter role=/web: expected / at the end of a value that begins with it"),
        ("role=/", "filter role=/: expected / at the end of a value that begins with it"),
        ("role=/web/ ", "filter role=/web/ : expected / at the end of a value that begins with it"),
        ("role=/web/i", "filter role=/web/i: expected / at the end of a value that begins with it"),
        ('role="web', 'filter role="web: expected " at the end of a value that begins with it'),
        ('role="', 'filter role=": expected " at the end of a value that begins with it'),
        ("role=a\0", r"filter role=a\x00: expected no NUL, and UTF-8"),
        ("role=/\udc80/", r"filter role=/\udc80/: expected no NUL, and UTF-8"),
        ("role=/[/", "filter role=/[/: unterminated character set at position 0"),
        ("role=/a**/", "filter role=/a**/: multiple repeat at position 2"),
        ("role=/(?L)a/", None),
        ("role=/a{99999999999}/", "filter role=/a{99999999999}/: the repetition number is too large"),
        ("role=/[[a]/", "filter role=/[[a]/: Possible nested set at position 1"),
        ("role=/(?<=a*)b/", "filter role=/(?<=a*)b/: look-behind requires fixed-width pattern"),
        (f"role=/{'(' * 500}{')' * 500}/", f"filter role=/{'(' * 74}…: the pattern is nested too deeply"),
        (
            f"role={'x' * LENGTH_LIMIT}",
            f"filter role={'x' * 75}…: expected at most {LENGTH_LIMIT} characters, got {LENGTH_LIMIT + 5}",
        ),
    ],
)
def test_what_is_no_filter_is_refused_in_one_line(text: str, sentence: str | None) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text, unbounded)
    assert sentence in (str(caught.value), None)
    assert str(caught.value).isprintable()
    assert caught.value.status == 2
    with pytest.raises(FilterError, match=re.escape(str(caught.value))):
        parse_all(["role=web", text], unbounded)


def test_as_long_as_may_be() -> None:
    assert not holds("role=" + "x" * (LENGTH_LIMIT - 5))


class Late:
    """A guard whose time is up once it has been called more often than `calls`."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def __call__(self, call: Callable[[], T], /) -> T:
        self.left -= 1
        if self.left < 0:
            raise TooSlow
        return call()


def test_a_pattern_too_slow_to_compile_is_a_filter_error() -> None:
    with pytest.raises(FilterTooSlow, match=r"^filter too slow to compile: role=/x\+/$") as caught:
        parse("role=/x+/", Late(0))
    assert isinstance(caught.value, FilterError)


def test_all_patterns_of_a_request_share_one_bounded_call() -> None:
    texts = ["role=/a/", "role=/b/", "role=/c/"]
    assert len(parse_all(texts, Late(1))) == 3
    with pytest.raises(FilterTooSlow, match=r"^filters too slow to compile$"):
        parse_all(texts, Late(0))


def test_all_matches_of_a_request_share_one_bounded_call() -> None:
    filters = parse_all(["role=/w/", "role=/e/", "role=/b/"], unbounded)
    assert matches(filters, FACTS, Late(1))
    with pytest.raises(FilterTooSlow, match=r"^filter too slow$"):
        matches(filters, FACTS, Late(0))


pattern = st.text(r"ab01.*+?()[]{}|^$\dwsbB-,:=!<P", max_size=10)
value = st.text("ab01 .\n", max_size=12)


@given(pattern, value)
def test_a_pattern_finds_what_re_finds_or_is_refused(text: str, fact: str) -> None:
    try:
        found = matches([parse(f"x=/{text}/", unbounded)], {"x": fact}, unbounded)
        differs = matches([parse(f"x!=/{text}/", unbounded)], {"x": fact}, unbounded)
    except FilterError:
        return
    assert found is (re.search(text, fact, re.IGNORECASE) is not None)
    assert differs is not found


@given(st.text() | st.text('a.=!/" \t[(*', max_size=12))
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    told = ""
    try:
        matches([parse(text, unbounded)], FACTS, unbounded)
    except FilterError as error:
        told = str(error)
    assert told.isprintable()


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20))
def test_a_value_in_quotes_is_equal_to_itself_only(text: str) -> None:
    assert matches([parse(f'x = "{text}"', unbounded)], {"x": text}, unbounded)
    assert not matches([parse(f'x = "{text}"', unbounded)], {"x": text + "."}, unbounded)
