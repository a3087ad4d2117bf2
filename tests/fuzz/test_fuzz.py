"""The fuzz targets without the fuzzer: on all that it found worth keeping, and on inputs like those."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import corpus, images, run, targets
from tests.vm import nonsense
from tests.vm.scratch import ScratchHost
from vm.assembler import assemble
from vm.verifier import verify

CORPUS_LIMIT = 200 * 1024
"""Bytes of the files in which the inputs are kept."""


def bytes_changed(random: Random, input_: bytes, size: int) -> bytes:
    changed = bytearray(input_)
    for _ in range(1 + random.randrange(4)):
        at = random.randrange(len(changed) + 1)
        changed[at : at + random.randrange(3)] = random.randbytes(random.randrange(3))
    return bytes(changed[:size])


@pytest.mark.parametrize("name", run.TARGETS)
def test_what_was_found_once_is_not_found_again(name: str) -> None:
    kept = corpus.read(name)
    assert kept
    for input_ in kept:
        targets.TARGETS[name].check(input_)


@pytest.mark.parametrize("name", run.TARGETS)
def test_inputs_like_those(name: str) -> None:
    random = Random(name)
    kept, target = corpus.read(name), targets.TARGETS[name]
    for _ in range(150):
        input_ = random.choice(kept)
        for _ in range(1 + random.randrange(3)):
            input_ = target.mutated(
                input_, 4_096, random, lambda text, size: bytes_changed(random, text, size)
            )
        assert len(input_) <= 4_096
        target.check(input_)


def test_the_corpus_is_small_and_written_one_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {path.name: path.read_bytes() for path in corpus.FOLDER.iterdir()}
    assert sum(map(len, files.values())) <= CORPUS_LIMIT
    kept = {name: corpus.read(name) for name in run.TARGETS}
    monkeypatch.setattr(corpus, "FOLDER", tmp_path)
    for name, inputs in kept.items():
        corpus.write(name, inputs[::-1])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


@given(st.randoms(use_true_random=False))
def test_what_is_taken_apart_can_be_put_together(random: Random) -> None:
    image = assemble(nonsense.program(random), "x", lambda _: None)
    assert images.put_together(images.taken_apart(verify(image))) == image


class Broken(ScratchHost):
    """Breaks its promise to instructions."""

    def identity(self) -> tuple[int, int]:
        raise ValueError("no identity")


def test_a_mistake_of_ours_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    image = assemble("fn main geteuid %a", "x", lambda _: None)
    (tmp_path / "crash").write_bytes(image)
    assert run.main(["machine", str(tmp_path / "crash")]) == 0
    monkeypatch.setattr(targets, "ScratchHost", Broken)
    with pytest.raises(ValueError, match="no identity"):
        run.main(["machine", str(tmp_path / "crash")])


def test_a_python_without_atheris(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "find_spec", lambda _: None)
    assert (run.main(["machine", "--runs", "1"]), run.main(["machine", "--seconds", "1"])) == (0, 1)
    sentence = "not fuzzed: this Python has no Atheris (expected: one of those in requirements/fuzz.in)\n"
    assert capsys.readouterr().out == 2 * sentence
