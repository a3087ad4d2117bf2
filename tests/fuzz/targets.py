"""What is fuzzed: three ways into the machine. None may end in an error but those that it declares."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from errors import CwError
from tests.fuzz import images, sources
from tests.vm.scratch import ScratchHost
from vm.assembler import AssemblyError, assemble
from vm.disassembler import DisassemblyError, disassemble
from vm.effects import effect_of
from vm.machine import FAULT, KILLED, Limits, Live, Machine, run
from vm.modules import Source
from vm.names import names_of
from vm.opcodes import Effect
from vm.program import WORD, Program
from vm.trace import Tracer
from vm.verifier import VerifyError, verify

LIMITS = Limits(instructions=1_000, heap=50_000, output=5_000, directories=3, children=3)
ARGUMENTS = ("name", "%[a]s", "")
TRACED = 5
"""One image in so many is traced as well, which takes ten times as long."""

FAULT_LINE = 200
"""Bytes of the line about a fault, at most."""

REFUSED = re.compile(r"image refused at 0x[0-9a-f]{8}: [^\n]+")
MISTAKE = re.compile(r"[^\n]+")
EXCERPT = re.compile(r"|[^\n]*\n *\^")

Raw = Callable[[bytes, int], bytes]
"""Changes bytes as bytes, to at most so many."""


class Target(NamedTuple):
    """One way in."""

    check: Callable[[bytes], None]
    """Raises, whatever it be, if something is wrong."""
    mutate: Callable[[bytes, Random], bytes]
    """Changes an input and keeps its form."""
    raw: float
    """How often inputs are changed as bytes instead."""

    def mutated(self, input_: bytes, size: int, random: Random, raw: Raw) -> bytes:
        """An input like this one, of at most `size` bytes."""
        if random.random() < self.raw:
            return raw(input_, size)
        changed = self.mutate(input_, random)
        return changed if len(changed) <= size else raw(input_, size)


def assembler(input_: bytes) -> None:
    """Source text: an AssemblyError that says where, or an image that is always the same and in order."""
    source = input_.decode(errors="surrogateescape")
    try:
        image = _assembled(source)
    except AssemblyError as error:
        _is_for_people(error, MISTAKE)
        return
    annotated = _assembled(source, annotate=True)
    assert image == _assembled(source)
    assert effect_of(verify(image)) == effect_of(verify(annotated))
    for written in (image, annotated):
        listing = disassemble(written)
        assert assemble(listing, "listing", lambda _: None) == written, listing


def _is_for_people(error: CwError, form: re.Pattern[str]) -> None:
    assert form.fullmatch(str(error)), str(error)
    assert EXCERPT.fullmatch(error.excerpt), error.excerpt


def _assembled(source: str, annotate: bool = False) -> bytes:
    return assemble(source, "fuzz.pn", _find, annotate)


def _find(name: str) -> Source | None:
    text = sources.MODULES.get(name)
    return None if text is None else Source(f"{name}.pn", text, name)


def verifier(image: bytes) -> None:
    """Bytes: a VerifyError that says where, or a program whose effect and listing can be had."""
    try:
        program = verify(image)
    except VerifyError as error:
        _is_for_people(error, REFUSED)
        return
    assert effect_of(program) in Effect
    try:
        disassemble(image)
    except DisassemblyError as error:
        _is_for_people(error, MISTAKE)


def _run_bare(program: Program) -> None:
    """Raise what `run` keeps from its callers."""
    bare = Machine(program, ScratchHost(), LIMITS, lambda: False)
    bare.push_arguments(ARGUMENTS)
    bare.loop()


def machine(image: bytes) -> None:
    """An image: if it is in order it runs, keeps to the limits, and ends in some outcome, traced or not."""
    try:
        program = verify(image)
    except VerifyError:
        return
    outcome = run(program, ARGUMENTS, ScratchHost(), LIMITS, lambda: False)
    if outcome.fault.startswith("internal error"):
        _run_bare(program)
    assert not outcome.fault.startswith("internal error"), outcome.fault
    assert not outcome.fault or outcome.status in {FAULT, KILLED}
    assert 0 <= outcome.status <= WORD
    room = LIMITS.output + (FAULT_LINE if outcome.fault else 0)
    assert len(outcome.output) + len(outcome.error_output) <= room
    if len(image) % TRACED:
        return
    tracer = Tracer(program, names_of(program), lambda _machine, line: _is_line(line))
    traced = run(program, ARGUMENTS, ScratchHost(), LIMITS, lambda: False, Live(_nowhere, _nowhere, tracer))
    assert (traced.status, traced.fault) == (outcome.status, outcome.fault)


def _is_line(line: bytes) -> None:
    assert line.endswith(b"\n"), line


def _nowhere(_written: bytes) -> None:
    pass


TARGETS = {
    "assembler": Target(assembler, sources.mutated, raw=0.5),
    "verifier": Target(verifier, images.mutated, raw=0.8),
    "machine": Target(machine, images.mutated, raw=0.1),
}
