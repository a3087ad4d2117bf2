"""The grammar of commands that go to nodes."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.command import (
    ARGUMENTS_LIMIT,
    BYTES_LIMIT,
    GRAMMAR,
    WORDS_LIMIT,
    UnrecognisedCommand,
    canonical,
    parse,
    split,
)


@pytest.mark.parametrize(
    ("words", "function", "arguments"),
    [
        ("ping", "mesh.ping", ()),
        ("show version", "mesh.show.version", ()),
        ("show facts", "mesh.show.facts", ()),
        ("show fact sys.fqdn", "mesh.show.fact", ("sys.fqdn",)),
        ("show fact a b_c a:d-e 0.1 a", "mesh.show.fact", ("a", "b_c", "a:d-e", "0.1", "a")),
        ("show acls", "mesh.show.acls", ()),
        ("show acls for joe", "mesh.show.acls.for", ("joe",)),
        ("show acls for %ops", "mesh.show.acls.for", (":ops",)),
        ("show acls for for", "mesh.show.acls.for", ("for",)),
        ('show acls for "DOM\\\\joe"', "mesh.show.acls.for", ("DOM\\joe",)),
        ('show acls for "%domain users"', "mesh.show.acls.for", (":domain users",)),
    ],
)
def test_every_row(words: str, function: str, arguments: tuple[str, ...]) -> None:
    command = parse(split(words))
    assert command.verb.function == function
    assert command.verb.module == "mesh"
    assert command.arguments == arguments
    assert canonical(command.words) == words


def test_rows_are_what_their_usage_says() -> None:
    assert [verb.usage for verb in GRAMMAR] == [
        "ping",
        "show version",
        "show facts",
        "show fact NAME…",
        "show acls",
        "show acls for USER|%GROUP",
    ]
    assert len({verb.words for verb in GRAMMAR}) == len({verb.function for verb in GRAMMAR}) == len(GRAMMAR)


SHOW = "show version, show facts, show fact NAME…, show acls, show acls for USER|%GROUP"
A_FACT = "show fact NAME…, where NAME is letters, digits, _ . : -"
WHOM = "show acls for USER|%GROUP, where USER and GROUP are account names, without : * and control characters"


@pytest.mark.parametrize(
    ("words", "shown", "expected"),
    [
        ([], "no words", "one of: ping, show"),
        ([""], '""', "one of: ping, show"),
        (["frobnicate", "x"], "frobnicate x", "one of: ping, show"),
        (["PING"], "PING", "one of: ping, show"),
        (["ping "], '"ping "', "one of: ping, show"),
        (["show version"], '"show version"', "one of: ping, show"),
        (["ping", "web01"], "ping web01", "ping"),
        (["ping", ""], 'ping ""', "ping"),
        (["show"], "show", SHOW),
        (["show", "versions"], "show versions", SHOW),
        (["show", "version", "-v"], "show version -v", "show version"),
        (["show", "facts", "a"], "show facts a", "show facts"),
        (["show", "fact"], "show fact", "show fact NAME…"),
        (["show", "fact", "-x"], "show fact -x", A_FACT),
        (["show", "fact", "a", "b c"], 'show fact a "b c"', A_FACT),
        (["show", "fact", ""], 'show fact ""', A_FACT),
        (["show", "fact", "a\n"], r'show fact "a\n"', A_FACT),
        (["show", "fact", "$(id)"], "show fact $(id)", A_FACT),
        (["show", "fact", "ünï"], "show fact ünï", A_FACT),
        (["show", "acls", "joe"], "show acls joe", "show acls"),
        (["show", "acls", "for"], "show acls for", "show acls for USER|%GROUP"),
        (["show", "acls", "for", "a", "b"], "show acls for a b", "show acls for USER|%GROUP"),
        (["show", "acls", "for", "%"], "show acls for %", WHOM),
        (["show", "acls", "for", "%%x"], "show acls for %%x", WHOM),
        (["show", "acls", "for", ":ops"], "show acls for :ops", WHOM),
        (["show", "acls", "for", "-x"], "show acls for -x", WHOM),
        (["show", "acls", "for", "%-x"], "show acls for %-x", WHOM),
        (["show", "acls", "for", "x\n"], r'show acls for "x\n"', WHOM),
        (["show", "acls", "for", "*"], 'show acls for "*"', WHOM),
        (["ping\0"], r'"ping\x00"', "words without NUL"),
        (["show", "fact", "a\udc80"], r"show fact a\udc80", "words in UTF-8"),
    ],
)
def test_everything_else_is_refused_in_one_line(words: list[str], shown: str, expected: str) -> None:
    with pytest.raises(UnrecognisedCommand) as caught:
        parse(words)
    assert str(caught.value) == f"unrecognised command: {shown} (expected {expected})"
    assert caught.value.status == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["show", "fact", *["a"] * (WORDS_LIMIT - 1)], f"at most {WORDS_LIMIT} words, got {WORDS_LIMIT + 1}"),
        (
            ["show", "fact", *["a"] * (ARGUMENTS_LIMIT + 1)],
            "show fact NAME…, with at most 252 arguments, got 253",
        ),
        (["x" * (BYTES_LIMIT + 1)], f"at most {BYTES_LIMIT} bytes in all, got {BYTES_LIMIT + 1}"),
        (["ping", "ü" * (BYTES_LIMIT // 2)], f"at most {BYTES_LIMIT} bytes in all, got {BYTES_LIMIT + 4}"),
        (["ping", "x" * 100_000], "ping"),
    ],
)
def test_size_is_bounded_and_the_refusal_is_short(words: list[str], expected: str) -> None:
    with pytest.raises(UnrecognisedCommand, match=re.escape(f"… (expected {expected})")) as caught:
        parse(words)
    assert len(str(caught.value)) < 250


def test_as_many_words_as_may_be() -> None:
    assert len(parse(["show", "fact", *["a"] * ARGUMENTS_LIMIT]).arguments) == ARGUMENTS_LIMIT


opening = st.sampled_from([verb.words for verb in GRAMMAR] + [("show",), ()])


@given(
    opening, st.lists(st.text(st.characters(), max_size=5) | st.sampled_from(["a", "%b", "for"]), max_size=4)
)
def test_any_words_are_a_command_as_they_are_or_one_line(opened: Sequence[str], rest: list[str]) -> None:
    words = (*opened, *rest)
    refusal, command = "", None
    try:
        command = parse(words)
    except UnrecognisedCommand as error:
        refusal = str(error)
    assert refusal.isprintable()
    if command is None:
        assert refusal.startswith("unrecognised command: ")
    else:
        assert command.words == words
        assert words[: len(command.verb.words)] == command.verb.words
        assert len(command.arguments) == len(words) - len(command.verb.words)
