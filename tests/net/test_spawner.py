"""The process that forks a child for each piece of work, run for real; packets and ends of files say when."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from host.usage import Ceiling
from net import spawner as parent
from net.spawner import ENDED, REQUEST, Request

ROOT = Path(__file__).parents[2]
NONE = Ceiling()
PATIENCE = 30
"""Seconds after which a test that waits has failed."""

SCRIPT = """
import os, signal, socket, sys, time
from host import child
from net.spawner import serve
%s

def work(channel):
    names = {**globals(), "channel": channel}
    script = b"".join(iter(lambda: channel.recv(1), b"\\0"))
    exec(script.decode(), names)

serve(socket.socket(fileno=%d), work)
"""
"""A spawner whose children do what their channel says first; `before` runs in the spawner itself."""


class Spawner:
    """A spawner in a process of its own."""

    def __init__(self, before: str = "") -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(PATIENCE)
        self.channels: list[socket.socket] = []
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT % (before, theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
            )

    def start(
        self, number: int, script: str, limit: float = PATIENCE, ceiling: Ceiling = NONE
    ) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.settimeout(PATIENCE)
        self.channels.append(ours)
        with theirs:
            start = REQUEST.pack(Request.START, number, limit, *ceiling)
            socket.send_fds(self.control, [start], [theirs.fileno()])
        ours.send(script.encode() + b"\0")
        return ours

    def ask(self, request: Request, number: int) -> None:
        self.control.send(REQUEST.pack(request, number, 0, *NONE))

    def ended(self) -> tuple[int, int]:
        number, status = ENDED.unpack(self.control.recv(ENDED.size))
        return number, status

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def close(self) -> int:
        self.control.close()
        status = self.process.wait(PATIENCE)
        for channel in self.channels:
            channel.close()
        return status


@contextmanager
def spawning(before: str = "") -> Iterator[Spawner]:
    started = Spawner(before)
    try:
        yield started
    finally:
        started.process.kill()
        started.close()


@pytest.fixture
def spawner() -> Iterator[Spawner]:
    with spawning() as started:
        yield started


def test_a_child_talks_over_its_channel_and_its_end_is_told(spawner: Spawner) -> None:
    channel = spawner.start(1, "channel.send(b'done')")
    assert channel.recv(64) == b"done"
    assert channel.recv(64) == b""
    assert spawner.ended() == (1, 0)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("os._exit(3)", 3),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("sys.excepthook = lambda *_: None; raise ValueError", 70),
    ],
    ids=["exit status", "signal", "its own fault"],
)
def test_how_a_child_ended(script: str, status: int, spawner: Spawner) -> None:
    channel = spawner.start(5, script)
    assert spawner.ended() == (5, status)
    assert channel.recv(64) == b""


def test_children_run_at_once(spawner: Spawner) -> None:
    answer = "channel.send(channel.recv(1))"
    first, second = spawner.start(1, answer), spawner.start(2, answer)
    second.send(b"b")
    assert second.recv(1) == b"b"
    assert spawner.ended() == (2, 0)
    first.send(b"a")
    assert first.recv(1) == b"a"
    assert spawner.ended() == (1, 0)


HOLD = "channel.send(b'ready'); channel.recv(1)"


@pytest.mark.parametrize(
    ("asked", "number"),
    [(Request.STOP, signal.SIGTERM), (Request.KILL, signal.SIGKILL)],
    ids=["stop", "kill"],
)
def test_a_child_is_ended(asked: Request, number: signal.Signals, spawner: Spawner) -> None:
    channel = spawner.start(1, HOLD)
    assert channel.recv(5) == b"ready"
    spawner.ask(asked, 1)
    assert spawner.ended() == (1, -number)


def test_a_child_may_heed_stop_in_its_own_way(spawner: Spawner) -> None:
    heed = "signal.signal(signal.SIGTERM, lambda *_: (channel.send(b'so far'), os._exit(4)));"
    channel = spawner.start(1, heed + HOLD)
    assert channel.recv(5) == b"ready"
    spawner.ask(Request.STOP, 1)
    assert channel.recv(64) == b"so far"
    assert spawner.ended() == (1, 4)


GRANDCHILD = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    channel.send(b'ready')
    channel.recv(1)
    channel.send(b'alive')
    os._exit(0)
"""


@pytest.mark.parametrize("leader_waits", [True, False], ids=["with its parent", "left over by its parent"])
def test_killing_a_child_kills_its_children(leader_waits: bool, spawner: Spawner) -> None:
    default = "signal.signal(signal.SIGTERM, signal.SIG_DFL);"
    life = "os.wait()" if leader_waits else "signal.pause()"
    channel = spawner.start(1, f"{GRANDCHILD}{'' if leader_waits else default}channel.send(b'ready');{life}")
    said = b""
    while len(said) < len("ready") * 2:  # both of them
        said += channel.recv(5)
    assert said == b"readyready"
    spawner.ask(Request.KILL if leader_waits else Request.STOP, 1)
    assert spawner.ended()[0] == 1
    assert channel.recv(64) == b""  # nobody has the other end any more


def test_at_its_limit_a_child_is_killed_with_its_children_and_no_other(spawner: Spawner) -> None:
    other = spawner.start(1, HOLD)
    channel = spawner.start(2, GRANDCHILD + "os.wait()", limit=0.3)
    assert channel.recv(5) == b"ready"
    assert channel.recv(64) == b""
    assert spawner.ended() == (2, -signal.SIGKILL)
    assert other.recv(5) == b"ready"
    other.send(b"?")
    assert spawner.ended() == (1, 0)


def test_what_a_child_leaves_running_at_its_end_is_left_alone(spawner: Spawner) -> None:
    channel = spawner.start(1, GRANDCHILD)
    assert channel.recv(5) == b"ready"
    assert spawner.ended() == (1, 0)
    spawner.ask(Request.KILL, 1)
    channel.send(b"?")
    assert channel.recv(64) == b"alive"


def test_ending_what_is_not_there_is_nothing(spawner: Spawner) -> None:
    spawner.ask(Request.KILL, 9)
    spawner.ask(Request.STOP, 9)
    assert spawner.start(1, "channel.send(b'x')").recv(1) == b"x"


def test_when_the_agent_goes_so_does_everything(spawner: Spawner) -> None:
    channels = [spawner.start(number, "signal.signal(15, signal.SIG_IGN);" + HOLD) for number in range(3)]
    assert [channel.recv(5) for channel in channels] == [b"ready"] * 3
    spawner.control.close()
    assert [channel.recv(5) for channel in channels] == [b""] * 3
    assert spawner.process.wait(PATIENCE) == 0


def test_so_it_does_when_the_agent_has_not_heard_how_a_child_ended(spawner: Spawner) -> None:
    channel = spawner.start(1, HOLD)
    assert channel.recv(5) == b"ready"
    assert spawner.start(2, "pass").recv(1) == b""
    assert spawner.control.recv(ENDED.size, socket.MSG_PEEK)
    spawner.control.close()
    assert channel.recv(5) == b""
    assert spawner.process.wait(PATIENCE) == 0


def start_without_end(hands: parent.Spawner) -> None:
    while True:
        hands.start(PATIENCE)[1].close()


def test_its_parent_never_waits_for_it(spawner: Spawner) -> None:
    hands = parent.Spawner(spawner.process.pid, spawner.control)
    spawner.process.send_signal(signal.SIGSTOP)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(BlockingIOError):
        start_without_end(hands)
    hands.kill(1)
    assert os.listdir("/proc/self/fd") == before


def test_a_child_that_could_not_be_given_its_channel_is_told(spawner: Spawner) -> None:
    spawner.ask(Request.START, 3)
    assert spawner.ended() == (3, parent.NOT_STARTED)
    assert spawner.start(4, "channel.send(b'x')").recv(1) == b"x"


def test_signals_to_the_agents_group_are_not_for_the_spawner(spawner: Spawner) -> None:
    assert spawner.start(1, "channel.send(b'x')").recv(1) == b"x"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(spawner.process.pid, number)
    assert spawner.ended() == (1, 0)
    assert spawner.start(2, "channel.send(b'x')").recv(1) == b"x"


def test_a_child_has_its_own_group_no_terminal_and_no_input(spawner: Spawner) -> None:
    tell = "channel.send(f'{os.getpgrp() == os.getpid()} {os.getsid(0)} {os.read(0, 1)}'.encode())"
    assert spawner.start(1, tell).recv(64).decode() == f"True {spawner.process.pid} b''"


def test_no_descriptor_and_no_zombie_stays(spawner: Spawner) -> None:
    spawner.start(0, "pass")
    assert spawner.ended() == (0, 0)
    before = spawner.descriptors()
    for number in range(1, 21):
        assert spawner.start(number, "channel.send(str(os.listdir('/proc/self/fd')).encode())").recv(999)
        assert spawner.ended() == (number, 0)
    assert spawner.descriptors() == before
    children = Path(f"/proc/{spawner.process.pid}/task/{spawner.process.pid}/children").read_text()
    assert children == ""


def test_children_have_no_descriptor_but_their_channel(spawner: Spawner) -> None:
    """And, while it lists them, that of the list."""
    tell = "channel.send(str(len({*os.listdir('/proc/self/fd')} - {*'012'})).encode()); channel.recv(1)"
    assert {spawner.start(number, tell).recv(64) for number in range(8)} == {b"2"}


FAMILY = f"""
both = {{signal.SIGUSR1, signal.SIGUSR2}}
signal.pthread_sigmask(signal.SIG_BLOCK, both)
{GRANDCHILD}
channel.send(signal.Signals(signal.sigwait(both)).name.encode())
channel.recv(1)
"""
"""A child that waits to be told of an excess, and a child of its own."""


@pytest.mark.parametrize(
    ("ceiling", "name"),
    [(Ceiling(processes=1), b"SIGUSR2"), (Ceiling(memory=1), b"SIGUSR1")],
    ids=["processes", "memory"],
)
def test_over_its_ceiling_a_child_is_told_and_all_below_it_killed(
    ceiling: Ceiling, name: bytes, spawner: Spawner
) -> None:
    channel = spawner.start(1, FAMILY, ceiling=ceiling)
    assert channel.recv(5) == b"ready"
    assert channel.recv(64) == name
    channel.send(b"?")  # there is nobody else to take it
    assert spawner.ended() == (1, 0)
    assert channel.recv(64) == b""


def test_who_was_told_and_does_not_end_is_killed() -> None:
    with spawning("child.LAST_WORDS = 0.1") as spawner:
        channel = spawner.start(1, FAMILY, ceiling=Ceiling(processes=1))
        assert channel.recv(64) == b"ready"
        assert channel.recv(64) == b"SIGUSR2"
        assert spawner.ended() == (1, -signal.SIGKILL)


LOOKS = """
from host.usage import Excess
found = iter(({}))
child.LOOK = 0.01
child.excess = lambda *_: next(found)
"""


@pytest.mark.parametrize(
    ("looks", "name"),
    [
        ("Excess.MEMORY, None, Excess.MEMORY, None, Excess.PROCESSES", b"SIGUSR2"),
        ("None, Excess.MEMORY, Excess.MEMORY", b"SIGUSR1"),
    ],
    ids=["not twice", "twice"],
)
def test_it_is_too_much_memory_if_two_looks_in_a_row_find_it(looks: str, name: bytes) -> None:
    with spawning(LOOKS.format(looks)) as spawner:
        channel = spawner.start(1, FAMILY, ceiling=Ceiling(memory=1))
        assert channel.recv(5) == b"ready"
        assert channel.recv(64) == name


def test_children_take_their_turns_though_the_spawner_goes_first() -> None:
    tell = "channel.send(str(os.sched_getscheduler(0)).encode())"
    ours = os.sched_getscheduler(0)
    with spawning() as spawner:
        assert int(spawner.start(1, tell).recv(64)) == ours
        assert os.sched_getscheduler(spawner.process.pid) == os.SCHED_FIFO


def test_where_it_may_not_go_first_it_takes_turns_too() -> None:
    refuse = "def refuse(*_): raise PermissionError\nos.sched_setscheduler = refuse"
    with spawning(refuse) as spawner:
        assert spawner.start(1, "channel.send(b'x')").recv(64) == b"x"
        assert os.sched_getscheduler(spawner.process.pid) == os.sched_getscheduler(0)


BUSY = """
from host.usage import Excess
began, used, looks = time.monotonic(), time.thread_time(), iter(range(20))
child.LOOK = 0.01

def excess(*_):
    until = time.thread_time() + 0.01
    while time.thread_time() < until:
        pass
    if next(looks, None) is not None:
        return None
    greedy = time.thread_time() - used > (time.monotonic() - began) / 2
    return Excess.PROCESSES if greedy else Excess.MEMORY

child.excess = excess
"""
"""A spawner whose looks take long; the twenty-first tells of processes if they took half of the time."""


def test_looks_that_take_long_leave_others_their_turns() -> None:
    with spawning(BUSY) as spawner:
        channels = [spawner.start(number, FAMILY, ceiling=Ceiling(memory=1)) for number in range(4)]
        for channel in channels:
            assert channel.recv(5) == b"ready"
        assert {channel.recv(64) for channel in channels} == {b"SIGUSR1"}


def test_a_child_whose_end_is_kept_from_the_spawner_keeps_nobody_waiting(spawner: Spawner) -> None:
    """A process that is traced is reaped by its tracer first (ptrace(2))."""
    trace = """
import ctypes
set_ptracer, seize = 0x59616D61, 0x4206
libc = ctypes.CDLL(None)
libc.prctl(set_ptracer, ctypes.c_ulong(-1), 0, 0, 0)
traced, (ours, theirs) = os.getpid(), os.pipe()
if os.fork() == 0:
    channel.send(b'failed' if libc.ptrace(seize, traced, None, None) else b'ready')
    os.write(theirs, b'x')
    channel.recv(1)
    os._exit(0)
os.read(ours, 1)
"""
    assert spawner.start(1, trace).recv(64) == b"ready"
    assert spawner.ended()[0] == 1
    assert spawner.start(2, "channel.send(b'x')").recv(1) == b"x"


def test_a_child_that_cannot_be_watched_is_none() -> None:
    """The host has no descriptor left for it."""
    refuse = """
opened = os.pidfd_open
def refuse(pid):
    os.pidfd_open = opened
    raise OSError(23, "no")
os.pidfd_open = refuse
"""
    with spawning(refuse) as spawner:
        spawner.start(1, HOLD)
        assert spawner.ended() == (1, parent.NOT_STARTED)
        assert spawner.start(2, "channel.send(b'x')").recv(1) == b"x"
