"""The one base of every error that a user of cw can meet, and what those about a misspelt word end in."""

from collections.abc import Iterable

MEANT = range(3, 41)
"""Characters of a word that is compared with others: a shorter one is like any, a longer one no slip."""


class CwError(Exception):
    """Something went wrong."""

    status = 2
    """Exit status of the process that this error ends (mesh.md "What the client prints")."""

    excerpt = ""
    """Lines that show the place: a source's line and a caret under it. They follow the sentence."""

    def __str__(self) -> str:
        """The sentence its user reads, one line: the argument, else the docstring of the class."""
        if self.args:
            return str(self.args[0])
        return " ".join((type(self).__doc__ or "").split("\n\n")[0].split())


def meant(word: str, names: Iterable[str]) -> str:
    """`: did you mean 'NAME'?`, where one of `names` is much like the word that is none of them; else empty.

    The end of an error. What compares is imported here: only where an error is made already.
    """
    if len(word) not in MEANT:
        return ""
    from difflib import get_close_matches

    by_folded = {name.casefold(): name for name in names}
    near = get_close_matches(word.casefold(), by_folded, 1, 0.65)
    return f": did you mean '{by_folded[near[0]]}'?" if near else ""
