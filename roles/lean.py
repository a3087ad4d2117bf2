"""Modules that a daemon imports and never uses: they are loaded when something asks them, 5 MiB later."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType


class Postponed(ModuleType):
    """Stands for a module until an attribute of it is wanted."""

    def __getattr__(self, name: str) -> object:
        """What the real module has; it takes its own place from now on."""
        if name.startswith("__"):  # the import system looks whether it is loaded already
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def postpone(*names: str) -> None:
    """Let these modules be loaded at their first use; nothing where they are loaded already."""
    for name in names:
        sys.modules.setdefault(name, Postponed(name))
