import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vm.images import END, GOOD, LARGE_IMAGES, RET, image, images, word
from tests.vm.scratch import ScratchHost
from vm.machine import Limits, Outcome, run
from vm.program import IMAGE_LIMIT, Program
from vm.verifier import VerifyError, verify

REFUSED = [
    (b"", "0x00000000: not a Pendulum image (expected the magic bytes 70 6e)"),
    (b"p", "0x00000000: not a Pendulum image"),
    (b"nn\x10\x00\xff\x00", "0x00000000: not a Pendulum image"),
    (b"pn", "0x00000002: the image ends before its string table (expected ff 00)"),
    (b"pn\x10\x00", "0x00000004: the image ends before its string table"),
    (b"pn\x10\x00\xff", "0x00000004: the image ends before its string table"),
    (b"pn\x10", "0x00000002: the image ends before its string table"),
    (b"pn\x18\x30\0\0", "0x00000002: jmp: the image ends inside it"),
    (b"pn\x18\x30\0\0\0\x02\xff", "0x00000008: the image ends before its string table"),
    (image(b"\x7d\x00"), "0x00000002: unknown opcode 7d"),
    (image(RET, b"\xff\x01"), "0x00000004: unknown opcode ff"),
    (image(b"\xef\x00"), "0x00000002: unknown opcode ef"),
    (image(b"\x00\x10", word(1)), "0x00000002: noop: illegal operand types 10 (expected: noop)"),
    (image(b"\x09\x11", word(1), word(1)), "add: illegal operand types 11 (expected: add %a (%b|<number>))"),
    (image(b"\x10\x01", word(1)), "ret or retv: illegal operand types 01 (expected: ret or retv (%a|"),
    (image(b"\x1c\x10", word(1)), "print: illegal operand types 10"),
    (image(b"\x08\x40", b"x\0"), "anno: illegal operand types 40"),
    (image(b"\x05\x20", word(16)), "0x00000002: acc: no register 16 (expected 0 to 15)"),
    (image(b"\x05\x20", word(2**32 - 1)), "acc: no register 4294967295"),
    (image(b"\x04\x22", word(1), word(1)), "swap: the same register twice"),
    (image(b"\x18\x30", word(3)), "0x00000002: jmp: no instruction at 0x00000003"),
    (image(b"\x18\x30", word(0)), "jmp: no instruction at 0x00000000"),
    (image(b"\x18\x30", word(8)), "jmp: no instruction at 0x00000008"),
    (image(b"\x0e\x30", word(2**31)), "call: no instruction at 0x80000000"),
    (image(b"\x1c\x30", word(9)), "0x00000002: print: no string at 0x00000009"),
    (image(b"\x1c\x30", word(10)), "print: no string at 0x0000000a"),
    (image(b"\x1c\x30", word(11), table=b"ab\0"), "print: no string at 0x0000000b"),
    (image(b"\x1c\x30", word(13), table=b"ab\0"), "print: no string at 0x0000000d"),
    (image(b"\x1c\x30", word(2), table=b"ab\0"), "print: no string at 0x00000002"),
    (image(b"\x03\x23", word(0), word(2**31), table=b"a\0"), "set: no string at 0x80000000"),
    (image(RET, table=b"ab"), "0x00000007: the last string has no end"),
    (image(RET, table=b"ok\0a\xff\0"), "0x0000000a: a string is not UTF-8"),
    (b"pn\x08\x14\0\0\0\1open", "0x00000002: anno: its text has no end"),
    (b"pn\x08\x14\0\0", "0x00000002: anno: its text has no end"),
    (image(RET * (IMAGE_LIMIT // 2)), f"it has {IMAGE_LIMIT + 4} bytes (expected at most {IMAGE_LIMIT})"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "reason"), REFUSED)
def test_an_image_is_refused_with_offset_and_reason(content: bytes, reason: str) -> None:
    with pytest.raises(VerifyError) as refused:
        verify(content)
    assert str(refused.value).startswith("image refused at 0x")
    assert reason in str(refused.value)
    assert refused.value.status == 126


ACCEPTED = [
    image(),
    image(RET),
    image(b"\x18\x30", word(2)),
    image(b"\x08\x14", word(9), b"any\xff\0", RET),
    image(b"\x18\x30", word(8), b"\x08\x14", word(1), b"\0"),
    image(b"\x1c\x30", word(13), table=b"ab\0\0"),
    image(RET, table=b"unused\0"),
    image(b"\x08\x14", word(1), b"\0"),
    image(b"\x08\x14", word(3), b"main\0", b"\x08\x14", word(2), b"\0"),
    image(b"\x18\x30", word(8), b"\0\0"),
    image(b"\x0e\x30", word(8), b"\0\0"),
    image(b"\x0f\x30", word(2)),
    image(b"\x0e\x30", word(8), b"\x08\x14", word(1), b"\0"),
]


def run_briefly(program: Program) -> Outcome:
    limits = Limits(300, heap=100_000, output=2_000, directories=3, children=3)
    outcome = run(program, ["x", "1", "two"], ScratchHost(), limits, lambda: False)
    assert not outcome.fault.startswith("internal error"), outcome.fault
    return outcome


@pytest.mark.parametrize("content", ACCEPTED)
def test_an_image_that_is_in_order_is_a_program(content: bytes) -> None:
    program = verify(content)
    assert program.image == content
    assert run_briefly(program).status in {0, 125}


def test_a_program_that_runs_past_its_end_faults_there() -> None:
    outcome = run_briefly(verify(image(b"\x00\x00")))
    assert (outcome.status, outcome.fault) == (125, "no instruction left")
    assert outcome.error_output == b"fault: no instruction left at the end\n"


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_run(content: bytes) -> None:
    for candidate in (content, b"pn" + content, b"pn" + content + END):
        try:
            program = verify(candidate)
        except VerifyError:
            continue
        assert isinstance(run_briefly(program), Outcome)


@given(images())
def test_so_are_images_that_look_like_some(content: bytes) -> None:
    try:
        program = verify(content)
    except VerifyError:
        return
    assert isinstance(run_briefly(program), Outcome)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_so_are_good_images_with_a_byte_changed(place: int, value: int) -> None:
    changed = GOOD[:place] + bytes([value]) + GOOD[place + 1 :]
    try:
        program = verify(changed)
    except VerifyError:
        return
    assert isinstance(run_briefly(program), Outcome)


@given(st.integers(0, len(GOOD)))
def test_so_are_good_images_cut_off(length: int) -> None:
    try:
        program = verify(GOOD[:length])
    except VerifyError:
        return
    assert isinstance(run_briefly(program), Outcome)


@pytest.mark.parametrize("name", LARGE_IMAGES)
def test_the_largest_images_take_bounded_time(name: str) -> None:
    began = time.process_time()
    program = verify(LARGE_IMAGES[name])
    assert len(program.strings) <= 1
    assert time.process_time() - began < 20  # a second here: far from what anything quadratic would take


def test_memory_is_in_proportion() -> None:
    def taken(size: int) -> int:
        content = image(b"\0\0" * (size // 2))
        tracemalloc.start()
        verify(content)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert taken(32_768) < min(300 * 32_768, 5 * taken(8_192))
