"""How long a real broker takes from REQUEST to closed ledger with N agent sessions, beside a floor of raw
sockets.

    python -m bench.swarm [--sessions N] [--rounds R]

Starts `cw meshd`, and one process that holds N agent sessions (IK handshake, HELLO, COMMAND in, OPTIN and
RESULT out, heartbeats), sends `ping` R times as a client would, and prints the median. The floor, in the
same run: an epoll loop without any protocol that sends as many bytes as a sealed COMMAND has to N sockets
and reads as many as the sealed answers have from each, the other side being the same process with the same
loop.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import resource
import select
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from auth.keys import read_public, read_secret
from auth.signing import sign
from bench.startup import CW, usual_python
from conf.version import VERSION
from mesh.messages import VERSION as PROTOCOL
from mesh.messages import (
    Done,
    Hello,
    KeyAuth,
    Kind,
    Optin,
    Pong,
    Request,
    Result,
    Side,
    decode,
    encode,
    kind_of,
)
from wire.handshake import Established, Initiator, Peer
from wire.noise import key_pair

READ = 65536
SEALED = 2 + 1 + 16
"""Bytes that a message of one record gains: length, chunk flag, tag (protocol.md "Layers")."""
ANSWER = Result(0, b"pong\n", b"", False, 100)


def connect(address: tuple[str, int]) -> socket.socket:
    """A connected socket; loopback addresses are used in turn, so that ports last."""
    sock = socket.create_connection(address)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def establish(sock: socket.socket, initiator: Initiator) -> Established:
    """The handshake on a blocking socket; nothing may come behind it unasked."""
    sock.sendall(initiator.first())
    while (done := initiator.feed(sock.recv(READ))) is None:
        pass
    established, messages = done
    assert not messages
    return established


def messages_of(sock: socket.socket, established: Established) -> Iterator[bytes]:
    """Whole messages, as they come, until the other side closes."""
    while received := sock.recv(READ):
        yield from established.transport.open(received)


def agents(address: tuple[str, int], broker_key: bytes, count: int) -> None:
    """Hold `count` agent sessions that answer each COMMAND with OPTIN and RESULT, until killed."""
    epoll = select.epoll()
    sessions: dict[int, tuple[socket.socket, Established]] = {}
    for number in range(count):
        sock = connect(address)
        static = key_pair(os.urandom(32))
        established = establish(sock, Initiator(Peer.AGENT, broker_key, os.urandom(32), static))
        uuid = f"00000000-0000-4000-8000-{number:012}"
        hello = Hello(PROTOCOL, VERSION, f"n{number}.example.com", uuid)
        sock.sendall(established.transport.seal(encode(hello)))
        next(messages_of(sock, established))
        sock.setblocking(False)
        sessions[sock.fileno()] = (sock, established)
        epoll.register(sock.fileno(), select.EPOLLIN)
    print("ready", flush=True)
    optin, result = encode(Optin()), encode(ANSWER)
    told = False
    while True:
        for fd, _ in epoll.poll():
            sock, established = sessions[fd]
            transport = established.transport
            received = sock.recv(READ)
            if not received:
                return
            for raw in transport.open(received):
                kind = kind_of(raw)
                if kind is Kind.COMMAND:
                    if not told:
                        told = True
                        print(len(raw) + SEALED, flush=True)
                    serial = raw[1:9]
                    seal = transport.seal
                    sock.send(seal(optin[:1] + serial + optin[9:]) + seal(result[:1] + serial + result[9:]))
                elif kind is Kind.PING:
                    _, ping = decode(Side.BROKER, raw)
                    sock.send(transport.seal(encode(Pong(*ping))))


def raw_agents(address: tuple[str, int], count: int, size: int, answer: int) -> None:
    """The floor's other side: `count` sockets that answer `size` bytes with `answer` bytes."""
    epoll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    got: dict[int, int] = {}
    for _ in range(count):
        sock = connect(address)
        sock.setblocking(False)
        sockets[sock.fileno()] = sock
        got[sock.fileno()] = 0
        epoll.register(sock.fileno(), select.EPOLLIN)
    reply = bytes(answer)
    while True:
        for fd, _ in epoll.poll():
            received = sockets[fd].recv(READ)
            if not received:
                return
            got[fd] += len(received)
            if got[fd] == size:
                got[fd] = 0
                sockets[fd].send(reply)


def floor(count: int, rounds: int, size: int, answer: int) -> list[float]:
    """Seconds that raw sockets take to send `size` bytes to `count` peers and read `answer` bytes from
    each.
    """
    with (
        socket.create_server(("127.0.0.1", 0), backlog=4096) as listener,
        forked(raw_agents, listener.getsockname(), count, size, answer),
    ):
        epoll = select.epoll()
        sockets = {}
        for _ in range(count):
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
            sockets[sock.fileno()] = sock
            epoll.register(sock.fileno(), select.EPOLLIN)
        message = bytes(size)
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            for sock in sockets.values():
                sock.send(message)
            left = answer * count
            while left:
                for fd, _ in epoll.poll():
                    left -= len(sockets[fd].recv(READ))
            times.append(time.perf_counter() - began)
        for sock in sockets.values():
            sock.close()
    return times


@contextlib.contextmanager
def forked(work: Callable[..., None], *arguments: object) -> Iterator[int]:
    """A child process that runs `work(*arguments)`, and is killed at the end; what it prints is on the
    descriptor.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(write, 1)
        try:
            work(*arguments)
        finally:
            os._exit(0)
    os.close(write)
    try:
        yield read
    finally:
        os.close(read)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


class Client:
    """A user with a key who asks again and again."""

    def __init__(self, address: tuple[str, int], broker_key: bytes, key_file: Path) -> None:
        self._address = address
        self._broker_key = broker_key
        self._key = read_secret(key_file, "signing")

    def ask(self, *words: str) -> tuple[float, int]:
        """Seconds from REQUEST to DONE, and how many sessions answered with a RESULT."""
        with connect(self._address) as sock:
            established = establish(sock, Initiator(Peer.CLIENT, self._broker_key, os.urandom(32)))
            auth = KeyAuth(self._key.public.hex(), os.urandom(32), b"")
            request = Request(PROTOCOL, self._key.name, auth, words, (), "run", None, 40_000, 0, False)
            sealed = established.transport.seal(encode(sign(request, self._key, established.hash)))
            began = time.perf_counter()
            sock.sendall(sealed)
            for raw in messages_of(sock, established):
                if kind_of(raw) is Kind.DONE:
                    took = time.perf_counter() - began
                    _, done = decode(Side.BROKER, raw)
                    assert isinstance(done, Done)
                    return took, done.results
                if kind_of(raw) is Kind.ERROR:
                    raise SystemExit(f"the broker refused: {decode(Side.BROKER, raw)[1]}")
        raise SystemExit("the broker went away")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Start a broker and its agents, ask, measure the floor, print the table."""
    parser = argparse.ArgumentParser(description="Times a broker with N agent sessions beside raw sockets.")
    parser.add_argument("--sessions", type=int, default=1000, metavar="N")
    parser.add_argument("--rounds", type=int, default=20, metavar="R")
    options = parser.parse_args()
    count, rounds = options.sessions, options.rounds
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as directory:
        site = Path(directory, "site")
        cw = [usual_python(), "-ISB", str(CW)]
        init = [*cw, "init", str(site)]
        subprocess.run(init, check=True, stdout=subprocess.DEVNULL)
        user = getpass.getuser()
        broker_key = read_public(site / "broker.key.pub").public
        settings = ('auth.agent_trust="any"', 'broker.listen=["127.0.0.1:0"]', 'auth.pam_service=""')
        meshd = [*cw, "meshd", "-c", str(site / "meshd.toml")]
        meshd += [word for setting in settings for word in ("--set", setting)]
        with subprocess.Popen(meshd, stderr=subprocess.PIPE, text=True) as broker:
            try:
                assert broker.stderr is not None
                address = listening(broker.stderr)
                idle = rss(broker.pid)
                with forked(agents, address, broker_key, count) as output:
                    said = os.fdopen(os.dup(output))
                    assert said.readline() == "ready\n"
                    resident = (rss(broker.pid) - idle) / count
                    client = Client(address, broker_key, site / f"{user}.key")
                    client.ask("ping")
                    size = int(said.readline())
                    spent = cpu_seconds(broker.pid)
                    answers = [client.ask("ping") for _ in range(rounds)]
                    spent = (cpu_seconds(broker.pid) - spent) / rounds / count
                    assert all(results == count for _, results in answers), answers
            finally:
                broker.terminate()
        times = [took for took, _ in answers]
        answer = len(encode(Optin())) + len(encode(ANSWER)) + 2 * SEALED
        floors = floor(count, rounds, size, answer)
    ours, least = statistics.median(times), statistics.median(floors)
    print(f"sessions {count}, rounds {rounds}, COMMAND {size} bytes sealed, answers {answer} bytes sealed")
    print(f"floor: raw sockets, one epoll loop       {least * 1e3:8.1f} ms")
    print(f"cw: REQUEST to closed ledger             {ours * 1e3:8.1f} ms   {ours / least:.2f} x the floor")
    print(f"broker's processor time a node           {spent * 1e6:8.1f} us")
    print(f"broker's resident memory a session       {resident / 1024:8.1f} KiB")


def listening(log: IO[str]) -> tuple[str, int]:
    """The address that a broker says it listens on; its further log lines are read and left."""
    for line in log:
        if "listening on" in line:
            threading.Thread(target=log.read, daemon=True).start()
            host, _, port = line.split()[-1].rpartition(":")
            return host, int(port)
    raise SystemExit("the broker does not start")


if __name__ == "__main__":
    main()
