"""Other programs, as exec, system and localsys run them."""

from __future__ import annotations

from typing import Protocol


class Programs(Protocol):
    """Other programs, as exec, system and localsys run them."""
