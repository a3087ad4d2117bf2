"""The policy master's copies of file resources, as the remote.* instructions reach them."""

from __future__ import annotations

from typing import Protocol


class Remote(Protocol):
    """A policy master."""


class NoMaster:
    """There is none."""
