"""The facts that every node has: what kernel, /etc/os-release, clock and state directory say."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import stat
import sys
import time
import uuid
from functools import cache
from pathlib import Path

from conf.addresses import is_host_name
from conf.kinds import brief
from errors import CwError
from mesh.words import QuotingError, shown, split_shell

FILE_LIMIT = 65_536
"""Bytes read of a file that describes the host."""

_OS_RELEASE = (Path("/etc/os-release"), Path("/usr/lib/os-release"))  # os-release(5), in this order
_HOST_ID = Path("/etc/hostid")

_TIMES = {
    "time.year": "%Y",
    "time.month": "%m",
    "time.day": "%d",
    "time.hour": "%H",
    "time.minute": "%M",
    "time.second": "%S",
    "time.weekday": "%u",
    "time.week": "%V",
    "time.yearday": "%j",
    "time.zone": "%Z",
    "time.offset": "%z",
}
"""Local time, digits as in ISO 8601: Monday is 1."""


class NodeError(CwError):
    """This host does not say who it is."""


def builtin(fqdn: str, node: str, version: str) -> dict[str, str]:
    """The built-in facts of the node called `fqdn`, whose UUID is `node`, if it is known (mesh.md "Facts").

    But for `sys.hostid`, since `host_id` may have to wait for a name server, and for `times`, which change.
    """
    host = os.uname()
    hostname, _, domain = fqdn.partition(".")
    return {
        "cw.version": version,
        "sys.fqdn": fqdn,
        "sys.hostname": hostname,
        "sys.domain": domain,
        "sys.platform": host.sysname,
        "sys.arch": host.machine,
        **({"sys.uuid": node} if node else {}),
        **kernel(host.release),
        **distribution(_os_release()),
    }


def times(seconds: float) -> dict[str, str]:
    """The built-in facts about a moment, in seconds since the epoch; they change once a second."""
    local = time.localtime(seconds)
    return {name: time.strftime(form, local) for name, form in _TIMES.items()}


def kernel(release: str) -> dict[str, str]:
    """`6.1.0-18-amd64` is major 6.1 and minor 6.1.0; what a release does not say is missing."""
    facts = {"sys.kernel.version": release}
    numbers = re.match(r"\d+\.\d+(\.\d+)?", release)
    if numbers:
        facts["sys.kernel.major"] = ".".join(numbers[0].split(".")[:2])
        facts["sys.kernel.minor"] = numbers[0]
    return facts


def distribution(os_release: str) -> dict[str, str]:
    """`lsb.distro.*` as lsb_release(1) derives them from os-release(5); what that lacks is missing."""
    fields = {}
    for line in os_release.splitlines():
        name, _, value = line.strip().partition("=")
        with contextlib.suppress(QuotingError):
            fields[name] = " ".join(split_shell(value))
    short, name = fields.get("ID", ""), fields.get("NAME", "")
    facts = {
        "lsb.distro.id": name if name.lower() == short.lower() else short[:1].upper() + short[1:],
        "lsb.distro.release": fields.get("VERSION_ID", ""),
        "lsb.distro.codename": fields.get("VERSION_CODENAME", ""),
        "lsb.distro.description": fields.get("PRETTY_NAME", ""),
    }
    return {fact: value for fact, value in facts.items() if value}


@cache
def host_id() -> str:
    """What hostid(1) prints: eight hex digits from /etc/hostid, else from the address of the host's name."""
    with contextlib.suppress(OSError):
        stored = _read(_HOST_ID)[:4]
        if len(stored) == 4:
            return f"{int.from_bytes(stored, sys.byteorder):08x}"
    try:
        address = socket.inet_aton(socket.gethostbyname(socket.gethostname()))
    except (OSError, UnicodeError):
        return "00000000"
    number = int.from_bytes(address, sys.byteorder)
    return f"{(number << 16 | number >> 16) & 0xFFFFFFFF:08x}"


def host_fqdn() -> str:
    """The name of this host, with its domain where it has one. Raises NodeError if that is no host name."""
    own = socket.gethostname()
    full = socket.getfqdn(own).lower()
    name = own.lower() if full.startswith("localhost") else full
    if not is_host_name(name):
        raise NodeError(f"the host's name is no host name: {shown(name)}; set agent.fqdn")
    return name


def node_uuid(state_dir: Path) -> str:
    """The UUID in `state_dir`/uuid, made the first time and kept. Raises NodeError, which names the file."""
    known = stored_uuid(state_dir)
    if known is None:
        require_state_dir(state_dir)
        path = state_dir / "uuid"
        try:
            _make_uuid(path)
            known = _uuid_in(path)
        except OSError as error:
            raise _unusable(error.filename or path, error) from error
    return known


def require_state_dir(state_dir: Path) -> None:
    """Raises NodeError if nothing could be kept in that directory, made if need be; makes nothing."""
    place = state_dir.absolute()
    try:
        while not os.path.lexists(place):
            place = place.parent
        if not stat.S_ISDIR(os.stat(place).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(place, os.W_OK | os.X_OK, effective_ids=True):
            read_only = os.statvfs(place).f_flag & os.ST_RDONLY
            code = errno.EROFS if read_only else errno.EACCES
            raise OSError(code, os.strerror(code))
    except OSError as error:
        raise _unusable(place, error) from error


def stored_uuid(state_dir: Path) -> str | None:
    """The UUID in `state_dir`/uuid; None if it was not made yet. Raises NodeError, which names the file."""
    path = state_dir / "uuid"
    try:
        return _uuid_in(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from error


def _uuid_in(path: Path) -> str:
    text = _read(path).decode("ascii", "replace").strip()
    try:
        known = uuid.UUID(text)
    except ValueError:
        known = None
    if known is None or str(known) != text:
        raise NodeError(f"{path}: expected a UUID in lower case, got: {shown(text)}")
    return text


def _unusable(path: Path, error: OSError) -> NodeError:
    return NodeError(f"{brief(path)}: {error.strerror} (agent.state_dir names it)")


def _make_uuid(path: Path) -> None:
    """Written whole beside `path`, then linked to it: of two at once one wins, and both read that one's."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    fresh = uuid.uuid4()
    draft = path.with_name(f".uuid.{fresh}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(f"{fresh}\n")
            file.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _os_release() -> str:
    for path in _OS_RELEASE:
        with contextlib.suppress(OSError):
            return _read(path).decode("utf-8", "replace")
    return ""


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(FILE_LIMIT)
