"""The swarm that measures brokers: it behaves as it was told to, and the broker's ledgers say so."""

import json
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bench.swarm.__main__ import main
from bench.swarm.conduct import AT_ONCE, Behaviour, Conduct, delay
from bench.swarm.member import identity
from conf.addresses import dialled
from mesh.exposition import Series, parse
from mesh.messages import Kind, Result, Side, decode, kind_of, serial_of
from roles.status import fetched
from tests.conftest import CHECKOUT
from tests.e2e.harness import FLAGS, Process, Site, until

SWARM = (sys.executable, "-m", "bench.swarm")


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


@pytest.mark.parametrize("size", [0, 1, 5, 70_000])
def test_a_result_has_so_many_bytes_of_output(size: int) -> None:
    _, (raw,) = Behaviour(reply=size).said(1)[Conduct.ANSWER]
    _, result = decode(Side.AGENT, raw)
    assert isinstance(result, Result)
    assert len(result.output) == size


@pytest.mark.parametrize(
    ("words", "counts"),
    [
        (
            "-n 20 --optout 0.25 --die 0.1 --stall 0.05 --twice 0.2 --timeout 4",
            "20 sessions, 12 results, 5 optouts, 2 lost, 1 silent",
        ),
        ("-n 4 --delay 0-0.1", "4 sessions, 4 results"),
        ("-n 4 --delay 3600 --timeout 0.5", "4 sessions, 4 silent"),
    ],
)
def test_a_ledger_closes_as_the_swarm_behaves(words: str, counts: str, cw_file: Path) -> None:
    swarm = subprocess.run(
        [*SWARM, "--rounds", "1", *words.split()],
        cwd=cw_file.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (swarm.returncode, swarm.stderr) == (0, "")
    first, *rest = swarm.stdout.splitlines()
    assert first.endswith(f" ms  {counts}")
    assert [re.sub(r"[0-9. ]+ ", "", line, count=1) for line in rest] == [
        "ms  from REQUEST to closed ledger, median of 1",
        "µs  of the broker's processor time a node",
        "µs  of the swarm's processor time a node",
    ]


def test_a_swarm_joins_the_broker_of_others(cw_file: Path, tmp_path: Path) -> None:
    """It beats while its answers take their time, says what it was told to, and comes back."""
    listed = subprocess.run([*SWARM, "-n", "8", "--list"], cwd=CHECKOUT, capture_output=True, check=True)
    with Site(tmp_path, (sys.executable, *FLAGS, str(cw_file))) as site:
        with open(site.home / "agents", "ab") as agents:
            agents.write(listed.stdout)
        broker = site.broker("limits.heartbeat=1", 'metrics.listen="127.0.0.1:0"')
        words = "-n 8 --reply 70000 --delay 4-5 --optout 0.25 --die 0.125 --stall 0.125 --twice 0.25"
        key = str(site.home / "broker.key.pub")
        swarm = Process(
            "swarm",
            [*SWARM, *words.split(), "--broker", site.address, "--broker-key", key],
            site.env,
            CHECKOUT,
        )
        site.processes.append(swarm)
        swarm.wait_for_output("^8 sessions, 8 begun, 0 attempts failed, 0 commands$")
        asked = site.ask("ping", "--json", status=5)
        assert asked.errors == "4 answered: 4 ok; 2 opted out; 2 lost\n"
        answers = [(one["outcome"], len(one["output"])) for one in json.loads(asked.output)]
        assert sorted(answers) == [("lost", 0)] + [("ok", 70_000)] * 4
        assert broker.log.count("is gone: silent: two heartbeats missed") == 1
        swarm.wait_for_output("^8 sessions, 10 begun, 0 attempts failed, 8 commands$")
        until(lambda: repeated(broker) == 2 * 2, "said everything twice")
        swarm.signal(signal.SIGINT)
        assert swarm.finished()[::2] == (0, "")


def repeated(broker: Process) -> float:
    """How many answers a broker has dropped."""
    at = broker.wait_for("^meshd: metrics on http://(.*)/metrics$")[1]
    return parse(fetched(dialled(at)))[Series("cw_meshd_answers_dropped_total")]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("-n 0", "argument -n/--sessions: expected a number of sessions, got '0'"),
        ("--delay soon", "argument --delay: expected SECONDS, FROM-TO or exp:MEAN, got 'soon'"),
        ("--optout 0.6 --die 0.6", "the shares are more than all agents"),
        ("--reply 786433", "argument --reply: expected at most 786432 bytes, got '786433'"),
        ("--twice 1.1", "argument --twice: expected a share from 0 to 1, got '1.1'"),
        ("--broker 127.0.0.1:1", "--broker and --broker-key go together"),
    ],
)
def test_wrong_options_are_one_line(words: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words.split())
    assert capsys.readouterr().err.splitlines()[-1] == f"python -m bench.swarm: error: {sentence}"


@pytest.mark.parametrize(
    ("broker", "key", "sentence"),
    [
        ("127.0.0.1", "ab" * 32, r"expected HOST:PORT.*'127\.0\.0\.1'"),
        ("127.0.0.1:1", "nowhere.pub", r"cannot read the key \S*nowhere\.pub: No such file or directory"),
        ("nowhere.invalid:1", "ab" * 32, r"nowhere\.invalid:1: \S.*"),
    ],
)
def test_a_broker_that_cannot_be_joined_is_one_line(broker: str, key: str, sentence: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["-n", "1", "--broker", broker, "--broker-key", key])
    assert re.fullmatch(sentence, str(caught.value))
