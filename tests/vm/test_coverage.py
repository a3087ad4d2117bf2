"""What is told of the instructions that ran."""

from tests.vm.hosts import FakeHost, program_of
from vm import modules
from vm.assembler import assemble
from vm.coverage import Coverage
from vm.machine import Limits, Outcome, run
from vm.names import names_of
from vm.verifier import verify

SOURCE = """
fn main
  set %a 1
  eq %a 1
  jz good
  call never
  good:
  call f
  call f
fn f
  div %a 1
  ret
fn never
  noop
  noop
  noop
"""

EXECUTED = """\
0x00000002 18 jmp
0x00000008 03 set
0x00000012 12 eq
0x0000001c 19 jz
0x00000028 0e call
0x0000002e 0e call
0x00000034 10 ret
0x00000036 0c div
0x00000040 10 ret
"""

SUMMARY = """\
  85%          6/7  main
 100%          2/2  f
   0%          0/4  never
  64%         9/14  in all
"""


def ran(coverage: Coverage) -> Outcome:
    return run(coverage.program, ("x",), FakeHost(), Limits(), lambda: False)


def test_what_ran_by_address_and_by_function() -> None:
    program = program_of(SOURCE)
    coverage = Coverage(program)
    assert ran(coverage) == run(program, ("x",), FakeHost(), Limits(), lambda: False)
    annotated = verify(assemble(SOURCE, "x", modules.find, annotate=True))
    assert "".join(line + "\n" for line in coverage.executed()) == EXECUTED
    assert "".join(line + "\n" for line in coverage.summary(names_of(annotated))) == SUMMARY


def test_an_instruction_that_faults_has_run_and_those_behind_it_have_not() -> None:
    coverage = Coverage(program_of("fn main div %a 0 noop"))
    assert ran(coverage).status == 125
    assert [line.split()[2] for line in coverage.executed()] == ["jmp", "div"]


def test_functions_of_a_stripped_image_are_called_by_their_addresses() -> None:
    coverage = Coverage(program_of("fn main call f fn f noop"))
    ran(coverage)
    lines = list(coverage.summary(names_of(coverage.program)))
    assert [line.split()[2:] for line in lines] == [["main"], ["fn_00000010"], ["in", "all"]]


def test_an_image_without_instructions() -> None:
    coverage = Coverage(verify(b"pn\xff\x00"))
    ran(coverage)
    assert list(coverage.executed()) == []
    assert list(coverage.summary(names_of(coverage.program))) == ["   0%          0/0  in all"]


def test_names_of_functions_are_harmless() -> None:
    annotation = b"\x08\x14\x00\x00\x00\x03\x1b[2J\n\0"
    program = verify(b"pn" + annotation + b"\x10\x00\xff\x00")
    assert all(line.isprintable() for line in Coverage(program).summary(names_of(program)))
