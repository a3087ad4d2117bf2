"""What a broker needs to serve, looked at without serving."""

from __future__ import annotations

import resource
import shlex
from functools import partial
from pathlib import Path

from auth import pam, services
from auth.groups import GroupsError, lookup
from auth.keys import ENCRYPTION
from auth.trust import Trust
from conf.addresses import dialled
from conf.load import load
from conf.schema import MeshdConf
from conf.watched import Watched
from mesh import acl
from net.serve import SPARE
from roles.doctor.diagnosis import Diagnosis, some
from roles.doctor.files import audit_place, key_pair, making, owners, quoted
from roles.doctor.wire import BrokerHere, door, taken, who_holds
from roles.meshd import METRICS, Files
from roles.status import Unanswered, fetched

FEW = 100
"""Users that are looked up at most: each may be a question to a server."""
NAMED = 3
"""Of those that this host does not know, how many are named."""


def look(diagnosis: Diagnosis, path: Path) -> BrokerHere | None:
    """All of it; what others are told of the broker, if its configuration can be read."""
    load_it = partial(load, MeshdConf, path)
    conf = diagnosis.tries("configuration", load_it, "conf/meshd.toml is a sample with every key")
    if conf is None:
        return None
    diagnosis.ok("configuration", f"{path} can be used")
    files = Files(conf)
    auth = conf.auth
    making_it = making("broker", "NAME", conf.broker.key)
    key = key_pair(diagnosis, "broker.key", conf.broker.key, ENCRYPTION, making_it)
    owners(diagnosis, (path, conf.broker.key, auth.trusted, auth.agents, conf.acl.file))
    users = _database(diagnosis, "auth.trusted", files.users)
    agents = _database(diagnosis, "auth.agents", files.agents)
    _who_can_ask(diagnosis, conf, users)
    _who_can_join(diagnosis, conf, agents)
    _rules(diagnosis, files.rules)
    _commands(diagnosis, files)
    _passwords(diagnosis, auth.pam_service)
    for text in conf.broker.listen:
        door(diagnosis, text, key and key.public)
    _metrics(diagnosis, conf)
    _descriptors(diagnosis, conf, agents)
    audit_place(diagnosis, conf.audit.file)
    return BrokerHere(path, conf, key and key.public, agents, users)


def _database(diagnosis: Diagnosis, what: str, watched: Watched[Trust]) -> Trust | None:
    if watched.path is None:
        return None
    database = quoted(watched.path)
    missing = f"cw trust -d {database} KEY.pub"
    if diagnosis.tries(what, watched.refresh, f"mend that line of {database}", missing) is None:
        return None
    diagnosis.ok(what, f"{watched.path} has {some(len(watched.value), 'key')}")
    return watched.value


def _who_can_ask(diagnosis: Diagnosis, conf: MeshdConf, users: Trust | None) -> None:
    trusted, keys_alone = conf.auth.trusted, not conf.auth.pam_service
    if keys_alone and trusted is None:
        diagnosis.fail("users", "nobody can ask", 'set auth.trusted = "trusted", or auth.pam_service')
    elif keys_alone and trusted is not None and users is not None and not len(users):
        nobody = f"nobody can ask: passwords are off, and {trusted} has no key"
        diagnosis.fail("users", nobody, f"cw trust -d {quoted(trusted)} KEY.pub")
    unknown = [name for name in (users or Trust()).names[:FEW] if not _knows(name)]
    if unknown:
        names = ", ".join(unknown[:NAMED]) + ", …" * (len(unknown) > NAMED)
        refused = f"this host does not know {names}, so their requests are refused"
        diagnosis.warn("users", refused, shlex.join(["useradd", unknown[0]]))


def _knows(user: str) -> bool:
    try:
        lookup(user)
    except GroupsError:
        return False
    return True


def _who_can_join(diagnosis: Diagnosis, conf: MeshdConf, agents: Trust | None) -> None:
    database = conf.auth.agents
    if conf.auth.agent_trust == "any":
        unproven = "any agent may join, under any name"
        diagnosis.warn("agents", unproven, 'auth.agent_trust = "listed", and cw trust')
    elif database is None:
        diagnosis.fail(
            "agents", "no agent can join: there is no trust database", 'set auth.agents = "agents"'
        )
    elif agents is not None and not len(agents):
        cure = f"cw trust -d {quoted(database)} HEX=FQDN, as the broker's log says of each that tries"
        diagnosis.warn("agents", f"no agent can join: {database} has no key", cure)


def _rules(diagnosis: Diagnosis, rules: Watched[tuple[acl.Rule, ...]]) -> None:
    if rules.path is None:
        return
    file = quoted(rules.path)
    if diagnosis.tries("acl.file", rules.refresh, f"mend that line of {file}", f"touch {file}") is not None:
        diagnosis.ok("acl.file", f"{rules.path} has {some(len(rules.value), 'rule')}")


def _commands(diagnosis: Diagnosis, files: Files) -> None:
    directory = files.commands.path
    if directory is None:
        return
    what, cure = "broker.commands", "mend that file, or take it out of the directory"
    if diagnosis.tries(what, files.commands.refresh, cure, f"mkdir {quoted(directory)}") is not None:
        count = sum(verb.is_of_site for verb in files.commands.value.grammar)
        diagnosis.ok(what, f"{directory} adds {some(count, 'command')}")


def _passwords(diagnosis: Diagnosis, service: str) -> None:
    if not service:
        diagnosis.ok("auth.pam_service", "passwords are off")
        return
    cure = f'cp conf/pam.d/clockwork {services.DIRECTORY / service}, or set auth.pam_service = ""'
    file = diagnosis.tries("auth.pam_service", lambda: _required(service), cure)
    if file is None:
        return
    if doubt := pam.doubt():
        diagnosis.warn(
            "auth.pam_service", doubt, "run the broker as root, or in the group of the shadow file"
        )
    else:
        diagnosis.ok("auth.pam_service", f"{file} is there, and {pam.SHADOW} can be read")


def _required(service: str) -> Path:
    """The file of PAM, which can be asked."""
    pam.require(service)
    return services.DIRECTORY / service


def _metrics(diagnosis: Diagnosis, conf: MeshdConf) -> None:
    if not conf.metrics.listen:
        return
    held = taken(diagnosis, METRICS, conf.metrics.listen)
    if held is None:
        return
    try:
        fetched(dialled(held))
        diagnosis.ok(METRICS, f"{conf.metrics.listen} tells figures")
    except Unanswered as error:
        diagnosis.fail(METRICS, str(error), who_holds(held))


def _descriptors(diagnosis: Diagnosis, conf: MeshdConf, agents: Trust | None) -> None:
    """Of this process, which are those of a broker that is started from here."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    strangers, nodes = conf.limits.unauthenticated, len(agents or ())
    needed = 2 * strangers + nodes + SPARE
    found = f"{most} descriptors here (ulimit -Hn), for {some(nodes, 'agent')} and {strangers} strangers"
    if most < needed:
        cure = f"ulimit -n {needed}; conf/systemd/meshd.service sets LimitNOFILE"
        diagnosis.warn("descriptors", found, cure)
    else:
        diagnosis.ok("descriptors", found)
