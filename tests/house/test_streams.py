"""Standard streams that are closed or full: every command does its work, and ends in good order."""

import contextlib
import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from roles import init

FULL = "cw: cannot write: No space left on device\n"


class Ended(NamedTuple):
    status: int
    output: str
    errors: str


Run = Callable[..., Ended]


@pytest.fixture
def run(cw_file: Path, tmp_path: Path) -> Run:
    """Runs cw in a directory of the test's own, its words and redirections as a shell reads them."""
    (tmp_path / "say.pn").write_text('fn main print "hello\\n" retv 3\n')

    def run(words: str, redirections: str = "") -> Ended:
        shell = ["bash", "-c", f'"$@" {words} {redirections}', "-", sys.executable, "-ISB", str(cw_file)]
        ended = subprocess.run(shell, cwd=tmp_path, input="", capture_output=True, text=True, check=False)
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return run


COMMANDS: tuple[tuple[str, int, str], ...] = (
    ("--version", 0, ""),
    ("ping --help", 0, ""),
    ("pn --help", 0, ""),
    ("pn --version", 0, ""),
    ("pn say.pn", 3, ""),
    ("pn -e say.pn", 0, ""),
    ("fact cw.version", 0, ""),
    ("cert -t user -i alice -f made/alice.key", 0, "alice.key.pub"),
    ("trust -d made/db site/agent.key.pub", 0, "db"),
    ("init made/other", 0, "other/meshd.toml"),
    ("meshd -c site/meshd.toml --test", 0, ""),
    ("meshd -c site/meshd.toml --show-config", 0, ""),
    ("cogd -c site/cogd.toml --test", 0, ""),
    ("-c site/cw.toml -n ping", 0, ""),
)
"""Commands that print, the status of each, and what it makes in `made`."""


@pytest.mark.parametrize(("words", "status", "makes"), COMMANDS)
def test_a_command_does_its_work_whatever_its_streams_are(
    words: str, status: int, makes: str, run: Run, tmp_path: Path
) -> None:
    def ended(redirections: str) -> Ended:
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        end = run(words, redirections)
        assert (made / makes).exists()
        return end

    made = tmp_path / "made"
    if "site/" in words:
        with contextlib.redirect_stdout(io.StringIO()):
            assert init.main([str(tmp_path / "site")]) == 0
    assert ended(">&-") == (status, "", "")
    assert ended(">&- 2>&- <&-") == (status, "", "")
    assert ended(">/dev/full") == (74, "", FULL)
    assert ended(">/dev/full 2>&1") == (74, "", "")
    for redirection in ("2>&-", "<&-", "2>/dev/full"):
        usual = ended(redirection)
        assert (usual.status, usual.errors) == (status, "")
        assert usual.output


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ("fact no.such", 1, "cw: unknown fact: no.such\n"),
        ("sho", 2, "cw: unknown command 'sho': did you mean 'show'?\n"),
        (
            "pn nosuch.pn",
            2,
            "cw: nosuch.pn: No such file or directory (expected: a Pendulum source or image)\n",
        ),
        ("meshd -c nosuch.toml", 2, "cw: cannot read nosuch.toml: No such file or directory\n"),
    ],
)
def test_an_error_has_its_status_whoever_hears_of_it(
    words: str, status: int, sentence: str, run: Run
) -> None:
    assert run(words) == (status, "", sentence)
    for redirection in (">&-", "<&-", ">/dev/full"):
        assert run(words, redirection) == (status, "", sentence)
    for redirection in ("2>&-", "2>/dev/full", ">&- 2>&- <&-"):
        assert run(words, redirection) == (status, "", "")


def test_a_file_takes_the_place_of_no_closed_stream(run: Run, tmp_path: Path) -> None:
    """The program's output goes nowhere, least of all into the image that is read in its place."""
    assert run("pn -S say.pn", ">&- <&-") == (0, "", "")
    image = (tmp_path / "say.pn.S").read_bytes()
    assert run("pn say.pn.S", ">&- <&-") == (3, "", "")
    assert (tmp_path / "say.pn.S").read_bytes() == image
    assert run("pn -", "<&-") == (2, "", "cw: <stdin>: no function main (expected: fn main)\n")
