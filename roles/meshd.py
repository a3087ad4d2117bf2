"""`cw meshd`: the broker. Reads its configuration, listens, and reloads or stops when told."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from typing import Any

import trio

from auth import pam
from auth.groups import Groups
from auth.keys import read_secret
from auth.trust import Trust
from auth.trust import parse as parse_trust
from conf.addresses import Address, listening
from conf.document import insist_on_some
from conf.dropped import Dropped
from conf.load import load, show
from conf.schema import MeshdConf
from conf.watched import Watched
from errors import CwError
from mesh import acl
from mesh.site import Site, checked
from net import spawner
from net.serve import Door, accept, listen, resolved
from roles.arguments import Parser, of_daemon
from roles.audit import Audit, reopen
from roles.authority import Authority
from roles.broker import Broker
from roles.log import Log
from roles.systemd import notify
from roles.vitals import Phase, Vitals
from wire.noise import KeyPair

LOOK = 1.0
"""Seconds between two looks at files that may have changed."""
METRICS = "metrics.listen"
DRAIN = 30.0
"""Seconds that requests on the wire have to end in after SIGTERM."""

EXAMPLES = """\
  cw meshd -c site/meshd.toml
  cw meshd --test                             check configuration, keys and permissions
  cw meshd --status                           how the broker is that runs, if it has metrics.listen
  cw meshd --set 'broker.listen=["*:2315"]' --show-config
"""


class NobodyCanAsk(CwError):
    """No user could authenticate: set auth.pam_service, auth.trusted, or both."""


class Files:
    """The files that are read again when they change; a new text that does not parse leaves the last good
    one in force.
    """

    def __init__(self, conf: MeshdConf) -> None:
        self.users: Watched[Trust] = Watched(conf.auth.trusted, parse_trust, Trust(), "auth.trusted")
        self.agents: Watched[Trust] = Watched(conf.auth.agents, parse_trust, Trust(), "auth.agents")
        self.rules: Watched[tuple[acl.Rule, ...]] = Watched(conf.acl.file, acl.parse, (), "acl.file")
        self.commands: Dropped[Site] = Dropped(
            conf.broker.commands, (".pn", ".toml"), checked, Site(), "broker.commands"
        )
        self._at_commands = trio.Lock()
        self._complaints: dict[int, str] = {}

    def _small(self) -> Iterator[Watched[Any]]:
        yield from (self.users, self.agents, self.rules)

    def read(self) -> None:
        """Read all of them for the first time. Raises the error of the first that cannot be used."""
        for watched in self._small():
            watched.refresh()
        self.commands.refresh()

    def refresh(self, log: Log) -> bool:
        """Whether anything is new, the commands aside; the same complaint is logged once."""
        changed = [self._refresh(watched, log) for watched in self._small()]
        return any(changed)

    async def refresh_commands(self, log: Log) -> None:
        """The same of the site's commands: in a thread, since assembling all of them takes up to seconds, for
        which a broker that is to stop does not wait.
        """
        if self.commands.path is None:
            return
        async with self._at_commands:
            try:
                await trio.to_thread.run_sync(self._refresh, self.commands, log, abandon_on_cancel=True)
            except RuntimeError as error:  # the host has no thread left (threading.Thread.start)
                self._complain(self.commands, f"{self.commands.path} could not be looked at: {error}", log)

    def _refresh(self, watched: Watched[Any] | Dropped[Any], log: Log) -> bool:
        changed = False
        try:
            if changed := watched.refresh():
                log.info(f"{watched.path} was read again")
            self._complaints.pop(id(watched), None)
        except CwError as error:
            self._complain(watched, str(error), log)
        return changed

    def _complain(self, watched: Watched[Any] | Dropped[Any], sentence: str, log: Log) -> None:
        if self._complaints.get(id(watched)) != sentence:
            self._complaints[id(watched)] = sentence
            log.error(f"{sentence}; the last good one stays in force")


def main(argv: Sequence[str]) -> int:
    """Run the broker until SIGTERM or SIGINT; exit status 0 after a drain."""
    options = parser().parse_args(argv)
    conf = load(MeshdConf, options.config, options.set)
    if options.show_config:
        print(show(conf), end="")
        return 0
    if options.config is None:
        insist_on_some([str(MeshdConf.FILE)], conf.origins["broker.key"], conf.broker.key)
    if options.status:
        from roles.status import status

        return status(conf)
    log = Log("meshd", conf.log.level, conf.log.format)
    files = Files(conf)
    key = prepared(conf, files, log)
    if options.test:
        for text in conf.broker.listen:
            resolved(*listening(text))
        if conf.metrics.listen:
            resolved(*listening(conf.metrics.listen), METRICS)
        print("meshd: configuration, keys and permissions are good")
        return 0
    set_limits()
    service = conf.auth.pam_service
    hands = spawner.start(partial(pam.answer, service)) if service else None
    trio.run(serve, conf, key, files, hands, log)
    return 0


def parser() -> Parser:
    """The command line."""
    summary = "The broker: authenticates users, broadcasts their commands, relays the answers."
    words = of_daemon("meshd", summary, EXAMPLES, MeshdConf)
    words.add_argument(
        "--status", action="store_true", help="ask the running broker's metrics.listen how it is"
    )
    return words


def prepared(conf: MeshdConf, files: Files, log: Log) -> KeyPair:
    """Everything that can be wrong before the broker listens, found out: the key, the files, PAM. Raises
    CwError; what may be wrong is logged.
    """
    if not conf.auth.pam_service and conf.auth.trusted is None:
        raise NobodyCanAsk
    key = read_secret(conf.broker.key, "encryption")
    files.read()
    if conf.auth.pam_service:
        pam.require(conf.auth.pam_service)
        if doubt := pam.doubt():
            log.warning(doubt)
    Audit(conf.audit.file).close()
    return KeyPair(key.secret, key.public)


def set_limits() -> None:
    """As many descriptors as this process may have: each session is one. And no core dumps, of its children
    neither: keys and passwords would be in them.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def fit(door: Door, log: Log) -> None:
    """Say how many descriptors there are, and leave half of them to sessions, however many strangers are at
    the door.
    """
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    log.info(f"{descriptors} descriptors at most (ulimit -n), one a session")
    room = max(1, descriptors // 2)
    if door.capacity > room:
        log.warning(
            f"limits.unauthenticated is {door.capacity}, too many for {descriptors} descriptors: "
            f"{room} connections may wait at the door"
        )
        door.capacity = room


async def serve(conf: MeshdConf, key: KeyPair, files: Files, hands: spawner.Spawner | None, log: Log) -> None:
    """The broker's life, from listening to the end of the drain."""
    audit = Audit(conf.audit.file)
    groups = Groups(conf.auth.groups_ttl, trio.current_time)

    def look() -> None:
        """Read again what has changed, and end what is no longer trusted."""
        if files.refresh(log):
            broker.revoke()

    authenticator = pam.Pam(hands) if hands else None
    authority = Authority(
        files.users, files.rules, files.commands, groups, authenticator, trio.current_time, look
    )
    broker = Broker(conf, key, files.agents, files.users, authority, os.urandom, look, log, audit)
    vitals = Vitals()
    listeners = [sock for text in conf.broker.listen for sock in listen(*listening(text))]
    readers = listen(*listening(conf.metrics.listen), METRICS) if conf.metrics.listen else []
    fit(broker.door, log)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async with trio.open_nursery() as sessions:
            sessions.start_soon(broker.run)
            sessions.start_soon(look_for_changes, look, files, log)
            if hands:
                sessions.start_soon(mourn, hands, log)
            if readers:
                serve_metrics(readers, broker, vitals, sessions, log)
            async with trio.open_nursery() as doors:
                for listener in listeners:
                    doors.start_soon(accept, listener, broker.door, broker.welcome, sessions, log.warning)
                    log.info(f"listening on {Address(*listener.getsockname()[:2])}")
                notify("READY=1")
                vitals.phase = Phase.READY
                async for number in signals:
                    if number != signal.SIGHUP:
                        break
                    groups.clear()
                    reopen(audit, log)
                    look()
                    sessions.start_soon(files.refresh_commands, log)
                vitals.phase = Phase.DRAINING
                doors.cancel_scope.cancel()
            for listener in listeners:
                listener.close()
            notify("STOPPING=1")
            log.info("stopping: open requests are answered first")
            sessions.start_soon(stop_at_once, signals, sessions.cancel_scope)
            with trio.move_on_after(DRAIN):
                await broker.drain()
            sessions.cancel_scope.cancel()
    for reader in readers:
        reader.close()
    log.info("stopped")


def serve_metrics(
    listeners: Sequence[socket.socket], broker: Broker, vitals: Vitals, nursery: trio.Nursery, log: Log
) -> None:
    """Answer who reads figures, until the nursery ends."""
    from ipaddress import ip_address

    from net.http import CONNECTIONS, Web
    from roles.metrics import pages

    door = Door(CONNECTIONS, "read metrics")
    web = Web(pages(broker.measured, vitals))
    for listener in listeners:
        nursery.start_soon(accept, listener, door, web.welcome, nursery, log.warning)
        address = Address(*listener.getsockname()[:2])
        log.info(f"metrics on http://{address}/metrics")
        if not ip_address(address.host.partition("%")[0]).is_loopback:
            log.warning(f"whoever can reach {address} can read metrics, and nothing asks who ({METRICS})")


async def stop_at_once(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    """The second SIGTERM or SIGINT waits for nobody."""
    async for number in signals:
        if number != signal.SIGHUP:
            scope.cancel()


async def mourn(hands: spawner.Spawner, log: Log) -> None:
    """Say it when there is nobody left to ask about passwords; keys go on being accepted."""
    async for _ in hands.ends():
        pass
    log.error("the process that checks passwords died: none is accepted until this broker is started again")


async def look_for_changes(look: Callable[[], None], files: Files, log: Log) -> None:
    """Notice changed files without being told: a revoked key at once, however long commands are assembled."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_look_for_commands, files, log)
        while True:
            await trio.sleep(LOOK)
            look()


async def _look_for_commands(files: Files, log: Log) -> None:
    while True:
        await trio.sleep(LOOK)
        await files.refresh_commands(log)
