"""`cw demo`: a whole mesh on this host, real processes on loopback, from the very file that runs it."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shlex
import shutil
import socket
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from errors import CwError
from host.itself import itself
from roles import init
from roles.arguments import Parser
from roles.children import Child, ChildFailed, Children, Stopped
from roles.credentials import user_name

EXAMPLES = """\
  cw demo             start a broker and six agents, ask them a few things, stop and remove everything
  cw demo --keep      leave them running, to be asked more
"""

DOMAIN = "example.com"

NODES: Mapping[str, Mapping[str, str]] = {
    "web01": {"role": "web", "site": "north"},
    "web02": {"role": "web", "site": "north"},
    "web03": {"role": "web", "site": "south"},
    "db01": {"role": "db", "site": "north"},
    "db02": {"role": "db", "site": "south"},
    "mail01": {"role": "mail", "site": "north"},
}
"""The agents, and the facts that their configuration states."""

RULES = """\
# What may be asked of this node, and by whom.
allow ALL "ping"
allow {user} ALL
deny {user} "show acls for *"
"""


class Query(NamedTuple):
    """A command of the demo, and the exit status that shows that all is well."""

    words: tuple[str, ...]
    status: int


QUERIES = (
    Query(("show", "version"), 0),
    Query(("show", "version", "-w", "sys.fqdn=/^web/"), 0),
    Query(("ping",), 0),
    Query(("show", "facts", "-w", "role=db"), 0),
    Query(("show", "acls", "for", "%wheel"), 3),  # the access rules deny it
    Query(("show", "acls"), 0),
)

PORTS_TRIED = 5
"""Free ports that are tried: between finding one and listening on it, somebody else may."""


class PortTaken(CwError):
    """Somebody else listens on every port that was tried."""

    status = 1


class DemoFailed(CwError):
    """The demo did not go as it should."""

    status = 1


def main(argv: Sequence[str]) -> int:
    """Show a whole mesh; 0 if everything went as it should. Leaves no process and no file behind."""
    options = parser().parse_args(argv)
    try:
        with Children() as children:
            directory = Path(tempfile.mkdtemp(prefix="cw-demo-"))
            kept = False
            try:
                site = Site(directory, children)
                site.start()
                if options.keep:
                    site.keep()
                    kept = True
                else:
                    site.ask_all()
            finally:  # still inside Children: no signal cuts this short
                if not kept:
                    children.stop()
                    shutil.rmtree(directory)
    except Stopped as stopped:
        return 128 + stopped.number
    return 0


def parser() -> Parser:
    """The command line."""
    words = Parser(
        "demo",
        "A broker and six agents as processes of this host, and a few queries to them: each is run as\n"
        "printed, with its output and exit status.",
        EXAMPLES,
    )
    words.add_argument(
        "--keep", action="store_true", help="leave it running, and print how to use and stop it"
    )
    return words


class Site:
    """The demo's broker and agents, everything of theirs in `directory`."""

    def __init__(self, directory: Path, children: Children) -> None:
        self._directory = directory
        self._children = children
        self._client = str(directory / "site" / "cw.toml")

    def start(self) -> None:
        """Make the site, start its broker, then all agents at once; they have connected when this returns."""
        _say(f"a broker and {len(NODES)} agents on this host, in {self._directory}")
        port = self._start_broker()
        agents = [
            self._start(name, "cogd", self._agent(name, facts) / "cogd.toml") for name, facts in NODES.items()
        ]
        for agent in agents:
            self._children.wait_for(agent, f"cogd: connected to 127.0.0.1:{port}")
        _say("")

    def ask_all(self) -> None:
        """Every query in turn; raises DemoFailed at the first that does not end as it should."""
        os.environ["XDG_STATE_HOME"] = str(self._directory)  # no records of a mesh that is gone in a moment
        for query in QUERIES:
            words = ("-c", self._client, *query.words)
            _say(f"$ {shlex.join(('cw', *words))}")
            status = self._children.run([*itself(), *words])
            _say(f"status {status}\n")
            if status != query.status:
                raise DemoFailed(f"{shlex.join(query.words)}: expected status {query.status}, got {status}")

    def keep(self) -> None:
        """Leave everything running, and say how it is used and stopped.

        Who is to be stopped is in files, which the line that starts an agent again keeps up to date.
        """
        for child in self._children.daemons:
            (self._directory / f"{child.name}.pid").write_text(f"{child.process.pid}\n")
        example = shlex.join([*_called(), "-c", self._client, "show", "facts", "-w", "role=db"])
        here = shlex.quote(str(self._directory))
        changed = f"{here}/web01/cogd.toml"
        restart = (
            f"{shlex.join(_called())} cogd -c {changed} >{here}/web01.log 2>&1 & echo $! >{here}/web01.pid"
        )
        _say(f"use it:      {example}")
        _say(f"change it:   edit {changed}; kill $(cat {here}/web01.pid); {restart}")
        _say(f"its logs:    {here}/*.log")
        _say(f"stop it:     kill $(cat {here}/*.pid); sleep 1; rm -r {here}")
        self._children.release()

    def _start_broker(self) -> int:
        """Make the site and start its broker on a free port, which it returns."""
        for _ in range(PORTS_TRIED - 1):
            with contextlib.suppress(PortTaken):
                return self._broker_on(_free_port())
        return self._broker_on(_free_port())

    def _broker_on(self, port: int) -> int:
        site = self._directory / "site"
        user = user_name(None, "")
        _init(str(site), "--listen", f"127.0.0.1:{port}", "--user", user)
        (site / "acl").write_text(RULES.format(user=user))
        broker = self._start("broker", "meshd", site / "meshd.toml")
        try:
            self._children.wait_for(broker, f"meshd: listening on 127.0.0.1:{port}")
        except ChildFailed as error:
            if os.strerror(errno.EADDRINUSE).lower() not in str(error).lower():
                raise
            self._children.stop()
            shutil.rmtree(site)
            raise PortTaken from error
        return port

    def _agent(self, name: str, facts: Mapping[str, str]) -> Path:
        """Make an agent of the site; its directory."""
        directory = self._directory / name
        _init(str(directory), "--agent", f"{name}.{DOMAIN}", "--site", str(self._directory / "site"))
        with open(directory / "cogd.toml", "a", encoding="utf-8") as stream:
            stream.write("\n[facts.static]\n")
            stream.writelines(f'{fact} = "{value}"\n' for fact, value in facts.items())
        return directory

    def _start(self, name: str, subcommand: str, configuration: Path) -> Child:
        words = [*itself(), subcommand, "-c", str(configuration)]
        return self._children.start(name, words, self._directory / f"{name}.log")


def _called() -> list[str]:
    """The shorter words for people: the file alone where it can be run."""
    words = itself()
    return words[-1:] if os.access(words[-1], os.X_OK) else words


def _init(*words: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()):  # what it says is for people who begin a site
        init.main(words)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


def _say(line: str) -> None:
    print(line, flush=True)
