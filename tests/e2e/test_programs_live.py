"""What becomes of the programs that a real agent runs: nothing survives a CANCEL or a limit."""

import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from mesh.messages import Result
from tests.e2e.harness import STUBBORN, Site, state, until
from tests.e2e.played import Node, children, gone, image, running

MEBIBYTE = 1 << 20

NARROW = ("limits.memory=134217728", "limits.processes=60")


@pytest.fixture(scope="module")
def place(cw: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Where the files of all these agents are."""
    with Site(tmp_path_factory.mktemp("programs"), cw) as site:
        yield site


@pytest.fixture(scope="module")
def node(place: Site) -> Iterator[Node]:
    """An agent that no test harms."""
    with Node(place, "node", *NARROW) as node:
        yield node


@pytest.fixture
def own(place: Site) -> Iterator[Node]:
    """An agent of the test's own."""
    with Node(place, f"own-{uuid4().hex}") as node:
        yield node


def python(script: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs this Python program."""
    return ("exec", "--", sys.executable, "-ISc", script, *arguments)


def stubborn(notes: Path) -> tuple[str, ...]:
    """A command that will not end, and writes its processes there."""
    notes.touch()
    return python(STUBBORN, str(notes))


def noted(notes: Path) -> list[int]:
    return [int(pid) for pid in notes.read_text().split()]


def test_cancel_ends_all_that_a_program_has_started(node: Node, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    serial = node.begin(*stubborn(notes))
    until(lambda: notes.read_text().count("\n") == 2, "noted")
    assert not any(state(pid) in ("", "Z") for pid in noted(notes))
    node.cancel(serial)
    result = node.result(serial)
    assert (result.status, result.output.splitlines()[-1][:16]) == (125, b"fault: cancelled")
    gone(noted(notes))
    node.works()


def test_the_run_time_ends_all_that_a_program_has_started(node: Node, tmp_path: Path) -> None:
    """With more time on each try, until it has come so far that there is all of it to be ended."""
    for attempt in range(6):
        notes = tmp_path / str(attempt)
        result = node.run(*stubborn(notes), run_time=500 << attempt)
        assert (result.status, result.output) == (124, b"killed: run time\n")
        gone(noted(notes))
        if len(noted(notes)) == 2:
            break
    assert len(noted(notes)) == 2
    node.works()


WRITES = (
    "again:",
    'fs.stat "{go}"',
    "jnz again",
    'fs.put "{done}" "yes\\n"',
    "retv 0",
)
"""Waits until there is a file, and writes another."""


@pytest.mark.parametrize("effect", ["writes", "executes"])
def test_a_lost_broker_stops_nothing_that_writes_or_executes(own: Node, effect: str, tmp_path: Path) -> None:
    go, done = tmp_path / "go", tmp_path / "done"
    if effect == "writes":
        lines = "\n".join(WRITES).format(go=go, done=done)
        serial = running(own, "exec", "--", "x", image=image(lines))
    else:
        line = f"until test -e {go}; do sleep 0.01; done; echo yes > {done}"
        serial = own.begin("exec", "--shell", line)
        until(lambda: own.audited(serial) == ["ran"], "begun")
    own.session.close()
    own.join()
    own.works()
    assert not done.exists()
    go.touch()
    until(lambda: own.audited(serial) == ["ran", "ended"], "ended")
    assert done.read_text() == "yes\n"
    assert own.entries()[-1]["status"] == 0
    own.beats()  # and nobody hears of it later


# -- memory and processes

NOTE = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def note():
    os.write(notes, b"%d " % os.getpid())
notes = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
note()
print("so far", flush=True)
"""

HOG = f"""
{NOTE}
if not os.fork():
    os.setsid()
    if os.fork(): os._exit(0)
    note()
hoard = [b'x' * {4 * MEBIBYTE} for _ in range(128)]
signal.pause()
"""
"""Two take memory, one of whom has left the group and the parent; but no more than half a gigabyte each."""

BOMB = f"""
{NOTE}
tokens, left = os.pipe()
os.write(left, b'x' * 2000)
while os.read(tokens, 1):
    if not os.fork(): {{become}}; note()
"""
"""Forks without end; but no more often than two thousand times, should nobody end it."""

GREEDY = {
    "memory": (HOG, b"limit: memory (134217728 bytes)"),
    "processes": (BOMB.format(become="pass"), b"limit: processes (60)"),
    "processes in sessions of their own": (BOMB.format(become="os.setsid()"), b"limit: processes (60)"),
}


@pytest.mark.parametrize("name", GREEDY)
def test_who_uses_too_much_is_ended_with_all_that_it_has_started_and_nobody_else(
    name: str, node: Node, tmp_path: Path
) -> None:
    script, sentence = GREEDY[name]
    go, notes = tmp_path / "go", tmp_path / "notes"
    notes.touch()
    other = node.begin("exec", "--shell", f"until test -e {go}; do sleep 0.01; done; echo still here")
    until(lambda: node.audited(other) == ["ran"], "begun")
    result = node.run(*python(script, str(notes)))
    assert (result.status, result.truncated) == (125, False)
    first, last = result.output.splitlines()
    assert first == b"so far"
    assert last.startswith(b"fault: " + sentence + b" at ")
    assert result.error_output.splitlines()[-1] == last
    gone(noted(notes))
    node.works()
    go.touch()
    assert node.result(other) == Result(0, b"still here\n", b"", False, 0)
    (spawner,) = children(node.process.pid)
    until(lambda: children(spawner) == [], "reaped")
