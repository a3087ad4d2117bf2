"""Strangers on both sides of a port: no broker, for clients and agents; no peer, for a broker."""

import contextlib
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from mesh.messages import Bye, Error, Hello, Kind, Optin, Result
from tests.e2e.harness import PATIENCE, Process, Site, stopped, until
from tests.e2e.raw import Agent, Client, Talk, connected, hung_up, kinds, nodes, request, user_key
from wire.handshake import Peer
from wire.noise import key_pair

HANDSHAKE = 3
"""Seconds that strangers have here."""
RANDOM = random.Random(2315)


@pytest.fixture(scope="module")
def mesh(cw: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Process]]:
    """A broker that trusts any agent and notes every stranger, and one honest node; the broker."""
    with Site(tmp_path_factory.mktemp("strangers"), cw) as site:
        broker = site.broker('auth.agent_trust="any"', f"limits.handshake={HANDSHAKE}", 'log.level="debug"')
        site.agent("web01")
        site.ask("ping")
        yield site, broker


# -- for clients and agents


def echo(sock: socket.socket) -> None:
    while received := sock.recv(65536):
        sock.sendall(received)


def web_server(sock: socket.socket) -> None:
    sock.recv(65536)
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    mute(sock)


def talkative(sock: socket.socket) -> None:
    sock.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")
    mute(sock)


def mute(sock: socket.socket) -> None:
    while sock.recv(65536):
        pass


def closing(_sock: socket.socket) -> None:
    return


def closing_after_it_read(sock: socket.socket) -> None:
    sock.recv(65536)


def closing_in_mid_record(sock: socket.socket) -> None:
    sock.recv(65536)
    sock.sendall(b"\0\x30cw")


def dropping(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def flood(sock: socket.socket) -> None:
    while True:
        sock.sendall(bytes(65536))


def random_record(sock: socket.socket) -> None:
    sock.recv(65536)
    sock.sendall(b"\0\x30" + RANDOM.randbytes(48))
    mute(sock)


class Pretender:
    """Something that listens on loopback and is no broker; every connection gets a thread of `serve`."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # shut down
            while True:
                sock, _ = self._listening.accept()
                sock.settimeout(PATIENCE)
                thread = threading.Thread(target=self._talk, args=(sock,))
                self._threads.append(thread)
                thread.start()

    def _talk(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(ConnectionError):
            self._serve(sock)


OTHER_PROTOCOL = "what listens at {} is not a broker: it answers in another protocol"
HUNG_UP = (
    "{} hung up during the handshake: it does not hold the configured key (mesh.broker_key), "
    "takes no connections now, or is not a broker"
)
PRETENDERS = [
    (echo, OTHER_PROTOCOL),
    (web_server, OTHER_PROTOCOL),
    (talkative, OTHER_PROTOCOL),
    (flood, OTHER_PROTOCOL),
    (mute, "{} did not answer as a broker in 0.5 seconds"),
    (closing, HUNG_UP),
    (closing_after_it_read, HUNG_UP),
    (closing_in_mid_record, HUNG_UP),
    (random_record, "the broker {} does not hold the configured key (mesh.broker_key)"),
]


@pytest.mark.parametrize(("serve", "sentence"), PRETENDERS, ids=[row[0].__name__ for row in PRETENDERS])
def test_a_client_says_in_one_line_that_this_is_no_broker(
    mesh: tuple[Site, Process], serve: Callable[[socket.socket], None], sentence: str
) -> None:
    site, _ = mesh
    with Pretender(serve) as pretender:
        patience = "0.5" if serve is mute else "40"
        asked = site.ask("ping", "-t", patience, "--set", f'mesh.broker="{pretender.address}"', status=4)
    assert (asked.output, asked.errors) == ("", f"cw: {sentence.format(pretender.address)}\n")


def test_what_listens_resets_the_connection(mesh: tuple[Site, Process]) -> None:
    """Before or after the client sees that it is connected."""
    with Pretender(dropping) as pretender:
        asked = mesh[0].ask("ping", "--set", f'mesh.broker="{pretender.address}"', status=4)
    reset = f"cannot reach the broker {pretender.address}: Connection reset by peer"
    assert asked.errors in (f"cw: {reset}\n", f"cw: {HUNG_UP.format(pretender.address)}\n")


UNREACHABLE = [
    ("127.0.0.1:1", "cannot reach the broker 127.0.0.1:1: Connection refused"),
    ("nowhere.invalid:2315", "cannot reach the broker nowhere.invalid:2315: "),
]


@pytest.mark.parametrize(("address", "sentence"), UNREACHABLE)
def test_nobody_is_there(mesh: tuple[Site, Process], address: str, sentence: str) -> None:
    asked = mesh[0].ask("ping", "--set", f'mesh.broker="{address}"', status=4)
    assert asked.errors.startswith(f"cw: {sentence}")
    assert asked.errors.count("\n") == 1


def test_a_broker_that_stands_still(mesh: tuple[Site, Process]) -> None:
    site, broker = mesh
    with stopped(broker.pid):
        asked = site.ask("ping", "-t", "0.5", status=4)
    assert asked.errors == f"cw: {site.address} did not answer as a broker in 0.5 seconds\n"


def test_an_agent_says_it_once_and_goes_on(mesh: tuple[Site, Process]) -> None:
    site, _ = mesh
    with Pretender(echo) as pretender:
        brokers = f'agent.brokers=["{pretender.address}", "{site.address}"]'
        site.add_agent("web02")
        agent = site.start_agent("web02", brokers)
        agent.wait_for(rf"^cogd: no session with {pretender.address}: ")
        agent.wait_for(rf"^cogd: connected to {site.address}$")
        assert agent.stop().status == 0
    assert agent.log.count("no session with") == 1


# -- for a broker


def descriptors(process: Process) -> int:
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def resident(process: Process) -> int:
    """Bytes."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_two_hundred_that_talk_nonsense_and_two_hundred_that_say_nothing(
    mesh: tuple[Site, Process],
) -> None:
    site, broker = mesh
    honest = descriptors(broker)
    kept = []
    for _ in range(2):
        silent = [connected(site) for _ in range(200)]
        noisy = [connected(site) for _ in range(200)]
        for sock in noisy:
            sock.sendall(RANDOM.randbytes(RANDOM.randrange(1, 3000)))
        assert site.ask("ping").errors == "1 answered: 1 ok\n"
        assert descriptors(broker) >= honest + len(silent)  # served meanwhile, not afterwards
        for sock in noisy + silent:
            assert hung_up(sock) == b""
            sock.close()
        until(lambda: descriptors(broker) <= honest, "closed what strangers opened")
        kept.append(resident(broker))
    assert kept[-1] - kept[0] < 4 << 20


OPENINGS = {
    "another protocol": b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n",
    "an older preface": b"cw/0C\0\x30" + bytes(48),
    "a record that is too short": b"cw/1C\0\x2f" + bytes(47),
    "a record that is too long": b"cw/1C\xff\xff" + bytes(48),
    "an empty record": b"cw/1C\0\0",
    "a client's record of random bytes": b"cw/1C\0\x30" + RANDOM.randbytes(48),
    "an agent's record of random bytes": b"cw/1A\0\x60" + RANDOM.randbytes(96),
    "a point of low order": b"cw/1C\0\x30" + bytes(48),
}


@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS.keys())
def test_a_broker_answers_no_nonsense(mesh: tuple[Site, Process], opening: bytes) -> None:
    site, broker = mesh
    seen = broker.log.count("no session with")
    with connected(site) as sock:
        sock.sendall(opening)
        assert hung_up(sock) == b""
    broker.wait_for("^meshd: no session with 127.0.0.1: .+$", times=seen + 1)


PAUSES = {
    "nothing": b"",
    "half a preface": b"cw/",
    "a preface": b"cw/1C",
    "half a record": b"cw/1A\0\x60" + bytes(20),
}


def test_who_pauses_is_closed_in_time(mesh: tuple[Site, Process]) -> None:
    """At each stage: before, within and after the handshake."""
    site, broker = mesh
    honest = descriptors(broker)
    paused = [connected(site) for _ in PAUSES]
    for sock, opening in zip(paused, PAUSES.values(), strict=True):
        sock.sendall(opening)
    greeted = [Talk(site, Peer.CLIENT), Talk(site, Peer.AGENT, key_pair(os.urandom(32)))]
    greeted[0].socket.sendall(b"\0\x40" + bytes(20))
    paused += [talk.socket for talk in greeted]
    assert site.ask("ping").status == 0
    for sock in paused:
        assert hung_up(sock) == b""
        sock.close()
    until(lambda: descriptors(broker) <= honest, "closed who paused")


def test_nonsense_after_the_handshake(mesh: tuple[Site, Process]) -> None:
    site, _ = mesh
    long, short = b"\xff\xff" + RANDOM.randbytes(65535), b"\0\x0f" + bytes(15)
    for record in (b"\0\x40" + RANDOM.randbytes(64), long, short, b"\0\0"):
        with Client(site) as client:
            client.socket.sendall(record)
            assert hung_up(client.socket) == b""
    assert site.ask("ping").status == 0


def test_a_request_that_is_too_long(mesh: tuple[Site, Process]) -> None:
    site, broker = mesh
    with Client(site) as client:
        with contextlib.suppress(ConnectionError):  # closed before it is all there
            client.say_raw(bytes([Kind.REQUEST]) + bytes(8) + bytes(200 << 10))
        assert hung_up(client.socket) == b""
    broker.wait_for("^meshd: no session with 127.0.0.1: .*131072")


def test_first_messages_that_are_not_first(mesh: tuple[Site, Process]) -> None:
    site, _ = mesh
    hello = Hello(1, "0.1.0", "n1.example.com", "3f2b8c1e-0000-4000-8000-000000000001")
    for message in (b"", b"\x63" + bytes(8), b"\2" + bytes(8), b"\2" + bytes(8) + b"\xc1"):
        with Client(site) as client:
            client.say_raw(message)
            (answer,) = client.hear_all()
            assert isinstance(answer.message, Error)
            assert answer.message.code == "invalid"
    for known in (hello, Bye()):
        with Client(site) as client:
            client.say(known)
            (answer,) = client.hear_all()
            assert isinstance(answer.message, Error)


def test_a_second_request_on_a_connection(mesh: tuple[Site, Process]) -> None:
    site, _ = mesh
    with nodes(site, 1) as (agent,), Client(site) as client:
        client.ask(request(site.user, "ping"), user_key(site))
        agent.hear()
        client.ask(request(site.user, "ping"), user_key(site))
        assert "Done" not in kinds(client.hear_all())
    assert site.ask("ping").errors == "1 answered: 1 ok\n"


def test_an_agent_that_talks_nonsense_loses_its_session_and_no_other(mesh: tuple[Site, Process]) -> None:
    site, _ = mesh
    with nodes(site, 1) as (agent,):
        client = site.start_asking("ping")
        agent.say(Optin(), serial=agent.hear().serial)
        agent.socket.sendall(b"\0\x40" + RANDOM.randbytes(64))
        asked = client.finished()
    assert asked.lines == ["n1.example.com - lost", "web01.example.com 0 pong"]
    assert (asked.status, asked.errors) == (5, "1 answered: 1 ok; 1 lost\n")


def cpu_seconds(process: Process) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def answer_all(agents: list[Agent], serial: int) -> None:
    for agent in agents:
        agent.say(Optin(), Result(0, b"pong\n", b"", False, 1), serial=serial)


def test_without_descriptors_a_broker_serves_whom_it_has(cw: tuple[str, ...], tmp_path: Path) -> None:
    heartbeat, beats = 1, 3
    with Site(tmp_path, cw) as site:
        site.cw = ("sh", "-c", 'ulimit -S -n 32; ulimit -H -n 64; exec "$@"', "sh", *cw)
        broker = site.broker(
            'auth.agent_trust="any"', f"limits.heartbeat={heartbeat}", "limits.handshake=600"
        )
        site.cw = cw
        broker.wait_for(r"^meshd: 64 descriptors at most \(ulimit -n\), one a session$")
        broker.wait_for("^meshd: limits.unauthenticated is 1024, .*: 32 connections may wait at the door$")
        with nodes(site, 30) as agents:
            client = site.start_asking("ping")
            serials = {agent.hear().serial for agent in agents}
            strangers = [connected(site) for _ in range(60)]
            broker.wait_for("^meshd: cannot accept connections for now: Too many open files$")
            assert 40 < descriptors(broker) < 60, "some are left for what else a broker opens"
            began = cpu_seconds(broker)
            for _ in range(beats):
                for agent in agents:
                    agent.beat()
            assert cpu_seconds(broker) - began < heartbeat * beats / 2
            answer_all(agents, *serials)
            assert client.finished()[0] == 0
            assert broker.log.count("cannot accept") == 1
            for sock in strangers:
                sock.close()
            client = site.start_asking("ping")
            answer_all(agents, *{agent.hear().serial for agent in agents})
            assert client.finished()[::2] == (0, "30 answered: 30 ok\n")


def test_a_full_door_turns_newcomers_away_and_nobody_else(cw: tuple[str, ...], tmp_path: Path) -> None:
    with Site(tmp_path, cw) as site:
        site.broker('auth.agent_trust="any"', "limits.unauthenticated=8", "limits.handshake=600")
        with nodes(site, 1) as (agent,):
            client = site.start_asking("ping")
            serial = agent.hear().serial
            strangers = [connected(site) for _ in range(8)]
            assert hung_up(strangers[-1]) == b""  # by now the others hold what places there are for them
            asked = site.ask("ping", status=4)
            assert asked.errors == f"cw: {HUNG_UP.format(site.address)}\n"
            agent.say(Optin(), Result(0, b"pong\n", b"", False, 1), serial=serial)
            assert client.finished()[:2] == (0, "n1.example.com 0 pong\n")
            for sock in strangers:
                sock.close()
        until(lambda: site.start_asking("ping").finished().status == 6, "let anybody in")
