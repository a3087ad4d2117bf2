"""The entry point: which role a word picks, and how each way to fail ends."""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

import cw
from conf.version import VERSION
from errors import CwError
from tests.conftest import CHECKOUT


class Busy(CwError):
    """The broker has
    no time.

    This is for those who read the code.
    """

    status = 4


Role = Callable[[Callable[[list[str]], int]], None]


@pytest.fixture
def role(monkeypatch: pytest.MonkeyPatch) -> Role:
    """Puts a role of the test's in the place of `pn`, and of the client."""

    def install(main: Callable[[list[str]], int]) -> None:
        for name in ("roles.pn", "roles.client"):
            module = ModuleType(name)
            module.main = main  # type: ignore[attr-defined]
            monkeypatch.setitem(sys.modules, name, module)

    return install


def listening(said: list[list[str]], status: int) -> Callable[[list[str]], int]:
    """The `main` of a role that notes its words and ends with a status."""

    def main(words: list[str]) -> int:
        said.append(words)
        return status

    return main


def raising(error: BaseException) -> Callable[[list[str]], int]:
    """The `main` of a role that fails."""

    def main(words: list[str]) -> int:
        raise error

    return main


@pytest.mark.parametrize(
    ("argv", "heard"),
    [
        (["pn", "run", "-x"], ["run", "-x"]),
        (["pn"], []),
        (["mesh", "ping"], ["mesh", "ping"]),
        (["ping", "-w", "role=db"], ["ping", "-w", "role=db"]),
        (["show", "--help"], ["show", "--help"]),
        (["-c", "cw.toml", "ping"], ["-c", "cw.toml", "ping"]),
    ],
)
def test_role_hears_its_words_and_gives_the_status(role: Role, argv: list[str], heard: list[str]) -> None:
    said: list[list[str]] = []
    role(listening(said, 5))
    assert cw.main(argv) == 5
    assert said == [heard]


@pytest.mark.parametrize("module", sorted({cw.CLIENT, *(module for module, _ in cw.ROLES.values())}))
def test_every_role_is_there(module: str) -> None:
    assert find_spec(module) is not None


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (CwError("no such file: x"), 2, "cw: no such file: x\n"),
        (Busy(), 4, "cw: The broker has no time.\n"),
        (Busy("two\nlines \x1b[31m"), 4, "cw: two\\x0alines \\x1b[31m\n"),
        (ExceptionGroup("", [ExceptionGroup("", [Busy("late")])]), 4, "cw: late\n"),
        (KeyboardInterrupt(), 130, ""),
        (BaseExceptionGroup("", [KeyboardInterrupt()]), 130, ""),
        (OSError(errno.ENOSPC, "No space left on device"), 74, "cw: cannot write: No space left on device\n"),
        (KeyError("x"), 70, "cw: internal error: KeyError: 'x' (CW_DEBUG=1 shows where)\n"),
        (
            ExceptionGroup("two", [KeyError("x"), ValueError()]),
            70,
            "cw: internal error: ExceptionGroup: two (2 sub-exceptions) (CW_DEBUG=1 shows where)\n",
        ),
    ],
)
def test_an_error_is_one_line_and_a_status(
    role: Role,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    status: int,
    sentence: str,
) -> None:
    monkeypatch.delenv("CW_DEBUG", raising=False)
    monkeypatch.setattr(cw, "STDOUT", open_nowhere())
    role(raising(error))
    assert cw.main(["pn"]) == status
    assert capfd.readouterr() == ("", sentence)


def open_nowhere() -> int:
    """A descriptor that may be written over, in the place of the test's own standard output."""
    return os.open(os.devnull, os.O_WRONLY)


def test_an_excerpt_follows_its_sentence(role: Role, capfd: pytest.CaptureFixture[str]) -> None:
    error = CwError("x.pn:1: no")
    error.excerpt = "fn \x1b[31m\n   ^"
    role(raising(error))
    assert cw.main(["pn"]) == 2
    assert capfd.readouterr().err == "cw: x.pn:1: no\nfn \\x1b[31m\n   ^\n"


def test_debugging_shows_where(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CW_DEBUG", "1")
    role(raising(KeyError("x")))
    with pytest.raises(KeyError, match="x"):
        cw.main(["pn"])


def test_leaving_is_leaving(role: Role) -> None:
    role(raising(SystemExit(2)))
    with pytest.raises(SystemExit):
        cw.main(["pn"])


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ([], f"cw: a command is missing\n{cw.usage()}\n"),
        (["sho", "version"], "cw: unknown command 'sho': did you mean 'show'?\n"),
        (["Cog"], "cw: unknown command 'Cog': did you mean 'cogd'?\n"),
        (["frobnicate"], "cw: unknown command 'frobnicate' (see cw --help)\n"),
        (["\x1b[2J\n"], "cw: unknown command '\\x1b[2J\\n' (see cw --help)\n"),
        (["a" * 100_000], f"cw: unknown command '{'a' * 40}' (see cw --help)\n"),
    ],
)
def test_nonsense_is_refused(argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cw.main(argv) == 2
    assert capsys.readouterr() == ("", sentence)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cw.main(["--version"]) == 0
    assert capsys.readouterr() == (f"cw {VERSION}\n", "")


def test_project_and_program_are_of_one_version() -> None:
    assert f'\nversion = "{VERSION}"\n' in (CHECKOUT / "pyproject.toml").read_text()


def test_help_fits_a_screen_and_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cw.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    rows = [line[2:18].rstrip().split(", ") for line in lines if re.match("  [a-z]", line)]
    named = {name for row in rows for name in row}
    assert named == cw.ROLES.keys() | cw.VERBS.keys()
    assert {example.split()[1] for example in cw.EXAMPLES} <= named


@pytest.mark.parametrize(
    ("path", "words"),
    [("/usr/bin/cw", []), ("cw-ping", ["ping"]), ("/x/cw-meshd", ["meshd"]), ("/cw-x/cw.py", []), ("", [])],
)
def test_name_of_the_link_is_the_command(path: str, words: list[str]) -> None:
    assert cw.called_as(path) == words


def test_words_come_from_the_process(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[list[str]] = []
    role(listening(said, 0))
    monkeypatch.setattr(sys, "argv", ["/usr/bin/cw-pn", "run", "x"])
    assert cw.main() == 0
    assert said == [["run", "x"]]


def shell(script: str, cw_file: Path) -> tuple[int, str, str]:
    """(status, output, errors) of a shell script in which "$@" is cw."""
    words = ["bash", "-c", script, "-", sys.executable, "-ISB", str(cw_file)]
    ended = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout, ended.stderr


def test_nobody_reads_the_help(cw_file: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-ISB", str(cw_file), "--help"]
    ended = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("script", "end"),
    [
        ('"$@" --version >/dev/full', (74, "", "cw: cannot write: No space left on device\n")),
        ('"$@" --version >&-', (0, "", "")),
        ('"$@" sho 2>&-', (2, "", "")),
        ('"$@" sho 2>/dev/full', (2, "", "")),
        ('"$@" sho >&- 2>&- <&-', (2, "", "")),
    ],
)
def test_broken_outputs_end_without_a_traceback(
    cw_file: Path, script: str, end: tuple[int, str, str]
) -> None:
    assert shell(script, cw_file) == end
