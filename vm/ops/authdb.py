"""The passwd, shadow, group and gshadow files as one database of a run."""

from __future__ import annotations

from vm.program import Handler

load: Handler | None = None
save: Handler | None = None
close: Handler | None = None
nextuid: Handler | None = None
nextgid: Handler | None = None
