"""The file system, as the fs.* instructions reach it: paths are bytes; everything raises OSError."""

from __future__ import annotations

from typing import Protocol


class Files(Protocol):
    """The file system, as the fs.* instructions reach it: paths are bytes; everything raises OSError."""
