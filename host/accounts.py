"""The account files under any root, read and saved as the system's own tools do."""

from __future__ import annotations


class LocalAccounts:
    """vm.host.accounts.Accounts on real files."""
