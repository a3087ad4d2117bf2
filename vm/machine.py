"""The machine: runs a verified program under limits, against a host; no exception leaves it.

A program is a tuple of steps; each does one instruction and says which step is next, so running is one short
loop. Instructions are counted, and the clock and the cancel flag looked at, between stretches of that loop.
Nothing outlives a run, and runs in several threads do not meet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from errno import EIO
from itertools import repeat
from typing import NamedTuple, TypeVar

from vm import formats
from vm.faults import Fault, Halted, Limit
from vm.host import Host
from vm.names import names_of
from vm.program import ACC, HEAP, REGISTERS, Program, Step
from vm.trace import Tracer

T = TypeVar("T")

RUNTIME = 20150209
"""The version of the instruction set whose images run here (pendulum.md, first paragraph)."""

PROTOCOL = 1
"""What the property `protocol` says."""

DEPTH = 254
"""Entries of the data stack, and calls (each with its saved registers) and tries that can be open at once."""

STRETCH = 500
"""Instructions between two looks at the clock and the cancel flag."""

LABOUR = 1 << 22
"""Bytes of string work that instructions may do between two such looks."""

LABOUR_OF_TRACING = 256
"""What turning the trace on or off counts for each step."""

OVERHEAD = 64
"""Bytes that a string costs on the heap, and a message of the output's limit, besides its own."""

FAULT = 125
KILLED = 124
"""Exit statuses of a fault and of a run that took too long (pendulum.md "Machine", mesh.md "Who answers")."""

ENVIRONMENT = {
    b"PATH": b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    b"LANG": b"C.UTF-8",
}
"""What a program's own programs find in their environment, unless it says otherwise."""

_FORMATS_KEPT = 64
_FORMAT_KEPT = 1_024


class Limits(NamedTuple):
    """What a run may use."""

    instructions: int = 10_000_000
    seconds: float = 60.0
    heap: int = 16_777_216
    """Bytes of strings, formats being written included."""
    output: int = 524_288
    """Bytes of standard output, standard error and log together; the rest is cut off, and the run goes on."""
    directories: int = 64
    """Directories open at once."""
    children: int = 256
    """Programs started, one after the other, in a run."""
    memory: float = math.inf
    processes: float = math.inf
    """Bytes, and processes and threads, of the process that it is in and all below it: whoever started that
    process sees to these, and has `cancelled` raise Limit."""


class Outcome(NamedTuple):
    """How a run ended."""

    status: int
    """acc at the halt; 124 after a fault by time, 125 after any other."""
    output: bytes
    error_output: bytes
    """Ends in one line about the fault, if there was one."""
    truncated: bool
    fault: str
    """`limit: heap (16777216)`, `divide by zero`, `cancelled`; empty if the program ended by itself."""


class Live(NamedTuple):
    """Who is given what a run writes as it comes, instead of its Outcome. They must not raise."""

    output: Callable[[bytes], None]
    errors: Callable[[bytes], None]
    tracer: Tracer | None = None
    """Traces the whole run, whatever the program's own `pragma trace` says."""


def run(
    program: Program,
    arguments: Sequence[str],
    host: Host,
    limits: Limits,
    cancelled: Callable[[], bool],
    live: Live | None = None,
) -> Outcome:
    """Run `main` and return how it ended, whatever the program does.

    `arguments` are the name of the program (of the module, for a verb) and what follows it, as in C's argv:
    their count is on top of the data stack, then the name, then the rest in order. `cancelled` is asked every
    few hundred instructions, from this thread; once it is true the run ends. With `live`, the Outcome's error
    output is the line about the fault alone.
    """
    machine = Machine(program, host, limits, cancelled, live)
    try:
        with machine.leaving:
            machine.push_arguments(arguments)
            machine.loop()
    except Fault as fault:
        return machine.faulted(fault)
    except Exception as error:  # noqa: BLE001 - a mistake of ours must not become the agent's end
        return machine.faulted(Fault(f"internal error: {type(error).__name__}"))
    return machine.outcome(machine.acc)


class Machine:
    """The state of one run, as instructions see it. Methods raise Fault."""

    def __init__(
        self,
        program: Program,
        host: Host,
        limits: Limits,
        cancelled: Callable[[], bool],
        live: Live | None = None,
    ) -> None:
        self.program = program
        self.host = host
        self.slots: list[int] = [0] * (REGISTERS + 1) + list(program.constants)
        self.steps: list[Step] = live.tracer.steps() if live and live.tracer else list(program.steps)
        self.position = 0
        self.stack: list[int] = []
        self.frames: list[tuple[int, list[int]]] = []
        """For each open call, the position after it and the registers at it."""
        self.tries: list[int] = []
        """For each open `try`, how many calls were open before it."""
        self.heap: list[bytes] = []
        self.flags: set[bytes] = set()
        self.rules: list[bytes] = []
        self.pragmas: dict[bytes, bytes] = {}
        self.properties = {
            b"version": host.version.encode(),
            b"runtime": b"%d" % RUNTIME,
            b"protocol": b"%d" % PROTOCOL,
        }
        self.topic = b""
        self.umask = 0o022
        self.log_level = "debug"
        self.errno = 0
        self.output = bytearray()
        self.error_output = bytearray()
        self.errors = self.error_output
        self.environment = dict(ENVIRONMENT)
        """Of the programs that this one runs."""
        self.run_as: tuple[int | None, int | None] = (None, None)
        """User and group of those programs, where the program has said so."""
        self.leaving = ExitStack()
        """What is to be given back when the run ends, however it does."""
        self.limits = limits
        self._live = live
        self._tracer: Tracer | None = None
        self._families: dict[Callable[[Machine], object], object] = {}
        self._cancelled = cancelled
        self._deadline = host.monotonic() + limits.seconds
        self._heap_left = limits.heap
        self._output_left = limits.output
        self._truncated = False
        self._labour = 0
        self._formats: dict[bytes, tuple[formats.Part, ...]] = {}
        self._facts: dict[bytes, bytes] | None = None
        self._fact_names: list[bytes] = []

    @property
    def acc(self) -> int:
        """The accumulator."""
        return self.slots[ACC]

    @acc.setter
    def acc(self, value: int) -> None:
        self.slots[ACC] = value

    def push_arguments(self, arguments: Sequence[str]) -> None:
        """Put the arguments of `main` on the data stack, their count on top."""
        if len(arguments) >= DEPTH:
            raise Fault(f"data stack overflow: {len(arguments)} arguments (expected at most {DEPTH - 1})")
        self.stack = [self.keep(_bytes_of(text)) for text in reversed(arguments)]
        self.stack.append(len(arguments))

    def loop(self) -> None:
        """Run step after step until the program halts. After a Fault, `position` is the step that raised."""
        steps, slots, left = self.steps, self.slots, self.limits.instructions
        position = 0
        try:
            while left > 0:
                stretch = min(left, STRETCH)
                for _ in repeat(None, stretch):
                    position = steps[position](self, slots)
                left -= stretch
                self.poll()
            raise Limit("instructions", self.limits.instructions)
        except Halted:
            return
        finally:
            self.position = position

    def family(self, kind: Callable[[Machine], T]) -> T:
        """What a family of instructions keeps for this run: `kind(machine)`, made at its first use."""
        found = self._families.get(kind)
        if found is None:
            found = self._families[kind] = kind(self)
        return found  # type: ignore[return-value]  # a family finds what it made

    def failed(self, error: OSError) -> None:
        """An instruction did not succeed: acc 1, and errno is kept for `perror`."""
        self.acc = 1
        self.errno = error.errno or EIO

    def poll(self) -> None:
        """Fault if the run was cancelled or has had its time."""
        if self._cancelled():
            raise Fault("cancelled")
        if self.host.monotonic() >= self._deadline:
            raise Limit("seconds", self.limits.seconds)

    def labour(self, size: int) -> None:
        """Note that an instruction goes through `size` bytes: time that no count of instructions shows."""
        self._labour += size
        if self._labour >= LABOUR:
            self._labour = 0
            self.poll()

    def outcome(self, status: int, fault: str = "") -> Outcome:
        """The end of the run."""
        return Outcome(status, bytes(self.output), bytes(self.error_output), self._truncated, fault)

    def faulted(self, fault: Fault) -> Outcome:
        """The end of the run by a fault: one more line on standard error, which the limit of it lets pass."""
        late = isinstance(fault, Limit) and fault.name == "seconds"
        line = "killed: run time" if late else f"fault: {fault} at {self.program.place(self.position)}"
        if self.error_output and not self.error_output.endswith(b"\n"):
            self.error_output += b"\n"
        self.error_output += line.encode(errors="replace") + b"\n"
        return self.outcome(KILLED if late else FAULT, str(fault))

    def text(self, address: int) -> bytes:
        """The string at an address: on the heap, or in the image from there to the next NUL."""
        if address & HEAP:
            number = address & ~HEAP
            if number < len(self.heap):
                return self.heap[number]
        else:
            found = self.program.strings.get(address)
            if found is not None:
                return found
            image = self.program.image
            if self.program.table <= address < len(image):
                end = image.index(0, address)
                self.labour(end - address)
                return image[address:end]
        raise Fault(f"no string at 0x{address:08x}")

    def keep(self, text: bytes) -> int:
        """Put a string on the heap; its address."""
        self.remember(text)
        return self.place(text)

    def place(self, text: bytes) -> int:
        """Put a string on the heap that was charged for as it came, piece by piece; its address."""
        self.heap.append(text)
        return HEAP | len(self.heap) - 1

    def remember(self, text: bytes) -> None:
        """Charge the heap for a string that the machine is about to keep."""
        self._heap_left -= len(text) + OVERHEAD
        if self._heap_left < 0:
            raise self._heap_full()

    def format(self, template: bytes) -> bytes:
        """A format with its fields filled in, never longer than the heap that is left."""
        parts = self._formats.get(template)
        if parts is None:
            self.labour(8 * len(template))
            parts = formats.parse(template)
            if len(self._formats) < _FORMATS_KEPT and len(template) <= _FORMAT_KEPT:
                self._formats[template] = parts
        room = self._heap_left
        pieces = []
        for part in parts:
            piece = part if isinstance(part, bytes) else self._piece(part)
            room -= len(piece)
            if room < 0:
                raise self._heap_full()
            pieces.append(piece)
        self.labour(self._heap_left - room)
        return b"".join(pieces)

    def _piece(self, part: formats.Topic | formats.Field) -> bytes:
        if isinstance(part, formats.Topic):
            return self.topic
        value = self.slots[part.register]
        return part.of_text(self.text(value)) if part.letter == b"s" else part.of_number(value)

    def write(self, stream: bytearray, text: bytes) -> None:
        """Append to `output` or `errors` as much as the limit of the output allows."""
        text = self._within_output(text)
        if self._live is None:
            stream += text
        elif text:
            (self._live.output if stream is self.output else self._live.errors)(text)

    def log(self, level: str, text: bytes) -> None:
        """Have the host log a message; logs and output share one limit."""
        if self._output_left <= OVERHEAD:
            self._truncated = True
            return
        self._output_left -= OVERHEAD
        self.host.log(level, self._within_output(text).decode(errors="replace"))

    def _within_output(self, text: bytes) -> bytes:
        if len(text) > self._output_left:
            text = text[: self._output_left]
            self._truncated = True
        self._output_left -= len(text)
        return text

    def _heap_full(self) -> Limit:
        return Limit("heap", self.limits.heap)

    def set_pragma(self, name: bytes, value: bytes) -> None:
        """Set a pragma; `test` and `trace` take effect at once."""
        self.remember(name)
        self.remember(value)
        self.pragmas[name] = value
        if name == b"test":
            self.errors = self.output if value == b"on" else self.error_output
        elif name == b"trace" and (self._live is None or self._live.tracer is None):
            self._trace(value == b"on")

    def _trace(self, on: bool) -> None:
        """Trace to where errors go, within the limit of the output, or do not."""
        self.labour(LABOUR_OF_TRACING * len(self.steps))
        if self._tracer is None:
            names = names_of(self.program)
            self._tracer = Tracer(
                self.program, names, lambda machine, line: machine.write(machine.errors, line)
            )
        self.steps[:] = self._tracer.steps() if on else self.program.steps

    @property
    def facts(self) -> dict[bytes, bytes]:
        """The host's facts, as they were when first asked for."""
        if self._facts is None:
            self._facts = {_bytes_of(name): _bytes_of(value) for name, value in self.host.facts().items()}
        return self._facts

    @property
    def fact_names(self) -> list[bytes]:
        """Their names, sorted."""
        if not self._fact_names:
            self._fact_names = sorted(self.facts)
        return self._fact_names


def _bytes_of(text: str) -> bytes:
    """UTF-8; what the system could not decode becomes the bytes that it was."""
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return text.encode(errors="surrogatepass")
