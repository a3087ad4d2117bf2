"""Resources brought about on the real host: what a run of the functions said, and what it left."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from host.local import Local
from tests.vm.hosts import program_of
from vm.machine import Limits, run

ANY = 0xFFFFFFFF
NONE = ""
"""What stands for an argument that is left out (stdlib.pn)."""

TOPIC = "thing:x"

MODULE = re.compile(r"\bres\.[a-z]+(?=\.)")
NEWLINE = "\n"


class ThisHost(Local):
    """The real host, which has no facts and no rules; its ways can be replaced by a test's."""

    def facts(self) -> Mapping[str, str]:
        return {}

    def acls(self) -> Sequence[str]:
        return ()

    def log(self, level: str, text: str) -> None:
        raise AssertionError(f"nothing here logs: {text}")


class Enforced(NamedTuple):
    """What became of a resource."""

    status: int
    changed: bool
    errors: str


CHANGED = Enforced(0, True, "")
SAME = Enforced(0, False, "")


def refused(sentence: str) -> Enforced:
    return Enforced(1, False, f"{TOPIC}: {sentence}\n")


def value(value: str | int | Path | None) -> str:
    """A value as source has it; None is one that may be left out."""
    if value is None:
        return str(ANY)
    if isinstance(value, int):
        return str(value)
    text = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'


def call(function: str, *arguments: str | int | Path | None) -> str:
    """A call with arguments in registers from %a on."""
    sets = [f"set %{'abcdefghijklmnop'[n]} {value(argument)}" for n, argument in enumerate(arguments)]
    return "\n".join([*sets, f"call {function}"])


def enforce(*calls: str, host: Any = None, pragmas: str = "", limits: Limits | None = None) -> Enforced:
    """Run calls as the one resource of a policy."""
    modules = sorted({found[0] for text in calls for found in MODULE.finditer(text)})
    source = f"""
        {NEWLINE.join(f"#include {module}" for module in modules)}
        fn main
          {pragmas}
          topic "{TOPIC}"
          try resource
          acc %a
          flagged? "changed"
          acc %b
          print "%[a]d %[b]d"
          retv 0
        fn resource
          {NEWLINE.join(calls)}
          ret
    """
    outcome = run(program_of(source), ("test",), host or ThisHost(), limits or Limits(), lambda: False)
    assert not outcome.fault, outcome
    status, unchanged = outcome.output.decode().split()
    return Enforced(int(status), unchanged == "0", outcome.error_output.decode())


def put(path: Path, text: str = "old\n", mode: int = 0o644, owner: tuple[int, int] = (0, 0)) -> Path:
    """A file as a test wants it."""
    path.write_text(text)
    os.chown(path, *owner)
    path.chmod(mode)
    return path


class Seen(NamedTuple):
    """A file as a reader finds it, and when it was last touched."""

    type: int
    mode: int
    owner: int
    group: int
    holds: bytes
    inode: int
    touched: int


def seen(top: Path) -> dict[str, Seen]:
    """Everything below a directory, itself included."""
    found = {}
    for path in [top, *sorted(top.rglob("*"))]:
        status = path.lstat()
        if path.is_symlink():
            holds = os.fsencode(path.readlink())
        else:
            holds = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(top))] = Seen(
            stat.S_IFMT(status.st_mode),
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            holds,
            status.st_ino,
            status.st_ctime_ns,
        )
    return found


def settles(top: Path, *calls: str, host: Any = None, pragmas: str = "") -> None:
    """The first run changes something, and the second touches nothing."""
    assert enforce(*calls, host=host, pragmas=pragmas) == CHANGED
    stays(top, *calls, host=host, pragmas=pragmas)


def stays(top: Path, *calls: str, host: Any = None, pragmas: str = "") -> None:
    """A run changes nothing and touches nothing."""
    before = seen(top)
    assert enforce(*calls, host=host, pragmas=pragmas) == SAME
    assert seen(top) == before


def refuses(top: Path, sentence: str, *calls: str, host: Any = None, pragmas: str = "") -> None:
    """A run fails with the sentence, and everything is as it was but for times."""
    before = seen(top)
    assert enforce(*calls, host=host, pragmas=pragmas) == refused(sentence)
    assert timeless(seen(top)) == timeless(before)


def timeless(files: dict[str, Seen]) -> dict[str, Seen]:
    """The same but for when it was touched."""
    return {name: file._replace(touched=0) for name, file in files.items()}
