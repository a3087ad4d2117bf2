"""What a client costs that prints ten thousand answers, in each form, to a pipe and on a terminal.

    python -m bench.client [--nodes N] [--rounds R]

Real `cw ping` processes of dist/cw, start and end included, ask a broker that has a swarm (bench/swarm). The
processor time is the client's alone; the time to the end has the broker and the swarm in it, which share
the processors with it.
"""

from __future__ import annotations

import argparse
import os
import pty
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.processes import raise_descriptors, use_the_brokers_python
from bench.startup import CW, usual_python
from bench.swarm.conduct import Behaviour
from bench.swarm.crowd import swarm
from bench.swarm.member import identity
from bench.swarm.site import Site
from roles.options import FORMS

GOAL = "1 s"
"""Of processor time for 10,000 answers."""
SPARE = 100
"""Descriptors that a process here may need beside its sessions."""
READ = 1 << 18
IN_A_PIPE = ("", "--sort", *(form.names[-1] for form in FORMS))
ON_A_TERMINAL = ("", "-v", "--fold", "--table")
"""The options of what is measured."""


class Printed(NamedTuple):
    """How a client went: seconds of its processor time, to the first answer and to the end; bytes printed."""

    cpu: float
    first: float
    last: float
    size: int


def printed(words: Sequence[str], on_terminal: bool = False) -> Printed:
    """Run a client to its end, and read what it prints as it comes."""
    ours, theirs = pty.openpty() if on_terminal else os.pipe()
    errors = theirs if on_terminal else subprocess.DEVNULL
    began = time.perf_counter()
    client = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=theirs, stderr=errors)
    os.close(theirs)
    first, size = 0.0, 0
    while chunk := _read(ours):
        first = first or time.perf_counter() - began
        size += len(chunk)
    os.close(ours)
    _, status, spent = os.wait4(client.pid, 0)
    client.returncode = os.waitstatus_to_exitcode(status)
    if client.returncode:
        raise SystemExit(f"{' '.join(words)}: status {client.returncode}")
    return Printed(spent.ru_utime + spent.ru_stime, first, time.perf_counter() - began, size)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, READ)
    except OSError:  # a terminal nobody has open any more
        return b""


def main(nodes: int, rounds: int) -> None:
    """Measure and print, row by row."""
    raise_descriptors(nodes + SPARE)
    agents = [identity(number) for number in range(nodes)]
    print(f"| {nodes:,} answers, printed as | processor time | goal | first byte | last byte | KiB |")
    print("| --- | --- | --- | --- | --- | --- |")
    with (
        tempfile.TemporaryDirectory() as directory,
        Site(Path(directory), agents) as site,
        swarm(site.address, site.broker_key, agents, Behaviour()),
    ):
        broker = f'mesh.broker="{site.address[0]}:{site.address[1]}"'
        files = Path(directory) / "site"
        ping = [usual_python(), "-ISB", str(CW), "ping", "-c", str(files / "cw.toml"), "--set", broker]
        for on_terminal in (False, True):
            for form in ON_A_TERMINAL if on_terminal else IN_A_PIPE:
                runs = [printed([*ping, *form.split()], on_terminal) for _ in range(rounds)]
                cpu, first, last, size = (statistics.median(figures) for figures in zip(*runs, strict=True))
                name = f"`cw ping {form}`".replace(" `", "`") + (", on a terminal" if on_terminal else "")
                took = f"{cpu:.2f} s | {GOAL} | {first * 1e3:.0f} ms | {last * 1e3:.0f} ms"
                print(f"| {name} | {took} | {size / 1024:,.0f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m bench.client", description="Measures a client that prints the answers of N nodes."
    )
    parser.add_argument("--nodes", type=int, default=10_000, metavar="N", help="(10,000)")
    parser.add_argument("--rounds", type=int, default=3, metavar="R", help="of each form (3)")
    options = parser.parse_args()
    use_the_brokers_python("bench.client")
    main(options.nodes, options.rounds)
