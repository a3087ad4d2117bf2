"""A running one file that does what a test tells it: the importer seen from inside a process."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

OBEDIENT = """
import sys

def main():
    for line in sys.stdin:
        try:
            exec(line, globals())
        except Exception as error:
            print(type(error).__name__, error)
        sys.stdout.flush()
    return 0
"""
"""A cw.py that runs each line of its standard input."""


class Probe:
    """A running one file; `tell` it a line of Python and hear the line that it prints."""

    def __init__(self, lines: IO[str], answers: IO[str]) -> None:
        self.lines = lines
        self.answers = answers

    def tell(self, line: str) -> str:
        """One line of Python in, the one line that it prints out."""
        self.lines.write(f"{line}\n")
        self.lines.flush()
        return self.answers.readline().rstrip("\n")


@contextmanager
def started(
    file: Path | str, *before: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[Probe]:
    """Run a probe file by this Python, by the words of another command if any; end it with the block."""
    words = [*before, sys.executable, "-ISB", str(file)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env, cwd=cwd
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Probe(process.stdin, process.stdout)
        finally:
            process.kill()
            with suppress(BrokenPipeError):  # it may have ended before the test did, which the test will tell
                process.stdin.close()
