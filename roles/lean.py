"""Modules that a daemon imports and never uses: they are loaded when something asks them, 6 MiB later."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

PTHREADS = "libpthread.so.0"
"""Where Linux has pthread_setname_np(3), with which Trio names threads."""


class Postponed(ModuleType):
    """Stands for a module until an attribute of it is wanted."""

    def __getattr__(self, name: str) -> Any:
        """What the real module has; it takes its own place from now on, and so does all its package."""
        if name.startswith("__"):  # the import system looks whether it is loaded already
            raise AttributeError(name)
        package = self.__name__.partition(".")[0]
        for known, module in list(sys.modules.items()):
            if isinstance(module, Postponed) and known.partition(".")[0] == package:
                del sys.modules[known]
        return getattr(import_module(self.__name__), name)


class _Search(Postponed):
    """`ctypes.util`, whose search for a library starts `ldconfig`, and perhaps a compiler: Trio wants one
    library when it is imported, and for that this knows the answer.
    """

    def find_library(self, name: str) -> Any:
        """The file name of a library."""
        if name == "pthread":
            return PTHREADS
        return self.__getattr__("find_library")(name)


def postpone(*names: str) -> None:
    """Let these modules be loaded at their first use; nothing where they are loaded already."""
    for name in names:
        sys.modules.setdefault(name, Postponed(name))


def postpone_search() -> None:
    """The same for ctypes and its search for libraries."""
    if "ctypes" not in sys.modules:
        ctypes, search = Postponed("ctypes"), _Search("ctypes.util")
        ctypes.__dict__["util"] = search
        sys.modules |= {"ctypes": ctypes, "ctypes.util": search}
