"""Programs that are in order and make no sense: they assemble, verify and run to some outcome."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vm.nonsense import program
from tests.vm.scratch import ScratchHost
from vm.assembler import assemble
from vm.machine import Limits, Live, Outcome, run
from vm.names import names_of
from vm.trace import Tracer
from vm.verifier import Program, verify

RANDOMS = st.randoms(use_true_random=False)
LIMITS = Limits(instructions=2_000, heap=50_000, output=5_000, directories=3, children=3)
ARGUMENTS = ("name", "%[a]s", "")


def assembled(source: str, annotate: bool = False) -> bytes:
    return assemble(source, "x", lambda _: None, annotate)


def untraced(source: str) -> str:
    """The same program; a trace shows addresses, which annotations change, and goes to one place alone."""
    return source.replace("pragma trace", "pragma other")


def outcome_of(program: Program, live: Live | None = None) -> tuple[Outcome, list[tuple[str, str]]]:
    host = ScratchHost()
    outcome = run(program, ARGUMENTS, host, LIMITS, lambda: False, live)
    assert not outcome.fault.startswith("internal error"), outcome.fault
    assert outcome.status in {124, 125} or not outcome.fault
    return outcome, host.logged


def before_the_fault(outcome: Outcome) -> list[bytes]:
    """What the program wrote to its error output itself: a fault's line names addresses."""
    lines = outcome.error_output.splitlines()
    return lines[:-1] if outcome.fault else lines


@given(RANDOMS)
def test_the_same_source_makes_the_same_image(random: Random) -> None:
    source = program(random)
    assert assembled(source) == assembled(source)
    assert assembled(source, annotate=True) == assembled(source, annotate=True)


@settings(max_examples=300)
@given(RANDOMS)
def test_annotations_make_no_difference(random: Random) -> None:
    source = untraced(program(random, without=frozenset({"dump"}), addresses=False))
    plain, logged = outcome_of(verify(assembled(source)))
    annotated, also_logged = outcome_of(verify(assembled(source, annotate=True)))
    assert (plain.status, plain.output, plain.fault) == (annotated.status, annotated.output, annotated.fault)
    assert before_the_fault(plain) == before_the_fault(annotated)
    assert logged == also_logged


@given(RANDOMS)
def test_a_trace_makes_no_difference(random: Random) -> None:
    image = verify(assembled(untraced(program(random))))
    alone, logged = outcome_of(image)
    output, errors = bytearray(), bytearray()
    tracer = Tracer(image, names_of(image), lambda _machine, _line: None)
    traced, also_logged = outcome_of(image, Live(output.extend, errors.extend, tracer))
    assert (alone.status, alone.fault) == (traced.status, traced.fault)
    assert alone.output == bytes(output) + traced.output
    assert before_the_fault(alone) == errors.splitlines()
    assert logged == also_logged
