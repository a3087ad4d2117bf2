"""All that a program can ask of the host that runs it. A role gives the real one, tests their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vm.host.accounts import Accounts
    from vm.host.augeas import Augeas
    from vm.host.files import Files
    from vm.host.programs import Programs
    from vm.host.remote import Remote


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

    @property
    def files(self) -> Files:
        """Its files."""
        ...

    @property
    def accounts(self) -> Accounts:
        """Its account files."""
        ...

    @property
    def augeas(self) -> Augeas:
        """Its Augeas library."""
        ...

    @property
    def programs(self) -> Programs:
        """What can run on it."""
        ...

    @property
    def remote(self) -> Remote:
        """The policy master that it can ask."""
        ...
