"""A host made of values, and short ways to a program's outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vm import modules
from vm.assembler import assemble
from vm.machine import Limits, Outcome, run
from vm.verifier import Program, verify


class Unreachable:
    """Stands for what a program of this test does not touch."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the program reached for {name}")


class FakeHost:
    """Says what it was made with; its clock moves by `tick` seconds each time it is asked."""

    version = "9.8.7"
    files: Any = Unreachable()
    accounts: Any = Unreachable()
    augeas: Any = Unreachable()
    programs: Any = Unreachable()
    remote: Any = Unreachable()

    def __init__(
        self, facts: Mapping[str, str] | None = None, acls: Sequence[str] = (), tick: float = 0.0
    ) -> None:
        self.logged: list[tuple[str, str]] = []
        self._facts = facts or {}
        self._acls = acls
        self._tick = tick
        self._now = 1000.0

    def monotonic(self) -> float:
        self._now += self._tick
        return self._now

    def facts(self) -> Mapping[str, str]:
        return self._facts

    def acls(self) -> Sequence[str]:
        return self._acls

    def identity(self) -> tuple[int, int]:
        return 1001, 1002

    def log(self, level: str, text: str) -> None:
        self.logged.append((level, text))


def program_of(source: str) -> Program:
    return verify(assemble(source, "test.pn", modules.find))


def ran(
    source: str,
    *arguments: str,
    host: FakeHost | None = None,
    limits: Limits | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Outcome:
    return run(program_of(source), ("test", *arguments), host or FakeHost(), limits or Limits(), cancelled)


def main_of(body: str) -> str:
    return f"fn main\n{body}\n"
