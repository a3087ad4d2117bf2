"""The command line of a role: help as wide as the terminal, and nothing imported that is not asked for."""

import subprocess
import sys

import pytest

from conf.schema import CogdConf
from roles.arguments import Parser, UsageError, of_daemon
from tests.conftest import CHECKOUT


@pytest.mark.parametrize(
    ("columns", "widest"), [("60", 60), ("200", 200), ("0", 80), ("wide", 80), (None, 80)]
)
def test_help_is_as_wide_as_the_terminal(
    columns: str | None, widest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("os.get_terminal_size", nowhere)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    parser = of_daemon("cogd", "The agent. " * 30, "", CogdConf)
    parser.add_argument("--much", help="to be said " * 30)
    longest = max(len(line) for line in parser.format_help().split("The agent.")[0].splitlines())
    assert longest <= widest - 2
    assert max(len(line) for line in parser.format_help().splitlines() if "to be" in line) in range(
        widest - 22, widest - 1
    )


def nowhere(_: int) -> None:
    raise OSError


def test_a_parser_imports_no_compression() -> None:
    code = (
        "import sys; from roles.arguments import Parser;"
        "Parser('cert', '', '').parse_args([]);"
        "print({'shutil', 'bz2', 'lzma'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "set()\n"


def parser() -> Parser:
    made = of_daemon("cogd", "", "", CogdConf)
    made.add_argument("-k", "--kind", choices=("user", "agent"), required=True)
    made.add_argument("shell", choices=("bash", "zsh"))
    return made


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--shwo-config bash", "unknown option --shwo-config: did you mean '--show-config'?"),
        ("--kidn=user bash", "unknown option --kidn: did you mean '--kind'?"),
        ("-k user bash --TEST", "unknown option --TEST: did you mean '--test'?"),
        ("-k user bash -x", "unknown option -x (see cw cogd --help)"),
        ("-k user bash x", "unrecognized arguments: x (see cw cogd --help)"),
        ("-k user -- bash --tset", "unrecognized arguments: --tset (see cw cogd --help)"),
        ("-k user", "the following arguments are required: shell (see cw cogd --help)"),
        ("-k", "argument -k/--kind: expected one argument (see cw cogd --help)"),
        ("-k usr bash", "-k/--kind: expected one of user, agent, got 'usr': did you mean 'user'?"),
        ("-k x bash", "-k/--kind: expected one of user, agent, got 'x' (see cw cogd --help)"),
        ("-k user bsh", "shell: expected one of bash, zsh, got 'bsh': did you mean 'bash'?"),
        (f"--{'x' * 5000}", f"unknown option --{'x' * 38} (see cw cogd --help)"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(line: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        parser().parse_args(line.split())
    assert str(caught.value) == sentence
