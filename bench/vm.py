"""How fast the machine is, limits on: instructions a second beside two other ways to build it; a command.

    python -m bench.vm [ROUNDS]

Ours is closures, a step an instruction (vm/machine.py). Each round runs every way once, in turn; medians of
processor time are told.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from bench.vm_ways import generated, tuples
from host.local import Local
from mesh.command import parse
from mesh.images import image_of
from vm.assembler import assemble
from vm.machine import Limits, run
from vm.modules import find
from vm.verifier import Program, verify

LIMITS = Limits(instructions=10**9, heap=1 << 30)
GOAL = 5_000_000
"""Simple instructions a second that the machine is to do."""
COMMAND_GOAL = 200
"""Microseconds in which `show version` is to be verified and run."""

ARITHMETIC = """
fn main
  set %a 0
  set %b 1
  again:
    add %b %a
    mult %b 31
    add %a 1
    lt %a 100000
    jz again
  retv %b
"""
STRINGS = """
fn main
  set %a 0
  set %b "the text"
  again:
    string "line %[a]06d of %[b]s\\n" %c
    set %b "the text"
    string "%[b]s: %[c]s" %c
    add %a 1
    lt %a 10000
    jz again
  retv %a
"""
CALLS = """
fn fibonacci
  lt %a 2
  jnz more
  retv %a
  more:
  set %c %a
  add %a 4294967295
  call fibonacci
  acc %b
  set %a %c
  add %a 4294967294
  call fibonacci
  acc %c
  add %b %c
  retv %b
fn main
  set %a 18
  call fibonacci
  acc %a
  retv %a
"""


class _Host(Local):
    """No facts, no rules, no log."""

    def facts(self) -> Mapping[str, str]:
        return {}

    def acls(self) -> Sequence[str]:
        return ()

    def log(self, level: str, text: str) -> None:
        raise NotImplementedError


class Case(NamedTuple):
    """A program and how many instructions it takes."""

    name: str
    program: Program
    instructions: int


def case(name: str, source: str) -> Case:
    """A program of this benchmark; its instructions are counted by running it under ever smaller limits."""
    program = verify(assemble(source, name, find))
    least, most = 1, LIMITS.instructions
    while least < most:
        middle = (least + most) // 2
        done = not run(program, ["x"], _Host(), LIMITS._replace(instructions=middle), lambda: False).fault
        least, most = (least, middle) if done else (middle + 1, most)
    return Case(name, program, least)


def ways(program: Program) -> dict[str, Callable[[], int]]:
    """Each way to run it, from a verified program to its status."""
    return {
        "closures (ours)": lambda: run(program, ["x"], _Host(), LIMITS, lambda: False).status,
        "tuples": lambda: tuples(program, LIMITS),
        "generated source": lambda: _generated(program),
    }


def _generated(program: Program) -> int:
    function = generated(program, LIMITS)
    return function()


def took(act: Callable[[], object]) -> float:
    """Seconds of processor time."""
    began = time.process_time()
    act()
    return time.process_time() - began


def main(rounds: int) -> None:
    """Measure and print."""
    print(
        f"{'million instructions a second':32}{'closures (ours)':>17}{'tuples':>17}{'generated source':>17}"
    )
    for name, program, instructions in (
        case("arithmetic", ARITHMETIC),
        case("string building", STRINGS),
        case("calls", CALLS),
    ):
        each = ways(program)
        assert len({act() for act in each.values()}) == 1, "the ways disagree"
        times: dict[str, list[float]] = {way: [] for way in each}
        for _ in range(rounds):
            for way, act in each.items():
                times[way].append(took(act))
        speeds = [instructions / statistics.median(taken) / 1e6 for taken in times.values()]
        print(f"{name + f' ({instructions:,})':32}" + "".join(f"{speed:17.1f}" for speed in speeds))
    small = ways(verify(assemble(ARITHMETIC.replace("100000", "1"), "small", find)))
    starts = [statistics.median(took(act) for _ in range(rounds * 50)) * 1e6 for act in small.values()]
    print(f"{'µs for a program of 10':32}" + "".join(f"{start:17.0f}" for start in starts))
    verb = parse(("show", "version")).verb
    image = image_of(verb).image
    times_of = [
        took(lambda: run(verify(image), ["mesh"], _Host(), Limits(), lambda: False))
        for _ in range(rounds * 50)
    ]
    micro = statistics.median(times_of) * 1e6
    print(f"show version, verified and run: {micro:.0f} µs (goal: at most {COMMAND_GOAL})")
    print(f"goal of simple instructions: at least {GOAL / 1e6:.0f} million a second")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 7)
