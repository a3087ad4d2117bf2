"""The suggestion that errors about misspelt words end in."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import MEANT, meant
from tests.conftest import CHECKOUT

NAMES = ("show", "ping", "--show-config", "Web01")


@pytest.mark.parametrize(
    ("word", "end"),
    [
        ("sho", ": did you mean 'show'?"),
        ("SHWO", ": did you mean 'show'?"),
        ("pnig", ": did you mean 'ping'?"),
        ("web1", ": did you mean 'Web01'?"),
        ("--show-confg", ": did you mean '--show-config'?"),
        ("frobnicate", ""),
        ("", ""),
        ("pi", ""),
        ("show" * 11, ""),
    ],
)
def test_what_was_meant(word: str, end: str) -> None:
    assert meant(word, NAMES) == end


@given(st.text(max_size=MEANT.stop))
def test_a_suggestion_is_made_of_known_names_only(word: str) -> None:
    assert meant(word, NAMES) in {"", *(f": did you mean '{name}'?" for name in NAMES)}


def test_what_compares_is_imported_for_errors_only() -> None:
    code = (
        "import sys, cw; cw.main(['--version']); before = 'difflib' in sys.modules; cw.main(['sho']);"
        "print(before, 'difflib' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-ISc", f"import sys; sys.path[:0] = [{str(CHECKOUT)!r}]; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.splitlines()[1:] == ["False True"]
