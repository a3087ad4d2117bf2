"""What a doctor tells: one line a check, as it is made, with how to mend what is not as it should be."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from auth.keys import KeyExposed
from conf.guarded import Exposed
from errors import CwError
from mesh.printing import harmless

T = TypeVar("T")

OK, WARN, FAIL = "ok", "warn", "FAIL"


class Diagnosis:
    """Writes a line for each check; `about` is whose set-up is looked at."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self.about = ""
        self.counts: Counter[str] = Counter()
        self._write = write

    def ok(self, what: str, found: str) -> None:
        """It is as it should be."""
        self._line(OK, f"{what}: {found}")

    def warn(self, what: str, found: str, cure: str) -> None:
        """It works, but not for everybody, or not for long; or there is no telling."""
        self._line(WARN, _with(f"{what}: {found}", cure))

    def fail(self, what: str, found: str, cure: str) -> None:
        """It does not work."""
        self._line(FAIL, _with(f"{what}: {found}", cure))

    def tries(self, what: str, action: Callable[[], T], cure: str, missing: str = "") -> T | None:
        """What the action returns; None once it has failed, and the line is written.

        `missing` is the cure where a file is not there.
        """
        try:
            return action()
        except (CwError, OSError) as error:
            self.fail(what, said(error), _cure(error, cure, missing or cure))
            return None

    def summary(self) -> str:
        """One line without a newline."""
        return (
            f"{some(self.counts.total(), 'check')}: {self.counts[OK]} ok, "
            f"{self.counts[WARN]} to look at, {self.counts[FAIL]} failed"
        )

    def _line(self, grade: str, text: str) -> None:
        self.counts[grade] += 1
        self._write(harmless(os.fsencode(f"{grade:4}  {self.about}: {text}")) + "\n")


def some(count: int, thing: str) -> str:
    """So many of a thing."""
    return f"{count} {thing}{'s' * (count != 1)}"


def said(error: Exception) -> str:
    """An error's sentence."""
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    return str(error)


def _with(text: str, cure: str) -> str:
    return f"{text}; to mend it: {cure}" if cure else text


def _cure(error: Exception, cure: str, missing: str) -> str:
    """How to mend what an error says; empty where its own sentence ends in the command."""
    if isinstance(error, Exposed | KeyExposed):
        return ""
    match error.__cause__ or error:
        case FileNotFoundError():
            return missing
        case PermissionError():
            return "run cw doctor as root, or as the user whom it is for"
    return cure
