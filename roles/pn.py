"""`cw pn`: assemble Pendulum, say what a program would do to the host, or run it here."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from conf.kinds import brief
from conf.version import VERSION
from errors import CwError
from host.local import Local
from roles.arguments import Parser, UsageError
from roles.log import Log
from vm import modules
from vm.assembler import Find, assemble
from vm.effects import effect_of
from vm.machine import Limits, run
from vm.modules import Source
from vm.program import IMAGE_LIMIT, MAGIC
from vm.verifier import Program, verify

EXAMPLES = """\
  cw pn hello.pn world           assemble and run a source, with one argument
  cw pn -S hello.pn              assemble it to hello.pn.S
  cw pn hello.pn.S world         run that image
  cw pn -e hello.pn              pure, reads, writes or executes: the worst that it can do
  cw pn -S -g -o - - < hello.pn  from standard input to standard output, with annotations
"""

SOURCE_LIMIT = 4_194_304
"""Bytes of one source file."""

INCLUDE_PATH = "PENDULUM_INCLUDE"

STANDARD = "-"
"""The file that is standard input, or standard output."""


class UnusableFile(CwError):
    """The file cannot be read or written."""


class _ThisHost(Local):
    """The machine's host for a program that a user runs: facts of this host, no access rules."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def facts(self) -> Mapping[str, str]:
        from net.builtin import builtin, host_fqdn, times

        return builtin(host_fqdn(), "", VERSION) | times(time.time())

    def acls(self) -> Sequence[str]:
        return ()

    def log(self, level: str, text: str) -> None:
        self._log.info(f"{level}: {text}")


def main(argv: Sequence[str]) -> int:
    """Do what the options say; the status is the program's, 125 after a fault, 126 for a refused image."""
    parser = Parser("pn", "Runs a program in Pendulum, source or image, under limits.", EXAMPLES)
    parser.add_argument("file", metavar="FILE", help="source or image; - is standard input")
    rest = parser.add_argument(
        "arguments", nargs="...", metavar="ARG", help="what main finds on its data stack"
    )
    rest.required = False
    doing = parser.add_mutually_exclusive_group()
    doing.add_argument("-S", dest="assembles", action="store_true", help="assemble to FILE.S, run nothing")
    doing.add_argument("-e", dest="effect", action="store_true", help="print the effect, run nothing")
    parser.add_argument("-o", dest="out", metavar="OUT", help="with -S: write to OUT; - is standard output")
    parser.add_argument("-g", dest="annotate", action="store_true", help="keep annotations")
    parser.add_argument(
        "-I", dest="path", metavar="DIR", action="append", default=[], help=f"before ${INCLUDE_PATH}"
    )
    options = parser.parse_args(argv)
    if options.out is not None and not options.assembles:
        raise UsageError("-o goes with -S (see cw pn --help)")
    if options.arguments and (options.assembles or options.effect):
        raise UsageError("arguments are for a program that runs (see cw pn --help)")
    log = Log("cw")
    image = _image(options.file, _finder(options.path), options.annotate, log)
    if options.assembles:
        _write(options.out or _image_name(options.file), image)
        return 0
    program = verify(image)
    if options.effect:
        print(effect_of(program).word)
        return 0
    return _run(program, [options.file, *options.arguments], log)


def _image(name: str, find: Find, annotate: bool, log: Log) -> bytes:
    """The image that a file is, or that its source makes."""
    content = _read(name)
    if content.startswith(MAGIC):
        return content
    shown = "<stdin>" if name == STANDARD else name
    return assemble(_text(content, shown), shown, find, annotate, log.warning)


def _image_name(name: str) -> str:
    return STANDARD if name == STANDARD else name + ".S"


def _finder(directories: Sequence[str]) -> Find:
    """Where an #include looks: `directories`, then the environment's, then the modules that ship with cw."""
    path = [*directories, os.environ.get(INCLUDE_PATH, "")]
    places = [place for part in path for place in part.split(":") if place]

    def find(module: str) -> Source | None:
        for place in places:
            file = Path(place, module + ".pn")
            if os.path.isfile(file):  # unlike Path.is_file, which raises where it may not look
                text = _text(_read(str(file)), str(file))
                status = file.stat()
                return Source(str(file), text, (status.st_dev, status.st_ino))
        return modules.find(module)

    return find


def _read(name: str) -> bytes:
    try:
        if name == STANDARD:
            content = sys.stdin.buffer.read(SOURCE_LIMIT + 1)
        else:
            with Path(name).open("rb") as file:
                content = file.read(SOURCE_LIMIT + 1)
    except OSError as error:
        raise UnusableFile(
            f"{brief(name)}: {error.strerror} (expected: a Pendulum source or image)"
        ) from error
    limit = IMAGE_LIMIT if content.startswith(MAGIC) else SOURCE_LIMIT
    if len(content) > limit:
        raise UnusableFile(f"{name}: too large (expected: at most {limit} bytes)")
    return content


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnusableFile(f"{name}:{line}: not UTF-8 (expected: a Pendulum source or image)") from error


def _write(name: str, image: bytes) -> None:
    """Write the image whole or not at all; a device or a pipe is written as it is."""
    if name == STANDARD:
        sys.stdout.buffer.write(image)
        sys.stdout.buffer.flush()
        return
    target = Path(name)
    try:
        if target.exists() and not stat.S_ISREG(target.stat().st_mode):
            target.write_bytes(image)
            return
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            draft.write_bytes(image)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise UnusableFile(f"{name}: {error.strerror} (expected: a file that can be written)") from error


def _run(program: Program, arguments: Sequence[str], log: Log) -> int:
    limits = Limits()
    outcome = run(program, arguments, _ThisHost(log), limits, lambda: False)
    sys.stderr.flush()
    sys.stdout.buffer.write(outcome.output)
    sys.stdout.buffer.flush()
    sys.stderr.buffer.write(outcome.error_output)
    sys.stderr.buffer.flush()
    if outcome.truncated:
        log.warning(f"output cut at {limits.output} bytes")
    return min(outcome.status, 255)
