"""This very cw: the words that run it again, and the archive that it is read from."""

from __future__ import annotations

import os
import sys

FLAGS = (("isolated", "-I"), ("no_site", "-S"), ("dont_write_bytecode", "-B"))
"""Options of the interpreter that another cw gets too: it must find what we find, and nothing else."""


def itself() -> list[str]:
    """The words that run the same cw: the interpreter with its options, and the file."""
    # Not the name of a link: cw-demo would be `cw demo` again.
    return [*_interpreter(), os.path.realpath(sys.argv[0])]


def archive() -> int | None:
    """The descriptor of the one file that modules are still read from (tools/onefile/boot.py).

    A process that closes what it has open must leave this; in a checkout there is none.
    """
    for finder in sys.meta_path:
        descriptor = getattr(finder, "descriptor", None)
        if isinstance(descriptor, int):
            return descriptor
    return None


def as_it_was(descriptor: int) -> list[str]:
    """The words that run the one file that is open there, and must be in the process that runs them.

    By its name there may be another by now.
    """
    return [*_interpreter(), f"/proc/self/fd/{descriptor}"]


def _interpreter() -> list[str]:
    return [sys.executable, *(flag for name, flag in FLAGS if getattr(sys.flags, name))]
