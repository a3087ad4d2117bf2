"""The measurements of a broker: they come to an end, and beside each figure of it stands the least."""

import subprocess
import sys
from pathlib import Path

OWN = "the swarm's own"


def test_each_figure_has_a_floor_beside_it(cw_file: Path) -> None:
    measured = subprocess.run(
        [sys.executable, "-m", "bench.broker", "--sessions", "20", "--rounds", "1"],
        cwd=cw_file.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (measured.returncode, measured.stderr) == (0, "")
    header, _, *lines = measured.stdout.splitlines()
    assert header == "| sessions | figure | floor | broker | times | goal |"
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert [name for _, name, *_ in rows] == [
        "REQUEST to closed ledger",
        "processor time a node",
        f"{OWN}, a node",
        "resident memory of a session",
        "one node, nobody else asks",
        "one node, while another asks all",
        "all back after a restart",
        "processor time of that",
        OWN,
        "100 users at once, the last one's DONE",
        "processor time a user and node",
        OWN,
        "results of 64 KiB, relayed",
        "processor time a result",
        OWN,
    ]
    for _, name, floor, broker, *_ in rows:
        assert bool(floor) == (not name.startswith(OWN))
        assert broker.split()[1] in ("ms", "µs", "s", "KiB")
