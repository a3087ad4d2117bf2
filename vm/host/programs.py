"""Other programs, as exec, exec.argv, system and localsys have them run: one at a time, to its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

Sink = Callable[[bytes], None]
"""Takes what a program writes, piece by piece as it comes."""


class Order(NamedTuple):
    """What is to run, and as whom."""

    words: tuple[bytes, ...]
    """The program, looked up on the PATH of `environment`, and its arguments."""
    environment: Mapping[bytes, bytes]
    """All that it finds in its environment."""
    user: int | None = None
    group: int | None = None
    """Who it is to be; None is who this process is, for a group with a user that user's own."""
    umask: int = 0o022
    of_cw: bool = False
    """Whether `words` are for this very cw: a role of it and the role's arguments."""


class Programs(Protocol):
    """Other programs, as exec, exec.argv, system and localsys have them run: one at a time, to its end."""

    def run(self, order: Order, output: Sink, errors: Sink, heed: Callable[[], None]) -> int:
        """Run a program, which has no input; its exit status, 128 and the signal's number if that ended it.

        A program may leave others running when it ends. `heed` is called at least every tenth of a second.
        What it or a sink raises ends the program and all that it has started, and is raised again then.
        Raises OSError if the program cannot be started.
        """
        ...
