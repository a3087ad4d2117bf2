import io
import os
import stat
import sys
from pathlib import Path

import pytest

from errors import CwError
from roles import pn
from vm.assembler import AssemblyError
from vm.verifier import VerifyError

VECTORS = Path(__file__).parent.parent / "vectors" / "pendulum"
HELLO = 'fn main pop %a pop %b pop %c print "hello %[c]s, %[a]d\\n" retv 3\n'


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    path = tmp_path / "hello.pn"
    path.write_text(HELLO)
    return path


class Input:
    """Standard input that holds bytes."""

    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)


def test_a_source_runs_with_its_arguments(hello: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert pn.main([str(hello), "world", "-S"]) == 3
    assert capfdbinary.readouterr() == (b"hello world, 3\n", b"")


def test_main_finds_the_file_as_its_name(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    path = tmp_path / "name.pn"
    path.write_text('fn main pop %a pop %b print "%[a]d %[b]s"')
    assert pn.main([str(path)]) == 0
    assert capfdbinary.readouterr().out == f"1 {path}".encode()


def test_it_assembles_and_runs_the_image(hello: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert pn.main(["-S", str(hello)]) == 0
    image = hello.with_name("hello.pn.S")
    assert image.read_bytes().startswith(b"pn\x18\x30")
    assert stat.S_IMODE(image.stat().st_mode) & 0o111 == 0
    assert pn.main([str(image), "again"]) == 3
    assert capfdbinary.readouterr().out == b"hello again, 2\n"
    assert sorted(path.name for path in hello.parent.iterdir()) == ["hello.pn", "hello.pn.S"]


@pytest.mark.parametrize("name", ["functions", "strings", "rules"])
def test_images_are_those_of_the_vectors(name: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    source = str(VECTORS / f"{name}.pn")
    assert pn.main(["-S", "-o", "-", source]) == 0
    assert pn.main(["-S", "-g", "-o", "-", source]) == 0
    plain = bytes.fromhex((VECTORS / f"{name}.hex").read_text())
    annotated = bytes.fromhex((VECTORS / f"{name}.annotated.hex").read_text())
    assert capfdbinary.readouterr() == (plain + annotated, b"")


def test_standard_input_and_output(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(sys, "stdin", Input(HELLO.encode()))
    assert pn.main(["-", "x"]) == 3
    assert capfdbinary.readouterr().out == b"hello x, 2\n"
    monkeypatch.setattr(sys, "stdin", Input(HELLO.encode()))
    assert pn.main(["-S", "-"]) == 0
    image = capfdbinary.readouterr().out
    monkeypatch.setattr(sys, "stdin", Input(image))
    assert pn.main(["-e", "-"]) == 0
    assert capfdbinary.readouterr().out == b"pure\n"
    monkeypatch.setattr(sys, "stdin", Input(HELLO.encode()))
    assert pn.main(["-S", "-o", str(tmp_path / "out"), "-"]) == 0
    assert (tmp_path / "out").read_bytes() == image


EFFECTS = [('fact.get "x" %a', "reads"), ('print "x"', "pure"), ('ret fact.get "x" %a', "pure")]


@pytest.mark.parametrize(("body", "word"), EFFECTS)
def test_the_effect(body: str, word: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    path = tmp_path / "x.pn"
    path.write_text(f"fn main {body}")
    assert pn.main(["-e", str(path)]) == 0
    assert capfdbinary.readouterr().out.decode() == word + "\n"


def test_an_include_that_no_file_can_be_called(tmp_path: Path) -> None:
    source = tmp_path / "main.pn"
    source.write_text(f"#include {'x' * 300}\nfn main ret")
    with pytest.raises(AssemblyError, match="no module xxx"):
        pn.main(["-I", str(tmp_path), str(source)])


def test_includes_are_looked_for_in_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    for place in ("first", "second", "environment"):
        (tmp_path / place).mkdir()
        (tmp_path / place / f"{place}.pn").write_text(f'fn {place} print "{place} " ret')
        (tmp_path / place / "common.pn").write_text(f'fn common print "{place}" ret')
    os.link(tmp_path / "first" / "first.pn", tmp_path / "second" / "again.pn")
    monkeypatch.setenv("PENDULUM_INCLUDE", f"{tmp_path / 'environment'}:/nonexistent")
    calls = "call first call second call environment call common call mesh.ping ret"
    includes = "".join(
        f"#include {name}\n" for name in ("again", "first", "second", "environment", "common", "mesh")
    )
    source = tmp_path / "x.pn"
    source.write_text(f"{includes}fn main {calls}")
    assert pn.main(["-I", f"{tmp_path / 'first'}:", "-I", str(tmp_path / "second"), str(source)]) == 0
    assert capfdbinary.readouterr().out == b"first second environment firstpong\n"


def test_a_source_that_is_included_by_what_it_includes_is_there_once(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (tmp_path / "x.pn").write_text("#include y\n#include x\nfn main call y ret")
    (tmp_path / "y.pn").write_text('#include x\nfn y print "y"')
    assert pn.main(["-I", str(tmp_path), str(tmp_path / "x.pn")]) == 0
    assert capfdbinary.readouterr().out == b"y"


def test_facts_are_those_of_this_host(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    path = tmp_path / "x.pn"
    path.write_text('fn main fact.get "sys.platform" %a print "%[a]s" show.acls geteuid %b print " %[b]d"')
    assert pn.main([str(path)]) == 0
    assert capfdbinary.readouterr().out == f"Linux {os.geteuid()}".encode()


ENDS = [
    ("error \"why\" div %a 0", 125, "why\nfault: divide by zero at 0x0000000e (div)\n"),
    ("retv 256", 255, ""),
    ("retv 4294967295", 255, ""),
    ("bail 1", 1, ""),
    ('syslog warning "a\\nb"', 0, "cw: warning: a\\x0ab\n"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "error"), ENDS)
def test_how_it_ends(
    body: str, status: int, error: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / "x.pn"
    path.write_text(f"fn main {body}")
    assert pn.main([str(path)]) == status
    assert capfdbinary.readouterr().err.decode() == error


def test_warnings_are_told_with_their_place(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / "x.pn"
    path.write_text('fn main print "x')
    assert pn.main([str(path)]) == 0
    out, err = capfdbinary.readouterr()
    first, *excerpt = err.decode().splitlines()
    assert (out, excerpt[0]) == (b"x", 'fn main print "x')
    assert first.startswith(f'cw: {path}:1: a string without its closing "')
    assert (excerpt[1].strip(), len(excerpt)) == ("^", 2)


def test_a_disassembly_assembles_to_the_same_image(
    hello: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    listing = hello.with_name("listing.pn")
    assert pn.main(["-S", "-o", "-", str(hello)]) == 0
    image = capfdbinary.readouterr().out
    assert pn.main(["-d", "-o", str(listing), str(hello)]) == 0
    assert pn.main(["-S", "-o", "-", str(listing)]) == 0
    assert capfdbinary.readouterr() == (image, b"")
    assert pn.main(["-d", str(hello)]) == 0
    assert capfdbinary.readouterr().out == listing.read_bytes()
    monkeypatch.setattr(sys, "stdin", Input(image))
    assert pn.main(["-d", "-"]) == 0
    assert capfdbinary.readouterr().out == listing.read_bytes()


def test_annotations_are_kept_in_a_disassembly(
    hello: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert pn.main(["-d", "-g", str(hello)]) == 0
    assert b"#annotate" in capfdbinary.readouterr().out


def test_a_terminal_is_shown_no_character_that_acts_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / "x.pn"
    path.write_text('fn main print "\x1b[2J\u2028é"')
    assert pn.main(["-d", str(path)]) == 0
    assert "\x1b[2J\u2028é".encode() in capfdbinary.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert pn.main(["-d", str(path)]) == 0
    assert capfdbinary.readouterr().out.decode() == 'fn main\n  print "\\x1b[2J\\u2028é"\n  ret\n'


def error_of(*argv: str) -> CwError:
    with pytest.raises(CwError) as failed:
        pn.main(list(argv))
    assert str(failed.value).isprintable()
    return failed.value


def test_bad_files(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pn")
    expected = "(expected: a Pendulum source or image)"
    assert str(error_of(missing)) == f"{missing}: No such file or directory {expected}"
    assert str(error_of(str(tmp_path))) == f"{tmp_path}: Is a directory {expected}"
    bad = tmp_path / "bad.pn"
    bad.write_bytes(b"fn main\n\xff")
    assert str(error_of(str(bad))) == f"{bad}:2: not UTF-8 {expected}"
    bad.write_bytes(b"pn\x7d\x00\xff\x00")
    assert isinstance(error_of(str(bad)), VerifyError)
    assert error_of(str(bad)).status == 126
    bad.write_bytes(b"pn" + bytes(300_000))
    assert str(error_of(str(bad))) == f"{bad}: too large (expected: at most 262144 bytes)"
    assert "too large" in str(error_of("/dev/zero"))
    bad.write_bytes(b"")
    assert isinstance(error_of(str(bad)), AssemblyError)


def test_a_device_is_written_as_it_is(hello: Path) -> None:
    assert pn.main(["-S", "-o", "/dev/null", str(hello)]) == 0
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_no_image_is_written_after_an_error(tmp_path: Path) -> None:
    source = tmp_path / "x.pn"
    source.write_text("fn main\n  set %a\n")
    error = error_of("-S", str(source))
    assert str(error) == f"{source}:2: expected: set %a (%b|<string>|<number>); found the end of the file"
    assert (error.status, error.excerpt) == (2, "  set %a\n  ^")
    source.write_text("fn main")
    assert "expected: a file that can be written" in str(error_of("-S", "-o", str(tmp_path), str(source)))
    assert "No such file" in str(error_of("-S", "-o", str(tmp_path / "no" / "x"), str(source)))
    assert list(tmp_path.iterdir()) == [source]


SEE = " (see cw pn --help)"
WHOLE = "expected a whole number, got"
SECONDS = "expected a number of seconds, more than 0, got"
USAGE = [
    ([], "the following arguments are required: FILE"),
    (["-o", "x", "FILE"], "-o goes with -S or -d"),
    (["-T", "-o", "x", "FILE"], "-o goes with -S or -d"),
    (["-e", "FILE", "x"], "arguments are for a program that runs"),
    (["-S", "FILE", "-o", "x"], "arguments are for a program that runs; options go before FILE"),
    (["-d", "-T", "FILE"], "-T is for a program that runs"),
    (["-S", "--cover", "FILE"], "--cover is for a program that runs"),
    (["-e", "--no-limits", "FILE"], "--no-limits is for a program that runs"),
    (["-e", "--limit-heap", "0", "FILE"], "--limit-heap is for a program that runs"),
    (["-S", "-e", "FILE"], "argument -e: not allowed with argument -S"),
    (["-d", "-S", "FILE"], "argument -S: not allowed with argument -d"),
    (["--cover", "-"], "--cover writes FILE.pcov, so FILE cannot be standard input"),
    (["--limit-heap"], "argument --limit-heap: expected one argument"),
    *(
        (["--limit-instructions", bad, "FILE"], f"argument --limit-instructions: {WHOLE} {bad!r}")
        for bad in ("", "x", "-1", "1.5", "1_000", "1e3", " 1", "٣", "9" * 19)
    ),
    (["--limit-output", "\n", "FILE"], rf"argument --limit-output: {WHOLE} '\n'"),
    *(
        (["--limit-time", bad, "FILE"], f"argument --limit-time: {SECONDS} {bad!r}")
        for bad in ("0", "0.0", "-1", "nan", "inf", "1e3", ".5", "1.", "9" * 10)
    ),
]  # fmt: skip


@pytest.mark.parametrize(("argv", "sentence"), USAGE)
def test_usage_errors(argv: list[str], sentence: str) -> None:
    error = error_of(*argv)
    assert str(error) == sentence + SEE
    assert error.status == 2


def test_the_help_fits_a_screen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as done:
        pn.main(["--help"])
    assert done.value.code == 0
    shown = capsys.readouterr().out
    assert "cw pn hello.pn world" in shown
    assert all(bound.option in shown for bound in pn.BOUNDS)
    assert shown.count("\n") <= 38
    assert max(map(len, shown.splitlines())) <= 90
