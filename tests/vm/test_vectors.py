from pathlib import Path

import pytest

from tests.vm.hosts import FakeHost
from vm import modules
from vm.assembler import assemble
from vm.disassembler import disassemble
from vm.effects import effect_of
from vm.machine import Limits, run
from vm.opcodes import Effect
from vm.verifier import verify

VECTORS = Path(__file__).parent.parent / "vectors" / "pendulum"
NAMES = sorted(path.stem for path in VECTORS.glob("*.pn"))
PURE = [name for name in NAMES if name != "files"]


def image(name: str, annotated: bool = False) -> bytes:
    return bytes.fromhex((VECTORS / (name + (".annotated.hex" if annotated else ".hex"))).read_text())


def test_all_vectors_are_there() -> None:
    assert NAMES == ["files", "flags", "functions", "heredoc", "jumps", "numbers", "rules", "strings"]


@pytest.mark.parametrize("annotated", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_the_image_is_the_same_byte_for_byte(name: str, annotated: bool) -> None:
    source = (VECTORS / f"{name}.pn").read_text()
    assert assemble(source, name, modules.find, annotated) == image(name, annotated)


OUTCOMES = {
    "flags": (0, b"", b""),
    "functions": (0, b"3 doubled is 6\ncaught 17\n", b"no luck\n"),
    "heredoc": (0, b"first\n  second\n", b""),
    "jumps": (1, b"differ\n", b""),
    "numbers": (4, b"", b""),
    "rules": (
        0,
        b'allow %systems "*"\ndeny jack "service nginx stop"\nallow %systems "*"\n',
        b"",
    ),
    "strings": (0, b"shared", b""),
}


@pytest.mark.parametrize("annotated", [False, True])
@pytest.mark.parametrize("name", PURE)
def test_annotations_change_nothing_of_what_a_program_does(name: str, annotated: bool) -> None:
    host = FakeHost()
    outcome = run(verify(image(name, annotated)), [name], host, Limits(), lambda: False)
    assert outcome[:3] == OUTCOMES[name]
    assert host.logged == ([("info", "file:/etc/motd: done")] if name == "flags" else [])


@pytest.mark.parametrize("name", NAMES)
def test_what_they_do_to_the_host(name: str) -> None:
    assert effect_of(verify(image(name))) is (Effect.PURE if name in PURE else Effect.READS)


@pytest.mark.parametrize("annotated", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_their_listings_make_the_same_image(name: str, annotated: bool) -> None:
    listing = disassemble(image(name, annotated))
    assert assemble(listing, name, modules.find) == image(name, annotated)
    assert assemble(listing, name, modules.find, annotated) == image(name, annotated)
