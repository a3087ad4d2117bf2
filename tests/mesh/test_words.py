"""The canonical form of words, and the shell's."""

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.words import SHOWN, QuotingError, Token, canonical, shown, split, split_shell, tokens

word = st.text(st.characters(exclude_characters="\0"), max_size=12) | st.text('" \\*#\n\t%;$()', max_size=8)
words = st.lists(word, max_size=6).map(tuple)


@pytest.mark.parametrize(
    ("given_words", "text"),
    [
        ((), ""),
        (("ping",), "ping"),
        (("show", "fact", "sys.fqdn"), "show fact sys.fqdn"),
        (("a", ""), 'a ""'),
        (("a b", "c"), '"a b" c'),
        (("a\nb",), '"a\nb"'),
        (("a\u00a0b",), '"a\u00a0b"'),
        (('say "hi"',), r'"say \"hi\""'),
        (("back\\slash",), r'"back\\slash"'),
        (("\\", '"'), r'"\\" "\""'),
        (("*",), '"*"'),
        (("sh*",), '"sh*"'),
        (("#x", "x#y"), '"#x" x#y'),
        (("%s", "a;b", "$(id)", "'", "`id`", "-rf", "|"), "%s a;b $(id) ' `id` -rf |"),
        (("ü", "日本"), "ü 日本"),
    ],
)
def test_canonical_and_back(given_words: tuple[str, ...], text: str) -> None:
    assert canonical(given_words) == text
    assert split(text) == given_words


@given(words)
def test_split_takes_apart_what_canonical_joined(given_words: tuple[str, ...]) -> None:
    assert split(canonical(given_words)) == given_words


@given(words)
def test_only_words_in_quotes_could_be_taken_for_a_pattern_or_a_comment(given_words: tuple[str, ...]) -> None:
    for token in tokens(canonical(given_words)):
        assert token.quoted or ("*" not in token.word and not token.word.startswith("#"))


@given(st.text() | st.text('ab" \\*#\n', max_size=12))
def test_a_text_is_split_or_refused_and_then_canonical_is_stable(text: str) -> None:
    try:
        found = split(text)
    except QuotingError:
        return
    assert split(canonical(found)) == found


def test_long_words_are_split_in_linear_time() -> None:
    given_words = ('"' * 60_000, "\\" * 60_000, "a" * 100_000, " " * 100_000)
    assert split(canonical(given_words)) == given_words


@pytest.mark.parametrize("text", ["a  b", " a b ", "a\tb\n", "\n a\u00a0b"])
def test_any_white_space_separates(text: str) -> None:
    assert split(text) == ("a", "b")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('"a', 'expected a word or a whole quoted string at: "a'),
        ('a "b', 'expected a word or a whole quoted string at: "b'),
        ("\\", "expected a word or a whole quoted string at: \\"),
        (r'"a\n"', r'expected a word or a whole quoted string at: "a\n"'),
        ('a"b"', 'expected a space before: "b"'),
        ('"a"b', "expected a space before: b"),
        ('"a""b"', 'expected a space before: "b"'),
        ("a\\b", "expected a space before: \\b"),
        ("a\0b", "words cannot hold a NUL"),
    ],
)
def test_anything_else_than_canonical_quoting_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(QuotingError) as caught:
        split(text)
    assert str(caught.value) == sentence
    assert caught.value.status == 2


def test_what_follows_a_token_is_looked_at_only_when_asked_for() -> None:
    found = tokens("# it's \"not closed")
    assert next(found) == Token("#", quoted=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        (" \t\n ", ()),
        ("show  version", ("show", "version")),
        (" ping\n", ("ping",)),
        ("a '' \"\" b", ("a", "", "", "b")),
        ("'a b'c\"d e\"", ("a bcd e",)),
        (r"a\ b", ("a b",)),
        (r"'a\b'", (r"a\b",)),
        (r'"a\b \" \\ \$ \`"', (r'a\b " \ $ `',)),
        ('"a\\\nb" c\\\nd', ("ab", "cd")),
        ("a \\\n b", ("a", "b")),
        ("'a\nb'", ("a\nb",)),
        (
            "$(id) ; * # x > y ~ `id` $HOME {a,b}",
            ("$(id)", ";", "*", "#", "x", ">", "y", "~", "`id`", "$HOME", "{a,b}"),
        ),
        ("a\u00a0b", ("a\u00a0b",)),
    ],
)
def test_split_shell(text: str, expected: tuple[str, ...]) -> None:
    assert split_shell(text) == expected


@pytest.mark.parametrize("text", ["'a", '"a', 'a"b', "a\\", '"a\\"', "it's"])
def test_split_shell_refuses_what_is_left_open(text: str) -> None:
    with pytest.raises(QuotingError, match="open quote or trailing backslash at"):
        split_shell(text)


@given(words)
def test_split_shell_takes_apart_what_a_shell_would_be_given(given_words: tuple[str, ...]) -> None:
    assert split_shell(shlex.join(given_words)) == given_words


@pytest.mark.parametrize(
    "text", [r""" a'b c'"d \$e \x" f\ g '' "" \h """, 'x"\\\ny"z', r"'\' \\ \' \" " + '"a\'b"']
)
def test_split_shell_agrees_with_a_shell(text: str) -> None:
    told = subprocess.run(
        ["/bin/sh", "-c", f"printf '%s\\0' {text}"], capture_output=True, check=True, text=True
    ).stdout
    assert split_shell(text) == tuple(told.split("\0")[:-1])


@given(st.text())
def test_shown_is_one_short_printable_line(text: str) -> None:
    assert shown(text).isprintable()
    assert len(shown(text)) <= SHOWN * len("\\U0010ffff") + 1


def test_shown_cuts_and_escapes() -> None:
    assert shown("a\nb\x1b[2J\udc80") == r"a\nb\x1b[2J\udc80"
    assert shown("x" * SHOWN) == "x" * SHOWN
    assert shown("x" * (SHOWN + 1)) == "x" * SHOWN + "…"
