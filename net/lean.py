"""Trio without OpenSSL: it imports TLS that nothing here uses, at 5 MiB of memory in every agent."""

from __future__ import annotations

import sys
from types import ModuleType

_UNUSED = ("ssl", "hmac")
"""What Trio imports for `trio.SSLStream` and DTLS alone, and looks into only when they are used."""


def import_trio() -> None:
    """Import Trio, for the first time in this process, so that `trio.SSLStream` and DTLS do not work.

    Whoever imports these modules afterwards gets the real ones.
    """
    absent = [name for name in _UNUSED if name not in sys.modules]
    sys.modules.update({name: ModuleType(name) for name in absent})
    try:
        import trio  # noqa: F401 - for its being imported
    finally:
        for name in absent:
            del sys.modules[name]
