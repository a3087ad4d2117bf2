"""Floods of connections at a broker's door: whom it has it serves, and it stays small."""

import os
import random
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from auth.keys import read_public
from conf.addresses import dialled
from mesh.exposition import Series, parse
from mesh.messages import Done, Ok, Optin, Result
from roles.status import fetched
from tests.e2e.harness import PATIENCE, Process, Site, until
from tests.e2e.raw import Agent, Client, hung_up, nodes, request, user_key
from wire.handshake import Initiator, Peer
from wire.noise import key_pair

CONNECTIONS = 2000
CAP = 1024
"""Connections that may wait at the door (limits.unauthenticated)."""
AGENTS = 3
MOST = 32 << 20
"""Bytes by which a flood may make a broker grow."""
PONG = Result(0, b"pong\n", b"", False, 1)


@pytest.fixture(scope="module", autouse=True)
def room() -> Iterator[None]:
    """Enough descriptors for those here that connect."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = CONNECTIONS + 500
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, enough), max(hard, enough)))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, max(hard, enough)))


@pytest.fixture(scope="module")
def mesh(
    cw: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Site, Process, list[Agent]]]:
    """A broker whose strangers have time, and nodes that a test answers for."""
    with Site(tmp_path_factory.mktemp("floods"), cw) as site:
        patient = ("limits.handshake=600", "limits.heartbeat=600")
        broker = site.broker('auth.agent_trust="any"', 'metrics.listen="127.0.0.1:0"', *patient)
        with nodes(site, AGENTS) as agents:
            answered(asked(site), agents)
            yield site, broker, agents


def asked(site: Site) -> Client:
    """A user whose request is on the wire."""
    client = Client(site)
    client.ask(request(site.user, "ping"), user_key(site))
    return client


def answered(client: Client, agents: list[Agent]) -> None:
    """The nodes answer, and the user hears it all."""
    assert client.hear().message == Ok(AGENTS)
    for agent in agents:
        agent.say(Optin(), PONG, serial=agent.hear().serial)
    heard = [message for _, message, _ in client.hear_all()]
    client.close()
    assert heard[-1] == Done(AGENTS, AGENTS, 0, 0, 0, 0, 0)


def descriptors(process: Process) -> int:
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def resident(process: Process) -> int:
    """Bytes."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def met(broker: Process) -> float:
    """How many connections the door has let in or turned away until now, some of them first one, then the
    other.
    """
    at = broker.wait_for("^meshd: metrics on http://(.*)/metrics$")[1]
    told = parse(fetched(dialled(at)))
    return sum(told[Series(f"cw_meshd_connections_{how}_total")] for how in ("accepted", "refused"))


@contextmanager
def flood(site: Site, says: bytes, addresses: int) -> Iterator[list[socket.socket]]:
    """Two thousand connections from so many addresses, each of which says something and waits."""
    with ExitStack() as stack:
        crowd = []
        for number in range(CONNECTIONS):
            sock = stack.enter_context(socket.socket())
            sock.settimeout(PATIENCE)
            host = number % addresses
            sock.bind((f"127.90.{host >> 6}.{1 + (host & 63)}", 0))
            sock.connect(("127.0.0.1", site.port))
            with suppress(ConnectionError):  # turned away already
                sock.sendall(says)
            crowd.append(sock)
        yield crowd


def openings(site: Site) -> dict[str, bytes]:
    """What strangers say: the first records are good, and replayed."""
    broker_key = read_public(site.home / "broker.key.pub").public
    static = key_pair(os.urandom(32))
    return {
        "nothing": b"",
        "random bytes": random.Random(2315).randbytes(2000),
        "clients": Initiator(Peer.CLIENT, broker_key, os.urandom(32)).first(),
        "agents": Initiator(Peer.AGENT, broker_key, os.urandom(32), static).first(),
    }


@pytest.mark.parametrize("addresses", [1, 200])
@pytest.mark.parametrize("kind", ["nothing", "random bytes", "clients", "agents"])
def test_a_flood_of_strangers(mesh: tuple[Site, Process, list[Agent]], kind: str, addresses: int) -> None:
    """Who was there is served meanwhile, and who comes is afterwards; from one address, meanwhile too."""
    site, broker, agents = mesh
    before, small, known = descriptors(broker), resident(broker), met(broker)
    most = 0

    def watched() -> bool:
        """Whether the broker has met them all; how many descriptors it had meanwhile is noted."""
        nonlocal most
        most = max(most, descriptors(broker))
        return met(broker) - known >= CONNECTIONS

    client = asked(site)
    with flood(site, openings(site)[kind], addresses) as crowd:
        answered(client, agents)
        until(watched, "met all strangers")
        if addresses == 1:
            answered(asked(site), agents)
        for sock in crowd[: CONNECTIONS if kind == "random bytes" else 0]:
            assert hung_up(sock) == b""
        assert resident(broker) - small <= MOST
    assert most <= before + CAP + 50
    until(lambda: descriptors(broker) <= before, "closed what strangers opened")
    answered(asked(site), agents)


USERS = 1000
UNDER_WAY = 512
"""Requests that a broker has on the wire at once."""
ANSWERED = 40
QUEUES = 8 << 20
"""Bytes that may wait for all peers together."""
LONG = Result(0, bytes(800 << 10), b"", False, 1)


def test_a_thousand_users_who_read_nothing(site: Site) -> None:
    """What waits for them is bounded, who is over it is closed, and who reads is served."""
    settings = ('auth.agent_trust="any"', "limits.heartbeat=600", "limits.stall=600")
    broker = site.broker(*settings, f"limits.queues={QUEUES}")
    with nodes(site, AGENTS) as agents, ExitStack() as stack:
        answered(asked(site), agents)
        small, before = resident(broker), descriptors(broker)
        for _ in range(USERS):
            user = stack.enter_context(asked(site))
            user.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the least that there is
        serials = [{agent.hear().serial for _ in range(UNDER_WAY)} for agent in agents]
        assert descriptors(broker) - before <= CAP + USERS + 50
        for serial in sorted(serials[0])[:ANSWERED]:
            for agent in agents[1:]:
                agent.say(LONG, serial=serial)
        closed = "all queues are full, and this one is the largest"
        until(lambda: closed in (site.home / "meshd.audit").read_text(), "closed the largest")
        answered(asked(site), agents)
        assert resident(broker) - small <= QUEUES + MOST
