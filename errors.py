"""The one base of every error that a user of cw can meet."""


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
