"""What a client prints: every form, for whatever bytes a node sends; every exit status."""

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import CwError
from mesh import printing
from mesh.printing import (
    Answer,
    Tally,
    error_lines,
    exit_status,
    harmless,
    line,
    progress,
    summary,
    timing,
)
from tests.answers import UUID, closed, ran

REORDERING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
"""Bidirectional classes of the characters that change the order in which others are shown."""

LINES = [
    (ran(b"pong\n"), "web01.example.com 0 pong\n"),
    (ran(b"pong"), "web01.example.com 0 pong\n"),
    (ran(b""), "web01.example.com 0\n"),
    (ran(b"\n"), "web01.example.com 0\n"),
    (ran(b"", status=4294967295), "web01.example.com 4294967295\n"),
    (ran(b"no\n", status=1), "web01.example.com 1 no\n"),
    (ran(b"a=1\nb=2\n"), "web01.example.com 0\n    a=1\n    b=2\n"),
    (ran(b"a\n\n"), "web01.example.com 0\n    a\n    \n"),
    (ran(b"\n\n"), "web01.example.com 0\n    \n    \n"),
    (ran(b"tab\there\n"), "web01.example.com 0 tab\there\n"),
    (ran(b"\x1b[31mred\r\n"), "web01.example.com 0 \\x1b[31mred\\x0d\n"),
    (ran(b"abc", truncated=True), "web01.example.com 0\n    abc\n    [cut at 3 bytes]\n"),
    (ran(b"abc\n", truncated=True), "web01.example.com 0\n    abc\n    [cut at 4 bytes]\n"),
    (ran(b"", truncated=True), "web01.example.com 0 [cut at 0 bytes]\n"),
    *(
        (closed(outcome), f"web01.example.com - {outcome}\n")
        for outcome in ("lost", "silent", "expired", "denied", "optout", "malformed")
    ),
]


@pytest.mark.parametrize(("answer", "text"), LINES)
def test_a_line(answer: Answer, text: str) -> None:
    assert line(answer) == text


HARMLESS = [
    (b"plain", "plain"),
    ("Grüße 世界 👍".encode(), "Grüße 世界 👍"),
    (b"\0\x07\x08\x0b\x0c\x1b\x1f", "\\x00\\x07\\x08\\x0b\\x0c\\x1b\\x1f"),
    (b"\x7f", "\\x7f"),
    ("\x9b31m".encode(), "\\xc2\\x9b31m"),  # C1 CSI, as valid UTF-8
    (b"\x9b31m", "\\x9b31m"),  # and as a bare byte
    (b"\xff\xfe", "\\xff\\xfe"),
    (b"\xe4\xb8", "\\xe4\\xb8"),  # cut in the middle of a character
    (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),  # a surrogate
    (b"\xc0\x8a", "\\xc0\\x8a"),  # an overlong line feed
    ("\u202egnp.exe".encode(), "\\xe2\\x80\\xaegnp.exe"),
    ("a\u2028b\u2029c".encode(), "a\\xe2\\x80\\xa8b\\xe2\\x80\\xa9c"),
    ("\u2066x\u2069".encode(), "\\xe2\\x81\\xa6x\\xe2\\x81\\xa9"),
    (b"\xc2\x85", "\\xc2\\x85"),  # next line
    (b"\t", "\t"),
]


@pytest.mark.parametrize(("output", "text"), HARMLESS)
def test_what_acts_on_a_terminal_is_spelled_by_its_bytes(output: bytes, text: str) -> None:
    assert harmless(output) == text


@given(st.binary())
def test_no_output_acts_on_a_terminal_or_forges_a_line(output: bytes) -> None:
    printed = line(ran(output))
    assert printed.endswith("\n")
    head, *rest = printed.removesuffix("\n").split("\n")
    assert head.startswith("web01.example.com 0")
    assert all(one.startswith("    ") for one in rest)
    assert len(printed.splitlines()) == len(rest) + 1  # nobody's idea of a line differs
    assert not [c for c in printed if unicodedata.category(c) == "Cc" and c not in "\t\n"]
    assert not [c for c in printed if unicodedata.bidirectional(c) in REORDERING]


def test_error_output_stands_behind_the_name() -> None:
    assert error_lines(ran(error_output=b"one\n\x1btwo\n")) == (
        "web01.example.com: one\nweb01.example.com: \\x1btwo\n"
    )
    assert error_lines(ran(b"out\n")) == ""


def test_when_a_node_answered() -> None:
    assert timing(ran(b"x"), 1.5) == "cw: web01.example.com answered after 1.500 s, of which it ran 0.250 s\n"
    assert timing(closed("lost"), 0.0304) == "cw: web01.example.com lost after 0.030 s\n"


SUMMARIES = [
    (Tally(), "0 answered"),
    (Tally(ok=3), "3 answered: 3 ok"),
    (Tally(failed=2), "2 answered: 2 failed"),
    (Tally(ok=1, failed=1), "2 answered: 1 ok, 1 failed"),
    (Tally(optouts=3), "0 answered; 3 opted out"),
    (
        Tally(1, 2, 3, 4, 5, 6, 7),
        "3 answered: 1 ok, 2 failed; 3 opted out; 4 denied; 5 expired; 6 lost; 7 silent",
    ),
]


@pytest.mark.parametrize(("tally", "text"), SUMMARIES)
def test_the_summary(tally: Tally, text: str) -> None:
    assert summary(tally) == text


PROGRESS = [
    (Tally(), 0, 0.4, "0 of 0 answered, 0 s"),
    (Tally(ok=1231, failed=3), 10_000, 12.3, "1,234 of 10,000 answered, 3 failed, 12 s"),
    (
        Tally(0, 1, 2000, 3, 4, 5, 6),
        2_019,
        60.0,
        "1 of 2,019 answered, 1 failed, 2,000 opted out, 3 denied, 4 expired, 5 lost, 6 silent, 60 s",
    ),
]


@pytest.mark.parametrize(("tally", "sessions", "seconds", "text"), PROGRESS)
def test_the_progress(tally: Tally, sessions: int, seconds: float, text: str) -> None:
    assert progress(tally, sessions, seconds) == text


def expected_status(tally: Tally) -> int:
    """mesh.md's table and the two sentences above it, in its own order."""
    nobody_ran_it = not (tally.ok or tally.failed or tally.took_part)
    if nobody_ran_it and tally.denied:
        return 3
    if tally.lost or tally.expired or tally.silent:
        return 5
    if tally.failed:
        return 1
    return 0 if tally.ok else 6


@pytest.mark.parametrize("counts", list(itertools.product((0, 1), repeat=7)))
def test_the_exit_status_of_every_combination(counts: tuple[int, ...]) -> None:
    for took_part in {bool(counts[0] or counts[1]), True}:
        tally = Tally._make((*counts, took_part))
        assert exit_status(tally) == expected_status(tally)


STATUSES = [
    (0, Tally(ok=2, took_part=True)),
    (0, Tally(ok=1, optouts=5, denied=5, took_part=True)),
    (1, Tally(ok=9, failed=1, took_part=True)),
    (3, Tally(denied=1)),
    (3, Tally(denied=1, optouts=5, lost=1)),
    (5, Tally(denied=1, lost=1, took_part=True)),
    (5, Tally(ok=5, failed=5, silent=1, took_part=True)),
    (5, Tally(expired=1)),
    (6, Tally(optouts=4)),
    (6, Tally()),
]


@pytest.mark.parametrize(("status", "tally"), STATUSES)
def test_the_exit_status(status: int, tally: Tally) -> None:
    assert exit_status(tally) == status


def test_every_outcome_is_counted_once() -> None:
    for outcome in printing.COUNTED:
        tally = printing.counted(Tally(), Answer(UUID, "n", outcome))
        assert tally.closed == 1
        assert tally.took_part == (outcome in ("ok", "failed", "malformed"))


@pytest.mark.parametrize(
    ("code", "status"),
    [
        *(
            (code, 3)
            for code in (
                "authentication",
                "denied",
                "unrecognised",
                "invalid",
                "untrusted",
                "version",
                "failed",
            )
        ),
        *((code, 4) for code in ("busy", "closing", "unheard of")),
    ],
)
def test_what_a_refusal_means(code: str, status: int) -> None:
    error: CwError = printing.refusal(code, "the reason\x1b\n")
    assert error.status == status
    told = "authentication failed" if code == "authentication" else "the reason\\x1b\\x0a"
    assert str(error) == told


def test_a_refusal_without_a_sentence_still_says_something() -> None:
    assert str(printing.refusal("busy", "")) == "The broker could not serve the request. (busy)"


def test_counts_of_several_requests_are_added() -> None:
    one = Tally(ok=1, failed=2, denied=1)
    other = Tally(ok=2, lost=1, silent=2, expired=1, optouts=3, took_part=True)
    both = Tally(ok=3, failed=2, optouts=3, denied=1, expired=1, lost=1, silent=2, took_part=True)
    assert one.plus(other) == other.plus(one) == both
    assert (one.missing, both.missing) == (0, 4)
