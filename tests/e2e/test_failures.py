"""Nodes, brokers and clients that die, hang or are there twice: everybody else goes on, and is told."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from mesh.messages import Error, Optin, Result
from tests.e2e.harness import IN_A_CHILD, Process, Site, begun, spawner_of, stopped, until
from tests.e2e.raw import Agent, nodes
from wire.noise import key_pair

NEVER = "limits.heartbeat=600"
"""For what must be noticed at once: heartbeats notice it after the client's patience."""
TWO = {"web01": {"role": "web"}, "web02": {"role": "web"}}


@pytest.fixture(scope="module")
def mesh(cw: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Process]]:
    """Two nodes, both unharmed after every test; the first of them."""
    with Site(tmp_path_factory.mktemp("failures"), cw) as site:
        site.broker(NEVER)
        yield site, site.agents(TWO)["web01"]


def test_a_node_killed_in_mid_command_is_lost_at_once_and_named(site: Site) -> None:
    site.broker(NEVER)
    web01 = site.agents(TWO)["web01"]
    with stopped(spawner_of(web01)):
        client = site.start_asking(*IN_A_CHILD)
        client.wait_for_output("^web02.example.com 0 role=web$")
        begun(site, "web01", " ".join(IN_A_CHILD))
        web01.signal(signal.SIGKILL)
        asked = client.finished()
    assert (asked.status, asked.errors) == (5, "1 answered: 1 ok; 1 lost\n")
    assert asked.lines == ["web01.example.com - lost", "web02.example.com 0 role=web"]


def test_a_node_killed_before_it_opted_in_is_only_counted(site: Site) -> None:
    site.broker(NEVER)
    web01 = site.agents(TWO)["web01"]
    with stopped(web01.pid):
        client = site.start_asking("ping")
        client.wait_for_output("^web02.example.com 0 pong$")
        web01.signal(signal.SIGKILL)
        asked = client.finished()
    assert (asked.status, asked.errors) == (5, "1 answered: 1 ok; 1 lost\n")
    assert asked.lines == ["web02.example.com 0 pong"]


def test_an_agent_whose_spawner_is_killed_says_so_and_ends(site: Site) -> None:
    site.broker(NEVER)
    web01 = site.agent("web01")
    spawner = spawner_of(web01)
    with stopped(spawner):
        client = site.start_asking(*IN_A_CHILD)
        begun(site, "web01", " ".join(IN_A_CHILD))
        os.kill(spawner, signal.SIGKILL)
        asked = client.finished()
    assert asked[:2] == (1, "web01.example.com 125 the process that starts commands died\n")
    ended = web01.finished()
    assert ended.status == 70
    assert ended.errors.splitlines()[-1].startswith("cw: The process that starts commands died, ")


def test_a_broker_killed_in_mid_query_and_started_again(site: Site) -> None:
    broker = site.broker(NEVER)
    agents = site.agents(TWO)
    with stopped(spawner_of(agents["web01"])):
        client = site.start_asking(*IN_A_CHILD)
        client.wait_for_output("^web02.example.com 0 role=web$")
        begun(site, "web01", " ".join(IN_A_CHILD))
        broker.signal(signal.SIGKILL)
        asked = client.finished()
    assert asked.status == 4
    assert asked.output == "web02.example.com 0 role=web\n"
    assert asked.errors == (
        f"1 answered: 1 ok\ncw: the connection to the broker {site.address} broke: it hung up\n"
    )
    site.broker(NEVER)
    for agent in agents.values():
        agent.wait_for("^cogd: connected to ", times=2)
        assert agent.log.count(f"cogd: lost {site.address}: ") == 1
    assert site.ask("show", "fact", "role").lines == [f"{name}.example.com 0 role=web" for name in TWO]


def test_a_stopped_node_delays_nobody(mesh: tuple[Site, Process]) -> None:
    site, web01 = mesh
    with stopped(web01.pid):
        clients = [site.start_asking("ping") for _ in range(2)]
        for client in clients:
            client.wait_for_output("^web02.example.com 0 pong$")
    for client in clients:
        asked = client.finished()
        assert asked.lines == ["web01.example.com 0 pong", "web02.example.com 0 pong"]
        assert asked.status == 0


def test_a_stopped_node_is_silent_at_the_timeout(mesh: tuple[Site, Process]) -> None:
    site, web01 = mesh
    with stopped(web01.pid):
        asked = site.ask("ping", "-t", "2", status=5)
    assert (asked.output, asked.errors) == ("web02.example.com 0 pong\n", "1 answered: 1 ok; 1 silent\n")


def test_a_node_that_hangs_after_it_opted_in_is_named_silent(mesh: tuple[Site, Process]) -> None:
    site, web01 = mesh
    with stopped(spawner_of(web01)):
        asked = site.ask("-t", "2.5", *IN_A_CHILD, status=5)
        assert site.ask("ping").lines == ["web01.example.com 0 pong", "web02.example.com 0 pong"]
    assert asked.lines == ["web01.example.com - silent", "web02.example.com 0 role=web"]
    assert asked.errors == "1 answered: 1 ok; 1 silent\n"


def test_a_stopped_node_is_lost_after_missed_heartbeats_and_comes_back(site: Site) -> None:
    broker = site.broker("limits.heartbeat=1.5")
    web01 = site.agents(TWO)["web01"]
    with stopped(web01.pid):
        asked = site.ask("ping", status=5)
        broker.wait_for("is gone: silent: two heartbeats missed$")
    assert (asked.output, asked.errors) == ("web02.example.com 0 pong\n", "1 answered: 1 ok; 1 lost\n")
    web01.wait_for("^cogd: connected to ", times=2)
    assert site.ask("ping").lines == ["web01.example.com 0 pong", "web02.example.com 0 pong"]


HALF_A_MEBIBYTE = 512 << 10
ANSWER = Result(0, b"x" * HALF_A_MEBIBYTE, b"", False, 1)


def test_a_client_that_reads_gets_all_of_a_flood(site: Site) -> None:
    site.broker('auth.agent_trust="any"')
    with nodes(site, 40) as agents:
        client = site.start_asking("ping", "-q")
        for agent in agents:
            agent.say(Optin(), ANSWER, serial=agent.hear().serial)
        asked = client.finished()
    assert (asked.status, asked.errors) == (0, "")
    assert len(asked.output) > len(agents) * HALF_A_MEBIBYTE


def test_a_client_that_never_reads_is_closed_at_its_bound(site: Site) -> None:
    site.broker('auth.agent_trust="any"', "limits.queue=2097152")
    with nodes(site, 20) as agents:
        client = site.start_asking("ping", "-q")
        serials = [agent.hear().serial for agent in agents]
        with stopped(client.pid):
            for agent, serial in zip(agents, serials, strict=True):
                agent.say(Optin(), ANSWER, serial=serial)
            until(lambda: "does not read: " in audit_of(site), "closed the client that does not read")
            other = site.start_asking("ping", "-q")
            for agent in agents:
                agent.say(Optin(), Result(0, b"pong\n", b"", False, 1), serial=agent.hear().serial)
            assert len(other.finished().lines) == len(agents)
        asked = client.finished()
    assert asked.status == 4
    assert asked.errors.startswith("cw: the connection to the broker ")


def test_a_client_that_takes_nothing_is_closed_in_time(site: Site) -> None:
    site.broker('auth.agent_trust="any"', "limits.stall=1")
    with nodes(site, 20) as agents:
        client = site.start_asking("ping", "-q")
        serials = [agent.hear().serial for agent in agents]
        with stopped(client.pid):
            for agent, serial in zip(agents[1:], serials[1:], strict=True):
                agent.say(Optin(), ANSWER, serial=serial)
            until(lambda: "took nothing for 1 seconds" in audit_of(site), "closed the client that stands")
        assert client.finished().status == 4


def audit_of(site: Site) -> str:
    """The broker's audit log so far."""
    return (site.home / "meshd.audit").read_text()


def test_a_newer_session_of_a_key_closes_the_older(site: Site) -> None:
    broker = site.broker('auth.agent_trust="any"', NEVER)
    key, name, uuid = key_pair(os.urandom(32)), "n1.example.com", str(uuid4())
    with Agent(site, key, name, uuid) as older:
        client = site.start_asking("ping")
        older.say(Optin(), serial=older.hear().serial)
        with Agent(site, key, name, uuid) as newer:
            assert client.finished()[:2] == (5, "n1.example.com - lost\n")
            told = [heard.message for heard in older.hear_all()]
            assert told == [Error("denied", "a newer session of the same key")]
            client = site.start_asking("ping")
            newer.say(Optin(), Result(0, b"pong\n", b"", False, 1), serial=newer.hear().serial)
            assert client.finished()[:2] == (0, "n1.example.com 0 pong\n")
            with Agent(site, key, name, uuid), Agent(site, key, name, uuid):
                broker.wait_for(f"^meshd: key used twice: {key.public.hex()} ")
    assert broker.log.count("key used twice") == 1


def test_daemons_go_on_when_their_file_is_replaced(cw: tuple[str, ...], tmp_path: Path) -> None:
    installed = tmp_path / "cw"
    shutil.copy(cw[-1], installed)
    with Site(tmp_path / "here", (*cw[:-1], str(installed))) as site:
        broker = site.broker()
        web01 = site.agent("web01", {"role": "web"})
        (tmp_path / "newer").write_text("this is no program\n")
        (tmp_path / "newer").rename(installed)
        site.cw = cw
        for words in (["ping", "-w", "role=/w.b/"], ["show", "facts"], ["show", "acls"]):
            assert site.ask(*words).errors == "1 answered: 1 ok\n"
        assert [daemon.stop().status for daemon in (web01, broker)] == [0, 0]
