"""Command lines of commands to nodes: where options may stand, and what is refused before anyone is asked."""

import pytest

from mesh.formats import FORMS as PRINTED
from mesh.formats import form
from mesh.formats.look import Look
from mesh.printing import COUNTED, Stream
from roles.options import FORMS, ONLY, OPTIONS, Asked, UsageError, parse
from roles.usage import usage

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
    ("ping -Y --sort", Asked(words=("ping",), form="yaml", sort=True)),
    ("ping -qT", Asked(words=("ping",), form="text", quiet=True)),
    ("ping --fold --histogram", Asked(words=("ping",), form="fold", histogram=True)),
    ("ping --only ok", Asked(words=("ping",), only=("ok",))),
    ("ping --only=failed", Asked(words=("ping",), only=("failed", "malformed"))),
    (
        "ping --only lost --only optout",
        Asked(words=("ping",), only=("lost", "silent", "expired", "optout"), optouts=True),
    ),
    ("ping --stderr", Asked(words=("ping",), stderr=True)),
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
    ("ping --tim=5", "unknown option --tim: did you mean '--timeout'?"),
    ("ping --Josn", "unknown option --Josn: did you mean '--json'?"),
    ("ping --shel", "unknown option --shel: did you mean '--help'?"),
    ("mesh exec --shel ls", "unknown option --shel: did you mean '--shell'?"),
    (
        f"ping --timeou{'t' * 40}",
        f"unknown option --timeou{'t' * 32} (see cw ping --help; words after -- are no options)",
    ),
    ("ping -qx", "unknown option -x (see cw ping --help; words after -- are no options)"),
    ("ping -w", "-w needs its FILTER"),
    ("ping --set", "--set needs its SECTION.KEY=VALUE"),
    ("ping --json=yes", "--json takes no value"),
    ("ping --json=", "--json takes no value"),
    ("ping --json --jsonl", "--json and --jsonl exclude each other"),
    ("--jsonl ping --json", "--json and --jsonl exclude each other"),
    ("ping --pretty -X", "--pretty and --xml exclude each other"),
    ("ping --table --diff --table", "--diff and --table exclude each other"),
    ("ping --only", "--only needs its OUTCOME"),
    ("ping --only bad", "--only: expected one of ok, failed, lost, optout, got 'bad'"),
    (
        "ping --only faild",
        "--only: expected one of ok, failed, lost, optout, got 'faild': did you mean 'failed'?",
    ),
    ("ping --sort=name", "--sort takes no value"),
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
    for verbs in range(6):
        lines = usage(["show fact NAME…  prints the facts named"] * verbs).splitlines()
        assert len(lines) <= 24
        assert max(map(len, lines)) <= 100
        for option in OPTIONS:
            assert any(name in line for line in lines for name in option.names)


def test_the_help_has_examples_where_there_is_room() -> None:
    assert usage(["ping"]).count("\n  $ cw ") == 3
    assert usage(["ping"] * 5).count("\n  $ cw ") == 1


def test_every_form_is_there_and_waits_as_the_help_says() -> None:
    offered = {form.names[-1].removeprefix("--"): form.waits for form in FORMS}
    assert offered == {name: not isinstance(form(name, Look()), Stream) for name in PRINTED}


def test_only_speaks_of_outcomes() -> None:
    outcomes = [outcome for several in ONLY.values() for outcome in several]
    assert len(outcomes) == len(set(outcomes))
    assert set(COUNTED) - set(outcomes) == {"denied"}
