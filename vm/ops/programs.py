"""Programs run as children: shell lines, words, and cw localsys."""

from __future__ import annotations

from vm.program import Handler

localsys: Handler | None = None
execute: Handler | None = None
system: Handler | None = None
runas_uid: Handler | None = None
runas_gid: Handler | None = None
