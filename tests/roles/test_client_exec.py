"""The words of exec on a client's command line: what follows them is no option of cw's."""

import pytest

import cw
from roles.options import parse

LINES = [
    ("exec -- ls -l", ("exec", "--", "ls", "-l")),
    ("mesh exec -- ls -l", ("mesh", "exec", "--", "ls", "-l")),
    ("-q exec -w a=b -- ls -w x -- --json", ("exec", "--", "ls", "-w", "x", "--", "--json")),
    ("exec -- --shell x", ("exec", "--", "--shell", "x")),
    ("exec --", ("exec", "--")),
    ("-- exec -- ls", ("exec", "--", "ls")),
    ("mesh -- exec --shell x", ("mesh", "exec", "--shell", "x")),
    ("exec --shell ls", ("exec", "--shell", "ls")),
    ("exec -q --shell -x -w a=b", ("exec", "--shell", "-x")),
    ("exec --shell", ("exec", "--shell")),
    ("exec ls -- -l", ("exec", "ls", "-l")),
    ("ping -- --shell", ("ping", "--shell")),
]


@pytest.mark.parametrize(("line", "words"), LINES)
def test_the_words_of_exec(line: str, words: tuple[str, ...]) -> None:
    asked = parse(line.split())
    assert asked.words == words
    assert asked.filters == (("a=b",) if " a=b" in line else ())
    assert asked.form == "line"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["ping", "--shell"], "unknown option --shell"),
        (["exec", "ls", "--shell", "x"], "a program and its arguments go behind --: cw exec -- ARGV…"),
        (["exec", "id", "-u"], "a program and its arguments go behind --: cw exec -- ARGV…"),
        (["exec", "ls"], "unrecognised command: exec ls (expected exec -- ARGV…, exec --shell LINE)"),
        (
            ["exec", "--shell", "ls", "x"],
            "unrecognised command: exec --shell ls x (expected exec --shell LINE)",
        ),
        (["exec", "--"], "unrecognised command: exec -- (expected exec -- ARGV…)"),
        (
            ["package", "nginx", "--", "-x"],
            "unrecognised command: package nginx -x (expected package recache",
        ),
    ],
)
def test_what_is_no_exec(words: list[str], complaint: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cw.main(words) == 2
    assert capfd.readouterr().err.startswith(f"cw: {complaint}")


def test_a_single_word_behind_mesh_is_split_and_holds_no_option() -> None:
    assert parse(["mesh", "exec -- ls -w x"]).words == ("mesh", "exec -- ls -w x")
