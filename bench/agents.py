"""What real agents cost: starting, memory, a command; and a user who asks all of them.

    python -m bench.agents [--agents N] [--rounds R]

Starts `cw meshd` and N processes `cw cogd` of dist/cw here, each with files of its own. Processor time is of
the agents themselves, not of the broker, and nothing is measured while they start but that.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from auth.keys import ENCRYPTION, write_pair
from bench.processes import children, cpu, memory, raise_descriptors
from bench.startup import seconds
from bench.swarm.member import Identity, identity
from bench.swarm.site import Site

STARTS = 7
"""How often one agent is started alone."""
AGAIN = 300
"""How often it is asked then."""
IDLE = 5.0
"""Seconds in which agents are watched that nobody asks."""
PATIENCE = 300.0
"""Seconds after which agents that are not connected have failed."""
SPARE = 200
LIMIT = 30 * 1024
"""KiB that an agent may have resident."""
TICK = os.sysconf("SC_CLK_TCK")


class Agent(NamedTuple):
    """An agent's process, and the file with what it says."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def spawner(self) -> int:
        """The process that forks its children."""
        (pid,) = children(self.process.pid)
        return pid

    def connected(self) -> bool:
        """Whether it has a session."""
        if self.process.poll() is not None:
            raise SystemExit(f"an agent ended: {self.log.read_text()}")
        return "connected to" in self.log.read_text()

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()


def start(site: Site, who: Identity) -> Agent:
    """An agent of the site, with a key and a directory of its own, which are made first."""
    directory = site.files / who.fqdn
    if not directory.exists():
        directory.mkdir()
        (directory / "state").mkdir(mode=0o700)
        write_pair(directory / "agent.key", ENCRYPTION, who.fqdn, who.key.secret)
    settings = {
        "agent.brokers": f'["127.0.0.1:{site.address[1]}"]',
        "agent.key": f'"{directory}/agent.key"',
        "agent.fqdn": f'"{who.fqdn}"',
        "agent.state_dir": f'"{directory}/state"',
        "audit.file": f'"{directory}/audit"',
    }
    words = [*site.cw, "cogd", "-c", str(site.files / "cogd.toml")]
    words += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    log = directory / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=errors)
    return Agent(process, log)


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for that."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"never {what}")
        time.sleep(0.002)


@contextlib.contextmanager
def started(site: Site, identities: Sequence[Identity]) -> Iterator[list[Agent]]:
    """These agents, all connected, until the end of the block."""
    agents = [start(site, who) for who in identities]
    try:
        waiting = list(agents)
        while waiting:
            until(waiting[-1].connected, "connected")
            waiting.pop()
        yield agents
    finally:
        for agent in agents:
            agent.process.terminate()
        for agent in agents:
            agent.process.wait()


def of_children(pid: int) -> float:
    """Seconds of processor time that ended children of a process have used, to a hundredth."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / TICK


def spent(agents: Sequence[Agent]) -> float:
    """Seconds of processor time of agents and of what they have started, until now."""
    spawners = [agent.spawner for agent in agents]
    own = sum(cpu(agent.process.pid) for agent in agents)
    return own + sum(cpu(pid) + of_children(pid) for pid in spawners)


def alone(site: Site, who: Identity) -> tuple[float, float]:
    """Milliseconds from start to session of an agent that is alone, and of processor time: medians."""
    taken = []
    for _ in range(STARTS):
        began = time.perf_counter()
        with started(site, [who]) as (agent,):
            taken.append((time.perf_counter() - began, spent([agent])))
    return statistics.median(wall for wall, _ in taken) * 1e3, statistics.median(
        used for _, used in taken
    ) * 1e3


def figure(name: str, value: float, unit: str, goal: str = "") -> None:
    """Print a row."""
    print(
        f"| {name} | {value:,.{0 if value >= 1000 else 1 if value >= 10 else 2}f} {unit} | {goal} |",
        flush=True,
    )


def asked(site: Site, who: Identity) -> float:
    """Seconds of processor time that a `ping` takes on a node of its own that is asked again and again."""
    user = site.user()
    with started(site, [who]) as agents:
        user.ask("ping")
        before = spent(agents)
        for _ in range(AGAIN):
            user.ask("ping")
        return (spent(agents) - before) / AGAIN


def upkeep(agents: Sequence[Agent]) -> float:
    """Seconds of processor time a second of all agents while nobody asks them."""
    before = spent(agents)
    time.sleep(IDLE)
    return (spent(agents) - before) / IDLE


def commands(site: Site, agents: Sequence[Agent], rounds: int) -> None:
    """What each command costs an agent that shares this host with all others, upkeep left out."""
    user = site.user()
    idle = upkeep(agents)
    figure("upkeep of an agent, a second", idle / len(agents) * 1e3, "ms")
    for words, goal in ((("ping",), "0.5 ms"), (("show", "version"), "0.5 ms"), (("show", "facts"), "")):
        user.ask(*words)
        before, began = spent(agents), time.perf_counter()
        for _ in range(rounds):
            assert user.ask(*words).done.results == len(agents)
        used = spent(agents) - before - idle * (time.perf_counter() - began)
        figure(
            f"processor time of `{' '.join(words)}`, beside all others",
            used / rounds / len(agents) * 1e3,
            "ms",
            goal,
        )


def main(count: int, rounds: int) -> None:
    """Measure and print."""
    raise_descriptors(count + SPARE)
    identities = [identity(number) for number in range(count)]
    with tempfile.TemporaryDirectory() as directory, Site(Path(directory), identities) as site:
        print(f"| {count} agents | | goal |\n| --- | --- | --- |")
        wall, used = alone(site, identities[0])
        figure("one alone, from its start to its session", wall, "ms")
        figure("processor time of that", used, "ms")
        again = asked(site, identities[0])
        figure("processor time of a `ping`, again and again", again * 1e3, "ms", "0.5 ms")
        began = time.perf_counter()
        with started(site, identities) as agents:
            figure("all at once, until the last has its session", time.perf_counter() - began, "s")
            figure("processor time of that, each", spent(agents) / count * 1e3, "ms")
            client = [*site.cw, "show", "version", "-q", "-c", str(site.files / "cw.toml")]
            client += ["--set", f'mesh.broker="127.0.0.1:{site.address[1]}"']
            for name, pids in (
                ("an agent", [agent.process.pid for agent in agents]),
                ("its spawner", [agent.spawner for agent in agents]),
            ):
                sizes = [memory(pid) for pid in pids]
                goal = f"{LIMIT:,} KiB" if name == "an agent" else ""
                figure(
                    f"resident memory of {name}", statistics.median(size.rss for size in sizes), "KiB", goal
                )
                figure("its proportional share", statistics.median(size.pss for size in sizes), "KiB")
            times = [seconds(client) for _ in range(rounds + 1)][1:]
            figure("`cw show version`, from its start to its exit", statistics.median(times) * 1e3, "ms")
            commands(site, agents, rounds)
            sizes = [memory(agent.process.pid) for agent in agents]
            figure(
                "resident memory of an agent, after commands", statistics.median(s.rss for s in sizes), "KiB"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.agents", description="Measures real agents.")
    parser.add_argument("--agents", type=int, default=200, metavar="N", help="(200)")
    parser.add_argument("--rounds", type=int, default=10, metavar="R", help="of each command (10)")
    options = parser.parse_args()
    main(options.agents, options.rounds)
