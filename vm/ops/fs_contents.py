"""Whole files: their digests, reading them into strings, writing strings to them."""

from __future__ import annotations

from vm.program import Handler

sha1: Handler | None = None
get: Handler | None = None
put: Handler | None = None
