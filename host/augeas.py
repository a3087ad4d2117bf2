"""The Augeas library, where the host has it."""

from __future__ import annotations


class LocalAugeas:
    """vm.host.augeas.Augeas through the real library."""
