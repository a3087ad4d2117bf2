"""HOST:PORT, as configuration and the command line write it. Pure: resolves and opens nothing."""

from __future__ import annotations

import re
from typing import NamedTuple

from errors import CwError

PORT = 2315
"""The one port of a mesh (protocol.md)."""

ANY = "*"
"""The host of an address that listens on every interface."""

WILDCARDS = {ANY: "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
"""Hosts to listen on that are every interface, and how this host itself connects to them."""

_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\Z"
)
_IPV6 = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9_.-]{1,15})?\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z")


class AddressError(CwError):
    """That is not HOST:PORT."""


class Address(NamedTuple):
    """A TCP address; `host` is a name, an IPv4 or IPv6 address without brackets, or ANY."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_host_name(text: str) -> bool:
    """Whether the text is a host name: labels of letters, digits and inner hyphens (RFC 1123 §2.1)."""
    return _HOST_NAME.match(text) is not None


def listening(text: str) -> Address:
    """The address to listen on; `*` is every interface and port 0 a free one. Raises AddressError."""
    return _address(text, listens=True)


def dialled(text: str) -> Address:
    """The address to connect to. Raises AddressError."""
    return _address(text, listens=False)


def _address(text: str, listens: bool) -> Address:
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    fits = (
        (bracketed and ":" in host and _IPV6.match(host) is not None)
        or (not bracketed and is_host_name(host))
        or (not bracketed and listens and host == ANY)
    )
    if not colon or not fits or not _PORT.match(port) or not (0 if listens else 1) <= int(port) <= 65535:
        example = f"*:{PORT} or [::1]:{PORT}" if listens else f"broker.example.com:{PORT} or [::1]:{PORT}"
        raise AddressError(f"expected HOST:PORT such as {example}, got {text[:80]!r}")
    return Address(host, int(port))
