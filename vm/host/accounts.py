"""The account files, as authdb.* reach them: whole files, as bytes; failures are OSErrors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

NAMES = ("passwd", "shadow", "group", "gshadow")
"""The files. A system without the second or the fourth keeps hashes in the first and the third."""

NEEDED = ("passwd", "group")
"""Those without which there are no accounts."""


class Accounts(Protocol):
    """The account files of any directory. Symbolic links and what is not a regular file are refused."""

    def read(self, root: bytes, limit: int) -> Mapping[str, bytes]:
        """The files in directory `root`, by name: both of NEEDED, and those others of NAMES that are there.

        ENOENT if one of NEEDED is missing, EFBIG if they have more than `limit` bytes together.
        """
        ...

    def save(
        self, root: bytes, before: Mapping[str, bytes], after: Mapping[str, bytes], poll: Callable[[], None]
    ) -> None:
        """Replace the files in which `after` differs from `before`, which is what `read` gave.

        The system's locks are held meanwhile. Each file is replaced in one step by one of its owner, group,
        mode, access control list and security label, and the old one stays as `passwd-`. ESTALE, and nothing
        is touched, if any of NAMES is not what it was `before`. EAGAIN if others hold a lock for too long;
        until then `poll` is called again and again, and what it raises ends the wait.
        """
        ...
