"""Checks of files that every role has: keys and their owners, and where audit logs are written."""

from __future__ import annotations

import os
import pwd
import shlex
import stat
import time
from collections.abc import Iterable
from pathlib import Path

from auth.keys import KeyFile, KeyFileError, public_path, read_public, read_secret
from conf.guarded import insist_on_writers
from host.clock import synchronised
from roles.audit import place_of, timestamp
from roles.doctor.diagnosis import Diagnosis, some

ROOM = 1 << 20
"""Bytes that must be left where an audit log is written."""

SLACK = 60.0
"""Seconds by which clocks of hosts that share files may differ."""

_ROOT = 0


def key_pair(diagnosis: Diagnosis, what: str, path: Path, kind: str, missing: str) -> KeyFile | None:
    """The key in a file that nobody else can read or replace, and whose .pub is of the same; `missing` makes
    it.
    """
    again = f"put the right file there, or move it away and: {missing}"
    key = diagnosis.tries(what, lambda: _guarded(path, kind), again, missing)
    if key is None:
        return None
    public = public_path(path)
    from_it = f"grep -v '^sec ' {quoted(path)} > {quoted(public)}"
    try:
        same = read_public(public)[:] == key[:3]
    except KeyFileError as error:
        told = diagnosis.warn if isinstance(error.__cause__, FileNotFoundError) else diagnosis.fail
        told(what, str(error), from_it)
        return key
    if same:
        diagnosis.ok(what, f"{path} and its .pub are a pair")
    else:
        diagnosis.fail(what, f"{public} is of another key than {path}", from_it)
    return key


def _guarded(path: Path, kind: str) -> KeyFile:
    key = read_secret(path, kind)
    insist_on_writers(path, os.stat(path))
    return key


def making(holder: str, name: str, path: Path) -> str:
    """The command that makes the key of a user, an agent or a broker."""
    return shlex.join(["cw", "cert", "-t", holder, "-i", name, "-f", str(path)])


def owners(diagnosis: Diagnosis, paths: Iterable[Path | None]) -> None:
    """What a daemon obeys belongs to root or to the user who asks."""
    there = [path for path in paths if path is not None and os.path.exists(path)]
    strange = [
        (path, owner) for path in there if (owner := os.stat(path).st_uid) not in (_ROOT, os.geteuid())
    ]
    for path, owner in strange:
        diagnosis.warn(
            "owners",
            f"{path} belongs to {_name_of(owner)}",
            f"chown root {quoted(path)}, unless the daemon runs as that user",
        )
    if not strange:
        diagnosis.ok("owners", f"{some(len(there), 'file')}, all root's or this user's")


def audit_place(diagnosis: Diagnosis, path: Path | None) -> None:
    """Whether the audit log can be opened and has room; makes nothing."""
    if path is None:
        diagnosis.ok("audit.file", "no audit log is kept")
        return
    writable = f"a directory that the daemon can write: mkdir -p {quoted(path.parent)}"
    place = diagnosis.tries("audit.file", lambda: place_of(path), writable)
    if place is None:
        return
    if _full(place):
        full = f"{place} is on a full disk, and what cannot be noted is not done"
        diagnosis.fail("audit.file", full, f"make room: df -h {quoted(place)}")
    else:
        diagnosis.ok("audit.file", f"{path} can be written")


def _full(place: Path) -> bool:
    disk, mode = os.statvfs(place), os.stat(place).st_mode
    return (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and disk.f_bavail * disk.f_frsize < ROOM


def clock(diagnosis: Diagnosis, paths: Iterable[Path | None]) -> None:
    """Whether it is right, as far as can be told here: no command fails by a wrong one, but logs lie."""
    now = time.time()
    there = [path for path in paths if path is not None and os.path.exists(path)]
    later = [path for path in there if os.stat(path).st_mtime > now + SLACK]
    cure = "set the clock: timedatectl set-ntp true"
    if later:
        diagnosis.warn("clock", f"it is {timestamp(now)}, and {later[0]} was changed after that", cure)
    elif synchronised() is False:
        diagnosis.warn("clock", f"it is {timestamp(now)}, but nothing keeps it right", cure)
    else:
        diagnosis.ok("clock", f"it is {timestamp(now)}")


def quoted(path: Path) -> str:
    """A path in a command to type."""
    return shlex.quote(str(path))


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"uid {user}"
