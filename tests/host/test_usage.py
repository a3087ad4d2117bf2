"""What real processes use: memory of their own and shared, threads, whole trees; what is too much of it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from host.usage import Ceiling, Excess, excess
from tests.conftest import CHECKOUT

MEBIBYTE = 1 << 20
HELD = 64 * MEBIBYTE
OURS = 24 * MEBIBYTE
"""More than an interpreter holds besides what it is told to hold."""

READY = "print('ready', flush=True); sys.stdin.read()"

SHAPES = {
    "memory": f"held = b'x' * {HELD}; {READY}",
    "memory that is shared": f"held = mmap.mmap(-1, {HELD}); held.write(b'x' * {HELD}); {READY}",
    "memory of one in as many groups as there may be": (
        f"os.setgroups(range(2**31, 2**31 + 65536)); held = b'x' * {HELD}; {READY}"
    ),
    "memory of a child's child": (
        f"for _ in range(2):\n  if os.fork(): os.wait(); sys.exit()\nheld = b'x' * {HELD}; {READY}"
    ),
}


@contextmanager
def running(script: str) -> Iterator[int]:
    """A process that is ready; it and what it has started end when their input does."""
    words = [sys.executable, "-ISc", f"import mmap, os, sys, threading\n{script}"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process.pid


@pytest.mark.parametrize("name", SHAPES)
def test_memory_of_a_process_and_of_all_below_it(name: str) -> None:
    with running(SHAPES[name]) as pid:
        assert excess(pid, Ceiling(memory=HELD - MEBIBYTE)) is Excess.MEMORY
        assert excess(pid, Ceiling(memory=HELD + OURS)) is None


FORKS = f"""
ours, theirs = os.pipe()
for _ in range(3):
    if not os.fork():
        held.find(b'x')
        os.write(theirs, b'x')
        sys.exit(sys.stdin.read())
for _ in range(3): os.read(ours, 1)
{READY}
"""
"""A process, and three forks of it that have gone through all that it holds."""


def test_memory_that_is_meant_to_be_shared_counts_once() -> None:
    with running(f"held = mmap.mmap(-1, {HELD})\nheld.write(b'y' * {HELD})\n{FORKS}") as pid:
        assert excess(pid, Ceiling(memory=HELD - MEBIBYTE)) is Excess.MEMORY
        assert excess(pid, Ceiling(memory=HELD + 2 * OURS)) is None


def test_what_forks_still_share_counts_for_each() -> None:
    """It will be theirs as soon as they write to it; and to know better takes waiting for them."""
    with running(f"held = b'y' * {HELD}\n{FORKS}") as pid:
        assert excess(pid, Ceiling(memory=4 * HELD - MEBIBYTE)) is Excess.MEMORY
        assert excess(pid, Ceiling(memory=4 * (HELD + OURS))) is None


def test_pages_of_files_are_nobodys() -> None:
    """The kernel takes them back when it needs them."""
    with tempfile.NamedTemporaryFile(dir=CHECKOUT) as file:
        os.truncate(file.name, HELD)
        read = f"held = mmap.mmap(os.open({file.name!r}, os.O_RDONLY), 0, prot=mmap.PROT_READ)\n"
        with running(f"{read}held.find(b'x')\n{READY}") as pid:
            assert excess(pid, Ceiling(memory=OURS)) is None


TASKS = {
    "processes": "for _ in range(4):\n  if not os.fork(): sys.stdin.read(); sys.exit()\n",
    "in a row": "for _ in range(4):\n  if os.fork(): os.wait(); sys.exit()\n",
    "that nobody has reaped": (
        "ours, theirs = os.pipe()\n"
        "for _ in range(4):\n  if not os.fork(): os._exit(0)\n"
        "os.close(theirs); os.read(ours, 1)\n"
    ),
    "threads": "for _ in range(4): threading.Thread(target=sys.stdin.read).start()\n",
}


@pytest.mark.parametrize("name", TASKS)
def test_processes_and_threads(name: str) -> None:
    with running(TASKS[name] + READY) as pid:
        assert excess(pid, Ceiling(processes=4)) is Excess.PROCESSES
        assert excess(pid, Ceiling(processes=5)) is None


def test_nobody_has_too_much_where_there_is_no_ceiling_and_who_has_ended_uses_nothing() -> None:
    with running(SHAPES["memory"]) as pid:
        assert excess(pid, Ceiling()) is None
    assert excess(pid, Ceiling(memory=0, processes=0)) is None
