"""Command lines of commands to nodes: where options may stand, and what is refused before anyone is asked."""

import pytest

from roles.options import OPTIONS, Asked, UsageError, parse, usage

LINES: list[tuple[str, Asked]] = [
    ("ping", Asked(words=("ping",))),
    ("show version -w role=db", Asked(words=("show", "version"), filters=("role=db",))),
    ("-w a=1 show -w b=2 version", Asked(words=("show", "version"), filters=("a=1", "b=2"))),
    ("show --where=a=1 version", Asked(words=("show", "version"), filters=("a=1",))),
    ("ping -t5", Asked(words=("ping",), timeout=5.0)),
    ("ping -t 0.5", Asked(words=("ping",), timeout=0.5)),
    ("ping --timeout 5 --timeout=6", Asked(words=("ping",), timeout=6.0)),
    ("--run-time 3 ping", Asked(words=("ping",), run_time=3.0)),
    ("-u alice -k0 ping", Asked(words=("ping",), username="alice", key="0")),
    ("-c site/cw.toml ping", Asked(words=("ping",), config="site/cw.toml")),
    ("ping --set mesh.timeout=3 --set a.b=4", Asked(words=("ping",), set=("mesh.timeout=3", "a.b=4"))),
    ("ping --json", Asked(words=("ping",), form="json")),
    ("ping --jsonl --jsonl", Asked(words=("ping",), form="jsonl")),
    ("ping -nqv --optouts", Asked(words=("ping",), noop=True, quiet=True, verbose=True, optouts=True)),
    ("ping -qt5", Asked(words=("ping",), quiet=True, timeout=5.0)),
    ("show fact -- -q --json -- x", Asked(words=("show", "fact", "-q", "--json", "--", "x"))),
    ("ping -", Asked(words=("ping", "-"))),
    ("ping -w --", Asked(words=("ping",), filters=("--",))),
    ("--help", Asked(wants="help")),
    ("show -h", Asked(words=("show",), wants="help")),
    ("ping --version", Asked(words=("ping",), wants="version")),
    ("", Asked()),
]


@pytest.mark.parametrize(("line", "asked"), LINES)
def test_options_stand_anywhere_before_two_dashes(line: str, asked: Asked) -> None:
    assert parse(line.split()) == asked


def test_empty_words_and_values_are_words_and_values() -> None:
    assert parse(["show", "fact", "", "-w", ""]) == Asked(words=("show", "fact", ""), filters=("",))


REFUSED = [
    ("ping -x", "unknown option -x (see cw ping --help; words after -- are no options)"),
    ("ping --tim=5", "unknown option --tim (see cw ping --help; words after -- are no options)"),
    ("ping -qx", "unknown option -x (see cw ping --help; words after -- are no options)"),
    ("ping -w", "-w needs its FILTER"),
    ("ping --set", "--set needs its SECTION.KEY=VALUE"),
    ("ping --json=yes", "--json takes no value"),
    ("ping --json=", "--json takes no value"),
    ("ping --json --jsonl", "--json and --jsonl exclude each other"),
    ("--jsonl ping --json", "--json and --jsonl exclude each other"),
    *(
        (f"ping -t {value}", f"-t: expected a number of seconds from 0.001 to 604800, got {value!r}")
        for value in ("0", "-1", "x", "nan", "inf", "1e9")
    ),
]


@pytest.mark.parametrize(("line", "sentence"), REFUSED)
def test_what_makes_no_sense_is_one_sentence(line: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(line.split())
    assert str(caught.value) == sentence
    assert caught.value.status == 2


def test_a_very_long_command_line_takes_no_time() -> None:
    assert len(parse(["x"] * 200_000).words) == 200_000


def test_the_help_names_every_option_and_fits_a_screen() -> None:
    lines = usage(["ping | show version"]).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    for option in OPTIONS:
        assert any(name in line for line in lines for name in option.names)
