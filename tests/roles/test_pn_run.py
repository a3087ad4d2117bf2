"""Programs that `cw pn` runs: their limits, what is seen of them meanwhile, how they are stopped."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from errors import CwError
from roles import pn
from roles.pn_run import Console, Signals
from tests.conftest import CHECKOUT

PATIENCE = 60


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.pn"


Captured = pytest.CaptureFixture[bytes]

LOOP = 'fn main again: print "x" jmp again'
HEAP = 'fn main set %a "0123456789" again: string "%[a]s%[a]s" %a jmp again'

LIMITS = [
    (["--limit-instructions", "7"], LOOP, 125, b"xxx", "limit: instructions (7) at 0x00000008 (print)"),
    (["--limit-instructions", "0"], LOOP, 125, b"", "fault: limit: instructions (0) at 0x00000002 (jmp)"),
    (["--limit-time", "0.001"], "fn main again: jmp again", 124, b"", "killed: run time"),
    (["--limit-heap", "100"], "fn main ret", 125, b"", "fault: limit: heap (100) at 0x00000002 (jmp)"),
    (["--limit-heap", "500"], HEAP, 125, b"", "fault: limit: heap (500) at 0x00000012 (string)"),
    (["--limit-output", "2", "--limit-instructions", "9"], LOOP, 125, b"xx", "cw: output cut at 2 bytes"),
    (["--limit-output", "0"], 'fn main print "x"', 0, b"", "cw: output cut at 0 bytes"),
    (["--no-limits", "--limit-instructions", "7"], LOOP, 125, b"xxx", "limit: instructions (7)"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "source", "status", "out", "last"), LIMITS)
def test_limits(
    options: list[str], source: str, status: int, out: bytes, last: str, file: Path, capfdbinary: Captured
) -> None:
    file.write_text(source)
    assert pn.main([*options, str(file)]) == status
    captured = capfdbinary.readouterr()
    assert captured.out == out
    assert last in captured.err.decode().splitlines()[-1]


def test_without_limits(file: Path, capfdbinary: Captured) -> None:
    file.write_text('fn main again: print "%[b]4096d" add %a 1 lt %a 200 jz again retv 0')
    assert pn.main(["--no-limits", str(file)]) == 0
    assert len(capfdbinary.readouterr().out) == 200 * 4096
    assert pn.main([str(file)]) == 0
    out, err = capfdbinary.readouterr()
    assert (len(out), err) == (524_288, b"cw: output cut at 524288 bytes\n")


TRACED = """\
+ -     0x00000002 jmp main
+ main  0x00000008 set %a 2                   ; %a = 2
+ main  0x00000012 sub %a 1                   ; %a = 1
+ main  0x0000001c eq %a 1
+ main  0x00000026 jz again
+ main  0x00000012 sub %a 1                   ; %a = 0
+ main  0x0000001c eq %a 1                    ; acc = 1
+ main  0x00000026 jz again
+ main  0x0000002c try other
+ other 0x0000003a string "a\\x1b" %b          ; %b = 0x80000001 "a\\x1b"
+ other 0x00000044 error "half"
half
+ other 0x0000004a div %a 0
fault: divide by zero at 0x0000004a (div)
"""

SOURCE = """
fn main set %a 2
again: sub %a 1 eq %a 1 jz again try other print "never" ret
fn other string "a\x1b" %b error "half" div %a 0
"""


def test_a_trace_has_the_names_of_the_source(file: Path, capfdbinary: Captured) -> None:
    file.write_text(SOURCE)
    assert pn.main(["-T", str(file)]) == 125
    assert capfdbinary.readouterr() == (b"", TRACED.encode())


def test_a_trace_of_an_image_has_the_names_that_it_has(file: Path, capfdbinary: Captured) -> None:
    file.write_text(SOURCE)
    assert pn.main(["-S", str(file)]) == 0
    assert pn.main(["-T", f"{file}.S"]) == 125
    stripped = capfdbinary.readouterr().err.decode()
    assert "+ main        0x00000026 jz l_00000012\n" in stripped
    assert "+ fn_0000003a 0x0000004a div %a 0\n" in stripped
    assert pn.main(["-S", "-g", str(file)]) == 0
    assert pn.main(["-T", f"{file}.S"]) == 125
    annotated = capfdbinary.readouterr().err.decode().splitlines()
    assert [line.split()[1] for line in annotated if line.endswith("div %a 0")] == ["other"]


def test_tracing_changes_nothing_else(file: Path, capfdbinary: Captured) -> None:
    file.write_text('fn main pragma trace on print "%[b]4d\\n" pop %a syslog info "hi" pragma test on retv 7')
    assert pn.main(["--limit-output", "200", str(file)]) == 7
    assert capfdbinary.readouterr().err.count(b"+ main") == 3
    assert pn.main(["-T", "--limit-output", "200", str(file)]) == 7
    out, err = capfdbinary.readouterr()
    assert out == b"   0\n"
    assert (err.count(b"+ main"), err.count(b"cw: info: hi\n")) == (6, 1)


COVERED = """\
0x00000002 18 jmp
0x00000008 09 add
0x00000012 19 jz
0x00000018 0c div
"""


def test_coverage(file: Path, capfdbinary: Captured) -> None:
    file.write_text("fn main add %a 1 jz +1 noop div %a 0 fn other noop".replace("jz +1", "jz +0"))
    assert pn.main(["--cover", str(file)]) == 125
    shown = capfdbinary.readouterr().err.decode()
    assert Path(f"{file}.pcov").read_text() == COVERED.replace("18 0c div", "18 00 noop\n0x0000001a 0c div")
    assert shown == (
        "fault: divide by zero at 0x0000001a (div)\n"
        "  80%          4/5  main\n"
        "   0%          0/2  other\n"
        "  62%          5/8  in all\n"
    )


def test_coverage_that_cannot_be_written(file: Path, capfdbinary: Captured) -> None:
    file.write_text('fn main print "x"')
    Path(f"{file}.pcov").mkdir()
    with pytest.raises(CwError) as failed:
        pn.main(["--cover", str(file)])
    assert str(failed.value) == f"{file}.pcov: Is a directory (expected: a file that can be written)"
    assert capfdbinary.readouterr().out == b""


def test_a_line_of_ours_begins_a_line(capfdbinary: Captured) -> None:
    console = Console()
    console.remark(b"+ 1\n")
    console.errors(b"half")
    console.remark(b"+ 2\n")
    console.output(b"out")
    console.remark(b"+ 3\n")
    assert capfdbinary.readouterr() == (b"out", b"+ 1\nhalf\n+ 2\n+ 3\n")


@contextmanager
def running(file: Path, *options: str, stderr: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, str(CHECKOUT / "cw.py"), "pn", *options, str(file)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=stderr or subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


STOPS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@pytest.mark.parametrize(("number", "status"), STOPS)
def test_a_signal_ends_a_program_that_was_heard_already(
    number: signal.Signals, status: int, file: Path
) -> None:
    file.write_text('fn main print "begun\\n" again: jmp again')
    with running(file, "--no-limits") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(number)
        assert process.communicate(timeout=PATIENCE) == (b"", b"")
        assert process.returncode == status


def test_ctrl_c_ends_what_the_program_has_started(file: Path) -> None:
    file.write_text('fn main system "echo $$; exec sleep 1000"')
    with running(file, "--no-limits") as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE) == (b"", b"")
        assert process.returncode == 130
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_second_signal_ends_at_once() -> None:
    with Signals() as signals:
        signal.raise_signal(signal.SIGTERM)
        assert signals.number == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_that_was_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals() as signals:
            signal.raise_signal(signal.SIGHUP)
            assert signals.number == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_output_that_nobody_reads_ends_it(file: Path) -> None:
    file.write_text(LOOP)
    with running(file, "--no-limits") as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"x"
        process.stdout.close()
        assert process.wait(timeout=PATIENCE) == 141


def test_an_output_that_is_full_ends_it(file: Path) -> None:
    file.write_text(LOOP)
    argv = [sys.executable, str(CHECKOUT / "cw.py"), "pn", "--no-limits", str(file)]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (74, b"cw: cannot write: No space left on device\n")
