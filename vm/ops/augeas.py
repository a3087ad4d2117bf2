"""Configuration files through Augeas. A program has one tree at a time, closed when it ends at the latest."""

from __future__ import annotations

from collections.abc import Callable
from errno import EBADF
from os import strerror
from typing import TypeVar

from vm.host.augeas import Refused, Tree
from vm.machine import Machine
from vm.ops.build import INTO, TEXT, takes

T = TypeVar("T")


class Trees:
    """What a run keeps of Augeas."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.opened: Tree | None = None
        self.wrong = strerror(0)
        """What went wrong last, as Augeas says it."""
        self._why_not = (EBADF, "Augeas is not open (expected: augeas.init first)")
        machine.leaving.callback(self.close)

    @property
    def tree(self) -> Tree:
        """The tree that is open. Raises Refused, with the reason why the last try to open one failed."""
        if self.opened is None:
            raise Refused(*self._why_not)
        return self.opened

    def open(self) -> None:
        """Open a tree under the root that the program has set, in place of the one that is open."""
        self.close()
        try:
            self.opened = self.machine.host.augeas.open(self.machine.pragmas.get(b"augeas.root", b"/"))
        except Refused as refused:
            self._why_not = (refused.errno, refused.strerror)
            raise

    def close(self) -> None:
        """Close the tree, if one is open."""
        if self.opened is not None:
            self.opened.close()
            self.opened = None

    def trying(self, act: Callable[[Trees], T]) -> T | None:
        """What `act` returns, and acc 0; or None and acc 1, and what Augeas said is kept."""
        try:
            result = act(self)
        except Refused as refused:
            self.wrong = refused.strerror
            self.machine.failed(refused)
            return None
        self.machine.acc = 0
        return result


@takes()
def init(machine: Machine) -> None:
    """Open Augeas under pragma augeas.root."""
    machine.family(Trees).trying(Trees.open)


@takes()
def done(machine: Machine) -> None:
    """Close it."""
    machine.family(Trees).close()
    machine.acc = 0


@takes(TEXT)
def perror(machine: Machine, template: bytes) -> None:
    """Format to standard error, with what Augeas says went wrong."""
    wrong = machine.family(Trees).wrong.encode(errors="surrogateescape")
    machine.write(machine.errors, machine.format(template) + b": " + wrong + b"\n")


@takes()
def write(machine: Machine) -> None:
    """Write what was changed."""
    machine.family(Trees).trying(lambda trees: trees.tree.save())


@takes(TEXT, TEXT)
def change(machine: Machine, path: bytes, value: bytes) -> None:
    """Set a node."""
    machine.remember(value)
    for _ in range(path.count(b"/")):
        machine.remember(b"")  # each step of the path may become a node
    machine.family(Trees).trying(lambda trees: trees.tree.set(path, value))


@takes(TEXT, INTO)
def get(machine: Machine, path: bytes) -> int | None:
    """The value of a node."""
    return machine.family(Trees).trying(lambda trees: machine.keep(trees.tree.get(path)))


@takes(TEXT, INTO)
def find(machine: Machine, path: bytes) -> int | None:
    """The path of the one node that matches."""
    return machine.family(Trees).trying(lambda trees: machine.keep(trees.tree.find(path)))


@takes(TEXT)
def remove(machine: Machine, path: bytes) -> None:
    """Remove nodes, with what is below them."""
    machine.family(Trees).trying(lambda trees: trees.tree.remove(path))


@takes(TEXT)
def exists(machine: Machine, path: bytes) -> None:
    """Acc 0 if exactly one node matches."""
    machine.family(Trees).trying(lambda trees: trees.tree.find(path))
