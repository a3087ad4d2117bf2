"""All that a program can ask of the host that runs it. A role gives the real one, tests their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Host(Protocol):
    """The host as instructions see it. Called from the thread that runs the machine."""

    @property
    def version(self) -> str:
        """The version of cw."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def facts(self) -> Mapping[str, str]:
        """Name to value; asked for at most once a run."""
        ...

    def acls(self) -> Sequence[str]:
        """The access rules in force, in order, as canonical lines (mesh.md "Access rules")."""
        ...

    def identity(self) -> tuple[int, int]:
        """Effective user and group ids."""
        ...

    def log(self, level: str, text: str) -> None:
        """Log one message; `level` is one of vm.ops.logs.LEVELS. The text may hold any character."""
        ...
