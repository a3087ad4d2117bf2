"""The swarm that measures brokers: it behaves as it was told to, and the broker's ledgers say so."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bench.swarm.__main__ import main
from bench.swarm.conduct import AT_ONCE, Behaviour, Conduct, delay
from bench.swarm.member import identity
from mesh.messages import Kind, kind_of, serial_of


@pytest.mark.parametrize(
    ("text", "drawn", "expected"),
    [
        ("0", 0.5, 0.0),
        ("0.25", 0.9, 0.25),
        ("0.1-0.5", 0.0, 0.1),
        ("0.1-0.5", 0.5, 0.3),
        ("exp:2", 0.0, 0.0),
        ("exp:2", 0.8646647, 4.0),
    ],
)
def test_a_delay_is_drawn_as_its_text_says(text: str, drawn: float, expected: float) -> None:
    assert delay(text).draw(lambda: drawn) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("text", ["", "x", "-1", "2-1", "nan", "1e9", "exp:", "exp:-1", "normal:1"])
def test_no_other_text_is_a_delay(text: str) -> None:
    with pytest.raises(ValueError):
        delay(text)


def test_shares_are_exact_and_the_same_each_time() -> None:
    behaviour = Behaviour(shares=(0.2, 0.01, 0.0, 0.5))
    conducts = behaviour.conducts(100)
    assert Counter(conducts) == {
        Conduct.OPTOUT: 20,
        Conduct.DIE: 1,
        Conduct.TWICE: 50,
        Conduct.ANSWER: 29,
    }
    assert conducts == behaviour.conducts(100)
    assert conducts[:20] != [Conduct.OPTOUT] * 20


def test_each_conduct_says_its_messages() -> None:
    said = Behaviour(reply=7).said(0x1_0000_0002)
    kinds = {
        conduct: ([kind_of(raw) for raw in first], [kind_of(raw) for raw in then])
        for conduct, (first, then) in said.items()
    }
    assert kinds == {
        Conduct.ANSWER: ([Kind.OPTIN], [Kind.RESULT]),
        Conduct.OPTOUT: ([Kind.OPTOUT], []),
        Conduct.DIE: ([Kind.OPTIN], []),
        Conduct.STALL: ([], []),
        Conduct.TWICE: ([Kind.OPTIN] * 2, [Kind.RESULT] * 2),
    }
    assert {serial_of(raw) for first, then in said.values() for raw in first + then} == {0x1_0000_0002}


def test_every_agent_has_a_name_and_a_key_of_its_own() -> None:
    agents = [identity(number) for number in range(10)]
    assert len({agent.key.public for agent in agents}) == len({agent.uuid for agent in agents}) == 10
    assert agents == [identity(number) for number in range(10)]
    assert AT_ONCE.draw(lambda: 0.9) == 0


def test_a_ledger_closes_as_the_swarm_behaves(cw_file: Path) -> None:
    words = "-n 20 --rounds 1 --optout 0.25 --die 0.1 --stall 0.05 --twice 0.2 --timeout 4 --reply 70000"
    swarm = subprocess.run(
        [sys.executable, "-m", "bench.swarm", *words.split()],
        cwd=cw_file.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (swarm.returncode, swarm.stderr) == (0, "")
    first, *rest = swarm.stdout.splitlines()
    assert first.endswith(" ms  20 sessions, 12 results, 5 optouts, 2 lost, 1 silent")
    assert [re.sub(r"[0-9. ]+ ", "", line, count=1) for line in rest] == [
        "ms  from REQUEST to closed ledger, median of 1",
        "µs  of the broker's processor time a node",
        "µs  of the swarm's processor time a node",
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("-n 0", "argument -n/--sessions: expected a number of sessions, got '0'"),
        ("--delay soon", "argument --delay: expected SECONDS, FROM-TO or exp:MEAN, got 'soon'"),
        ("--optout 0.6 --die 0.6", "the shares are more than all agents"),
        ("--broker 127.0.0.1:1", "--broker and --broker-key go together"),
    ],
)
def test_wrong_options_are_one_line(words: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words.split())
    assert capsys.readouterr().err.splitlines()[-1] == f"python -m bench.swarm: error: {sentence}"
