"""Whether something keeps this host's clock right, as the kernel knows it (adjtimex(2))."""

from __future__ import annotations

import ctypes

_TIMEX = 256
"""Bytes for a struct timex, which has 208; its first field, modes, is 0: nothing is set."""
_ERROR = 5
"""TIME_ERROR: not synchronised."""


def synchronised() -> bool | None:
    """Whether it is; None where the kernel does not tell."""
    state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX))
    return None if state < 0 else state != _ERROR
