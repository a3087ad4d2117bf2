"""Programs run as children of this process, and ended with theirs."""

from __future__ import annotations


class LocalPrograms:
    """vm.host.programs.Programs on real processes."""
