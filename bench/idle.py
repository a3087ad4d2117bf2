"""What an agent that is connected and idle keeps in memory, and the process that starts its commands.

python -m bench.idle
"""

import contextlib
import io
import tempfile
from pathlib import Path

from bench.startup import CW, usual_python
from tests.e2e.harness import FLAGS, Site

LIMIT = 30 * 1024
"""KiB that the agent may have resident."""


def kibibytes(pid: int) -> tuple[int, int]:
    """Resident and proportional memory of a process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return sizes["Rss"], sizes["Pss"]


def children(pid: int) -> list[int]:
    """The processes that one has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def main() -> None:
    """Start a broker and an agent, ask once, and measure."""
    python = usual_python()
    cw = (python, *FLAGS, str(CW))
    quiet = contextlib.redirect_stdout(io.StringIO())  # a site prints its logs, for tests that fail
    with quiet, tempfile.TemporaryDirectory() as directory, Site(Path(directory), cw) as site:
        site.broker()
        agent = site.agent("web01")
        idle = kibibytes(agent.pid)
        site.ask("ping")
        rows = [
            (f"cw cogd, connected and idle (at most {LIMIT})", idle),
            ("after one command", kibibytes(agent.pid)),
            *(("its spawner", kibibytes(child)) for child in children(agent.pid)),
        ]
    print(f"{python:48}RSS KiB  PSS KiB")
    for name, (resident, proportional) in rows:
        print(f"{name:48}{resident:7}  {proportional:7}")


if __name__ == "__main__":
    main()
