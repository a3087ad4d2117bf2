"""exec, exec.argv, system, localsys, runas.* and env.*: what they order, and what they make of it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from errno import EACCES, EINVAL, ENOENT, EPERM

import pytest

from tests.vm.hosts import FakeHost, main_of, program_of, ran
from vm.formats import PARTS_LIMIT, words_of
from vm.host.programs import Order, Sink
from vm.machine import ENVIRONMENT, Limits, Outcome, run


class Recorded:
    """Programs that only seem to run: what was ordered, and how they seem to end."""

    def __init__(self, status: int = 0, output: tuple[bytes, ...] = (), errors: bytes = b"") -> None:
        self.orders: list[Order] = []
        self.failure = 0
        self.looked = 0
        self._status = status
        self._output = output
        self._errors = errors

    def run(self, order: Order, output: Sink, errors: Sink, heed: Callable[[], None]) -> int:
        self.orders.append(order._replace(environment=dict(order.environment)))
        heed()
        self.looked += 1
        if self.failure:
            raise OSError(self.failure, "")
        for piece in self._output:
            output(piece)
        if self._errors:
            errors(self._errors)
        return self._status


def ordered(body: str, *arguments: str, programs: Recorded | None = None) -> Recorded:
    """What a body orders; it must end well."""
    programs = programs or Recorded()
    assert outcome_of(body, *arguments, programs=programs).fault == ""
    return programs


def outcome_of(body: str, *arguments: str, programs: Recorded, limits: Limits | None = None) -> Outcome:
    host = FakeHost()
    host.programs = programs
    return ran(main_of(body), *arguments, host=host, limits=limits)


SHELL = (b"/bin/sh", b"-c", b"--")

WORDS = [
    ('exec "%[a]s; ls" %b', (*SHELL, b"%[a]s; ls")),
    ('set %a "date" exec %a %b', (*SHELL, b"date")),
    ('set %a 7 system "echo %[a]d%%"', (*SHELL, b"echo 7%")),
    ('set %a "x y" localsys "pkg-install %[a]s 1.0" %b', (b"localsys", b"pkg-install", b"x y", b"1.0")),
    ('set %a "" localsys " a\\t%[a]s \\n b " %b', (b"localsys", b"a", b"", b"b")),
    ('set %a "; $(id)" localsys "x%[a]s\'y z\'" %b', (b"localsys", b"x; $(id)'y", b"z'")),
    ('set %a 7 localsys "[%[a] d] %[a]-3d| %% %T" %b', (b"localsys", b"[ 7]", b"7  |", b"%", b"")),
    ('set %a "%[b]s" localsys "%[a]s" %b', (b"localsys", b"%[b]s")),
    ('localsys "" %b', (b"localsys",)),
    ('push "third" push "second; x" push "ls" exec.argv 3', (b"ls", b"second; x", b"third")),
    ('push "left" push "ls" set %a 1 exec.argv %a', (b"ls",)),
    ("exec.argv 0", ()),
]


@pytest.mark.parametrize(("body", "words"), WORDS)
def test_words(body: str, words: tuple[bytes, ...]) -> None:
    (order,) = ordered(body).orders
    assert order.words == words
    assert order.of_cw == (words[:1] == (b"localsys",))


def test_a_verb_runs_its_arguments_as_they_are() -> None:
    body = "pop %a pop %b sub %a 1 exec.argv %a"
    arguments = ("printf", "%s", "a b", "%[a]s", "")
    (order,) = ordered(body, *arguments).orders
    assert order.words == tuple(argument.encode() for argument in arguments)


def test_a_program_has_the_machines_environment_and_mask() -> None:
    body = 'env.set "A" "1" umask 077 %a exec "x" %b env.set "A" "2" env.unset "LANG" localsys "y" %b'
    first, second = ordered(body).orders
    assert (first.environment, first.umask) == ({**ENVIRONMENT, b"A": b"1"}, 0o77)
    assert second.environment == {b"PATH": ENVIRONMENT[b"PATH"], b"A": b"2"}


def test_a_question_has_the_environment_that_all_begin_with() -> None:
    """Setting one is pure, and PATH or LD_DEBUG_OUTPUT could make of a question whatever else."""
    body = 'env.set "PATH" "/tmp" env.set "LD_DEBUG_OUTPUT" "/etc/x" localsys.ask "identify" %b'
    (order,) = ordered(body).orders
    assert order.environment == ENVIRONMENT


def test_all_but_localsys_are_whoever_the_program_says() -> None:
    body = 'exec "a" %a runas.uid 5 system "b" set %b 6 runas.gid %b push "c" exec.argv 1 localsys "d" %a'
    assert [(order.user, order.group) for order in ordered(body).orders] == [
        (None, None), (5, None), (5, 6), (None, None),
    ]  # fmt: skip


def test_an_id_of_all_ones_gives_ours_back() -> None:
    body = 'runas.uid 5 runas.gid 6 runas.uid 0xffffffff exec "a" %a runas.gid 0xffffffff exec "b" %a'
    assert [(order.user, order.group) for order in ordered(body).orders] == [(None, 6), (None, None)]


LINES = [
    ((), ""),
    ((b"one\n",), "one"),
    ((b"one",), "one"),
    ((b"o", b"n", b"e\ntwo", b"\nthree"), "one"),
    ((b"\n", b"two"), ""),
    ((b"a\r\nb",), "a\r"),
]


@pytest.mark.parametrize(("output", "line"), LINES)
@pytest.mark.parametrize("how", ["exec", "localsys"])
def test_the_first_line_goes_into_the_register(output: tuple[bytes, ...], line: str, how: str) -> None:
    programs = Recorded(3, output, b"trouble\n")
    body = f'{how} "x" %a acc %b print "[%[a]s] %[b]d" retv 0'
    outcome = outcome_of(body, programs=programs)
    assert (outcome.status, outcome.output, outcome.error_output) == (0, f"[{line}] 3".encode(), b"trouble\n")


@pytest.mark.parametrize("how", ['system "x"', 'push "x" exec.argv 1'])
def test_output_is_copied_and_cut_and_the_program_goes_on(how: str) -> None:
    programs = Recorded(4, (b"one\n", b"two\n", b"three\n"), b"trouble\n")
    outcome = outcome_of(how, programs=programs)
    assert (outcome.status, outcome.output, outcome.error_output) == (
        4, b"one\ntwo\nthree\n", b"trouble\n",
    )  # fmt: skip
    outcome = outcome_of(how, programs=programs, limits=Limits(output=6))
    assert (outcome.status, outcome.output, outcome.error_output) == (4, b"one\ntw", b"")
    assert outcome.truncated


@pytest.mark.parametrize(("number", "status"), [(ENOENT, 127), (EACCES, 126), (EPERM, 126), (EINVAL, 126)])
@pytest.mark.parametrize("how", ['exec "x" %a', 'system "x"', 'push "x" exec.argv 1', 'localsys "x" %a'])
def test_what_cannot_be_started_says_why(how: str, number: int, status: int) -> None:
    programs = Recorded()
    programs.failure = number
    outcome = outcome_of(
        f'set %a "as it was" {how} acc %b perror "no" print "%[a]s" retv %b', programs=programs
    )
    assert (outcome.status, outcome.output) == (status, b"as it was")
    assert outcome.error_output.startswith(f"no: ({number}) ".encode())


def test_only_so_many_programs_are_started() -> None:
    programs = Recorded()
    outcome = outcome_of('again: exec "x" %a jmp again', programs=programs)
    assert (outcome.status, outcome.fault) == (125, "limit: children (256)")
    assert len(programs.orders) == 256
    programs = Recorded()
    body = 'exec "x" %a system "x" push "x" exec.argv 1 localsys "x" %a exec "x" %a'
    outcome = outcome_of(body, programs=programs, limits=Limits(children=4))
    assert outcome.fault == "limit: children (4)"
    assert len(programs.orders) == 4


def test_another_run_starts_as_many() -> None:
    host = FakeHost()
    host.programs = programs = Recorded()
    program = program_of(main_of('exec "x" %a'))
    for _ in range(3):
        assert run(program, ("x",), host, Limits(children=1), lambda: False).fault == ""
    assert len(programs.orders) == 3


FAULTS = [
    ('exec "x" %a', (b"x" * 6_000,), "limit: heap (5000)"),
    ('exec "x" %a', (b"x",) * 6_000, "limit: heap (5000)"),
    ("exec.argv 5", (), "data stack underflow"),
    ("exec.argv 4294967295", (), "data stack underflow"),
    ("push 7 exec.argv 1", (), "no string at 0x00000007"),
    ('system "%[q]s"', (), "bad format at '%[q]s' (expected %[a]s, %[a]d and the like, %T or %%)"),
    ('localsys "%[a] q" %a', (), "bad format at '%[a]' (expected %[a]s, %[a]d and the like, %T or %%)"),
    (f'localsys "{"x " * (PARTS_LIMIT + 1)}" %a', (), f"bad format: more than {PARTS_LIMIT} words"),
    ('set %a "x" localsys "%[a]4000s %[a]4000s" %b', (), "limit: heap (5000)"),
    ('system "%[a]4096d%[a]4096d"', (), "limit: heap (5000)"),
]


@pytest.mark.parametrize(("body", "output", "fault"), FAULTS)
def test_faults(body: str, output: tuple[bytes, ...], fault: str) -> None:
    outcome = outcome_of(body, programs=Recorded(0, output), limits=Limits(heap=5000))
    assert (outcome.status, outcome.fault) == (125, fault)


def test_a_cancelled_machine_stops_while_a_program_runs() -> None:
    host = FakeHost()
    host.programs = programs = Recorded()
    outcome = run(program_of(main_of('exec "x" %a')), ("x",), host, Limits(), lambda: bool(programs.orders))
    assert (outcome.status, outcome.fault, programs.looked) == (125, "cancelled", 0)


def test_the_time_that_a_program_takes_counts() -> None:
    host = FakeHost(tick=20)
    host.programs = Recorded()
    outcome = ran(main_of('again: system "x" jmp again'), host=host)
    assert (outcome.status, outcome.fault) == (124, "limit: seconds (60)")


ENVIRONMENTS = [
    ('env.get "LANG" %a acc %b', "C.UTF-8 0"),
    ('set %a "same" env.get "HOME" %a acc %b', "same 1"),
    ('env.set "A" "x=y" acc %b env.get "A" %a', "x=y 0"),
    ('env.set "A" "" acc %b env.get "A" %a', " 0"),
    ('env.set "A" "1" env.unset "A" acc %b set %a "-" env.get "A" %a', "- 0"),
    ('env.unset "NONE" acc %b set %a ""', " 0"),
    ('set %a "" env.set "" "x" acc %b', " 1"),
    ('set %a "" env.set "A=B" "x" acc %b', " 1"),
    ('set %a "" env.unset "" acc %b', " 1"),
    ('set %a "" env.unset "A=B" acc %b', " 1"),
]


@pytest.mark.parametrize(("body", "expected"), ENVIRONMENTS)
def test_the_environment(body: str, expected: str) -> None:
    outcome = ran(main_of(f'{body} print "%[a]s %[b]d" retv 0'))
    assert (outcome.status, outcome.output.decode()) == (0, expected)


@pytest.mark.parametrize(
    "body", ['env.set "" "x"', 'env.set "A=B" "x"', 'env.unset "A=B"', 'pop %a pop %a pop %a env.set "A" %a']
)
def test_what_no_environment_holds_says_why(body: str) -> None:
    outcome = ran(main_of(f'{body} acc %b perror "no" retv %b'), "a\0b")
    assert (outcome.status, outcome.error_output) == (1, b"no: (22) Invalid argument\n")


def test_the_heap_is_charged_for_an_environment() -> None:
    outcome = ran(main_of(f'again: env.set "A" "{"x" * 100}" jmp again'), limits=Limits(heap=10_000))
    assert outcome.fault == "limit: heap (10000)"


def test_spaces_inside_a_directive_part_no_words() -> None:
    assert words_of(b"a%[a]- 5db %[b]s%[c]s  %% d") == [b"a%[a]- 5db", b"%[b]s%[c]s", b"%%", b"d"]


@pytest.mark.parametrize("repeated", [b"x", b"%", b"%[", b"%[a]s"])
def test_a_long_word_takes_little_more_memory_than_it_has_bytes(repeated: bytes) -> None:
    template = repeated * 200_000
    tracemalloc.start()
    assert words_of(template) == [template]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * len(template) + 100_000


def test_common_words_stay_free_for_functions_and_labels() -> None:
    assert ran("fn main call run ret fn run jmp argv argv: retv 7").status == 7


@pytest.mark.parametrize(
    "action", ["identify", "pkg-version", "pkg-latest", "svc-run-status", "svc-boot-status"]
)
def test_a_question_is_one_for_cw(action: str) -> None:
    programs = Recorded(1, (b"stopped\n",))
    body = f'set %a "x y" localsys.ask "{action} %[a]s" %b acc %c print "%[b]s %[c]d" retv 0'
    assert outcome_of(body, programs=programs).output == b"stopped 1"
    (order,) = programs.orders
    assert order.words == (b"localsys", action.encode(), b"x y")
    assert order.of_cw


@pytest.mark.parametrize("words", ["pkg-install x", "svc-init x stop", "", "pkg-versio", "%[a]s x", "--help"])
def test_what_may_change_the_host_is_no_question(words: str) -> None:
    programs = Recorded()
    outcome = outcome_of(f'set %a "pkg-remove" localsys.ask "{words}" %b', programs=programs)
    assert outcome.fault.startswith("localsys.ask: no question: ")
    assert outcome.fault.endswith(
        "(expected one of: identify, pkg-latest, pkg-version, svc-boot-status, svc-run-status)"
    )
    assert programs.orders == []


def test_a_program_s_own_127_is_no_failure_to_start() -> None:
    body = 'push "x" exec.argv 1 acc %a errno %b print "%[a]d %[b]d" retv 0'
    programs = Recorded(127)
    assert outcome_of(body, programs=programs).output == b"127 0"
    programs.failure = ENOENT
    assert outcome_of(body, programs=programs).output == b"127 2"
