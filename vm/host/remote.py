"""The policy master's copies of file resources, as the remote.* instructions reach them."""

from __future__ import annotations

from collections.abc import Iterator
from errno import ENOTCONN
from os import strerror
from typing import NoReturn, Protocol


class Remote(Protocol):
    """A policy master. A file resource has the name that the master's program gives it; raises OSError."""

    def live(self) -> bool:
        """Can it be asked now?"""
        ...

    def sha1(self, name: bytes) -> bytes:
        """SHA-1 of its copy, 40 hexadecimal digits in lower case."""
        ...

    def contents(self, name: bytes) -> Iterator[bytes]:
        """Its copy, in blocks of at most 64 KiB; asked for anew with each call."""
        ...


class NoMaster:
    """There is none: everything fails with ENOTCONN."""

    def live(self) -> bool:
        """No."""
        return False

    def sha1(self, name: bytes) -> NoReturn:
        """Fail."""
        raise _nobody(name)

    def contents(self, name: bytes) -> NoReturn:
        """Fail."""
        raise _nobody(name)


def _nobody(name: bytes) -> OSError:
    return OSError(ENOTCONN, strerror(ENOTCONN), name)
