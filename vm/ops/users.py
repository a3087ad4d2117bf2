"""Users of the open database."""

from __future__ import annotations

from vm.program import Handler

find: Handler | None = None
get: Handler | None = None
change: Handler | None = None
create: Handler | None = None
delete: Handler | None = None
