"""`cw cogd` as a process on loopback, with brokers that a test plays; and what it checks before it lives."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from auth.keys import ENCRYPTION, read_secret, write_pair
from mesh.command import parse
from mesh.images import image_of
from mesh.messages import Cancel, Command, Denied, Error, Hello, Message, Optin, Ping, Pong, Result
from roles import cogd
from tests.brokers import WELCOME, Broker
from tests.conftest import CHECKOUT
from tests.sessions import AGENT, BROKER
from vm.assembler import assemble
from wire.errors import WireError
from wire.noise import KeyPair, key_pair

PATIENCE = 60
"""Seconds after which what a test waits for has failed."""

RESULT_OF_PING = Result(0, b"pong\n", b"", False, 0)


class Port:
    """A broker's port: each connection that a test takes from it is a session to play."""

    def __init__(self, number: int, sessions: trio.MemoryReceiveChannel[Broker], key: KeyPair) -> None:
        self.number = number
        self.key = key
        self._sessions = sessions

    async def take(self) -> Broker:
        """The next connection."""
        return await self._sessions.receive()

    async def join(self, *answers: Message) -> tuple[Broker, Hello]:
        """The next connection, with handshake and HELLO exchanged."""
        broker = await self.take()
        await broker.shake_hands(self.key)
        _, hello = await broker.hear()
        assert isinstance(hello, Hello)
        await broker.say(*(answers or (WELCOME,)))
        return broker, hello


@asynccontextmanager
async def port(key: KeyPair = BROKER) -> AsyncIterator[Port]:
    give, take = trio.open_memory_channel[Broker](10)

    async def serve(stream: trio.SocketStream) -> None:
        await give.send(Broker(stream))
        await trio.sleep_forever()

    async with give, take, trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield Port(listeners[0].socket.getsockname()[1], take, key)
        nursery.cancel_scope.cancel()


class Node:
    """The files of an agent."""

    def __init__(self, directory: Path, *ports: Port) -> None:
        self.directory = directory
        brokers = [f"127.0.0.1:{each.number}" for each in ports]
        (directory / "gatherers").mkdir(mode=0o755)
        (directory / "acl").write_text("allow alice ALL\n")
        self.conf = directory / "cogd.toml"
        self.conf.write_text(
            f"""
[agent]
brokers = {brokers or ["127.0.0.1:1"]}
broker_key = "{BROKER.public.hex()}"
state_dir = "state"
fqdn = "web01.example.com"
[audit]
file = "audit"
[facts.static]
role = "web"
"""
        )

    def give_key(self) -> None:
        write_pair(self.directory / "agent.key", ENCRYPTION, "web01.example.com", AGENT.secret)


class Process:
    """A running agent, whose standard error is read as it comes."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.log = ""
        self._more = trio.Condition()

    async def read(self) -> None:
        assert self.process.stderr is not None
        async for piece in self.process.stderr:
            async with self._more:
                self.log += piece.decode()
                self._more.notify_all()

    async def says(self, pattern: str, times: int = 1) -> None:
        """Wait until the log has the pattern so often."""
        async with self._more:
            while len(re.findall(pattern, self.log, re.MULTILINE)) < times:
                await self._more.wait()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def spawner(self) -> int:
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


@asynccontextmanager
async def running(node: Node, *words: str, **env: str) -> AsyncIterator[Process]:
    process = await trio.lowlevel.open_process(
        [sys.executable, "cw.py", "cogd", "-c", str(node.conf), *words],
        stderr=subprocess.PIPE,
        cwd=CHECKOUT,
        env={"PATH": os.defpath, **env},
    )
    agent = Process(process)
    try:
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(agent.read)
                yield agent
                if process.poll() is None:
                    process.terminate()
                assert await process.wait() is not None
    finally:
        process.kill()
        await process.wait()


def command(*words: str, **changes: Any) -> Command:
    known = parse(words)
    own = image_of(known.verb)
    asked = Command(
        "alice", (), "key", words, known.places, own.module, own.image, (), "run", None, WELCOME.now, 10**6, 0
    )
    return asked._replace(**changes)


async def ask(broker: Broker, serial: int, *words: str, **changes: Any) -> Result:
    """A command to its result."""
    await broker.say(command(*words, **changes), serial=serial)
    assert await broker.hear() == (serial, Optin())
    answered, result = await broker.hear()
    assert answered == serial
    assert isinstance(result, Result)
    return result._replace(duration=0)


ENDLESS = assemble("fn main\nagain: jmp again\n", "endless", lambda _: None)


async def test_a_new_agent_makes_its_key_and_says_how_to_trust_it(tmp_path: Path) -> None:
    async with port() as there:
        node = Node(tmp_path, there)
        async with running(node) as agent:
            broker, hello = await there.join()
            await agent.says(rf"^cogd: connected to 127\.0\.0\.1:{there.number}$")
            key = read_secret(tmp_path / "agent.key", ENCRYPTION)
            assert broker.agent == key.public
            assert (tmp_path / "agent.key").stat().st_mode & 0o777 == 0o600
            assert (tmp_path / "agent.key.pub").exists()
            assert f"cw trust -d /etc/clockwork/agents {key.public.hex()}=web01.example.com\n" in agent.log
            assert key.secret.hex() not in agent.log
            assert hello.fqdn == "web01.example.com"
            assert hello.uuid == (tmp_path / "state" / "uuid").read_text().strip()
            assert await ask(broker, 1, "ping") == RESULT_OF_PING


async def test_it_is_the_same_agent_when_it_is_started_again(tmp_path: Path) -> None:
    async with port() as there:
        node = Node(tmp_path, there)
        known = []
        for _ in range(2):
            async with running(node) as agent:
                broker, hello = await there.join()
                known.append((broker.agent, hello))
                await agent.says("connected")
        assert known[0] == known[1]


async def test_an_agent_that_is_not_trusted_waits_and_says_so_once(tmp_path: Path) -> None:
    async with port() as there:
        node = Node(tmp_path, there)
        node.give_key()
        async with running(node) as agent:
            for _ in range(2):
                broker, _ = await there.join(Error("untrusted", "this key is not listed"))
                await broker.stream.aclose()
            await there.join()
            await agent.says("connected to")
            line = (
                f"cogd: waiting to be trusted by 127.0.0.1:{there.number}: this key is not listed; "
                f"there: cw trust -d /etc/clockwork/agents {AGENT.public.hex()}=web01.example.com\n"
            )
            assert agent.log.count(line) == agent.log.count("waiting") == 1


async def test_another_broker_than_the_one_with_the_key_is_told_once(tmp_path: Path) -> None:
    async with port(key_pair(b"another".ljust(32))) as there:
        node = Node(tmp_path, there)
        async with running(node) as agent:
            for _ in range(3):
                broker = await there.take()
                with pytest.raises(WireError):
                    await broker.shake_hands(there.key)
                await broker.stream.aclose()
            await agent.says("agent.broker_key")
            assert agent.log.count("no session with") == 1


async def test_it_comes_back_when_the_broker_does(tmp_path: Path) -> None:
    async with port() as there, running(Node(tmp_path, there)) as agent:
        broker, _ = await there.join()
        assert await ask(broker, 7, "ping") == RESULT_OF_PING
        await broker.stream.aclose()
        await agent.says("lost 127")
        broker, _ = await there.join()
        assert await ask(broker, 1, "ping") == RESULT_OF_PING
        await agent.says("connected", times=2)


async def test_a_session_with_each_broker(tmp_path: Path) -> None:
    async with port() as one, port() as two, running(Node(tmp_path, one, two)):
        first, hello = await one.join()
        second, again = await two.join()
        assert hello == again
        assert await ask(first, 1, "ping") == RESULT_OF_PING
        assert await ask(second, 1, "ping") == RESULT_OF_PING
        await first.stream.aclose()
        assert await ask(second, 2, "ping") == RESULT_OF_PING


async def test_changed_rules_are_in_force_soon_and_broken_ones_never(tmp_path: Path) -> None:
    async with port() as there:
        node = Node(tmp_path, there)
        async with running(node) as agent:
            broker, _ = await there.join()
            assert (await ask(broker, 1, "show", "acls")).output == b"allow alice ALL\n"
            (tmp_path / "acl").write_text('allow alice ALL\ndeny alice "ping"\n')
            await agent.says("was read again")
            assert (await ask(broker, 2, "show", "acls")).output == b'allow alice ALL\ndeny alice "ping"\n'
            (tmp_path / "acl").write_text("allow everyone everything\n")
            await agent.says(r"acl:1: .* the last good rules stay in force$")
            await broker.say(command("ping"), serial=3)
            assert await broker.hear() == (3, Denied())


async def test_without_a_rules_file_everything_is_denied_until_there_is_one(tmp_path: Path) -> None:
    async with port() as there:
        node = Node(tmp_path, there)
        (tmp_path / "acl").unlink()
        async with running(node) as agent:
            broker, _ = await there.join()
            await agent.says("no access rules")
            await broker.say(command("ping"), serial=1)
            assert await broker.hear() == (1, Denied())
            (tmp_path / "acl").write_text("allow ALL ALL\n")
            await agent.says("was read again")
            assert await ask(broker, 2, "ping") == RESULT_OF_PING


async def test_hup_reads_facts_again_and_opens_a_new_audit_log(tmp_path: Path) -> None:
    async with port() as there:
        node = Node(tmp_path, there)
        gatherer = tmp_path / "gatherers" / "one"
        gatherer.write_text(f"#!/bin/sh\ncat {tmp_path}/facts\n")
        gatherer.chmod(0o755)
        (tmp_path / "facts").write_text("rack=7\nrole=db\n")
        async with running(node) as agent:
            broker, _ = await there.join()
            told = await ask(broker, 1, "show", "fact", "rack", "role")
            assert told.output == b"rack=7\nrole=web\n"
            (tmp_path / "facts").write_text("rack=8\n")
            (tmp_path / "audit").rename(tmp_path / "audit.1")
            agent.signal(signal.SIGHUP)
            serial = 2
            while (await ask(broker, serial, "show", "fact", "rack")).output != b"rack=8\n":
                serial += 1
                await trio.sleep(0.05)
            assert "show fact rack" in (tmp_path / "audit").read_text()


async def test_what_runs_delays_no_heartbeat_and_is_cancelled(tmp_path: Path) -> None:
    async with port() as there, running(Node(tmp_path, there)):
        broker, _ = await there.join()
        await broker.say(command("ping", module="mesh/9", image=ENDLESS), serial=1)
        assert await broker.hear() == (1, Optin())
        await broker.say(Ping(5))
        assert await broker.hear() == (0, Pong(5))
        assert await ask(broker, 2, "show", "facts", filters=("role=web",))
        await broker.say(Cancel(), serial=1)
        serial, result = await broker.hear()
        assert isinstance(result, Result)
        assert (serial, result.status) == (1, 125)
        assert b"cancelled" in result.error_output


@pytest.mark.parametrize("words", [("ping",), ("show", "facts")], ids=["thread", "child"])
async def test_run_time_is_up(words: tuple[str, ...], tmp_path: Path) -> None:
    reading = assemble('fn main\nfact.get "role" %a\nagain: jmp again\n', "endless", lambda _: None)
    image = ENDLESS if words == ("ping",) else reading
    async with port() as there, running(Node(tmp_path, there)):
        broker, _ = await there.join()
        result = await ask(broker, 1, *words, module="mesh/9", image=image, run_time=50)
        assert result.status == 124
        assert result.error_output.endswith(b"killed: run time\n")


async def test_an_agent_that_is_told_to_end_lets_what_runs_end(tmp_path: Path) -> None:
    async with port() as there, running(Node(tmp_path, there)) as agent:
        broker, _ = await there.join()
        await broker.say(command("ping", module="mesh/9", image=ENDLESS), serial=1)
        assert await broker.hear() == (1, Optin())
        assert await ask(broker, 2, "ping") == RESULT_OF_PING  # so the first has begun
        agent.signal(signal.SIGTERM)
        await agent.says("stopping")
        await broker.say(command("ping"), serial=3)
        assert await broker.hear() == (3, Result(125, b"this agent is stopping\n", b"", False, 0))
        await broker.say(Ping(5))
        assert await broker.hear() == (0, Pong(5))
        await broker.say(Cancel(), serial=1)
        assert isinstance((await broker.hear())[1], Result)
        assert await agent.process.wait() == 0
        await agent.says("stopped")


async def test_told_twice_it_ends_at_once(tmp_path: Path) -> None:
    async with port() as there, running(Node(tmp_path, there)) as agent:
        broker, _ = await there.join()
        await broker.say(command("ping", module="mesh/9", image=ENDLESS), serial=1)
        assert await broker.hear() == (1, Optin())
        assert await ask(broker, 2, "ping") == RESULT_OF_PING  # so the first has begun
        agent.signal(signal.SIGTERM)
        await agent.says("stopping")
        agent.signal(signal.SIGTERM)
        assert await agent.process.wait() == 0


async def test_an_agent_whose_spawner_dies_answers_and_ends(tmp_path: Path) -> None:
    reading = assemble('fn main\nfact.get "role" %a\nagain: jmp again\n', "endless", lambda _: None)
    async with port() as there, running(Node(tmp_path, there)) as agent:
        broker, _ = await there.join()
        await broker.say(command("show", "facts", module="mesh/9", image=reading), serial=1)
        assert await broker.hear() == (1, Optin())
        os.kill(agent.spawner(), signal.SIGKILL)
        serial, result = await broker.hear()
        assert isinstance(result, Result)
        assert (serial, result.status) == (1, 125)
        assert await agent.process.wait() == 70
        await agent.says("^cw: The process that starts commands died")


async def test_nothing_is_left_of_an_agent_that_is_killed(tmp_path: Path) -> None:
    async with port() as there, running(Node(tmp_path, there)) as agent:
        await there.join()
        await agent.says("connected")
        agent.signal(signal.SIGKILL)
        await agent.process.wait()
        # `running` now waits for the end of its standard error, which the spawner has open too.


async def test_systemd_hears_ready_when_there_is_a_session_and_stopping_at_the_end(tmp_path: Path) -> None:
    with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        await manager.bind(str(tmp_path / "notify"))
        async with port() as there:
            node = Node(tmp_path, there)
            async with running(node, NOTIFY_SOCKET=str(tmp_path / "notify")):
                await there.join()
                assert await manager.recv(99) == b"READY=1\nSTATUS=connected to 1 of 1 brokers"
            assert await manager.recv(99) == b"STOPPING=1"


async def test_systemd_hears_ready_of_an_agent_that_waits_to_be_trusted(tmp_path: Path) -> None:
    with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        await manager.bind(str(tmp_path / "notify"))
        async with port() as there, running(Node(tmp_path, there), NOTIFY_SOCKET=str(tmp_path / "notify")):
            await there.join(Error("untrusted", "this key is not listed"))
            assert await manager.recv(99) == b"READY=1\nSTATUS=connected to 0 of 1 brokers"


async def test_the_spawner_has_no_file_of_the_agents(tmp_path: Path) -> None:
    async with port() as there, running(Node(tmp_path, there)) as agent:
        await there.join()
        held = Path(f"/proc/{agent.spawner()}/fd")
        assert not [
            link for each in os.listdir(held) if (link := os.readlink(held / each)).startswith(str(tmp_path))
        ]


async def test_an_idle_agent_has_no_openssl_and_few_descriptors(tmp_path: Path) -> None:
    async with port() as there, running(Node(tmp_path, there)) as agent:
        broker, _ = await there.join()
        assert await ask(broker, 1, "ping") == RESULT_OF_PING
        maps = await trio.Path(f"/proc/{agent.process.pid}/maps").read_text()
        assert "libcrypto" not in maps
        before = len(os.listdir(f"/proc/{agent.process.pid}/fd"))
        for serial in range(2, 12):
            await ask(broker, serial, "show", "facts")
        assert len(os.listdir(f"/proc/{agent.process.pid}/fd")) == before


# -- what is checked first


def run(node: Node, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "cw.py", "cogd", "-c", str(node.conf), *words],
        cwd=CHECKOUT,
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_test_says_that_all_is_good_and_makes_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path)
    before = set(tmp_path.iterdir())
    ran = run(node, "--test")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == "cogd: configuration, keys and permissions are good\n"
    assert set(tmp_path.iterdir()) - before <= {tmp_path / "audit"}


@pytest.mark.parametrize("words", [(), ("--test",)], ids=["start", "test"])
@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda directory: (directory / "acl").write_text("permit all\n"), "acl:1: "),
        (lambda directory: (directory / "agent.key").chmod(0o644), "chmod 600"),
        (lambda directory: (directory / "agent.key").write_text("%signing v1\n"), "agent.key"),
        (lambda directory: (directory / "cogd.toml").write_text("[agent]\nbrokr = 1\n"), "agent.brokr"),
        (lambda directory: (directory / "audit").mkdir(), "audit.file"),
    ],
    ids=["rules", "key that others read", "no key of an agent", "unknown key", "audit log"],
)
def test_what_is_wrong_is_one_line_and_status_2(
    spoil: Any, sentence: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    node = Node(tmp_path)
    node.give_key()
    spoil(tmp_path)
    ran = run(node, *words)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr.startswith("cw: ")
    assert ran.stderr.count("\n") == 1
    assert sentence in ran.stderr


def test_help_fits_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cogd.main(["--help"])
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 24
    assert "examples:" in text
