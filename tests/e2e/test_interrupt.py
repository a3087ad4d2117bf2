"""Ctrl-C at a client, for real: nodes are told, what has come is printed, and the mesh goes on."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.messages import Cancel, Command, Expired, Optin, Result
from tests.e2e.harness import IN_A_CHILD, Process, Site, audited, stopped, until
from tests.e2e.raw import Agent, nodes

PONG = Result(0, b"pong\n", b"", False, 0)
STOPPED = Result(125, b"half\n", b"cancelled\n", False, 0)


@pytest.fixture(scope="module")
def mesh(cw: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A broker that takes any node."""
    with Site(tmp_path_factory.mktemp("interrupt"), cw) as site:
        site.broker('auth.agent_trust="any"', "limits.heartbeat=600")
        yield site


@pytest.fixture
def two(mesh: Site) -> Iterator[tuple[Agent, Agent]]:
    """Two nodes that say what the test says; the broker has noticed their end before the next test."""
    broker = mesh.processes[0]
    gone = r"^meshd: agent n[12]\.example\.com at 127\.0\.0\.1 is gone: "
    before = broker.log.count(" is gone: ")
    with nodes(mesh, 2) as (one, two):
        yield one, two
    broker.wait_for(gone, before + 2)


def commanded(node: Agent) -> int:
    """The serial of the COMMAND that a node must hear next."""
    heard = node.hear()
    assert isinstance(heard.message, Command)
    return heard.serial


def half_answered(mesh: Site, two: tuple[Agent, Agent], *words: str) -> tuple[Process, int]:
    """A client that has heard the answer of the first node, while the second runs the command."""
    asking = mesh.start_asking("ping", "-t", "300", *words)
    one, other = two
    one.say(Optin(), PONG, serial=commanded(one))
    serial = commanded(other)
    other.say(Optin(), serial=serial)
    asking.wait_for_output(r"n1\.example\.com")
    return asking, serial


def serves(mesh: Site, agents: tuple[Agent, Agent]) -> None:
    """The next request is answered, and it is the next thing that the nodes hear."""
    asking = mesh.start_asking("ping")
    for agent in agents:
        agent.say(Optin(), PONG, serial=commanded(agent))
    assert asking.finished().errors == "2 answered: 2 ok\n"


@pytest.mark.parametrize(
    ("end", "shown", "counts"),
    [
        (STOPPED, "n2.example.com 125 half", "2 answered: 1 ok, 1 failed\n"),
        (PONG, "n2.example.com 0 pong", "2 answered: 2 ok\n"),
        (Expired(), "n2.example.com - expired", "1 answered: 1 ok; 1 expired\n"),
    ],
    ids=["stopped", "too late", "expired"],
)
def test_ctrl_c_cancels_on_the_nodes_and_prints_what_comes_of_it(
    mesh: Site, two: tuple[Agent, Agent], end: Result | Expired, shown: str, counts: str
) -> None:
    asking, serial = half_answered(mesh, two)
    asking.signal(signal.SIGINT)
    assert two[1].hear()[:2] == (serial, Cancel())
    two[1].say(end, serial=serial)
    ended = asking.finished()
    assert ended == (130, f"n1.example.com 0 pong\n{shown}\n", counts)
    serves(mesh, two)  # so the first, which had answered, has heard no CANCEL


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_json_is_whole_after_ctrl_c(mesh: Site, two: tuple[Agent, Agent], form: str) -> None:
    asking, serial = half_answered(mesh, two, form)
    asking.signal(signal.SIGINT)
    assert two[1].hear()[:2] == (serial, Cancel())
    two[1].say(STOPPED, serial=serial)
    ended = asking.finished()
    assert ended.status == 130
    texts = ended.output.splitlines() if form == "--jsonl" else []
    answers = [json.loads(text) for text in texts] or json.loads(ended.output)
    assert [(answer["fqdn"], answer["status"]) for answer in answers] == [
        ("n1.example.com", 0),
        ("n2.example.com", 125),
    ]


def test_a_node_that_does_not_end_is_not_waited_for(mesh: Site, two: tuple[Agent, Agent]) -> None:
    asking, serial = half_answered(mesh, two)
    asking.signal(signal.SIGINT)
    assert two[1].hear()[:2] == (serial, Cancel())
    assert asking.finished() == (
        130,
        "n1.example.com 0 pong\nn2.example.com - silent\n",
        "1 answered: 1 ok; 1 silent\n",
    )
    serves(mesh, two)


def test_a_second_ctrl_c_ends_it_at_once(mesh: Site, two: tuple[Agent, Agent]) -> None:
    asking, serial = half_answered(mesh, two)
    asking.signal(signal.SIGINT)
    assert two[1].hear()[:2] == (serial, Cancel())
    asking.signal(signal.SIGINT)
    ended = asking.finished()
    assert (ended.status, ended.output, ended.errors) == (130, "n1.example.com 0 pong\n", "")
    serves(mesh, two)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_client_that_is_ended_otherwise_cancels_nothing(
    mesh: Site, two: tuple[Agent, Agent], number: signal.Signals
) -> None:
    asking, _ = half_answered(mesh, two)
    asking.signal(number)
    assert asking.finished() == (-number, "n1.example.com 0 pong\n", "")
    noted = mesh.home / "meshd.audit"
    until(lambda: "connection lost" in noted.read_text().splitlines()[-1], "noted")
    serves(mesh, two)


def test_where_ctrl_c_is_ignored_it_stays_so(mesh: Site, two: tuple[Agent, Agent]) -> None:
    one, other = two
    words = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *mesh.cw, *mesh.asking("ping", "-t", "300")]
    with subprocess.Popen(words, env=mesh.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asking:
        try:
            serial = commanded(one)
            asking.send_signal(signal.SIGINT)
            one.say(Optin(), PONG, serial=serial)
            other.say(Optin(), PONG, serial=commanded(other))
            output, errors = asking.communicate(timeout=60)
        finally:
            asking.kill()
    assert (asking.returncode, errors) == (0, b"2 answered: 2 ok\n")
    assert output.count(b"pong") == 2


# -- real nodes


def test_ctrl_c_ends_the_waiting_for_a_node_that_hangs(site: Site) -> None:
    site.broker()
    agents = site.agents({"web01": {}, "web02": {}})
    with stopped(agents["web02"].pid):
        asking = site.start_asking("ping", "-t", "300")
        asking.wait_for_output(r"^web01\.example\.com 0 pong$")
        asking.signal(signal.SIGINT)
        ended = asking.finished()
    assert ended == (130, "web01.example.com 0 pong\n", "1 answered: 1 ok; 1 silent\n")
    assert site.ask("ping", "-w", "sys.fqdn=web01.example.com").output == "web01.example.com 0 pong\n"


def test_ctrl_c_stops_what_runs_on_a_node(site: Site) -> None:
    site.broker()
    agent = site.agent("web01", {"role": "web"})
    audit = site.directory / "web01" / "cogd.audit"

    def events() -> list[str]:
        return [entry["event"] for entry in audited(audit)]

    (spawner,) = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
    with stopped(int(spawner)):  # so that the command does not begin
        asking = site.start_asking("-t", "300", *IN_A_CHILD)
        until(lambda: events() == ["ran"], "begun")
        asking.signal(signal.SIGINT)
        assert asking.finished().status == 130
        until(lambda: events() == ["ran", "ended"], "ended")
    last = json.loads(audit.read_text().splitlines()[-1])
    assert (last["status"], last["fault"]) == (125, "cancelled")
    assert site.ask(*IN_A_CHILD).output == "web01.example.com 0 role=web\n"
