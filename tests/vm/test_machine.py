import hashlib
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vm.hosts import FakeHost, main_of, program_of, ran
from vm.faults import Halted, Limit
from vm.machine import DEPTH, STRETCH, Limits, Machine, run

PRINTS = [
    ("set %a 3 set %b %a", "%[a]d %[b]d", "3 3"),
    ('set %a "x"', "%[a]s", "x"),
    ("set %a 1 set %b 2 swap %a %b", "%[a]d %[b]d", "2 1"),
    ("push 5 push 6 pop %a pop %b", "%[a]d %[b]d", "6 5"),
    ('push "x" pop %a', "%[a]s", "x"),
    ("eq 1 2 acc %a eq 2 2 acc %b", "%[a]d %[b]d", "1 0"),
    ("set %a 7 add %a 1 set %b 7 add %b %a", "%[a]d %[b]d", "8 15"),
    ("set %a 4294967295 add %a 2", "%[a]u", "1"),
    ("set %a 1 sub %a 2", "%[a]u %[a]d", "4294967295 -1"),
    ("set %a 65536 mult %a 65537", "%[a]u", "65536"),
    ("set %a 17 div %a 5 set %b 17 mod %b 5", "%[a]d %[b]d", "3 2"),
    ("lt 1 2 acc %a lt 2 2 acc %b lt 3 2 acc %c", "%[a]d%[b]d%[c]d", "011"),
    ("lte 1 2 acc %a lte 2 2 acc %b lte 3 2 acc %c", "%[a]d%[b]d%[c]d", "001"),
    ("gt 1 2 acc %a gt 2 2 acc %b gt 3 2 acc %c", "%[a]d%[b]d%[c]d", "110"),
    ("gte 1 2 acc %a gte 2 2 acc %b gte 3 2 acc %c", "%[a]d%[b]d%[c]d", "100"),
    ("set %a 4294967295 gt %a 1 acc %a", "%[a]d", "0"),
    ('streq "x" "x" acc %a streq "x" "y" acc %b', "%[a]d%[b]d", "01"),
    ('string "a" %a string "%[a]sb" %b streq %b "ab" acc %c', "%[b]s %[c]d", "ab 0"),
    ('set %a "%%s" string %a %b', "%[b]s", "%s"),
    ('set %a "!!x" string.cut %a 2 string "abc" %b string.cut %b 0', "%[a]s %[b]s", "x abc"),
    ('set %c "ab" string.cut %c 9', "<%[c]s>", "<>"),
    ('topic "file:x" string "%T" %a topic "y"', "%[a]s %T", "file:x y"),
    ("", "%T", ""),
    ('sha1 "abc" %a acc %b', "%[a]s %[b]d", hashlib.sha1(b"abc").hexdigest() + " 0"),
    ('flagged? "x" acc %a flag "x" flagged? "x" acc %b', "%[a]d%[b]d", "10"),
    ('flag "x" unflag "x" flagged? "x" acc %a', "%[a]d", "1"),
    ('flag "x" flag "x" unflag "y" flagged? "x" acc %a', "%[a]d", "0"),
    ("umask 0 %a umask 07777 %b umask 0 %c", "%[a]o %[b]o %[c]o", "22 0 777"),
    ("geteuid %a getegid %b runtime %c", "%[a]d %[b]d %[c]d", "1001 1002 20150209"),
    ('property "version" %a acc %b', "%[a]s %[b]d", "9.8.7 0"),
    ('property "runtime" %a property "protocol" %b', "%[a]s %[b]s", "20150209 1"),
    ('set %a "same" property "nope" %a acc %b', "%[a]s %[b]d", "same 1"),
    ('pragma x "y" property "x" %a pragma timeout 30 property "timeout" %b', "%[a]s %[b]s", "y 30"),
    ('pragma version "mine" property "version" %a', "%[a]s", "9.8.7"),
    ('loglevel warning %a loglevel "" %b loglevel err %c loglevel "" %d', "%[a]s %[b]s %[c]s %[d]s",
     "debug warning warning error"),
    ("noop set %a 1 jmp +1 set %a 2", "%[a]d", "1"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "template", "expected"), PRINTS)
def test_instructions(body: str, template: str, expected: str) -> None:
    outcome = ran(main_of(f'{body} print "{template}" retv 0'))
    assert (outcome.status, outcome.output.decode(), outcome.error_output) == (0, expected, b"")


STATUSES = [
    ("fn main ret", 0),
    ("fn main retv 7 fn x", 7),
    ("fn main retv 4294967295", 2**32 - 1),
    ("fn main eq 1 2 halt", 1),
    ("fn main bail 9", 9),
    ("fn main call f fn f bail 9", 9),
    ("fn main call f retv 1 fn f halt", 0),
    ("fn main call f ret fn f retv 5", 5),
    ("fn main try f ret fn f bail 5", 5),
    ("fn main try f acc %a add %a 1 retv %a fn f call g retv 1 fn g call h retv 2 fn h bail 40", 41),
    ("fn main try f retv 1 fn f try g acc %a bail %a fn g bail 6", 1),
    ("fn main try f try f bail 3 fn f retv 0", 3),
    ("fn main set %a 1 call f retv %a fn f set %a 2 ret", 1),
    ("fn main set %a 1 try f retv %a fn f set %a 2 bail 0", 1),
    ("fn main call f pop %a retv %a fn f push 8 ret", 8),
    ("fn f retv 1 fn main call g fn g jmp +0 retv 2", 2),
]


@pytest.mark.parametrize(("source", "status"), STATUSES)
def test_calls_tries_and_statuses(source: str, status: int) -> None:
    outcome = ran(source)
    assert (outcome.status, outcome.fault) == (status, "")


def test_a_jump_over_every_stretch_ends_when_it_should() -> None:
    count = 5 * STRETCH
    outcome = ran(main_of(f"again: add %a 1 lt %a {count} jz again retv %a"))
    assert (outcome.status, outcome.fault) == (count, "")


def test_arguments_are_under_their_count() -> None:
    body = 'pop %a pop %b pop %c pop %d print "%[a]d %[b]s %[c]s %[d]s"'
    assert ran(main_of(body), "one", "dvě").output.decode() == "3 test one dvě"


WORDS = [
    ("", b""),
    ("%[a]s", b"%[a]s"),
    ('q"\\\n; $(x)', b'q"\\\n; $(x)'),
    (chr(0xDCFF), b"\xff"),
    (chr(0xD800), b"\xed\xa0\x80"),
    ("x" * 100_000, b"x" * 100_000),
]


@pytest.mark.parametrize(("word", "written"), WORDS)
def test_arguments_are_only_text(word: str, written: bytes) -> None:
    outcome = ran(main_of('pop %a pop %a pop %a print "%[a]s"'), word)
    assert (outcome.output, outcome.status, outcome.fault) == (written, 0, "")


def test_what_breaks_as_a_run_is_left_stays_inside() -> None:
    def breaks(machine: Machine, _slots: list[int]) -> int:
        machine.leaving.callback(int, "x")
        raise Halted

    program = program_of("fn main ret")._replace(steps=(breaks,))
    outcome = run(program, ["x"], FakeHost(), Limits(), lambda: False)
    assert (outcome.status, outcome.fault) == (125, "internal error: ValueError")


def test_errors_go_to_the_error_stream_with_a_newline() -> None:
    outcome = ran(main_of('set %a 5 error "no %[a]d" perror "bad" print "out"'))
    assert outcome.output == b"out"
    assert outcome.error_output == b"no 5\nbad: (0) Success\n"


def test_pragma_test_sends_them_to_standard_output() -> None:
    outcome = ran(main_of('error "1" pragma test on error "2" pragma test "off" error "3"'))
    assert (outcome.output, outcome.error_output) == (b"2\n", b"1\n3\n")


def test_logs_reach_the_host_from_the_level_on() -> None:
    host = FakeHost()
    body = (
        'syslog info "1 %T" loglevel notice %b syslog info "2" set %a "warn" syslog %a "3" syslog "ERR" "\\n"'
    )
    assert ran(main_of(body), host=host).fault == ""
    assert host.logged == [("info", "1 "), ("warning", "3"), ("error", "\n")]


def test_dump_shows_the_state() -> None:
    outcome = ran(main_of('set %b 258 push 7 string "h\\n" %c dump'))
    shown = outcome.output.decode()
    assert "%b 00000102" in shown
    assert "stack 0: 00000007" in shown
    assert "heap 80000001: 2 bytes: h\\n" in shown
    assert "call 0: returns to" in ran("fn main call f fn f dump").output.decode()


RULES = ("allow joe ALL", "deny %ops ping", "allow ALL show version")
SHOWN = [
    ("show.acls", [*RULES, 'deny joe "x  y" final', "allow %ops *"]),
    ('show.acl "joe"', [RULES[0], RULES[2], 'deny joe "x  y" final']),
    ('show.acl ":ops"', [RULES[1], RULES[2], "allow %ops *"]),
    ('show.acl "ops"', [RULES[2]]),
    ('show.acl "joe\\" \\\\"', [RULES[2]]),
    ('show.acl ""', [RULES[2]]),
]


@pytest.mark.parametrize(("show", "lines"), SHOWN)
def test_access_rules_of_host_and_program(show: str, lines: list[str]) -> None:
    source = f'fn main\nacl deny  joe "x  y" final \nacl allow %ops *\n{show}'
    outcome = ran(source, host=FakeHost(acls=RULES))
    assert outcome.output.decode().splitlines() == lines
    assert (outcome.status, outcome.fault) == (0, "")


FACTS = {"b": "2", "a.x": "1", "é": "\udcff", "c": ""}


def test_facts_by_name_and_in_order() -> None:
    body = (
        'fact.get "b" %a acc %b set %c "same" fact.get "nope" %c acc %d print "%[a]s %[b]d %[c]s %[d]d:" '
        'set %a "" next: fact.next %a %a jnz done fact.get %a %b print " %[a]s=%[b]s" jmp next done: retv 0'
    )
    outcome = ran(main_of(body), host=FakeHost(FACTS))
    assert outcome.output == b"2 0 same 1: a.x=1 b=2 c= \xc3\xa9=\xff"
    assert ran(main_of('fact.next "" %a'), host=FakeHost()).status == 1


FAULTS = [
    ("div %a 0", "divide by zero", "div"),
    ("mod %a %b", "divide by zero", "mod"),
    ("pop %a pop %a pop %a", "data stack underflow", "pop"),
    ("again: push 1 jmp again", "data stack overflow", "push"),
    ('print "%[a]s"', "no string at 0x00000000", "print"),
    ("set %a 5 print %a", "no string at 0x00000005", "print"),
    ("set %a 0x80000002 print %a", "no string at 0x80000002", "print"),
    ("set %a 0xffffffff streq %a %a", "no string at 0xffffffff", "streq"),
    ('print "%q"', "bad format at '%q'", "print"),
    ('string "%[a]5000d" %b', "bad format: a width or precision over 4096", "string"),
    ('syslog loud "x"', "unknown log level 'loud'", "syslog"),
    ("acl allow joe\nnoop", "not an access rule: 'allow joe'", "acl"),
    ("acl permit joe ALL\nnoop", "not an access rule: 'permit joe ALL'", "acl"),
]


@pytest.mark.parametrize(("body", "fault", "name"), FAULTS)
def test_faults_end_the_run_with_one_line(body: str, fault: str, name: str) -> None:
    outcome = ran(main_of(f'error "before" {body}'))
    assert outcome.status == 125
    assert outcome.fault.startswith(fault)
    lines = outcome.error_output.decode().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith(f"fault: {fault}")
    assert lines[1].endswith(f"({name})")


def test_calls_and_tries_have_a_depth() -> None:
    for opcode in ("call", "try"):
        outcome = ran(f"fn main {opcode} main")
        assert (outcome.status, outcome.fault) == (125, "call stack overflow")
        counted = f"fn main {opcode} f retv 0 fn f add %a 1 lt %a {{}} jnz +1 {opcode} f ret"
        assert ran(counted.format(DEPTH)).fault == ""
        assert ran(counted.format(DEPTH + 1)).fault == "call stack overflow"


def test_too_many_arguments_are_a_fault() -> None:
    assert ran("fn main ret", *["x"] * (DEPTH - 2)).fault == ""
    assert ran("fn main ret", *["x"] * (DEPTH - 1)).fault.startswith("data stack overflow: 254 arguments")


def test_strings_may_be_read_from_the_middle() -> None:
    assert ran(main_of('set %a "hello" add %a 1 print "%[a]s" print %a')).output == b"elloello"


def test_the_limit_of_instructions_is_exact() -> None:
    source = main_of("noop " * 8)  # ten instructions, with the jump and the ret
    assert ran(source, limits=Limits(instructions=10)).fault == ""
    outcome = ran(source, limits=Limits(instructions=9))
    assert (outcome.status, outcome.fault) == (125, "limit: instructions (9)")
    assert outcome.error_output == b"fault: limit: instructions (9) at 0x00000018 (ret)\n"
    assert ran("fn main again: jmp again", limits=Limits(instructions=1_000_000)).fault == (
        "limit: instructions (1000000)"
    )


HEAP_HOGS = [
    'string "x" %a again: string "%[a]s%[a]s" %a jmp again',
    'again: string "" %a jmp again',
    'again: string "%[a]4096d" %a jmp again',
    "again: flag %a add %a 1 jmp again",
    'string "%[a]4096d" %b again: pragma x %b jmp again',
    'pop %a pop %a pop %a print "' + "%[a]s" * 200 + '"',
    "again: acl allow ALL ALL\njmp again",
    'again: property "version" %a jmp again',
    'again: sha1 "x" %a jmp again',
    "again: loglevel info %a jmp again",
    'again: fact.next "" %a jmp again',
]


@pytest.mark.parametrize("body", HEAP_HOGS)
def test_the_limit_of_the_heap(body: str) -> None:
    limits = Limits(heap=200_000, instructions=1_000_000)
    source = main_of(
        body.replace("flag %a add %a 1", 'string "%[b]d" %a flag %a add %b 1').replace("x %b", 'x "y"')
    )
    outcome = ran(source, "y" * 10_000, host=FakeHost(FACTS), limits=limits)
    assert (outcome.status, outcome.fault) == (125, "limit: heap (200000)")


def test_output_is_cut_at_its_limit_and_the_run_goes_on() -> None:
    outcome = ran(main_of('print "12345" error "678" print "90" retv 3'), limits=Limits(output=7))
    assert (outcome.output, outcome.error_output) == (b"12345", b"67")
    assert (outcome.status, outcome.truncated, outcome.fault) == (3, True, "")
    assert not ran(main_of('print "12345"'), limits=Limits(output=5)).truncated


def test_a_fault_is_told_even_where_output_is_full() -> None:
    outcome = ran(main_of('error "12345" div %a 0'), limits=Limits(output=3))
    assert outcome.error_output.startswith(b"123\nfault: divide by zero at 0x")


def test_logs_are_within_that_limit_too() -> None:
    host = FakeHost()
    limits = Limits(output=650, instructions=10_000)
    outcome = ran(main_of('again: syslog info "x" jmp again'), host=host, limits=limits)
    assert outcome.truncated
    assert len(host.logged) == 10


def test_the_limit_of_time() -> None:
    outcome = ran(main_of('print "x" again: jmp again'), host=FakeHost(tick=1.0), limits=Limits(seconds=3))
    assert (outcome.status, outcome.fault) == (124, "limit: seconds (3)")
    assert (outcome.output, outcome.error_output) == (b"x", b"killed: run time\n")


SLOW = [
    "again: sha1 %a %b jmp again",
    "again: string %a %b string %a %c streq %b %c jmp again",
    "again: print %a jmp again",
    "again: pragma trace on jmp again" + " noop" * 20_000,
    "again: show.acls jmp again",
]


@pytest.mark.parametrize("body", SLOW)
def test_work_on_long_strings_counts_as_time(body: str) -> None:
    looks: list[int] = []

    def cancelled() -> bool:
        looks.append(1)
        return len(looks) > 4

    host = FakeHost(acls=["allow ALL ALL " + "x" * 100_000] * 10)
    limits = Limits(instructions=STRETCH - 1, heap=10**9)
    source = main_of(f"pop %a pop %a pop %a {body}")
    assert ran(source, "y" * 100_000, host=host, limits=limits, cancelled=cancelled).fault == "cancelled"


def test_who_ends_a_run_may_name_the_limit() -> None:
    def cancelled() -> bool:
        raise Limit("memory", 64 << 30, " bytes")

    program = program_of("fn main again: jmp again")
    outcome = run(program, ["x"], FakeHost(), Limits(), cancelled)
    assert (outcome.status, outcome.fault) == (125, "limit: memory (68719476736 bytes)")


def test_a_run_is_cancelled_from_another_thread() -> None:
    stop = threading.Event()
    running = threading.Event()

    def cancelled() -> bool:
        running.set()
        return stop.is_set()

    outcomes = []
    program = program_of("fn main again: jmp again")
    limits = Limits(instructions=10**12)
    thread = threading.Thread(
        target=lambda: outcomes.append(run(program, ["x"], FakeHost(), limits, cancelled))
    )
    thread.start()
    assert running.wait(30)
    stop.set()
    thread.join(30)
    (outcome,) = outcomes
    assert (outcome.status, outcome.fault) == (125, "cancelled")
    assert outcome.error_output.startswith(b"fault: cancelled at 0x")


def test_nothing_is_left_for_the_next_run() -> None:
    program = program_of(
        'fn main property "x" %a jz seen flagged? "f" jz seen string "%T" %b streq %b "" jnz seen umask 0 %c '
        'loglevel info %d streq %d "debug" jnz seen push 1 pragma x "y" flag "f" topic "t" pragma trace on '
        "acl allow ALL ALL\nretv %c seen: bail 1"
    )
    first = run(program, ["x"], FakeHost(), Limits(), lambda: False)
    assert first.status == 0o22
    assert run(program, ["x"], FakeHost(), Limits(), lambda: False) == first


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_arithmetic_is_that_of_32_bits(first: int, second: int) -> None:
    for opcode, expected in {
        "add": first + second,
        "sub": first - second,
        "mult": first * second,
        "div": first // (second or 1),
        "mod": first % (second or 1),
    }.items():
        divisor = second or 1 if opcode in {"div", "mod"} else second
        outcome = ran(main_of(f"set %a {first} set %b {divisor} {opcode} %a %b retv %a"))
        assert outcome.status == expected % 2**32
