"""What an agent needs to join its brokers and to run something, looked at without joining.

A HELLO of the doctor's would take the place of the agent's own session, so none is said: whether a broker
accepts the key is told by the broker's files, where they are at hand, and by the connection that an agent
which was accepted holds.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from auth.keys import ENCRYPTION, KeyFile, broker_key
from auth.trust import Trust
from conf.addresses import dialled
from conf.load import load
from conf.schema import CogdConf, MeshdAuth
from conf.watched import Watched
from host.connections import holders
from mesh import acl
from net.builtin import host_fqdn, require_state_dir, stored_uuid
from net.gather import gatherers
from roles.doctor.diagnosis import Diagnosis, some
from roles.doctor.files import audit_place, clock, key_pair, making, owners, quoted
from roles.doctor.wire import BrokerHere, Way, among, numbers_of, reached, same_key

BROKER_KEY = "agent.broker_key"


class Itself(NamedTuple):
    """The agent: its file, its name and key; None is what could not be found out."""

    file: Path
    name: str | None
    key: KeyFile | None


def look(diagnosis: Diagnosis, path: Path, brokers: Sequence[BrokerHere]) -> None:
    """All of it; `brokers` are those whose files are at hand."""
    load_it = partial(load, CogdConf, path)
    conf = diagnosis.tries("configuration", load_it, "conf/cogd.toml is a sample with every key")
    if conf is None:
        return
    diagnosis.ok("configuration", f"{path} can be used")
    name = diagnosis.tries("agent.fqdn", lambda: conf.agent.fqdn or host_fqdn(), 'set agent.fqdn = "NAME"')
    if name is not None:
        diagnosis.ok("agent.fqdn", f"this node is {name}")
    key = _key(diagnosis, conf.agent.key, name or "NAME")
    owners(diagnosis, (path, conf.agent.key, conf.acl.file))
    cure = f"copy the broker's broker.key.pub to this host, and set {BROKER_KEY} to its path"
    known = diagnosis.tries(BROKER_KEY, lambda: broker_key(conf.agent.broker_key, Path()), cure)
    if known is not None:
        for address in conf.agent.brokers:
            _session(diagnosis, Way(address, known, BROKER_KEY), Itself(path, name, key), brokers)
    _rules(diagnosis, conf.acl.file)
    _gatherers(diagnosis, conf.facts.gatherers)
    _state(diagnosis, conf.agent.state_dir)
    audit_place(diagnosis, conf.audit.file)
    clock(diagnosis, (path, conf.agent.key, conf.acl.file))


def _key(diagnosis: Diagnosis, path: Path, name: str) -> KeyFile | None:
    if os.path.lexists(path):
        return key_pair(diagnosis, "agent.key", path, ENCRYPTION, making("agent", name, path))
    cure = "start the agent: it makes one, and its log has the command that makes the broker trust it"
    diagnosis.warn("agent.key", f"{path} is not there yet", cure)
    return None


def _session(diagnosis: Diagnosis, way: Way, itself: Itself, brokers: Sequence[BrokerHere]) -> None:
    """The way to one broker, and whether it lets this agent in."""
    numbers = numbers_of(diagnosis, way.address)
    if not numbers:
        return
    here = among(brokers, numbers, dialled(way.address).port)
    if here is not None:
        same_key(diagnosis, way, here)
    answers = reached(diagnosis, way, here)
    if here is not None and itself.key and itself.name and here.agents is not None:
        answers &= _is_trusted(diagnosis, here.conf.auth, here.agents, itself.key.public.hex(), itself.name)
    if answers:
        _is_joined(diagnosis, way.address, numbers, itself.file)


def _is_trusted(diagnosis: Diagnosis, auth: MeshdAuth, agents: Trust, public: str, name: str) -> bool:
    """Whether the broker at hand trusts the key under that name."""
    names = agents.names_of(public)
    if name in names:
        diagnosis.ok("trust", f"{auth.agents} has this agent's key for {name}")
        return True
    if names:
        other = f"{auth.agents} has this agent's key for {names[0]}, not for {name}"
        diagnosis.fail("trust", other, f'set agent.fqdn = "{names[0]}"')
        return False
    if auth.agent_trust == "any" and not agents.keys_of(name):
        diagnosis.ok("trust", 'the broker trusts any agent (auth.agent_trust = "any")')
        return True
    cure = shlex.join(["cw", "trust", "-d", str(auth.agents), f"{public}={name}"])
    diagnosis.fail("trust", f"{auth.agents} does not have this agent's key", cure)
    return False


def _is_joined(diagnosis: Diagnosis, address: str, numbers: Sequence[str], file: Path) -> None:
    """Whether some agent of this host holds a connection there: one that was refused soon holds none."""
    port = dialled(address).port
    found = holders({(number, port) for number in numbers}, "cogd")
    if found:
        processes = ", ".join(str(process.number) for process in found)
        diagnosis.ok("session", f"process {processes} (cw cogd) is connected to {address}")
    else:
        unknown = (
            f"no agent is seen to be connected to {address}; the doctor's would take its place: not tried"
        )
        diagnosis.warn(
            "session", unknown, f"start cw cogd -c {quoted(file)}: its log says whether it is let in"
        )


def _rules(diagnosis: Diagnosis, path: Path | None) -> None:
    if path is None:
        diagnosis.fail("acl.file", "there is none, so every command is denied", 'set acl.file = "acl"')
        return
    first = f"echo 'allow USER ALL' >> {quoted(path)}"
    rules: Watched[tuple[acl.Rule, ...]] = Watched(path, acl.parse, (), "acl.file")
    if diagnosis.tries("acl.file", rules.refresh, f"mend that line of {quoted(path)}", first) is None:
        return
    allowing = sum(rule.verdict is acl.Verdict.ALLOW for rule in rules.value)
    if allowing:
        diagnosis.ok(
            "acl.file", f"{path} has {some(len(rules.value), 'rule')} ({allowing} to allow something)"
        )
    else:
        diagnosis.fail("acl.file", f"{path} allows nothing, so every command is denied", first)


def _gatherers(diagnosis: Diagnosis, path: Path | None) -> None:
    what = "facts.gatherers"
    if path is None or not os.path.lexists(path):
        diagnosis.ok(what, "there are none")
        return
    complaints: list[str] = []
    runs = gatherers(path, complaints.append)
    shown = quoted(path)
    for complaint in complaints:
        diagnosis.warn(what, f"{complaint}, and is not run", f"chown -R root {shown}; chmod -R go-w {shown}")
    idle = [] if complaints else _not_executable(path)
    for file in idle:
        diagnosis.warn(what, f"{file} cannot be executed, so it is not run", f"chmod u+x {quoted(file)}")
    if not complaints and not idle:
        diagnosis.ok(what, f"{path} has {some(len(runs), 'program')}")


def _not_executable(directory: Path) -> list[Path]:
    files = [file for file in sorted(directory.iterdir()) if not file.name.startswith(".") and file.is_file()]
    return [file for file in files if not file.stat().st_mode & stat.S_IXUSR]


def _state(diagnosis: Diagnosis, directory: Path) -> None:
    def writable() -> str:
        require_state_dir(directory)
        return stored_uuid(directory) or ""

    cure = f"mend or remove {quoted(directory / 'uuid')}; the directory must be the agent's to write"
    uuid = diagnosis.tries("agent.state_dir", writable, cure)
    if uuid is not None:
        kept = (
            f"has this node's UUID, {uuid}" if uuid else "can be written; a UUID is made at the first start"
        )
        diagnosis.ok("agent.state_dir", f"{directory} {kept}")
