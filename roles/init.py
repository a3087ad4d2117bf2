"""`cw init`: keys and configuration of a new site whose broker is this host, or of one more agent in it."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shlex
import shutil
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path

from auth.keys import ENCRYPTION, SIGNING, public_path, read_public
from auth.services import service_exists
from auth.trust import Entry, added, update
from auth.trust import parse as parse_trust
from conf import client
from conf.addresses import ANY, WILDCARDS, Address, AddressError, is_host_name, listening
from conf.load import load
from conf.schema import CogdConf, MeshdConf, keys_of
from conf.text import sample
from errors import CwError
from net.builtin import host_fqdn
from roles.arguments import Parser, UsageError
from roles.drafts import Drafts

RULES = '# Access rules: allow|deny USER|%GROUP|ALL "PATTERN"|ALL [final] [as USER] [effect EFFECT]\n'
"""How an `acl` begins."""

EXAMPLES = """\
  cw init site                                         broker, agent and user on this host alone
  cw init /etc/clockwork --listen '*:2315' --user alice
  cw init --agent web01.example.com web01 --site site  makes web01/, to be copied to that node
"""

LISTEN = "127.0.0.1:2315"
PAM_SERVICE = "clockwork"

_LOOPBACK = re.compile(r"localhost|::1|127(\.[0-9]{1,3}){3}")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,254}\Z")
_TAKEN = frozenset({"ALL", "agent", "broker"})
"""What no user of a new site can be called: a word of the access rules, and the names of its other keys."""


class InitError(CwError):
    """The site cannot be made."""


def main(argv: Sequence[str]) -> int:
    """Make a site, or an agent of one; nothing that is there is overwritten."""
    options = parser().parse_args(argv)
    lines = _site(options) if options.agent is None else _agent(options)
    print("\n".join(lines))
    return 0


def _directory(text: str) -> Path:
    """An empty word would be the current directory: it is what an unset variable of a script leaves."""
    if not text:
        raise ArgumentTypeError("expected a directory, got an empty word")
    return Path(text)


def parser() -> Parser:
    """The command line."""
    words = Parser(
        "init",
        "Makes keys and configuration: of a site whose broker, first agent and first user\n"
        "are on this host, or, beside the broker, of one more agent. Overwrites nothing.",
        EXAMPLES,
    )
    words.add_argument(
        "directory", metavar="DIR", type=_directory, help="where everything goes; made if need be"
    )
    words.add_argument("--listen", metavar="HOST:PORT", help=f"where the broker listens ({LISTEN})")
    words.add_argument("--user", metavar="NAME", help="the first user (the current one)")
    words.add_argument("--agent", metavar="NAME", help="make an agent of that FQDN instead of a site")
    words.add_argument("--site", metavar="DIR", type=Path, help="the site of the agent")
    return words


def _site(options: Namespace) -> list[str]:
    if options.site is not None:
        raise UsageError("--site goes with --agent NAME (see cw init --help)")
    directory = options.directory
    user = _current_user() if options.user is None else options.user
    if not _USER.match(user) or user in _TAKEN:
        raise UsageError(f"--user: expected the name of a user, got {user[:80]!r}")
    listen = _listen_address(LISTEN if options.listen is None else options.listen)
    dial = str(Address(WILDCARDS.get(listen.host, listen.host), listen.port))
    name = host_fqdn()
    service = PAM_SERVICE if service_exists(PAM_SERVICE) else ""
    installed = _is_usual_place(directory)
    meshd = {
        "broker.listen": [str(listen)],
        "broker.key": "broker.key",
        "broker.commands": "commands",
        "auth.pam_service": service,
        "auth.trusted": "trusted",
        "auth.agents": "agents",
        **({} if installed else {"audit.file": "meshd.audit"}),
    }
    mesh = {
        "mesh.broker": dial,
        "mesh.broker_key": "broker.key.pub",
        "mesh.username": user,
        "mesh.key": f"{user}.key",
        "mesh.commands": "commands",
    }

    drafts = Drafts(directory)
    drafts.text("meshd.toml", sample(MeshdConf.TITLE, keys_of(MeshdConf), meshd))
    drafts.text("cogd.toml", _cogd_toml(name, dial, "broker.key.pub", installed))
    drafts.text("cw.toml", sample(client.TITLE, client.KEYS, mesh))
    drafts.key("broker.key", ENCRYPTION, name, secrets.token_bytes(32))
    agent = drafts.key("agent.key", ENCRYPTION, name, secrets.token_bytes(32))
    key = drafts.key(f"{user}.key", SIGNING, user, secrets.token_bytes(32), owner=_number_of(user))
    drafts.text("trusted", f"# Keys of users: HEX NAME (cw trust edits this)\n{key.hex()} {user}\n")
    drafts.text("agents", f"# Keys of agents: HEX FQDN (cw trust edits this)\n{agent.hex()} {name}\n")
    drafts.text("acl", f"{RULES}allow {user} ALL\n")
    drafts.directory("commands", 0o755)
    drafts.directory("gatherers", 0o755)
    if not installed:
        drafts.directory("state", 0o700)
    drafts.write()
    return [
        f"made {directory}: a broker, the agent {name} and the key of {user}",
        *_remarks(listen, user, service),
        "run next, each in a terminal of its own:",
        _command("meshd", directory / "meshd.toml"),
        _command("cogd", directory / "cogd.toml"),
        _command("ping", directory / "cw.toml"),
    ]


def _remarks(listen: Address, user: str, service: str) -> list[str]:
    alone = (
        f", for this host alone (--listen '{ANY}:{listen.port}' is for all)" if _is_loopback(listen) else ""
    )
    remarks = [f"the broker will listen on {listen}{alone}"]
    if service:
        remarks.append(f"passwords are on, checked by PAM as /etc/pam.d/{service} says (auth.pam_service)")
    else:
        remarks.append(f"users need keys: passwords are off, for there is no /etc/pam.d/{PAM_SERVICE}")
    if _number_of(user) is None:
        remarks.append(f"this host does not know the user {user}: until it does, the broker will refuse them")
    return remarks


def _agent(options: Namespace) -> list[str]:
    for option in ("listen", "user"):
        if getattr(options, option) is not None:
            raise UsageError(f"--{option} does not go with --agent (see cw init --help)")
    if options.site is None:
        raise UsageError("--agent needs --site DIR, the directory of the broker's meshd.toml")
    name, directory = options.agent, options.directory
    if not is_host_name(name):
        raise UsageError(f"--agent: expected the FQDN of a node, got {name[:80]!r}")
    meshd = load(MeshdConf, options.site / "meshd.toml")
    agents = meshd.auth.agents
    if agents is None:
        raise InitError(f"{options.site / 'meshd.toml'}: auth.agents: expected a trust database, got none")
    broker_key = read_public(public_path(meshd.broker.key)).public.hex()
    doors = [listening(text) for text in meshd.broker.listen]
    listen = next((door for door in doors if not _is_loopback(door)), doors[0])
    dial = str(Address(host_fqdn() if listen.host in WILDCARDS else listen.host, listen.port))

    drafts = Drafts(directory)
    drafts.text("cogd.toml", _cogd_toml(name, dial, broker_key, _is_usual_place(directory)))
    public = drafts.key("agent.key", ENCRYPTION, name, secrets.token_bytes(32)).hex()
    drafts.text("acl", _read(options.site / "acl"))

    def trust(text: str, where: str) -> tuple[str, list[str]]:
        listed = parse_trust(text, where).keys_of(name)
        if listed:
            raise InitError(f"{where} lists {name} already, with the key {listed[0]}")
        return added(text, where, [Entry(public, name)])

    drafts.write(then=lambda: update(agents, trust, create=True))
    return [
        f"made {directory}: the agent {name}, which {agents} now trusts",
        *_reach(listen, options.site / "meshd.toml"),
        f"it will connect to {dial}; take {directory} to its node, and run there:",
        _command("cogd", directory / "cogd.toml"),
    ]


def _reach(listen: Address, conf: Path) -> list[str]:
    if not _is_loopback(listen):
        return []
    return [f"nodes elsewhere cannot reach the broker, which listens on {listen} (broker.listen in {conf})"]


def _cogd_toml(name: str, broker: str, broker_key: str, installed: bool) -> str:
    given: dict[str, object] = {
        "agent.brokers": [broker],
        "agent.broker_key": broker_key,
        "agent.key": "agent.key",
        "agent.fqdn": name,
        "acl.file": "acl",
        "facts.gatherers": "gatherers",
        **({} if installed else {"agent.state_dir": "state", "audit.file": "cogd.audit"}),
    }
    return sample(CogdConf.TITLE, keys_of(CogdConf), given)


def _is_usual_place(directory: Path) -> bool:
    """Whether daemons look here by themselves; to them it may be read-only (conf/systemd/), so that they must
    write elsewhere, where they do by default.
    """
    return os.path.realpath(directory) == os.path.realpath(MeshdConf.FILE.parent)


def _is_loopback(address: Address) -> bool:
    return _LOOPBACK.fullmatch(address.host) is not None


def _listen_address(text: str) -> Address:
    try:
        address = listening(text)
    except AddressError as error:
        raise UsageError(f"--listen: {error}") from error
    if not address.port:
        raise UsageError("--listen: expected a port that agents can be told, got 0")
    return address


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InitError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InitError(f"{path}: expected UTF-8 text, got other bytes") from error


def _current_user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError as error:
        raise InitError("the current user has no name on this host: say --user NAME") from error


def _number_of(user: str) -> int | None:
    """The number of a user, if this host knows them."""
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _command(subcommand: str, path: Path) -> str:
    """A line to be copied into a shell; cw is named as it was called."""
    called = sys.argv[0]
    if os.path.basename(called) != "cw" or shutil.which("cw") == os.path.abspath(called):
        called = "cw"
    return "  " + shlex.join([called, subcommand, "-c", str(path)])
