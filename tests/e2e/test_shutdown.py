"""SIGTERM: broker and agents finish what is under way, take nothing new, and end; a second one hurries."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mesh.messages import Error, Optin, Result
from tests.e2e.harness import IN_A_CHILD, Process, Site, begun, spawner_of, state, stopped, until
from tests.e2e.raw import Agent, Client, kinds, nodes, request, user_key

PONG = Result(0, b"pong\n", b"", False, 1)
ENDING = [signal.SIGTERM, signal.SIGINT]


def begin_to_stop(daemon: Process, number: signal.Signals = signal.SIGTERM) -> None:
    """Ask a daemon to end, and wait until it has heard."""
    daemon.signal(number)
    daemon.wait_for("^(meshd|cogd): stopping: ")


@contextmanager
def under_way(site: Site) -> Iterator[tuple[Agent, int, Process]]:
    """A request that a node has not answered yet: the node, the serial, the client."""
    with nodes(site, 1) as (agent,):
        client = site.start_asking("ping")
        yield agent, agent.hear().serial, client


@pytest.mark.parametrize("number", ENDING)
def test_the_broker_answers_what_is_under_way_and_takes_nothing_new(
    site: Site, number: signal.Signals
) -> None:
    broker = site.broker('auth.agent_trust="any"')
    with under_way(site) as (agent, serial, client), Client(site) as waiting:
        agent.say(Optin(), serial=serial)
        begin_to_stop(broker, number)
        asked = site.ask("ping", status=4)
        assert asked.errors == f"cw: cannot reach the broker {site.address}: Connection refused\n"
        waiting.ask(request(site.user, "ping"), user_key(site))
        assert [one.message for one in waiting.hear_all()] == [
            Error("closing", "the broker is shutting down")
        ]
        waiting.close()
        broker.signal(signal.SIGHUP)  # reloads nothing any more, and ends nothing
        agent.say(PONG, serial=serial)
        assert client.finished() == (0, "n1.example.com 0 pong\n", "1 answered: 1 ok\n")
        assert agent.hear_all() == []
    ended = broker.finished()
    assert (ended.status, ended.errors.splitlines()[-1]) == (0, "meshd: stopped")


def test_a_broker_with_nothing_to_do_ends_at_once(site: Site) -> None:
    broker = site.broker()
    agent = site.agent("web01")
    assert broker.stop().status == 0
    agent.wait_for(f"^cogd: lost {site.address}: the broker closed the connection$")


def test_a_second_signal_ends_the_broker_at_once(site: Site) -> None:
    broker = site.broker('auth.agent_trust="any"')
    with under_way(site) as (agent, serial, client):
        agent.say(Optin(), serial=serial)
        begin_to_stop(broker)
        assert broker.stop().status == 0
        asked = client.finished()
    assert (asked.status, asked.output) == (4, "")
    assert f"cw: the connection to the broker {site.address} broke: " in asked.errors


def test_a_client_that_leaves_lets_the_broker_end(site: Site) -> None:
    broker = site.broker('auth.agent_trust="any"')
    with under_way(site) as (agent, serial, client):
        agent.say(Optin(), serial=serial)
        begin_to_stop(broker)
        client.signal(signal.SIGKILL)
        assert broker.finished().status == 0
        assert kinds(agent.hear_all()) in ([], ["Cancel"])


def test_an_agent_ends_and_leaves_no_process(site: Site) -> None:
    site.broker()
    agent = site.agent("web01")
    spawner = spawner_of(agent)
    ended = agent.stop()
    assert (ended.status, ended.errors.splitlines()[-1]) == (0, "cogd: stopped")
    assert state(spawner) == ""
    assert site.ask("ping", status=6).errors == "0 answered\n"


def test_an_agent_without_a_broker_ends(site: Site) -> None:
    site.add_agent("web01")
    site.port = 1
    agent = site.start_agent("web01")
    agent.wait_for("^cogd: no session with 127.0.0.1:1: cannot connect: Connection refused$")
    assert agent.stop().status == 0


def test_an_agent_finishes_what_runs_and_takes_nothing_new(site: Site) -> None:
    site.broker()
    agent = site.agent("web01", {"role": "web"})
    with stopped(spawner_of(agent)):
        client = site.start_asking(*IN_A_CHILD)
        begun(site, "web01", " ".join(IN_A_CHILD))
        begin_to_stop(agent)
        refused = site.ask("ping", status=1)
        assert refused.output == "web01.example.com 125 this agent is stopping\n"
    assert client.finished()[:2] == (0, "web01.example.com 0 role=web\n")
    assert agent.finished().status == 0


def test_a_second_signal_ends_what_runs_on_an_agent(site: Site) -> None:
    site.broker()
    agent = site.agent("web01")
    spawner = spawner_of(agent)
    with stopped(spawner):
        client = site.start_asking(*IN_A_CHILD)
        begun(site, "web01", " ".join(IN_A_CHILD))
        begin_to_stop(agent)
        agent.signal(signal.SIGTERM)
        asked = client.finished()
    assert (asked.status, asked.errors) == (1, "1 answered: 1 failed\n")
    assert agent.finished().status == 0
    assert state(spawner) == ""


def test_nothing_of_a_killed_agent_stays(site: Site) -> None:
    site.broker()
    agent = site.agent("web01")
    spawner = spawner_of(agent)
    with stopped(spawner):
        site.start_asking(*IN_A_CHILD)
        begun(site, "web01", " ".join(IN_A_CHILD))
        agent.signal(signal.SIGKILL)
    until(lambda: state(spawner) in ("", "Z"), "ended the spawner")
