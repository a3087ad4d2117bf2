"""What a user needs to ask, looked at, and a real question asked: ping."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from auth.keys import SIGNING, KeyFile, broker_key
from auth.signing import sign
from conf.addresses import dialled
from conf.client import FILE, OWN_FILE, ClientConf, load
from errors import CwError
from mesh.hearing import Hearing
from mesh.messages import VERSION, KeyAuth, Pong, Request, encode
from mesh.printing import UNSPECIFIC, Tally, summary
from net.channel import dial
from roles.credentials import user_name
from roles.doctor.diagnosis import Diagnosis, some
from roles.doctor.files import key_pair, making, owners
from roles.doctor.wire import PATIENCE, BrokerHere, Way, among, numbers_of, reached, same_key
from roles.options import Asked
from roles.site import added

BROKER_KEY = "mesh.broker_key"
GRACE = 2.0
"""Seconds beyond the nodes' time in which the broker must say how it ended."""


def look(diagnosis: Diagnosis, path: Path | None, brokers: Sequence[BrokerHere]) -> None:
    """All of it; `path` None is the usual files, `brokers` those whose files are at hand."""
    conf = diagnosis.tries("configuration", lambda: load(path), "conf/cw.toml is a sample with every key")
    if conf is None:
        return
    files = [path] if path else [FILE, Path(os.path.expanduser(OWN_FILE))]
    there = [str(file) for file in files if os.path.exists(file)]
    diagnosis.ok("configuration", f"{' and '.join(there)} can be used")
    owners(diagnosis, files)
    user = diagnosis.tries(
        "mesh.username", lambda: user_name(None, conf.username), 'set mesh.username = "NAME"'
    )
    key = _key(diagnosis, conf, user or "NAME")
    asked_with = Asked(config=str(path) if path else None)
    cure = "mend that file, or take it out of the directory"
    commands = diagnosis.tries("mesh.commands", lambda: added(asked_with), cure)
    if commands:
        diagnosis.ok("mesh.commands", f"{conf.commands} adds {some(len(commands), 'command')}")
    cure = f"copy the broker's broker.key.pub to this host, and set {BROKER_KEY} to its path"
    known = diagnosis.tries(BROKER_KEY, lambda: broker_key(conf.broker_key, Path.cwd()), cure)
    if known is None:
        return
    way = Way(conf.broker, known, BROKER_KEY)
    numbers = numbers_of(diagnosis, conf.broker)
    if not numbers:
        return
    here = among(brokers, numbers, dialled(conf.broker).port)
    if here is not None:
        same_key(diagnosis, way, here)
    if reached(diagnosis, way, here) and user is not None and key is not None:
        _ping(diagnosis, way, user, key, here)


def _key(diagnosis: Diagnosis, conf: ClientConf, user: str) -> KeyFile | None:
    path = conf.key
    if path is not None and os.path.lexists(path):
        return key_pair(diagnosis, "mesh.key", path, SIGNING, making("user", user, path))
    why = "there is none" if path is None else f"{path} is not there"
    cure = f"{making('user', user, path)}, or " if path else ""
    untried = f"{why}, so that a password is asked for: whether it is right, and who answers, is not tried"
    diagnosis.warn("mesh.key", untried, f"{cure}cw ping tells")
    return None


def _ping(diagnosis: Diagnosis, way: Way, user: str, key: KeyFile, here: BrokerHere | None) -> None:
    try:
        tally = asked(way, user, key)
    except CwError as error:
        diagnosis.fail("ping", str(error), _why(error, user, key, here))
        return
    found = summary(tally)
    if not tally.closed:
        diagnosis.warn("ping", "no node is connected to the broker", "cw cogd on a node; cw doctor there")
    elif tally.denied and not tally.ok:
        diagnosis.fail("ping", found, f'in the acl file of a node: allow {user} "ping"')
    elif tally.ok + tally.denied + tally.optouts < tally.closed:
        diagnosis.warn("ping", found, "cw ping names those nodes; there: cw doctor")
    else:
        diagnosis.ok("ping", found)


def asked(way: Way, user: str, key: KeyFile) -> Tally:
    """How every node closed that was asked `ping` by the user. Raises what a client's command raises."""
    proof = KeyAuth(key.public.hex(), os.urandom(32), b"")
    request = Request(
        version=VERSION,
        user=user,
        auth=proof,
        words=("ping",),
        filters=(),
        mode="run",
        targets=None,
        timeout=round(PATIENCE * 1000),
        run_time=0,
        optouts=False,
    )
    hearing = Hearing()
    with dial(way.address, way.key, PATIENCE) as channel:
        channel.send(encode(sign(request, key, channel.hash)), PATIENCE)
        deadline = time.monotonic() + PATIENCE + GRACE
        while not hearing.finished:
            for raw in channel.receive(deadline):
                if isinstance(pong := hearing.hear(raw), Pong):
                    channel.send(encode(pong), PATIENCE)
    return hearing.tally


def _why(error: CwError, user: str, key: KeyFile, here: BrokerHere | None) -> str:
    """How to be heard by a broker that has refused."""
    if str(error) != UNSPECIFIC:
        return "the broker's log says why; on its host: cw doctor"
    public = key.public.hex()
    database = here.conf.auth.trusted if here else None
    names = here.users.names_of(public) if here and here.users else ()
    if names and user not in names:
        return f'the key is listed for {names[0]}: set mesh.username = "{names[0]}"'
    trust = shlex.join(["cw", "trust", "-d", str(database or "trusted"), f"{public}={user}"])
    return trust if database else f"on the broker's host: {trust}"
