"""Checks of the way to a broker: its name, a connection, and the handshake with its key."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from auth.keys import public_path
from auth.trust import Trust
from conf.addresses import WILDCARDS, Address, dialled, listening
from conf.schema import MeshdConf
from net.channel import ChannelError, Late, NotABroker, Unreachable, dial
from net.serve import ListenError, resolved
from roles.doctor.diagnosis import Diagnosis
from roles.doctor.files import quoted

PATIENCE = 10.0
"""Seconds that a broker may take to answer; an agent waits as long."""

_ADDRESSES = "ip address shows those of this host"


class BrokerHere(NamedTuple):
    """A broker whose files are at hand; None is what could not be read."""

    file: Path
    conf: MeshdConf
    key: bytes | None
    """Its public key."""
    agents: Trust | None
    users: Trust | None

    @property
    def start(self) -> str:
        """The command that starts it."""
        return f"cw meshd -c {quoted(self.file)}"


class Way(NamedTuple):
    """A broker as a role is told of it: HOST:PORT, its key, and the `section.key` that names this."""

    address: str
    key: bytes
    named: str


def numbers_of(diagnosis: Diagnosis, address: str) -> list[str]:
    """The addresses of a broker's name; none, once it is told that there are none."""
    host, port = dialled(address)
    try:
        found = socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
    except OSError as error:
        cure = f"see what getent hosts {host} says, and /etc/hosts, /etc/resolv.conf"
        diagnosis.fail("name", f"{host} is not found: {error.strerror}", cure)
        return []
    numbers = list(dict.fromkeys(str(name[0]) for *_, name in found))
    if numbers != [host]:
        diagnosis.ok("name", f"{host} is {', '.join(numbers)}")
    return numbers


def among(brokers: Sequence[BrokerHere], numbers: Sequence[str], port: int) -> BrokerHere | None:
    """Which of the brokers at hand takes connections there, if any does."""
    local = {number for number in numbers if _is_ours(number)}
    for broker in brokers:
        for text in broker.conf.broker.listen:
            host, its_port = listening(text)
            if its_port == port and local and (host in WILDCARDS or local & _numbers(host, port)):
                return broker
    return None


def same_key(diagnosis: Diagnosis, way: Way, broker: BrokerHere) -> None:
    """Whether the key is that of the broker at hand."""
    if broker.key is None:
        return
    path = public_path(broker.conf.broker.key)
    if way.key == broker.key:
        diagnosis.ok(way.named, f"is the key in {path}")
    else:
        wrong = f"{way.key.hex()} is not the key of the broker here, {path}"
        diagnosis.fail(way.named, wrong, f'set {way.named} = "{broker.key.hex()}"')


def reached(diagnosis: Diagnosis, way: Way, broker: BrokerHere | None) -> bool:
    """Whether a broker with that key answers; `broker` is the one at hand that should."""
    start = broker.start if broker else "cw meshd, on its host"
    try:
        with dial(way.address, way.key, PATIENCE):
            diagnosis.ok("connection", f"{way.address} takes connections")
            diagnosis.ok("handshake", f"{way.address} is a broker with the key of {way.named}")
            return True
    except Unreachable as error:
        diagnosis.fail("connection", str(error), _way_there(error, start, dialled(way.address).port))
    except ChannelError as error:
        diagnosis.ok("connection", f"{way.address} takes connections")
        diagnosis.fail("handshake", f"{way.address} {_stranger(error, way.named)}", _whose(way, broker))
    return False


def door(diagnosis: Diagnosis, text: str, key: bytes | None) -> None:
    """An address to listen on: free, or held by the broker of that key, which is None if it is not known."""
    what = "broker.listen"
    held = taken(diagnosis, what, text)
    if held is None or key is None:
        return
    try:
        with dial(held, key, PATIENCE):
            diagnosis.ok(what, f"{text} is held by this broker, which runs")
    except ChannelError as error:
        found = f"{text} is held by something that {_stranger(error, 'broker.key')}"
        diagnosis.fail(what, found, who_holds(held))


def taken(diagnosis: Diagnosis, what: str, text: str) -> str | None:
    """How to reach who holds an address to listen on; None once it is told that it is free, or that it cannot
    be listened on. It is bound for a moment, and no more.
    """
    host, port = listening(text)
    places = diagnosis.tries(
        what, lambda: resolved(host, port, what), f"set {what} to an address of this host"
    )
    if places is None:
        return None
    try:
        for family, address in places or [(socket.AF_INET, ("", port))]:
            with closing(socket.socket(family, socket.SOCK_STREAM)) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return str(Address(WILDCARDS.get(host, host), port))
        cure = "run it as root, or on a port from 1024" if error.errno == errno.EACCES else _ADDRESSES
        diagnosis.fail(what, f"cannot listen on {text}: {os.strerror(error.errno or 0)}", cure)
    else:
        diagnosis.ok(what, f"{text} is free: nothing listens there now")
    return None


def who_holds(address: str) -> str:
    """The command that tells."""
    return f"see what it is: ss -ltnp 'sport = :{dialled(address).port}'"


def _stranger(error: ChannelError, named: str) -> str:
    """What something is that takes connections, and is not the broker of a key."""
    match error:
        case NotABroker():
            return "answers in another protocol, so it is no broker"
        case Unreachable():
            return "takes no connections"
        case Late():
            return f"says nothing for {PATIENCE:g} seconds, so it is no broker, or one that hangs"
    return f"hangs up in the handshake: its key is not that of {named}, or it is no broker"


def _whose(way: Way, broker: BrokerHere | None) -> str:
    if broker is not None:
        return who_holds(way.address)
    return f"compare {way.named}, {way.key.hex()}, with the broker's broker.key.pub; on its host: cw doctor"


def _way_there(error: Unreachable, start: str, port: int) -> str:
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
        return f"start the broker: {start}"
    return f"see that the host is up, and that nothing on the way stops TCP to port {port}"


def _is_ours(number: str) -> bool:
    """Whether an address is one of this host's."""
    family = socket.AF_INET6 if ":" in number else socket.AF_INET
    try:
        with closing(socket.socket(family, socket.SOCK_DGRAM)) as sock:
            sock.bind((number, 0))
    except OSError:
        return False
    return True


def _numbers(host: str, port: int) -> set[str]:
    try:
        return {address[0] for _, address in resolved(host, port)}
    except ListenError:
        return set()
