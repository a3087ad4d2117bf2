"""Fuzzes one target, guided by what its inputs reach in vm/: Atheris and libFuzzer do the work.

    python -m tests.fuzz.run TARGET --seconds N    look for inputs that reach something new
    python -m tests.fuzz.run TARGET --runs N       the same so many times from a fixed seed, and keep nothing
    python -m tests.fuzz.run TARGET --minimise     make what was found the corpus, without what adds nothing
    python -m tests.fuzz.run TARGET FILE           check one input, as a crash leaves it
    python -m tests.fuzz.run TARGET -- OPTION…     with options of libFuzzer's own

With PYTHONHASHSEED set, two runs from the fixed seed are one and the same.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from random import Random

from tests.fuzz import corpus

TARGETS = ("assembler", "verifier", "machine")
BUILD = Path("build/fuzz")
SEED = 1
BOUNDS = ["-rss_limit_mb=512", "-timeout=20", "-max_len=4096"]
"""What one input may take: MiB, seconds, bytes."""


def main(words: list[str]) -> int:
    """Do what the words of the command say; libFuzzer ends the process itself, with 77 after a crash."""
    if "--" in words:
        return fuzz(words[0], words[words.index("--") + 1 :])
    parser = argparse.ArgumentParser(prog="tests.fuzz.run")
    parser.add_argument("target", choices=TARGETS)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--seconds", type=int)
    how.add_argument("--runs", type=int)
    how.add_argument("--minimise", action="store_true")
    how.add_argument("file", type=Path, nargs="?")
    asked = parser.parse_args(words)
    if asked.file is not None:
        return check(asked.target, asked.file)
    if find_spec("atheris") is None:
        print("not fuzzed: this Python has no Atheris (expected: one of those in requirements/fuzz.in)")
        return 0 if asked.runs else 1
    folder = BUILD / asked.target
    options = [*BOUNDS, f"-artifact_prefix={folder}/"]
    if asked.runs:
        folders = [fresh(folder / "runs"), unpacked(asked.target)]
        options += [f"-seed={SEED}", f"-runs={asked.runs}", "-reload=0"]
    else:
        folders = [folder / "found", unpacked(asked.target)]
        options += [f"-max_total_time={asked.seconds}", "-print_final_stats=1"]
    folders[0].mkdir(exist_ok=True)
    if asked.minimise:
        return minimise(asked.target, folders)
    return fuzz(asked.target, [*options, *map(str, folders)])


def check(target: str, file: Path) -> int:
    """One input, and whatever is wrong with it as Python shows it."""
    from tests.fuzz import targets

    targets.TARGETS[target].check(file.read_bytes())
    return 0


def fuzz(name: str, options: list[str]) -> int:
    """Hand over to libFuzzer, which returns only if there is nothing to do."""
    import atheris

    with atheris.instrument_imports(include=["vm"]):
        from tests.fuzz import sources, targets
    target = targets.TARGETS[name]

    def mutate(input_: bytes, size: int, seed: int) -> bytes:
        return target.mutated(input_, size, Random(seed), atheris.Mutate)

    again = f"{sys.executable} -m tests.fuzz.run {name} --"
    words = dictionary(BUILD / name / "words", sources.WORDS)
    atheris.Setup([again, f"-dict={words}", *options], target.check, custom_mutator=mutate)
    atheris.Fuzz()
    return 0


def minimise(name: str, folders: list[Path]) -> int:
    """Write the corpus anew: of all inputs the smallest that reach together what all of them do."""
    import subprocess

    kept = fresh(BUILD / name / "kept")
    words = [sys.executable, "-m", "tests.fuzz.run", name, "--", *BOUNDS, "-merge=1", "-use_counters=0"]
    status = subprocess.run([*words, *map(str, [kept, *folders])], check=False).returncode
    if status == 0:
        corpus.write(name, [path.read_bytes() for path in kept.iterdir()])
    return status


def dictionary(path: Path, words: list[str]) -> Path:
    """Words for libFuzzer to put in, in a file of its own form."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ['"' + "".join(f"\\x{byte:02x}" for byte in word.encode()) + '"\n' for word in words]
    path.write_text("".join(lines), "ascii")
    return path


def fresh(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def unpacked(target: str) -> Path:
    """The corpus as libFuzzer reads it: a file an input."""
    folder = fresh(BUILD / target / "corpus")
    for number, kept in enumerate(corpus.read(target)):
        (folder / f"{number:04}").write_bytes(kept)
    return folder


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
