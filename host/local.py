"""This host as the machine reaches it; the roles add what only they know: facts, rules, a log."""

from __future__ import annotations

import os
import time
from functools import cached_property
from typing import TYPE_CHECKING

from conf.version import VERSION

if TYPE_CHECKING:
    from vm.host.accounts import Accounts
    from vm.host.augeas import Augeas
    from vm.host.files import Files
    from vm.host.programs import Programs
    from vm.host.remote import Remote


class Local:
    """The part of vm.host.Host that is the same in every role; each way to the host is imported when used."""

    version = VERSION

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()

    def identity(self) -> tuple[int, int]:
        """Effective user and group ids."""
        return os.geteuid(), os.getegid()

    @cached_property
    def files(self) -> Files:
        """Its files."""
        from host.files import LocalFiles

        return LocalFiles()

    @cached_property
    def accounts(self) -> Accounts:
        """Its account files."""
        from host.accounts import LocalAccounts

        return LocalAccounts()

    @cached_property
    def augeas(self) -> Augeas:
        """Its Augeas library."""
        from host.augeas import LocalAugeas

        return LocalAugeas()

    @cached_property
    def programs(self) -> Programs:
        """What can run on it."""
        from host.programs import LocalPrograms

        return LocalPrograms()

    @cached_property
    def remote(self) -> Remote:
        """The policy master: none."""
        from vm.host.remote import NoMaster

        return NoMaster()
