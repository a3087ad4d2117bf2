"""The files of `cw pn`: sources and images read within bounds, includes found, results written whole."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from conf.kinds import brief
from errors import CwError
from vm import modules
from vm.assembler import Find
from vm.modules import Source
from vm.program import IMAGE_LIMIT, MAGIC

SOURCE_LIMIT = 4_194_304
"""Bytes of one source file."""

INCLUDE_PATH = "PENDULUM_INCLUDE"

STANDARD = "-"
"""The file that is standard input, or standard output."""

_EXPECTED = "(expected: a Pendulum source or image)"


class UnusableFile(CwError):
    """The file cannot be read or written."""


def shown(name: str) -> str:
    """What errors call a file."""
    return "<stdin>" if name == STANDARD else name


def read(name: str) -> bytes:
    """All of a source or an image. Raises UnusableFile."""
    try:
        if name == STANDARD:
            content = sys.stdin.buffer.read(SOURCE_LIMIT + 1)
        else:
            with Path(name).open("rb") as file:
                content = file.read(SOURCE_LIMIT + 1)
    except OSError as error:
        raise UnusableFile(f"{brief(shown(name))}: {error.strerror} {_EXPECTED}") from error
    limit = IMAGE_LIMIT if content.startswith(MAGIC) else SOURCE_LIMIT
    if len(content) > limit:
        raise UnusableFile(f"{shown(name)}: too large (expected: at most {limit} bytes)")
    return content


def source_of(content: bytes, name: str) -> Source:
    """What was read from a file as source. Raises UnusableFile."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnusableFile(f"{shown(name)}:{line}: not UTF-8 {_EXPECTED}") from error
    status = None if name == STANDARD else _status(Path(name))
    return Source(shown(name), text, status and (status.st_dev, status.st_ino))


def finder(directories: Sequence[str]) -> Find:
    """Where an #include looks: `directories`, then the environment's, then the modules that ship with cw."""
    path = [*directories, os.environ.get(INCLUDE_PATH, "")]
    places = [place for part in path for place in part.split(":") if place]

    def find(module: str) -> Source | None:
        for place in places:
            file = Path(place, module + ".pn")
            status = _status(file)
            if status and stat.S_ISREG(status.st_mode):
                return source_of(read(str(file)), str(file))
        return modules.find(module)

    return find


def _status(file: Path) -> os.stat_result | None:
    """What the system knows of a file; None: none is there, or none that we may look at."""
    try:
        return file.stat()
    except OSError:
        return None


def write(name: str, content: bytes) -> None:
    """Write a file whole or not at all; a device or a pipe is written as it is. Raises UnusableFile."""
    if name == STANDARD:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    target = Path(name)
    try:
        if target.exists() and not stat.S_ISREG(target.stat().st_mode):
            target.write_bytes(content)
            return
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            draft.write_bytes(content)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise UnusableFile(
            f"{brief(name)}: {error.strerror} (expected: a file that can be written)"
        ) from error
