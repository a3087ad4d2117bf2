"""Users and PAM services of this host, made for a test and gone after it. Needs root."""

import contextlib
import fcntl
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PASSWORD = "right horse, wrong battery: §"
LOCK = Path("/tmp/cw-test-accounts.lock")
TRIES = 4
"""Each waits for the lock itself, for 15 seconds (lckpwdf(3))."""


class Account(NamedTuple):
    name: str
    password: str


@contextlib.contextmanager
def account(*groups: str, expired: bool = False) -> Iterator[Account]:
    """A user with PASSWORD, in a group of its own name and in those given."""
    name = f"cw{uuid.uuid4().hex[:12]}"
    options = ["--groups", ",".join(groups)] if groups else []
    try:
        _run("useradd", "--no-create-home", "--shell", "/usr/sbin/nologin", *options, name)
        _run("chpasswd", text=f"{name}:{PASSWORD}\n")
        if expired:
            _run("chage", "-E", "0", name)
        yield Account(name, PASSWORD)
    finally:
        _run("userdel", "--force", name)  # a process of theirs may not have ended yet


@contextlib.contextmanager
def group() -> Iterator[str]:
    """A group of this host."""
    name = f"cw{uuid.uuid4().hex[:12]}"
    _run("groupadd", name)
    try:
        yield name
    finally:
        _run("groupdel", name)


def join(user: str, group: str) -> None:
    """Make a user a member of one more group."""
    _run("gpasswd", "-a", user, group)


@contextlib.contextmanager
def pam_service(*lines: str) -> Iterator[str]:
    """A service of PAM with these lines; else pam_unix, which is slow over a wrong password."""
    name = f"cw-test-{uuid.uuid4().hex[:12]}"
    path = Path("/etc/pam.d", name)
    path.write_text("\n".join(lines or ("auth required pam_unix.so", "account required pam_unix.so")) + "\n")
    try:
        yield name
    finally:
        path.unlink()


def _run(*words: str, text: str = "") -> None:
    """Run a tool of shadow, one at a time on this host: they give up when another is at work.

    Another may be, that no test has started; it is waited for a few times.
    """
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for _ in range(TRIES):
            ran = subprocess.run(
                words,
                input=text,
                text=True,
                check=False,
                capture_output=True,
                env={**os.environ, "LC_ALL": "C", "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
            )
            if "cannot lock" not in ran.stderr:
                break
    assert ran.returncode == 0, f"{' '.join(words)}: status {ran.returncode}: {ran.stderr}"
