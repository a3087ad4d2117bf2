"""The environment of the programs that this one runs."""

from __future__ import annotations

from vm.program import Handler

get: Handler | None = None
change: Handler | None = None
unset: Handler | None = None
