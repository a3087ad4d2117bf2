"""Programs run as children: shell lines, words from the stack or a format, and cw localsys."""

from __future__ import annotations

from collections.abc import Mapping
from errno import ENOENT

from vm.faults import Fault, Limit
from vm.formats import words_of
from vm.host.programs import Order, Sink
from vm.machine import ENVIRONMENT, Machine
from vm.ops.build import INTO, NUMBER, TEXT, takes
from vm.program import WORD

QUESTIONS = frozenset({b"identify", b"pkg-version", b"pkg-latest", b"svc-run-status", b"svc-boot-status"})
"""What `cw localsys` can be asked without changing the host."""

SHELL = (b"/bin/sh", b"-c", b"--")

NOT_FOUND, NOT_RUN = 127, 126
"""Exit statuses of what did not start, as a shell has them (POSIX, Shell Command Language, 2.8.2)."""

OURS = WORD
"""The id that stands for our own, as in setreuid(2)."""


class Started:
    """How many programs this run has started."""

    def __init__(self, _machine: Machine) -> None:
        self.count = 0


class FirstLine:
    """Takes the first line of an output, which the heap is charged for, and lets the rest go."""

    def __init__(self, machine: Machine) -> None:
        machine.remember(b"")
        self.line = bytearray()
        self._machine = machine
        self._complete = False

    def __call__(self, piece: bytes) -> None:
        """The next piece of the output."""
        if self._complete:
            return
        line, end, _ = piece.partition(b"\n")
        self._machine.remember(line)
        self.line += line
        self._complete = bool(end)


@takes(TEXT, INTO)
def execute(machine: Machine, line: bytes) -> int | None:
    """Run a shell line; the first line of its output."""
    return _first_line(machine, (*SHELL, line))


@takes(TEXT)
def system(machine: Machine, template: bytes) -> None:
    """Format a shell line and run it, its output to ours."""
    _run(machine, (*SHELL, machine.format(template)), _copied(machine))


@takes(NUMBER)
def execute_argv(machine: Machine, count: int) -> None:
    """Pop so many words, the program first, and run them as they are, output to ours."""
    if count > len(machine.stack):
        raise Fault("data stack underflow")
    words = tuple(machine.text(machine.stack.pop()) for _ in range(count))
    _run(machine, words, _copied(machine))


@takes(TEXT, INTO)
def localsys(machine: Machine, template: bytes) -> int | None:
    """Run `cw localsys` with the words of a format, formatted one by one; the first line of its output."""
    return _first_line(machine, _words_for_cw(machine, template), of_cw=True)


@takes(TEXT, INTO)
def localsys_ask(machine: Machine, template: bytes) -> int | None:
    """The same for those words alone that change nothing; nor does a variable, which no program sees here.

    PATH, or a variable of the dynamic linker's, would make of a question whatever the program wants to run.
    """
    words = _words_for_cw(machine, template)
    if words[1:2] == () or words[1] not in QUESTIONS:
        shown = b" ".join(words[1:2])[:64].decode(errors="replace")
        known = b", ".join(sorted(QUESTIONS)).decode()
        raise Fault(f"localsys.ask: no question: {shown!r} (expected one of: {known})")
    return _first_line(machine, words, of_cw=True, environment=ENVIRONMENT)


@takes(NUMBER)
def runas_uid(machine: Machine, user: int) -> None:
    """Set who the programs of exec, exec.argv and system are to be."""
    machine.run_as = None if user == OURS else user, machine.run_as[1]


@takes(NUMBER)
def runas_gid(machine: Machine, group: int) -> None:
    """The same for their group."""
    machine.run_as = machine.run_as[0], None if group == OURS else group


def _copied(machine: Machine) -> Sink:
    """Copies to our output what its limit lets pass; the program writes on, to nowhere."""
    return lambda piece: machine.write(machine.output, piece)


def _words_for_cw(machine: Machine, template: bytes) -> tuple[bytes, ...]:
    words = [b"localsys"]
    for word in words_of(template):
        words.append(machine.format(word))
        machine.remember(words[-1])
    return tuple(words)


def _first_line(
    machine: Machine,
    words: tuple[bytes, ...],
    of_cw: bool = False,
    environment: Mapping[bytes, bytes] | None = None,
) -> int | None:
    """Run and keep the first line of output, without the newline; None if nothing ran."""
    output = FirstLine(machine)
    ran = _run(machine, words, output, of_cw, environment)
    return machine.place(bytes(output.line)) if ran else None


def _run(
    machine: Machine,
    words: tuple[bytes, ...],
    output: Sink,
    of_cw: bool = False,
    environment: Mapping[bytes, bytes] | None = None,
) -> bool:
    """Set acc to the exit status of a program; whether it ran. Its error output goes to ours.

    Of cw itself without what it puts in front of its one line: here nobody takes that for another's.
    """
    started = machine.family(Started)
    if started.count >= machine.limits.children:
        raise Limit("children", machine.limits.children)
    started.count += 1
    user, group = (None, None) if of_cw else machine.run_as
    environment = machine.environment if environment is None else environment
    order = Order(words, environment, user, group, machine.umask, of_cw)
    said_by = b"cw: " if of_cw else b""
    try:
        machine.acc = machine.host.programs.run(
            order,
            output,
            lambda piece: machine.write(machine.errors, piece.removeprefix(said_by)),
            machine.poll,
        )
    except OSError as error:
        machine.failed(error)
        machine.acc = NOT_FOUND if error.errno == ENOENT else NOT_RUN
        return False
    machine.errno = 0  # so that a program's own status 127 is not taken for this
    return True
