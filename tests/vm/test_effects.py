import pytest

from tests.vm.hosts import program_of
from tests.vm.images import image, word
from vm.effects import effect_of
from vm.opcodes import Effect
from vm.verifier import verify

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
    (f"fn main call f {READ} fn f halt", Effect.READS),
    (f"fn main try f {READ} fn f bail 1", Effect.READS),
    (f"fn main try f fn f {READ} bail 1", Effect.READS),
    (f"fn main bail 1 again: {READ} jmp again", Effect.PURE),
    (f"fn main jmp +1 {READ} ret", Effect.PURE),
    (f"fn main jz +1 {READ} ret", Effect.READS),
    (f"fn main retv 0 {READ} jmp +0 {READ}", Effect.PURE),
    (f"fn main call f ret fn f ret fn other {READ} call f", Effect.PURE),
    (f"fn f ret {READ} fn main call f", Effect.PURE),
    ('fn main fs.mkdir "x" fs.stat "x"', Effect.WRITES),
    ('fn main fs.stat "x" exec "true" %a fs.mkdir "x"', Effect.EXECUTES),
    ("fn main again: jmp again", Effect.PURE),
    ("fn a call b fn b call a fn main call a", Effect.PURE),
]


@pytest.mark.parametrize(("source", "effect"), PROGRAMS)
def test_the_worst_that_main_can_reach(source: str, effect: Effect) -> None:
    assert effect_of(program_of(source)) is effect


def test_what_falls_into_the_next_function_reaches_it() -> None:
    noop, read, ret = b"\0\0", b"\x23\x20" + word(0), b"\x10\0"
    assert effect_of(verify(image(b"\x18\x30", word(8), noop, read, ret))) is Effect.READS
    assert effect_of(verify(image(b"\x18\x30", word(8), ret, read, ret))) is Effect.PURE
    assert effect_of(verify(image())) is Effect.PURE


def test_a_very_long_chain_of_calls() -> None:
    chain = " ".join(f"fn f{n} call f{n + 1}" for n in range(5_000))
    assert effect_of(program_of(f"{chain} fn f5000 {READ} fn main call f0")) is Effect.READS
