"""Processes below one, in a process of the test's own that takes their orphans in."""

import subprocess
import sys

import pytest

from host.descendants import below, children, end_below
from tests.conftest import CHECKOUT

PATIENCE = 30
"""Seconds after which a test that waits has failed."""

READY = "os.write(1, b'x')"

STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"

SHAPES = {
    "a child": f"{READY}; signal.pause()",
    "a child and its child": f"os.fork(); {READY}; signal.pause()",
    "in a session of its own": f"os.fork() or os.setsid(); {STUBBORN}; {READY}; signal.pause()",
    "an orphan in a session of its own": (
        "if os.fork(): os._exit(0)\n"
        f"os.setsid(); {STUBBORN}\n"
        f"if os.fork(): {READY}; os._exit(0)\n"
        f"{READY}; signal.pause()"
    ),
    "a chain": f"for _ in range(40): os.fork() and signal.pause()\n{READY}; signal.pause()",
    "who forks for ever": f"{READY}\nwhile True: os.fork() and os._exit(0)",
}
"""What a child of the process does; it writes a byte for each that has become what it is to be."""

WRITTEN = {"a child and its child": 2, "in a session of its own": 2, "an orphan in a session of its own": 2}

SCRIPT = """
import os, signal, sys
from host.descendants import below, children, end_below, orphans_taken_in

spared = os.fork()
if not spared:
    signal.pause()
ready, written = os.pipe()
with orphans_taken_in():
    if not os.fork():
        os.dup2(written, 1)
        exec({shape!r})
    got = 0
    while got < {count}:
        got += len(os.read(ready, 1))
    assert list(below(os.getpid(), [spared]))
    end_below(os.getpid(), [spared])
    dead = children(os.getpid()) - {{spared}}
    while dead:
        for pid in dead:
            os.waitpid(pid, 0)
        dead = children(os.getpid()) - {{spared}}
os.close(written)
assert os.read(ready, 1) == b"", "somebody has the other end"
assert set(below(os.getpid())) == {{spared}}
os.kill(spared, 9)
os.waitpid(spared, 0)
print("done")
"""


@pytest.mark.parametrize("name", SHAPES)
def test_nobody_below_is_left(name: str) -> None:
    script = SCRIPT.format(shape=SHAPES[name], count=WRITTEN.get(name, 1))
    words = [sys.executable, "-c", script]
    ended = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (ended.stdout, ended.stderr) == ("done\n", "")


def test_who_has_ended_has_nobody_below() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert children(process.pid) == set()
    assert list(below(process.pid)) == []
    end_below(process.pid)
