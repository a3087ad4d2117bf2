"""The reference of the language: current, whole, and true where it shows commands at work."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT
from tools.reference import HEAD, RESULT, SOURCE, Unusable, reference
from vm.opcodes import TABLE

PATIENCE = 60


def test_the_reference_is_current() -> None:
    made = reference(SOURCE.read_text("utf-8"))
    assert RESULT.read_text("utf-8") == made, "run 'make reference'"
    assert made.startswith(HEAD)
    assert all(f"`{row.usage.split()[0]}" in made and row.sentence in made for row in TABLE)


WRONG = [
    ("{{instructions *}}\n{{instructions noop}}\n", "noop is asked for 2 times (expected: once)"),
    ("{{instructions [!n]*}}\n", "noop is asked for 0 times (expected: once)"),
    ("{{nonsense}}\n", "nothing is known of {{nonsense}}"),
    ("{{help me}}\n", "nothing is known of {{help me}}"),
]


@pytest.mark.parametrize(("source", "sentence"), WRONG)
def test_what_cannot_be_made_is_one_sentence(source: str, sentence: str) -> None:
    with pytest.raises(Unusable) as caught:
        reference(source)
    assert str(caught.value) == sentence


def test_what_the_reference_shows_is_what_happens(tmp_path: Path) -> None:
    """In order: a file after `cat FILE` is written, any other command run and its output compared."""
    command = tmp_path / "bin" / "cw"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} {CHECKOUT / "cw.py"} "$@"\n')
    command.chmod(0o755)
    files = tmp_path / "files"
    files.mkdir()
    path = f"{command.parent}:{os.environ['PATH']}"
    shown = re.findall(r"^```console\n(.*?)^```$", RESULT.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(shown) >= 5
    for line, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", "".join(shown), re.MULTILINE):
        if line.startswith("cat "):
            (files / line.removeprefix("cat ")).write_text(expected)
            continue
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=files,
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.stdout == expected, line
