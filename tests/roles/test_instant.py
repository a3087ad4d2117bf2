"""What is tried in its place: what touches memory alone, is silent, the node's own, and over in a moment."""

from collections.abc import Mapping

import pytest

from mesh.admission import Admit
from mesh.command import parse
from mesh.images import image_of
from roles.instant import FACTS, INSTRUCTIONS, at_once
from tests.roles.runners import AMPLE, Host, program
from vm.machine import Limits, Outcome


def verb(*words: str) -> Admit:
    command = parse(words)
    own = image_of(command.verb)
    return Admit(own.image, own.program, own.effect, ("mesh", *command.arguments), True)


@pytest.mark.parametrize(
    ("admitted", "outcome"),
    [
        (verb("ping"), Outcome(0, b"pong\n", b"", False, "")),
        (verb("show", "version"), Outcome(0, b"0.1.0\n", b"", False, "")),
        (verb("show", "acls"), Outcome(0, b"allow alice ALL\n", b"", False, "")),
        (verb("show", "facts"), Outcome(0, b"role=web\nsys.fqdn=web01.example.com\n", b"", False, "")),
        (verb("show", "fact", "role", "x"), Outcome(1, b"role=web\nunknown fact: x\n", b"", False, "")),
        (program('error "no luck"\nretv 7'), Outcome(7, b"", b"no luck\n", False, "")),
        (
            program("set %a 1\ndiv %a 0"),
            Outcome(125, b"", b"fault: divide by zero at 0x00000012 (div)\n", False, "divide by zero"),
        ),
    ],
    ids=["ping", "show version", "show acls", "show facts", "show fact", "a status", "a fault"],
)
def test_what_is_over_in_a_moment_ends_as_it_would_elsewhere(admitted: Admit, outcome: Outcome) -> None:
    assert at_once(admitted, Limits(), Host()) == outcome


ENDLESS = "again:\njmp again"
LONG = f"set %a 0\nagain:\nadd %a 1\nlt %a {INSTRUCTIONS}\njz again"
BULKY = 'set %a "x"\n' + 'string "%[a]s%[a]s" %a\n' * 17


@pytest.mark.parametrize(
    "admitted",
    [
        verb("show", "user", "root"),
        verb("show", "facts")._replace(run_as="alice"),
        verb("ping")._replace(program=None),
        program(ENDLESS),
        program(LONG),
        program(BULKY),
        program('syslog "info" "once"'),
        program('fs.file? "/etc/passwd"'),
        program("ret\n" + 'fs.file? "/etc/passwd"'),
    ],
    ids=[
        "reads",
        "as another user",
        "a stranger's",
        "endless",
        "long",
        "much text",
        "logs",
        "a file",
        "a file, never reached",
    ],
)
def test_everything_else_is_left_to_the_runner(admitted: Admit) -> None:
    host = Host()
    assert at_once(admitted, AMPLE, host) is None
    assert host.logged == []


def test_output_is_cut_as_it_would_be_elsewhere() -> None:
    outcome = at_once(program('print "0123456789"'), Limits(output=100), Host())
    assert outcome is not None
    assert (len(outcome.output), outcome.truncated) == (10, False)
    outcome = at_once(program('print "0123456789"\n' * 11), Limits(output=100), Host())
    assert outcome is not None
    assert outcome.truncated


def test_limits_that_are_tighter_still_hold() -> None:
    assert at_once(verb("ping"), Limits(instructions=1), Host()) is None


def test_many_facts_are_left_to_the_runner() -> None:
    class Knowing(Host):
        def facts(self) -> Mapping[str, str]:
            return {str(number): "" for number in range(FACTS + 1)}

    assert at_once(verb("show", "fact", "1"), Limits(), Knowing()) is None
    assert at_once(verb("ping"), Limits(), Knowing()) is not None


def test_what_breaks_the_machine_is_left_to_the_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    """There it cannot end the agent."""

    def break_down(*_: object) -> Outcome:
        raise RecursionError

    monkeypatch.setattr("roles.instant.run", break_down)
    assert at_once(verb("ping"), AMPLE, Host()) is None
