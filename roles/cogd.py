"""`cw cogd`: the agent. Reads its configuration, sees that it has a key and a name, and lives on one node."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from auth.keys import ENCRYPTION, broker_key, read_secret, write_pair
from conf.document import insist_on_some
from conf.load import load, show
from conf.schema import CogdConf
from conf.watched import Watched
from host.itself import archive
from mesh import acl
from net import spawner
from net.builtin import host_fqdn, node_uuid, require_state_dir, stored_uuid
from roles import workplace
from roles.arguments import Parser, of_daemon
from roles.audit import Audit
from roles.identity import Identity
from roles.log import Log
from wire.noise import KeyPair

EXAMPLES = """\
  cw cogd -c site/cogd.toml
  cw cogd --test                              check configuration, keys and permissions
  cw cogd --set 'agent.brokers=["broker.example.com:2315"]' --show-config
"""


def main(argv: Sequence[str]) -> int:
    """Run the agent until SIGTERM or SIGINT; exit status 0 once what ran has ended."""
    options = parser().parse_args(argv)
    conf = load(CogdConf, options.config, options.set)
    if options.show_config:
        print(show(conf), end="")
        return 0
    if options.config is None:
        insist_on_some([str(CogdConf.FILE)], conf.origins["agent.broker_key"], conf.agent.broker_key)
    log = Log("cogd", conf.log.level, conf.log.format)
    if options.test:
        check(conf, log)
        print("cogd: configuration, keys and permissions are good")
        return 0
    ours = archive()
    # Its children import what they need from there: for the few that do, an idle agent carries nothing.
    hands = spawner.start(workplace.work, () if ours is None else (ours,))
    try:
        live(conf, log, hands)
    finally:
        hands.close()
    return 0


def parser() -> Parser:
    """The command line."""
    summary = "The agent of a node: authorises, filters and runs commands, answers."
    return of_daemon("cogd", summary, EXAMPLES, CogdConf)


def first_rules(conf: CogdConf, log: Log) -> Watched[tuple[acl.Rule, ...]]:
    """The access rules; none, if there is no such file yet. Raises CwError for a file that cannot be used."""
    rules: Watched[tuple[acl.Rule, ...]] = Watched(conf.acl.file, acl.parse, (), "acl.file")
    if rules.path is None or os.path.exists(rules.path):
        rules.refresh()
    if not rules.value:
        log.warning(f"no access rules ({rules.path or 'acl.file is empty'}): every command is denied")
    return rules


def check(conf: CogdConf, log: Log) -> None:
    """Find out what would be wrong at the start, and make no key and no UUID. Raises CwError."""
    broker_key(conf.agent.broker_key, Path())
    _ = conf.agent.fqdn or host_fqdn()
    if os.path.exists(conf.agent.key):
        read_secret(conf.agent.key, ENCRYPTION)
    if stored_uuid(conf.agent.state_dir) is None:
        require_state_dir(conf.agent.state_dir)
    first_rules(conf, log)
    Audit(conf.audit.file).close()


def identified(conf: CogdConf, log: Log) -> Identity:
    """Who this agent is; a key and a UUID are made where there are none. Raises CwError."""
    fqdn = conf.agent.fqdn or host_fqdn()
    known = broker_key(conf.agent.broker_key, Path())
    made = not os.path.exists(conf.agent.key)
    if made:
        write_pair(conf.agent.key, ENCRYPTION, fqdn, os.urandom(32))
    key = read_secret(conf.agent.key, ENCRYPTION)
    identity = Identity(fqdn, node_uuid(conf.agent.state_dir), KeyPair(key.secret, key.public), known)
    if made:
        log.info(f"made a key, {conf.agent.key}; to trust it, on the broker: {identity.trust}")
    return identity


def live(conf: CogdConf, log: Log, hands: spawner.Spawner) -> None:
    """Serve until told to stop. All here comes after the fork: the spawner has no key, no file, no Trio."""
    identity = identified(conf, log)
    rules = first_rules(conf, log)
    audit = Audit(conf.audit.file, node=identity.fqdn)
    import trio

    from roles.here import Here
    from roles.node import Life

    life = Life(conf, identity, Here(conf, identity, rules, log), log, audit)
    trio.run(life.run, hands)
