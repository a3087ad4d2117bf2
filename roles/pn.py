"""`cw pn`: assemble Pendulum, disassemble it, say what a program would do to the host, or run it here."""

from __future__ import annotations

import argparse
import math
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from roles.arguments import Parser, UsageError
from roles.log import Log, escaped
from roles.pn_files import INCLUDE_PATH, STANDARD, finder, read, source_of, write
from vm.assembler import Remark, assemble_named
from vm.machine import Limits
from vm.names import Names
from vm.program import MAGIC
from vm.verifier import verify

EXAMPLES = """\
  cw pn hello.pn world           assemble and run a source, with one argument
  cw pn -S hello.pn              assemble it to hello.pn.S, which cw pn runs too
  cw pn -e hello.pn              the worst that it can do: pure, reads, writes, executes
  cw pn -d -o - hello.pn.S       back to source, on standard output
  cw pn -T hello.pn 2>trace      keep a trace of the run
"""

COVERAGE = ".pcov"
"""What the name of a file of coverage ends in."""

UNLIMITED = Limits(sys.maxsize, math.inf, sys.maxsize, sys.maxsize, sys.maxsize, sys.maxsize)


def _whole(text: str) -> int:
    if not re.fullmatch("[0-9]{1,18}", text):
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text[:40]!r}")
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not float(text):
        raise argparse.ArgumentTypeError(f"expected a number of seconds, more than 0, got {text[:40]!r}")
    return float(text)


class Bound(NamedTuple):
    """An option that sets one field of Limits."""

    option: str
    field: str
    value: str
    read: Callable[[str], float]
    sentence: str


BOUNDS = (
    Bound("--limit-instructions", "instructions", "N", _whole, "instructions in all"),
    Bound("--limit-time", "seconds", "SECONDS", _seconds, "run time"),
    Bound("--limit-heap", "heap", "BYTES", _whole, "strings that it makes"),
    Bound("--limit-output", "output", "BYTES", _whole, "what it prints and logs"),
    Bound("--limit-directories", "directories", "N", _whole, "directories open at once"),
    Bound("--limit-children", "children", "N", _whole, "programs started"),
)


def main(argv: Sequence[str]) -> int:
    """Do what the options say; the status is the program's, 124 after its time, 125 after any other fault.

    Raises CwError: 126 for a refused image.
    """
    options = parser().parse_args(argv)
    _check(options)
    log = Log("cw")
    image, names = _image(options, log)
    if options.assembles:
        write(options.out or _beside(options.file, ".S"), image)
        return 0
    if options.disassembles:
        return _disassemble(image, options.out or STANDARD)
    if options.effect:
        from vm.effects import effect_of

        print(effect_of(verify(image)).word)
        return 0
    return _run(image, names, options, log)


def parser() -> Parser:
    """The command line."""
    words = Parser("pn", "Runs a program in Pendulum, source or image, under limits.", EXAMPLES)
    words.usage = "cw pn [OPTION ...] FILE [ARG ...]"
    words.formatter_class = partial(argparse.RawDescriptionHelpFormatter, max_help_position=28)
    words.add_argument("file", metavar="FILE", help="source or image; - is standard input")
    rest = words.add_argument(
        "arguments", nargs="...", metavar="ARG", help="what main finds on its data stack"
    )
    rest.required = False
    instead = words.add_mutually_exclusive_group()
    for letter, name, sentence in (
        ("-S", "assembles", "assemble to FILE.S, run nothing"),
        ("-d", "disassembles", "disassemble to standard output, run nothing"),
        ("-e", "effect", "print the effect, run nothing"),
    ):
        instead.add_argument(letter, dest=name, action="store_true", help=sentence)
    words.add_argument(
        "-o", dest="out", metavar="OUT", help="with -S and -d: write to OUT; - is standard output"
    )
    words.add_argument("-g", dest="annotate", action="store_true", help="keep annotations of a source")
    words.add_argument(
        "-I",
        dest="path",
        metavar="DIR",
        action="append",
        default=[],
        help=f"find #includes, before ${INCLUDE_PATH}",
    )
    words.add_argument("-T", dest="trace", action="store_true", help="trace to standard error")
    words.add_argument(
        "--cover",
        action="store_true",
        help=f"write what ran to FILE{COVERAGE}, tell how much",
    )
    limits = words.add_argument_group("limits")
    for bound in BOUNDS:
        default = f"{getattr(Limits(), bound.field):.10g}"
        limits.add_argument(
            bound.option,
            dest=bound.field,
            type=bound.read,
            metavar=bound.value,
            help=f"{bound.sentence} ({default})",
        )
    limits.add_argument("--no-limits", dest="unlimited", action="store_true", help="none but those given")
    return words


def _check(options: Namespace) -> None:
    """What argparse cannot: options that do not go together. Raises UsageError."""
    runs = not (options.assembles or options.disassembles or options.effect)
    if options.out is not None and not (options.assembles or options.disassembles):
        raise UsageError("-o goes with -S or -d (see cw pn --help)")
    if runs:
        if options.cover and options.file == STANDARD:
            raise UsageError(
                f"--cover writes FILE{COVERAGE}, so FILE cannot be standard input (see cw pn --help)"
            )
        return
    given = {
        "arguments are": options.arguments,
        "-T is": options.trace,
        "--cover is": options.cover,
        "--no-limits is": options.unlimited,
    } | {f"{bound.option} is": getattr(options, bound.field) is not None for bound in BOUNDS}
    late = any(word.startswith("-") for word in options.arguments)
    hint = "; options go before FILE" if late else ""
    for what, wanted in given.items():
        if wanted:
            raise UsageError(f"{what} for a program that runs{hint} (see cw pn --help)")


def _image(options: Namespace, log: Log) -> tuple[bytes, Names | None]:
    """The image that a file is, or that its source makes, with the names in that."""
    content = read(options.file)
    if content.startswith(MAGIC):
        return content, None
    return assemble_named(
        source_of(content, options.file),
        finder(options.path),
        options.annotate,
        lambda remark: _warn(log, remark),
    )


def _warn(log: Log, remark: Remark) -> None:
    log.warning(remark)
    for line in remark.excerpt.splitlines():
        print(line, file=sys.stderr, flush=True)


def _beside(name: str, ending: str) -> str:
    return STANDARD if name == STANDARD else name + ending


def _disassemble(image: bytes, out: str) -> int:
    """Write the listing; a terminal gets no character that acts on it."""
    from vm.disassembler import disassemble

    listing = disassemble(image)
    if out == STANDARD and sys.stdout.isatty():
        listing = re.sub("[^\n\t]+", lambda text: escaped(text[0]), listing)
    write(out, listing.encode())
    return 0


def _run(image: bytes, names: Names | None, options: Namespace, log: Log) -> int:
    from roles.pn_run import run_here
    from vm.coverage import Coverage
    from vm.names import names_of

    program = verify(image)
    names = names or names_of(program)
    coverage = Coverage(program) if options.cover else None
    if coverage:
        write(options.file + COVERAGE, b"")  # where that cannot be written, nothing has run yet
    try:
        return run_here(
            coverage.program if coverage else program,
            [options.file, *options.arguments],
            _limits(options),
            names if options.trace else None,
            log,
        )
    finally:
        if coverage:
            executed = "".join(f"{line}\n" for line in coverage.executed())
            write(options.file + COVERAGE, executed.encode())
            for line in coverage.summary(names):
                print(line, file=sys.stderr)


def _limits(options: Namespace) -> Limits:
    given = {bound.field: getattr(options, bound.field) for bound in BOUNDS}
    chosen = {field: value for field, value in given.items() if value is not None}
    return (UNLIMITED if options.unlimited else Limits())._replace(**chosen)
