"""A swarm of agents for a broker: one that it starts itself and asks, or yours.

python -m bench.swarm --help
"""

from __future__ import annotations

import argparse
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from auth.keys import broker_key
from bench.processes import cpu, raise_descriptors
from bench.swarm.conduct import AT_ONCE, Behaviour, Conduct, Delay, delay
from bench.swarm.crowd import Swarm, launched, swarm
from bench.swarm.member import Identity, identity
from bench.swarm.site import Site
from conf.addresses import dialled
from errors import CwError
from mesh.messages import Done

SPARE = 100
"""Descriptors that a process here may need beside its sessions."""
MOST_BYTES = 786432
"""Of output in one RESULT (limits.output)."""

PACE = 1.0
"""Seconds between two looks at a swarm that joined another's broker."""

DESCRIPTION = """\
Holds N agents' sessions in one process: handshakes, HELLO, heartbeats, answers to every command,
and back again after a pause when a session ends. Starts a broker of dist/cw of its own, asks it
`ping` R times and tells how long that took, how the nodes closed, and the processor time that the
broker and the swarm spent; or, with --broker, joins yours until interrupted.
"""
EXAMPLES = """\
  python -m bench.swarm -n 5000
  python -m bench.swarm -n 1000 --reply 65536 --delay 0.1-0.5
  python -m bench.swarm --optout 0.2 --die 0.01 --stall 0.01 --twice 0.05 --timeout 10
  python -m bench.swarm --list >> site/agents; cw meshd -c site/meshd.toml &
  python -m bench.swarm --broker 127.0.0.1:2315 --broker-key site/broker.key.pub
"""


def of(kind: Callable[[str], object], least: float, most: float, what: str) -> Callable[[str], object]:
    """A type for an option: a number in its bounds, else argparse tells `what` it is to be."""

    def read(text: str) -> object:
        try:
            number = kind(text)
        except ValueError:
            number = None
        if not isinstance(number, (int, float)) or not least <= number <= most:
            raise argparse.ArgumentTypeError(f"expected {what}, got {text!r}")
        return number

    return read


def delay_of(text: str) -> Delay:
    """The option's delay."""
    try:
        return delay(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected SECONDS, FROM-TO or exp:MEAN, got {text!r}") from error


def options_of(argv: list[str] | None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.swarm",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    count, share = of(int, 1, 60000, "a number of sessions"), of(float, 0, 1, "a share from 0 to 1")
    parser.add_argument("-n", "--sessions", type=count, default=1000, metavar="N", help="agents (1000)")
    parser.add_argument(
        "--rounds", type=of(int, 1, 10**6, "a number"), default=10, metavar="R", help="requests (10)"
    )
    parser.add_argument(
        "--timeout",
        type=of(float, 0.1, 3600, "seconds"),
        default=40.0,
        metavar="SECONDS",
        help="how long a request waits (40)",
    )
    parser.add_argument(
        "--reply",
        type=of(int, 0, MOST_BYTES, f"at most {MOST_BYTES} bytes"),
        default=5,
        metavar="BYTES",
        help="output of a RESULT (5)",
    )
    parser.add_argument(
        "--delay",
        type=delay_of,
        default=AT_ONCE,
        metavar="D",
        help="before a RESULT: SECONDS, FROM-TO, or exp:MEAN (0)",
    )
    for conduct, sentence in (
        (Conduct.OPTOUT, "share of the agents whose filters never match"),
        (Conduct.DIE, "share that breaks the connection instead of answering"),
        (Conduct.STALL, "share that freezes at its first command"),
        (Conduct.TWICE, "share that says everything twice"),
    ):
        parser.add_argument(
            f"--{conduct.name.lower()}", type=share, default=0.0, metavar="SHARE", help=sentence
        )
    parser.add_argument("--broker", metavar="HOST:PORT", help="join this one, and ask nothing")
    parser.add_argument("--broker-key", metavar="FILE.pub|HEX", help="its public key")
    parser.add_argument("--list", action="store_true", help="print the agents as a trust database lists them")
    options = parser.parse_args(argv)
    if options.optout + options.die + options.stall + options.twice > 1:
        parser.error("the shares are more than all agents")
    if (options.broker is None) != (options.broker_key is None):
        parser.error("--broker and --broker-key go together")
    return options


def told(done: Done) -> str:
    """The counts that are not zero."""
    return ", ".join(f"{number} {name}" for name, number in done._asdict().items() if number)


def ask(agents: list[Identity], behaviour: Behaviour, rounds: int, seconds: float) -> None:
    """Measure a broker of our own."""
    with (
        tempfile.TemporaryDirectory() as directory,
        Site(Path(directory), agents) as site,
        swarm(site.address, site.broker_key, agents, behaviour) as crowd,
    ):
        user = site.user()
        took, broker, ours, nodes = [], cpu(site.pid), cpu(crowd.pid), 0
        for _ in range(rounds):
            answered = user.ask("ping", timeout=round(seconds * 1000))
            took.append(answered.seconds)
            nodes += answered.done.sessions
            print(f"{answered.seconds * 1e3:9.1f} ms  {told(answered.done)}", flush=True)
        broker, ours = cpu(site.pid) - broker, cpu(crowd.pid) - ours
    print(f"{statistics.median(took) * 1e3:9.1f} ms  from REQUEST to closed ledger, median of {rounds}")
    for name, spent in (("broker", broker), ("swarm", ours)):
        print(f"{spent / max(nodes, 1) * 1e6:9.1f} µs  of the {name}'s processor time a node")


def hold(crowd: Swarm) -> None:
    """Tell how the swarm is, whenever that has changed, until interrupted."""
    told = ""
    while True:
        counters = crowd.counters
        failed = counters.refused + counters.turned_away
        news = (
            f"{counters.joined} sessions, {counters.joins} begun, {failed} attempts failed, "
            f"{counters.commands} commands"
        )
        if news != told:
            print(news, flush=True)
            told = news
        time.sleep(PACE)


def main(argv: list[str] | None = None) -> None:
    """Do what the command line says."""
    options = options_of(argv)
    agents = [identity(number) for number in range(options.sessions)]
    if options.list:
        print("\n".join(f"{agent.key.public.hex()} {agent.fqdn}" for agent in agents))
        return
    raise_descriptors(options.sessions + SPARE)
    shares = (options.optout, options.die, options.stall, options.twice)
    behaviour = Behaviour(options.reply, options.delay, shares)
    if options.broker is None:
        ask(agents, behaviour, options.rounds, options.timeout)
        return
    try:
        address, key = dialled(options.broker), broker_key(options.broker_key, Path())
        host = socket.gethostbyname(address.host)
    except CwError as error:
        raise SystemExit(str(error)) from error
    except OSError as error:
        raise SystemExit(f"{address}: {error.strerror}") from error
    try:
        with launched((host, address.port), key, agents, behaviour) as crowd:
            hold(crowd)
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
