"""The files of this host, as the machine reaches them."""

from __future__ import annotations


class LocalFiles:
    """vm.host.files.Files on the real file system."""
