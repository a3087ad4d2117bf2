"""Configuration trees, as augeas.* reach them."""

from __future__ import annotations

from typing import Protocol


class Augeas(Protocol):
    """Configuration trees, as augeas.* reach them."""
