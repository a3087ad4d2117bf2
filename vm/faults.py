"""How a program ends. Neither of these leaves the machine: `run` turns both into an Outcome."""

from __future__ import annotations


class Halted(Exception):
    """The program is done; its status is in acc."""


class Fault(Exception):
    """What a program may not do (pendulum.md "Machine", Faults); str is the reason, without the place."""


class Limit(Fault):
    """A limit was reached: the `name` of it and its `value`, with a unit behind it where there is one."""

    def __init__(self, name: str, value: float, unit: str = "") -> None:
        super().__init__(f"limit: {name} ({value:.15g}{unit})")
        self.name = name
