"""What a trace shows of a run, and that the run is none the worse for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vm.hosts import FakeHost, main_of, program_of, ran
from vm import modules
from vm.assembler import assemble, assemble_named
from vm.machine import Limits, Live, Outcome, run
from vm.names import names_of
from vm.trace import NAME_SHOWN, SHOWN, Tracer, quoted
from vm.verifier import verify


def traced(source: str, *arguments: str, annotate: bool = True, limits: Limits | None = None) -> list[str]:
    """The lines of the trace and of what the program writes, in order."""
    said: list[bytes] = []
    program = verify(assemble(source, "test.pn", modules.find, annotate))
    tracer = Tracer(program, names_of(program), lambda _, line: said.append(line))
    host = FakeHost({"role": "web"})
    live = Live(said.append, said.append, tracer)
    run(program, ("test", *arguments), host, limits or Limits(), lambda: False, live)
    return b"".join(said).decode().splitlines()


SOURCE = """
fn main
  set %a 3
  again:
  sub %a 1
  call half.of
  gt %a 1
  jz again
  print "%[a]d\\n"
  fact.get "role" %b
  retv 4
fn half.of
  set %b "x"
  swap %a %b
"""

TRACE = """\
+ -       0x00000002 jmp main
+ main    0x00000008 set %a 3                   ; %a = 3
+ main    0x00000012 sub %a 1                   ; %a = 2
+ main    0x0000001c call half.of
+ half.of 0x00000048 set %b "x"                 ; %b = 108 "x"
+ half.of 0x00000052 swap %a %b                 ; %a = 108 "x"  %b = 2
+ half.of 0x0000005c ret                        ; %a = 2  %b = 0
+ main    0x00000022 gt %a 1
+ main    0x0000002c jz l_00000012
+ main    0x00000012 sub %a 1                   ; %a = 1
+ main    0x0000001c call half.of
+ half.of 0x00000048 set %b "x"                 ; %b = 108 "x"
+ half.of 0x00000052 swap %a %b                 ; %a = 108 "x"  %b = 1
+ half.of 0x0000005c ret                        ; %a = 1  %b = 0
+ main    0x00000022 gt %a 1                    ; acc = 1
+ main    0x0000002c jz l_00000012
+ main    0x00000032 print "%[a]d\\n"
1
+ main    0x00000038 fact.get "role" %b
+                                               ; acc = 0  %b = 0x80000001 "web"
+ main    0x00000042 retv 4                     ; acc = 4
"""


def test_a_line_an_instruction_and_what_it_changed() -> None:
    program = verify(assemble(SOURCE, "test.pn", modules.find))
    annotated = verify(assemble(SOURCE, "test.pn", modules.find, annotate=True))
    said: list[bytes] = []
    tracer = Tracer(program, names_of(annotated), lambda _, line: said.append(line))
    live = Live(said.append, said.append, tracer)
    outcome = run(program, ("test",), FakeHost({"role": "web"}), Limits(), lambda: False, live)
    assert b"".join(said).decode() == TRACE
    assert outcome == Outcome(4, b"", b"", False, "")


def test_functions_without_names_are_called_by_their_addresses() -> None:
    lines = traced("fn main call f fn f noop", annotate=False)
    assert [line.split()[1:5] for line in lines] == [
        ["-", "0x00000002", "jmp", "main"],
        ["main", "0x00000008", "call", "fn_00000010"],
        ["fn_00000010", "0x00000010", "noop"],
        ["fn_00000010", "0x00000012", "ret"],
        ["main", "0x0000000e", "ret"],
    ]


def test_a_function_that_begins_with_a_label_is_called_by_its_name() -> None:
    source = "fn main call f jmp +0 fn f again: eq %a 1 jnz end jmp again end: retv 0"
    image, names = assemble_named(modules.Source("x", source, None), modules.find, False, lambda _: None)
    said: list[bytes] = []
    tracer = Tracer(verify(image), names, lambda _, line: said.append(line))
    live = Live(said.append, said.append, tracer)
    run(verify(image), ("x",), FakeHost(), Limits(instructions=9), lambda: False, live)
    assert [line.decode().split()[3:5] for line in said] == [
        ["jmp", "main"],
        ["call", "f"],
        ["eq", "%a"],
        ["jnz", "end"],
        ["retv", "0"],
        ["jmp", "l_00000014"],
        ["ret"],
    ]


def test_a_program_without_a_jump_in_front_begins_with_its_first_function() -> None:
    program = verify(b"pn\x00\x00\x10\x00\xff\x00")
    assert names_of(program).function(0) == "main"
    assert names_of(verify(b"pn\xff\x00")).function(0) == ""


FAULTS = ["div %a 0", "pop %p", "error %p", "halt"]


@pytest.mark.parametrize("last", FAULTS)
def test_the_last_instruction_is_told_however_it_ends(last: str) -> None:
    lines = traced(main_of(f"pop %a pop %a set %p 5 {last}"))
    assert lines[-1] == f"+ main 0x00000029 {last}"
    assert len(lines) == 5


HOSTILE = [
    (b"plain", '"plain"'),
    (b'q"\\', r'"q\"\\"'),
    (b"\n\r\t", r'"\n\r\t"'),
    (b"\x1b[31m\x07", r'"\x1b[31m\x07"'),
    ("\x9b\u202e\u2028é".encode(), r'"\xc2\x9b\xe2\x80\xae\xe2\x80\xa8é"'),
    (b"\xff\xfe", r'"\xff\xfe"'),
    (b"x" * SHOWN, '"' + "x" * SHOWN + '"'),
    (b"x" * (SHOWN + 1), '"' + "x" * SHOWN + '"…'),
]


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_strings_are_quoted_and_shortened(text: bytes, shown: str) -> None:
    assert quoted(text) == shown


@given(st.binary(max_size=60))
def test_no_string_acts_on_a_terminal(text: bytes) -> None:
    assert quoted(text).isprintable()


def test_hostile_strings_stay_in_their_line() -> None:
    lines = traced(main_of('pop %a pop %a pop %a string "%[a]s" %b'), "\x1b[2J\n+ main x")
    assert len(lines) == 6
    assert lines[4].endswith(r'; %b = 0x80000002 "\x1b[2J\n+ main x"')
    assert all(line.isprintable() for line in lines)


def test_hostile_names_too() -> None:
    annotation = b"\x08\x14\x00\x00\x00\x03" + b"\x1b[2J\n" + b"f" * 99 + b"\0"
    program = verify(b"pn" + annotation + b"\x10\x00\xff\x00")
    said: list[bytes] = []
    tracer = Tracer(program, names_of(program), lambda _, line: said.append(line))
    live = Live(said.append, said.append, tracer)
    run(program, ("x",), FakeHost(), Limits(), lambda: False, live)
    name = r"\x1b[2J\n" + "f" * (NAME_SHOWN - 6) + "…"
    assert b"".join(said).decode() == f"+ {name} 0x{2 + len(annotation):08x} ret\n"


def test_identifiers_stand_without_quotes() -> None:
    lines = traced(main_of('pragma greeting "hello you" syslog info "x" pragma n 5'))
    assert [line.split(maxsplit=3)[3].strip() for line in lines[1:4]] == [
        'pragma greeting "hello you"',
        'syslog info "x"',
        "pragma n 5",
    ]


def test_pragma_trace_shows_instructions_while_it_is_on() -> None:
    outcome = ran(main_of('noop pragma trace on set %a 3 print "x" pragma trace off noop'))
    lines = outcome.error_output.decode().splitlines()
    assert [line.split()[3:] for line in lines[:1]] == [["set", "%a", "3", ";", "%a", "=", "3"]]
    assert [line.split()[3] for line in lines] == ["set", "print", "pragma"]
    assert (outcome.output, outcome.status) == (b"x", 0)


def test_pragma_trace_goes_where_errors_go_within_the_limit_of_the_output() -> None:
    assert ran(main_of("pragma test on pragma trace on noop")).output.count(b"\n") == 2
    outcome = ran(main_of("pragma trace on again: add %a 1 lt %a 99 jz again"), limits=Limits(output=1_000))
    assert (len(outcome.error_output), outcome.truncated) == (1_000, True)


def test_a_run_that_is_traced_throughout_is_not_traced_twice() -> None:
    lines = traced(main_of("pragma trace on noop pragma trace off noop"))
    assert [line.split()[3] for line in lines] == ["jmp", "pragma", "noop", "pragma", "noop", "ret"]


def test_a_trace_for_somebody_else_takes_no_output_of_the_program() -> None:
    limits = Limits(output=5, instructions=20)
    body = main_of('again: print "x" jmp again')
    plain, heard = ran(body, limits=limits), list[bytes]()
    program = program_of(body)
    live = Live(heard.append, heard.append, Tracer(program, names_of(program), lambda _machine, _line: None))
    outcome = run(program, ("test",), FakeHost(), limits, lambda: False, live)
    assert b"".join(heard) == plain.output == b"xxxxx"
    assert outcome == plain._replace(output=b"")
    assert outcome.error_output == b"fault: limit: instructions (20) at 0x0000000e (jmp)\n"


def test_what_is_written_live_is_written_at_once() -> None:
    said: list[tuple[str, bytes]] = []
    live = Live(lambda text: said.append(("out", text)), lambda text: said.append(("err", text)))
    body = main_of(
        'print "1" error "2" pragma test on error "3" pragma test off print "" pragma trace on noop'
    )
    outcome = run(program_of(body), ("test",), FakeHost(), Limits(), lambda: False, live)
    assert outcome == Outcome(0, b"", b"", False, "")
    assert said[:3] == [("out", b"1"), ("err", b"2\n"), ("out", b"3\n")]
    assert [(stream, text.split()[3]) for stream, text in said[3:]] == [("err", b"noop"), ("err", b"ret")]
