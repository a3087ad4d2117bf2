"""Networks that break, lose and delay: queries end as designed, and nodes come back."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.harness import IN_A_CHILD, Process, Site, spawner_of, stopped, until
from tests.e2e.networks import Delaying, Host, wired

BEATS = "limits.heartbeat=0.5"
BOTH = ["web01.example.com 0 pong", "web02.example.com 0 pong"]
ONE_IN_FIVE = ("-m", "statistic", "--mode", "nth", "--every", "5", "--packet", "0")


class Mesh:
    """A broker and web01 on one host, web02 alone on another."""

    def __init__(self, site: Site, near: Host, far: Host) -> None:
        self.site = site
        self.far = far
        self._cw = site.cw
        site.host, site.cw = near.address, (*near.words, *self._cw)
        self.broker = site.broker(BEATS)
        site.agent("web01", {"role": "web"})
        site.add_agent("web02", {"role": "web"})
        self.web02 = self.start_web02()

    def start_web02(self) -> Process:
        """Returns once it is connected."""
        near, self.site.cw = self.site.cw, (*self.far.words, *self._cw)
        web02 = self.site.start_agent("web02")
        self.site.cw = near
        web02.wait_for("^cogd: connected to ")
        return web02

    @contextmanager
    def web02_comes_back(self) -> Iterator[None]:
        """In the `with` block it loses its session; afterwards it is there as before."""
        before = self.web02.log.count("cogd: connected to ")
        yield
        self.web02.wait_for("^cogd: connected to ", times=before + 1)
        assert self.site.ask("ping").lines == BOTH

    def about_to_ask(self, *words: str) -> Process:
        """A client that has started but for the last line of its configuration: `finished` gives it."""
        home = self.site.home
        settings = {
            "broker": self.site.address,
            "broker_key": home / "broker.key.pub",
            "key": home / f"{self.site.user}.key",
        }
        sets = [word for key, value in settings.items() for word in ("--set", f'mesh.{key}="{value}"')]
        client = self.site.start(" ".join(words), *words, "-c", "/dev/stdin", *sets)
        client.type("#" * (1 << 18))  # more than a pipe holds: it reads already
        return client


def times_run(site: Site, name: str, command: str) -> int:
    """How often an agent has begun it, as its audit log says."""
    lines = [json.loads(line) for line in (site.directory / name / "cogd.audit").read_text().splitlines()]
    return sum((line["event"], line["command"]) == ("ran", command) for line in lines)


@pytest.fixture(scope="module")
def mesh(cw: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Unharmed after every test."""
    with wired() as (near, far), Site(tmp_path_factory.mktemp("networks"), cw) as site:
        yield Mesh(site, near, far)


def test_a_network_that_breaks_in_mid_query(mesh: Mesh) -> None:
    """The node had opted in: it is named as lost, and its late answer is nobody's."""
    site = mesh.site
    before = times_run(site, "web02", " ".join(IN_A_CHILD))
    with mesh.web02_comes_back(), stopped(spawner_of(mesh.web02)):
        client = site.start_asking(*IN_A_CHILD)
        client.wait_for_output("^web01.example.com 0 role=web$")
        until(lambda: times_run(site, "web02", " ".join(IN_A_CHILD)) > before, "began it")
        with mesh.far.dropping("INPUT", "OUTPUT"):
            asked = client.finished()
            assert asked.lines == ["web01.example.com 0 role=web", "web02.example.com - lost"]
            assert (asked.status, asked.errors) == (5, "1 answered: 1 ok; 1 lost\n")
            mesh.broker.wait_for("^meshd: agent web02.example.com .* is gone: silent: two heartbeats missed$")
            assert site.ask("ping").lines == BOTH[:1]
    assert times_run(site, "web02", " ".join(IN_A_CHILD)) == before + 1


@pytest.mark.parametrize(("chain", "runs"), [("INPUT", 0), ("OUTPUT", 1)])
def test_a_peer_that_is_there_by_half(mesh: Mesh, chain: str, runs: int) -> None:
    """It hears nothing, or is not heard: each sees the connection stand, and neither waits for ever.

    A command that gets there in the end, still young enough, is run: once.
    """
    site = mesh.site
    before = times_run(site, "web02", "ping")
    client = mesh.about_to_ask("ping")
    with mesh.web02_comes_back(), mesh.far.dropping(chain):
        asked = client.finished()
        assert (asked.lines, asked.errors) == (BOTH[:1], "1 answered: 1 ok; 1 lost\n")
        assert times_run(site, "web02", "ping") == before + runs
    assert before + runs <= times_run(site, "web02", "ping") - 1 <= before + 1


def test_a_broker_that_is_another_after_the_network_was_broken(mesh: Mesh) -> None:
    """What the node owed the former broker is not sent to the new one."""
    site = mesh.site
    before = times_run(site, "web02", " ".join(IN_A_CHILD))
    with mesh.web02_comes_back(), stopped(spawner_of(mesh.web02)):
        client = site.start_asking(*IN_A_CHILD)
        client.wait_for_output("^web01.example.com 0 role=web$")
        until(lambda: times_run(site, "web02", " ".join(IN_A_CHILD)) > before, "began it")
        with mesh.far.dropping("INPUT", "OUTPUT"):
            mesh.broker.signal(signal.SIGKILL)
            assert client.finished().status == 4
            mesh.broker = site.broker(BEATS)
            mesh.broker.wait_for("^meshd: agent web01.example.com at .* is connected")
    assert times_run(site, "web02", " ".join(IN_A_CHILD)) == before + 1


def test_a_network_that_loses_one_packet_in_five(mesh: Mesh) -> None:
    """It costs time and nothing else; who comes new gets in."""
    site = mesh.site
    with mesh.far.dropping("INPUT", "OUTPUT", match=ONE_IN_FIVE):
        for _ in range(3):
            assert site.ask("ping").lines == BOTH
        facts = site.ask("show", "facts", "--jsonl")
        assert [json.loads(line)["outcome"] for line in facts.lines] == ["ok", "ok"]
        assert mesh.web02.stop().status == 0
        mesh.web02 = mesh.start_web02()
        assert site.ask("ping").lines == BOTH


def test_a_network_that_delays_by_three_hundred_milliseconds(site: Site) -> None:
    """Longer than a heartbeat, there and back. Nobody is given up; who waits less hears the others."""
    broker = site.broker(BEATS)
    with Delaying(site, 0.3) as relay:
        site.agent("web01")
        site.add_agent("web02")
        site.start_agent("web02", f'agent.brokers=["{relay.address}"]').wait_for("^cogd: connected to ")
        assert site.ask("ping").lines == BOTH
        asked = site.ask("ping", "-t", "0.55", status=5)
        assert (asked.lines, asked.errors) == (BOTH[:1], "1 answered: 1 ok; 1 silent\n")
        assert site.ask("ping", "--set", f'mesh.broker="{relay.address}"').lines == BOTH
        until(lambda: times_run(site, "web02", "ping") == 3, "ran what came late")
        assert "is gone" not in broker.log
