"""The account files, as authdb.* reach them."""

from __future__ import annotations

from typing import Protocol


class Accounts(Protocol):
    """The account files, as authdb.* reach them."""
