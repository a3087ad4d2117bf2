"""Groups of the open database, and who is in them."""

from __future__ import annotations

from vm.program import Handler

find: Handler | None = None
get: Handler | None = None
change: Handler | None = None
create: Handler | None = None
delete: Handler | None = None
has: Handler | None = None
join: Handler | None = None
kick: Handler | None = None
