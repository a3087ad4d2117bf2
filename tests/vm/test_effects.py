import pytest

from tests.vm.hosts import program_of
from vm.effects import effect_of
from vm.opcodes import Effect

READ = 'fact.get "a" %a'

PROGRAMS = [
    ("fn main ret", Effect.PURE),
    (f"fn main {READ}", Effect.READS),
    (f"fn other {READ} fn main ret", Effect.PURE),
    (f"fn other {READ} fn main call other", Effect.READS),
    (f"fn other {READ} fn main try other", Effect.READS),
    (f"fn c {READ} fn b call c fn a call b fn main call a", Effect.READS),
    (f"fn main ret {READ}", Effect.PURE),
    (f"fn main retv 1 {READ}", Effect.PURE),
    (f"fn main halt {READ}", Effect.PURE),
    (f"fn main bail 1 {READ}", Effect.PURE),
    (f"fn main jmp end {READ} end: ret", Effect.PURE),
    (f"fn main jz end {READ} end: ret", Effect.READS),
    (f"fn main jnz later ret later: {READ}", Effect.READS),
    (f"fn main call f {READ} fn f bail 1", Effect.READS),
    ("fn main again: jmp again", Effect.PURE),
    ("fn a call b fn b call a fn main call a", Effect.PURE),
]


@pytest.mark.parametrize(("source", "effect"), PROGRAMS)
def test_the_worst_that_main_can_reach(source: str, effect: Effect) -> None:
    assert effect_of(program_of(source)) is effect


def test_a_very_long_chain_of_calls() -> None:
    chain = " ".join(f"fn f{n} call f{n + 1}" for n in range(5_000))
    assert effect_of(program_of(f"{chain} fn f5000 {READ} fn main call f0")) is Effect.READS
