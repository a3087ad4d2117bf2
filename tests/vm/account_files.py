"""Account files below a scratch root, and short ways to users and groups in them."""

from __future__ import annotations

import os
from pathlib import Path

from tests.vm.resources import call, put

PASSWD = """\
root:x:0:0:root:/root:/bin/bash
jack:x:1000:1000:Jack,,,:/home/jack:/bin/bash
gone:x:1001:100::/home/gone:/bin/sh
open:x:1002:100::/home/open:/bin/sh
"""
SHADOW = """\
root:*:19000:0:99999:7:::
jack:$y$hash:19000:0:99999:7:::
gone:!$y$hash:19000:1:60:7:5:20000:
open::19000:0:99999:7:::
"""
GROUP = """\
root:x:0:
users:x:100:gone
jack:x:1000:
ops:x:1003:jack,gone
"""
GSHADOW = """\
root:*::
users:!::gone
jack:!::
ops:$y$hash:gone:jack,gone
"""


def etc_of(directory: Path) -> Path:
    """A directory with the four files."""
    for name, text in [("passwd", PASSWD), ("shadow", SHADOW), ("group", GROUP), ("gshadow", GSHADOW)]:
        put(directory / name, text, 0o640 if "shadow" in name else 0o644)
    return directory


def at(etc: Path) -> str:
    return f'pragma authdb.root "{etc}"'


def lines(etc: Path, name: str) -> dict[str, str]:
    """For each of passwd, shadow, group and gshadow what follows a name, where there is something."""
    found = {}
    for file in set(os.listdir(etc)) & {"passwd", "shadow", "group", "gshadow"}:
        for line in (etc / file).read_text().splitlines():
            if line.startswith(f"{name}:"):
                found[file] = line.partition(":")[2]
    return found


def user(name: str, *calls: str, uid: int | None = None, gid: int | None = None) -> list[str]:
    return [call("res.user.present", name, uid, gid), *calls, call("res.user.save")]


def group(name: str, *calls: str, gid: int | None = None) -> list[str]:
    return [call("res.group.present", name, gid), *calls, call("res.group.save")]


def given(verb: str, value: str | int | None) -> str:
    """A call about the user or group that was found: its name is not said again."""
    return call(f"res.{verb}", "", value)
