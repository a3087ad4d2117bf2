"""Configuration trees, as augeas.* reach them."""

from __future__ import annotations

from typing import Protocol


class Refused(OSError):
    """Augeas did not do it: `errno` for `perror`, and in `strerror` one line of what it says went wrong."""

    errno: int
    strerror: str

    def __init__(self, number: int, sentence: str) -> None:
        super().__init__(number, sentence)


class Tree(Protocol):
    """The configuration files under one root, as a tree.

    Nodes are named by Augeas' path expressions (/files/etc/hosts/1/canonical). Everything raises Refused:
    with ENOENT where no node matches, EMLINK where only one may and several do, EINVAL for what is not a path
    expression or cannot be written in the file's own form, EIO for a file that cannot be read or written.
    """

    def get(self, path: bytes) -> bytes:
        """The value of the one node that matches; empty if it has none."""
        ...

    def set(self, path: bytes, value: bytes) -> None:
        """Set the value of the one node that matches, or make that node."""
        ...

    def find(self, path: bytes) -> bytes:
        """The full path of the one node that matches."""
        ...

    def remove(self, path: bytes) -> None:
        """Remove the nodes that match, at least one, with what is below them."""
        ...

    def save(self) -> None:
        """Write the files whose nodes were changed; the rest of such a file stays as it is."""
        ...

    def close(self) -> None:
        """Forget the tree; called once, and nothing after it."""
        ...


class Augeas(Protocol):
    """The Augeas library."""

    def open(self, root: bytes) -> Tree:
        """A tree of ROOT/etc/hosts, which may be missing. Raises Refused, ELIBACC if there is no library."""
        ...
