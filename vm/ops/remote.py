"""The policy master's copies of files."""

from __future__ import annotations

from vm.program import Handler

live: Handler | None = None
sha1: Handler | None = None
file: Handler | None = None
