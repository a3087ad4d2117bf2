"""`cw fact`: the facts of this node, as its agent tells them."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import trio

from conf.load import load
from conf.schema import CogdConf
from conf.version import VERSION
from errors import meant
from mesh.facts import lines_of
from net.builtin import NodeError, host_fqdn, stored_uuid, times
from net.gather import every_fact
from roles.arguments import Parser
from roles.log import Log

EXAMPLES = """\
  cw fact                               every fact, sorted
  cw fact sys.fqdn lsb.distro.codename  these two
  cw fact -c site/cogd.toml             those of another agent
  cw fact --set 'facts.gatherers=""'    without running any gatherer
"""

UNKNOWN = 1
"""Exit status where a fact asked for is not known."""


def main(argv: Sequence[str]) -> int:
    """Print all facts, or those named, as sorted `name=value`; 1 if one is unknown."""
    options = parser().parse_args(argv)
    conf = load(CogdConf, options.config, options.set)
    log = Log("cw")
    known = times(time.time()) | trio.run(_facts_of, conf, log)
    wanted = options.names or known
    lines = lines_of((name, known[name]) for name in set(wanted) & known.keys())
    sys.stdout.buffer.write("".join(f"{line}\n" for line in lines).encode())
    unknown = [name for name in dict.fromkeys(wanted) if name not in known]
    for name in unknown:
        log.error(f"unknown fact: {name}{meant(name, known)}")
    return UNKNOWN if unknown else 0


def parser() -> Parser:
    """The command line."""
    words = Parser("fact", "Prints what this node knows of itself, one name=value a line.", EXAMPLES)
    words.add_argument("names", nargs="*", metavar="NAME", help="a fact; none: every fact")
    words.add_configuration(CogdConf)
    return words


async def _facts_of(conf: CogdConf, log: Log) -> dict[str, str]:
    """Where no agent has made a UUID, or this user cannot read it, there is every other fact."""
    try:
        node = stored_uuid(conf.agent.state_dir) or ""
    except NodeError as error:
        log.warning(f"no sys.uuid: {error}")
        node = ""
    return await every_fact(
        conf.agent.fqdn or host_fqdn(),
        node,
        VERSION,
        conf.facts.gatherers,
        conf.facts.static,
        conf.facts.time_limit,
        log.warning,
    )
