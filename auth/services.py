"""Which services PAM has a file for; whoever asks it about passwords (`auth.pam`) imports more than that."""

from __future__ import annotations

from pathlib import Path

from conf.kinds import is_service_name

DIRECTORY = Path("/etc/pam.d")


def service_exists(service: str) -> bool:
    """Whether PAM has a file of that name; without one it would fall back to `other`."""
    return is_service_name(service) and (DIRECTORY / service).is_file()
