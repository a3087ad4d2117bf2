"""What may be the name of a package or a service, or a version: words that no tool takes otherwise."""

from __future__ import annotations

import re
from typing import NamedTuple

from errors import CwError

SHOWN = 60
"""Characters of a refused name that are shown."""


class BadName(CwError):
    """That is no name."""


class Naming(NamedTuple):
    """What names look like: `pattern` is all of one, `expected` says it to users."""

    what: str
    pattern: str
    expected: str

    def checked(self, name: str) -> str:
        """The name as it is. Raises BadName."""
        if not re.fullmatch(self.pattern, name):
            raise BadName(f"not a {self.what}: {name[:SHOWN]!r} (expected: {self.expected})")
        return name


# In none of them: white space, a slash, globs, or a sign in front, all of which mean something to some tool.
PLAIN = r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}"

PACKAGE = Naming("package", PLAIN, "letters, digits, _ . + -, a letter or digit first")
DEB = Naming("package", PLAIN + r"(:[a-z0-9-]{1,40})?", "NAME or NAME:ARCHITECTURE")
EBUILD = Naming("package", rf"({PLAIN}/)?{PLAIN}", "NAME or CATEGORY/NAME")

SERVICE = Naming("service", PLAIN, PACKAGE.expected)
UNIT = Naming("service", r"[A-Za-z0-9_][A-Za-z0-9_.+:@\\-]{0,199}", "letters, digits, _ . + : @ \\ -")

VERSION = Naming("version", r"[A-Za-z0-9][A-Za-z0-9.+~:^_-]{0,199}", "letters, digits, . + ~ : ^ _ -")


def service_of(word: str) -> str:
    """The name that a user means: `nginx.service` is `nginx`."""
    return word.removesuffix(".service")
