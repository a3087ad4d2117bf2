"""Files that are obeyed: refused where anybody but their owner could have written them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from conf.kinds import ConfError, brief

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Exposed(ConfError):
    """Others can write the file; the sentence ends in the command that mends it."""


def insist_on_writers(path: Path, status: os.stat_result) -> None:
    """Raises Exposed if group or others can change the file at `path`, or anyone can put another there.

    `status` is that of the file as it was opened. Devices and pipes, as shells hand them over, are let pass.
    """
    if not stat.S_ISREG(status.st_mode):
        return
    shown = brief(path)
    if status.st_mode & _OTHERS_WRITE:
        mode = stat.S_IMODE(status.st_mode)
        raise Exposed(f"{shown}: others can change it (mode {mode:04o}): chmod go-w {shown}")
    _insist_on_place(path)


def insist_on_keepers(directory: Path, status: os.stat_result) -> None:
    """Raises Exposed if group or others can put files into the directory, whose status that is, or anyone can
    put another in its place.
    """
    if status.st_mode & _OTHERS_WRITE:
        mode, shown = stat.S_IMODE(status.st_mode), brief(directory)
        raise Exposed(f"{shown}: others can put files into it (mode {mode:04o}): chmod go-w {shown}")
    _insist_on_place(directory)


def _insist_on_place(path: Path) -> None:
    """Of what is there, and of what a link leads to."""
    for directory in (path.absolute().parent, Path(os.path.realpath(path)).parent):
        mode = stat.S_IMODE(os.stat(directory).st_mode)
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            where = brief(directory)
            raise Exposed(
                f"{brief(path)}: others can replace it ({where} has mode {mode:04o}): chmod o-w {where}"
            )
