"""Programs that are in order and make no sense: they assemble, verify and run to some outcome."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vm.hosts import FakeHost
from vm.assembler import assemble
from vm.machine import Limits, Outcome, run
from vm.opcodes import TABLE, Opcode
from vm.verifier import verify

OPCODES = [
    opcode for opcode in TABLE if opcode.handler is not None and opcode.name not in {"pragma", "dump", "acl"}
]
ADDRESSES = {"set", "push", "retv"}  # with a string, these make an address of the image into a number
LABELS = ["one", "two", "three"]
FUNCTIONS = ["main", "f", "g"]
TEXTS = ["", "a", "x%[a]s", "%[b]08.3d|%T", "%[c]-12s%%", "info", "version", "%z", "ž"]

STRINGS_FIRST = ['string "x%%[b]s" %a', 'string "1" %b']

OPERANDS = {
    "r": st.sampled_from("abcd").map("%{}".format),
    "n": st.one_of(st.integers(0, 3), st.integers(0, 2**32 - 1)).map(str),
    "s": st.sampled_from(TEXTS).map('"{}"'.format),
    "e": st.just('"note"'),
    "l": st.sampled_from([*LABELS, "+0"]),
    "f": st.sampled_from(FUNCTIONS),
    "i": st.sampled_from(["info", "debug", "nope"]),
}


@st.composite
def instructions(draw: st.DrawFn) -> str:
    opcode: Opcode = draw(st.sampled_from(OPCODES))
    if opcode.name == "swap":
        return "swap %a %b"
    operands = []
    for forms in opcode.operands:
        suitable = [form for form in forms if form != "s" or opcode.name not in ADDRESSES]
        operands.append(draw(OPERANDS[draw(st.sampled_from(suitable))]))
    return " ".join([opcode.name, *operands])


@st.composite
def sources(draw: st.DrawFn) -> str:
    lines = []
    for name in draw(st.permutations(FUNCTIONS)):
        lines.append(f"fn {name}")
        lines += STRINGS_FIRST if name == "main" else []
        for label in LABELS:
            lines += draw(st.lists(instructions(), max_size=6))
            lines.append(f"{label}:")
    return "\n".join(lines)


def outcome_of(image: bytes) -> tuple[Outcome, list[tuple[str, str]]]:
    host = FakeHost({"a": "1", "b": "x%[a]s"}, ["allow ALL ALL", "deny a ping"])
    limits = Limits(instructions=2_000, heap=50_000, output=5_000)
    return run(verify(image), ["name", "%[a]s", ""], host, limits, lambda: False), host.logged


@settings(max_examples=300)
@given(sources())
def test_annotations_make_no_difference(source: str) -> None:
    plain, logged = outcome_of(assemble(source, "x", lambda _: None))
    annotated, also_logged = outcome_of(assemble(source, "x", lambda _: None, annotate=True))
    assert plain.status in {124, 125} or not plain.fault
    assert (plain.status, plain.output, plain.fault) == (annotated.status, annotated.output, annotated.fault)
    assert logged == also_logged


@given(sources())
def test_the_trace_makes_no_difference(source: str) -> None:
    traced = source.replace("fn main\n", "fn main\npragma trace on\n", 1)
    untraced = source.replace("fn main\n", "fn main\npragma trace off\n", 1)
    first, logged = outcome_of(assemble(traced, "x", lambda _: None))
    second, also_logged = outcome_of(assemble(untraced, "x", lambda _: None))
    if not first.truncated:
        assert (first.status, first.output, first.fault) == (second.status, second.output, second.fault)
        assert logged == also_logged
