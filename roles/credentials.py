"""How a client says who asks: its user's name, and a key or a password (mesh.md "Other options")."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from auth.keys import SIGNING, KeyFile, read_secret
from errors import CwError
from mesh.messages import Auth, NoAuth, PasswordAuth

NO_KEY = "0"
"""The FILE of -k that stands for none."""

MAX_PASSWORD = 4096
"""Bytes of a password (mesh/messages.py has the same bound on the wire)."""


class NoUserName(CwError):
    """Nobody knows the name of this user: give -u NAME."""


class PasswordUnusable(CwError):
    """The password is too long, or is not UTF-8."""


def user_name(asked: str | None, configured: str) -> str:
    """Who asks: the option, else the configuration, else the account that runs this process."""
    if asked or configured:
        return asked or configured
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError as error:
        raise NoUserName from error


def chosen_key(asked: str | None, configured: Path | None) -> KeyFile | None:
    """The key to sign with: the one asked for, else the configured one if the file is there, else none.

    Raises KeyFileError; a key that cannot be used is not followed by a password.
    """
    if asked == NO_KEY:
        return None
    if asked is not None:
        return read_secret(Path(asked), SIGNING)
    if configured is not None and os.path.exists(configured):
        return read_secret(configured, SIGNING)
    return None


def method(asked: str | None, configured: Path | None, key: KeyFile | None) -> str:
    """What the user is going to be known by, and why by that, in a few words."""
    if key is not None:
        return f"the key {asked or configured}"
    if asked == NO_KEY:
        return f"a password (-k{NO_KEY}: no key)"
    return f"a password ({configured} is not there)" if configured else "a password (no key is configured)"


def password() -> Auth:
    """The password, asked for on the terminal without echo, else the first line of standard input.

    No line at all is no authentication. Raises PasswordUnusable.
    """
    if sys.stdin.isatty():
        return _asked_for()
    line = sys.stdin.buffer.readline(MAX_PASSWORD + 2)
    if not line:
        return NoAuth()
    try:
        return _fitting(line.removesuffix(b"\n").decode())
    except UnicodeDecodeError as error:
        raise PasswordUnusable from error


def _asked_for() -> Auth:
    from getpass import getpass

    try:
        return _fitting(getpass("Password: "))
    except EOFError:
        return NoAuth()
    except UnicodeDecodeError as error:
        raise PasswordUnusable from error


def _fitting(text: str) -> PasswordAuth:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:  # bytes that were no UTF-8, as the terminal's reader passes them on
        raise PasswordUnusable from error
    if size > MAX_PASSWORD:
        raise PasswordUnusable
    return PasswordAuth(text)
