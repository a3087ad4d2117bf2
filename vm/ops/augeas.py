"""Configuration files through Augeas."""

from __future__ import annotations

from vm.program import Handler

init: Handler | None = None
done: Handler | None = None
perror: Handler | None = None
write: Handler | None = None
change: Handler | None = None
get: Handler | None = None
find: Handler | None = None
remove: Handler | None = None
exists: Handler | None = None
