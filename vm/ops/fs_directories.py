"""Directories read entry by entry."""

from __future__ import annotations

from vm.program import Handler

opendir: Handler | None = None
readdir: Handler | None = None
closedir: Handler | None = None
