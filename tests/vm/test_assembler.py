from unicodedata import combining

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vm.hosts import main_of, program_of, ran
from vm import modules
from vm.assembler import DEPTH_LIMIT, AssemblyError, Remark, assemble
from vm.modules import Source
from vm.places import Place
from vm.program import IMAGE_LIMIT, LITERAL, REGISTER, Instruction


def nothing(_: str) -> None:
    return None


def spelled(source: str) -> list[str]:
    """The instructions of a source, addresses in hexadecimal."""
    return [spelling(instruction) for instruction in program_of(source).instructions]


def spelling(instruction: Instruction) -> str:
    words = [instruction.form.opcode.name]
    for kind, operand in zip(instruction.form.types, instruction.operands, strict=True):
        number = str(operand) if kind == LITERAL else f"0x{operand:08x}"
        words.append("%" + chr(ord("a") + operand) if kind == REGISTER else number)
    return " ".join(words)


def error_of(source: str) -> AssemblyError:
    with pytest.raises(AssemblyError) as failed:
        assemble(source, "x.pn", nothing)
    assert failed.value.status == 2
    return failed.value


def including(**files: str) -> dict[str, Source]:
    return {name: Source(f"{name}.pn", text, name) for name, text in files.items()}


LAYOUTS = [
    ("fn main ret", ["jmp 0x00000008", "ret"]),
    ("fn main", ["jmp 0x00000008", "ret"]),
    ("fn main noop", ["jmp 0x00000008", "noop", "ret"]),
    ("fn main retv 1", ["jmp 0x00000008", "retv 1"]),
    ("fn main bail 1", ["jmp 0x00000008", "bail 1"]),
    ("fn main halt", ["jmp 0x00000008", "halt", "ret"]),
    ("fn a ret fn main ret", ["jmp 0x0000000a", "ret", "ret"]),
    ("fn a fn main", ["jmp 0x0000000a", "ret", "ret"]),
    ("fn main jmp end ret end:", ["jmp 0x00000008", "jmp 0x00000010", "ret", "ret"]),
    ("fn main jmp +0 ret", ["jmp 0x00000008", "jmp 0x0000000e", "ret"]),
    ("fn main jz +1 retv 1 retv 0", ["jmp 0x00000008", "jz 0x00000014", "retv 1", "retv 0"]),
    ("fn main jmp +0", ["jmp 0x00000008", "jmp 0x0000000e", "ret"]),
    ("fn main again: jmp again", ["jmp 0x00000008", "jmp 0x00000008", "ret"]),
    ("fn main again: ret fn b again: jmp again", ["jmp 0x00000008", "ret", "jmp 0x0000000a", "ret"]),
    ('fn main anno "x" ret', ["jmp 0x00000008", "ret"]),
    ('fn main ret anno "x"', ["jmp 0x00000008", "ret", "ret"]),
    ("fn main\nset\n%a\n3 ret", ["jmp 0x00000008", "set %a 3", "ret"]),
    ("; c\n  ; c\nfn main ; c\nnoop ; noop\nret;c", ["jmp 0x00000008", "noop", "ret"]),
    ("fn main\r\nnoop\r\nret\r\n", ["jmp 0x00000008", "noop", "ret"]),
    (
        "fn main pragma test on syslog error %a loglevel error %b ret",
        ["jmp 0x00000008", "pragma 0x0000002a 0x0000002f", "syslog 0x00000032 %a", "loglevel 0x00000032 %b",
         "ret"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("source", "instructions"), LAYOUTS)
def test_layout(source: str, instructions: list[str]) -> None:
    assert spelled(source) == instructions


NUMBERS = [("0", 0), ("10", 10), ("0x1F", 31), ("0644", 0o644), ("4294967295", 2**32 - 1), ("00", 0)]


@pytest.mark.parametrize(("text", "value"), NUMBERS)
def test_numbers(text: str, value: int) -> None:
    assert ran(main_of(f"retv {text}")).status == value


STRINGS = [
    ('"plain"', "plain"),
    (r'"a\nb\rc\td"', "a\nb\rc\td"),
    (r'"\"\\\q\;"', '"\\q;'),
    ('"; no comment"', "; no comment"),
    ('""', ""),
    ('"žluť"', "žluť"),
    ("<<END\nEND", ""),
    ("<<END  \none\n  two ; \"\nEND\n", 'one\n  two ; "\n'),
    ("<<END\n END\nEND\n", " END\n"),
    ("<<;\nfn\n;\n", "fn\n"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), STRINGS)
def test_strings(text: str, value: str) -> None:
    assert ran(main_of(f'set %a {text}\nprint "%[a]s"')).output.decode() == value


def test_an_instruction_goes_on_after_a_heredoc() -> None:
    assert ran("fn main string <<A\nx\nA\n%b print %b ret").output == b"x\n"


def test_each_string_is_in_the_image_once_in_order_of_first_use() -> None:
    image = assemble('fn main print "b" print "a" print "b" set %a "a"', "x", nothing)
    assert image.endswith(b"\xff\0b\0a\0")


@pytest.mark.parametrize("end", ["", " ", "\r"])
def test_a_string_ends_with_its_line_and_a_warning(end: str) -> None:
    warnings: list[Remark] = []
    source = f'fn main\n print "open{end}\n ret'
    image = assemble(source, "x.pn", nothing, warn=warnings.append)
    assert image.endswith(b"open \0" if end == " " else b"open\0")
    assert warnings == ['x.pn:2: a string without its closing " ends at the end of the line']
    assert [warning.excerpt for warning in warnings] == [' print "open\n       ^']


ACLS = [
    ('acl allow ALL "ping"', b'allow ALL "ping"'),
    ('  acl deny %x "show *" final ; kept', b'deny %x "show *" final ; kept'),
    ("acl allow joe ALL\r", b"allow joe ALL"),
]


@pytest.mark.parametrize(("line", "rule"), ACLS)
def test_acl_takes_the_rest_of_its_line(line: str, rule: bytes) -> None:
    assert assemble(f"fn main\n{line}\n", "x", nothing).endswith(b"\xff\0" + rule + b"\0")


ERRORS = [
    ("", "x.pn: no function main (expected: fn main)"),
    ("fn other ret", "x.pn: no function main (expected: fn main; a module is for #include)"),
    ("noop", "x.pn:1: 'noop' is in no function (expected: fn NAME before it)"),
    ("acl allow ALL ALL", "x.pn:1: 'allow ALL ALL' is in no function (expected: fn NAME before it)"),
    ("here:", "x.pn:1: 'here' is in no function (expected: fn NAME before it)"),
    ("fn", "x.pn:1: expected: fn NAME, which is no instruction's; found the end of the file"),
    ("fn print", "x.pn:1: expected: fn NAME, which is no instruction's; found 'print'"),
    ('fn "main"', "x.pn:1: expected: fn NAME, which is no instruction's; found 'main'"),
    ("fn main\nfn main", "x.pn:2: fn main again (expected: one; the first is at x.pn:1)"),
    ("fn main\na:\na:", "x.pn:3: label a again (expected: one; the first is at x.pn:2)"),
    ("fn main\nset %a", "x.pn:2: expected: set %a (%b|<string>|<number>); found the end of the file"),
    ("fn main\nset %a x", "x.pn:2: expected: set %a (%b|<string>|<number>); found 'x'"),
    ("fn main\nset 1 1", "x.pn:2: expected: set %a (%b|<string>|<number>); found '1'"),
    ("fn main\njmp\nprint %a", "x.pn:2: expected: jmp <label>; found 'print'"),
    ("fn main\ncall 7", "x.pn:2: expected: call <function>; found '7'"),
    ("fn main\nswap %a %a", "x.pn:2: expected: swap %a %b, two different registers; found %a twice"),
    ("fn main\njump x", "x.pn:2: no instruction is called jump: did you mean 'jmp'?"),
    ("fn main\nxyzzy", "x.pn:2: no instruction is called xyzzy (expected: an instruction, NAME: or fn NAME)"),
    ("fn main\n%a", "x.pn:2: expected: an instruction, NAME: or fn NAME; found '%a'"),
    ("fn main\njmp away", "x.pn:2: no label away in fn main (expected: away:)"),
    ("fn main\njmp away\nfn b\naway:", "x.pn:2: no label away in fn main (expected: away:)"),
    ("fn main\ncall b", "x.pn:2: no function b (expected: one that a fn opens)"),
    ("fn main\njmp +2\nret", "x.pn:2: +2 leads out of fn main (expected: at most +0)"),
    ("fn main\njmp +2\nnoop\nfn b", "x.pn:2: +2 leads out of fn main (expected: at most +1)"),
    ("fn main\nset %a 08", "2: not a number: 08 (expected: decimal, 0x and hexadecimal, or 0 and octal)"),
    ("fn main\nset %a 4294967296", "x.pn:2: number too large: 4294967296 (expected: at most 4294967295)"),
    ("fn main\nset %a " + "9" * 9999, "x.pn:2: n"),
    ("fn main\nprint <<END\nx", "x.pn:2: the text of <<END has no end (expected: a line that is just END)"),
    ("fn main\n#import x", "x.pn:2: expected: #include NAME or #annotate, alone on its line"),
    ("#include", "x.pn:1: expected: #include NAME or #annotate, alone on its line"),
    ("#include a b", "x.pn:1: expected: #include NAME or #annotate, alone on its line"),
    ("#include ../a", "x.pn:1: expected: #include NAME or #annotate, alone on its line"),
    ("#include /a", "x.pn:1: expected: #include NAME or #annotate, alone on its line"),
    ("#include a", "x.pn:1: no module a (expected: a.pn on the include path)"),
    ("fn main\nset %q 1", "found '%q'"),
    ("fn main\nset %a 1x", "found '1x'"),
    ("fn main\n\x1b[2J", r"found '\x1b[2J'"),
    ("fn main\n\0", "x.pn:2: a NUL character (expected: text)"),
    ("fn main\n\ud800", "x.pn: not text that UTF-8 can hold (expected: UTF-8)"),
    ("fn main\nflaged %a", "x.pn:2: no instruction is called flaged: did you mean 'flagged?'?"),
    ("fn main\n" + "p" * 99, f"x.pn:2: no instruction is called {'p' * 39}… (expected: an instruction,"),
    ("fn main\nagain: jmp agian", "x.pn:2: no label agian in fn main: did you mean 'again'?"),
    ("fn main\ncall mian", "x.pn:2: no function mian: did you mean 'main'?"),
    ("fn main\njmp " + "x" * 999, f"x.pn:2: no label {'x' * 39}… in fn main (expected: {'x' * 39}…:)"),
    ("fn main\nprint <<" + "E" * 99, f"x.pn:2: the text of <<{'E' * 39}… has no end"),
    ("fn main\n#annotate x", "x.pn:2: expected: #include NAME or #annotate, alone on its line"),
    ("fn main\nanno 1", "x.pn:2: expected: anno <string> or anno 2 <string>; found '1'"),
    ("fn main\nanno 2 %a", "x.pn:2: expected: anno <string> or anno 2 <string>; found '%a'"),
    ("fn main\nanno", "x.pn:2: expected: anno <string> or anno 2 <string>; found the end of the file"),
    ("fn main\nanno 2 \"x\" ret", "x.pn:2: 'ret' is in no function (expected: fn NAME before it)"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "sentence"), ERRORS)
def test_an_error_names_file_line_and_what_was_expected(source: str, sentence: str) -> None:
    error = str(error_of(source))
    assert sentence in error
    assert error.isprintable()
    assert len(error) < 200


CARETS = [
    ("fn main\n  set %a x", "  set %a x\n         ^"),
    ("fn main\n  set %a ; why\n  x", "  set %a ; why\n  ^"),
    ("fn main\n  jmp\n  print %a", "  jmp\n  ^"),
    ("fn main\n  ret  fn", "  ret  fn\n       ^"),
    ("fn main\n  noop  flaged %a", "  noop  flaged %a\n        ^"),
    ("fn main\n  swap %a %a", "  swap %a %a\n          ^"),
    ("fn main\n  swap %a\n  %a", "  swap %a\n  ^"),
    ("fn main\n  jz  away  ret", "  jz  away  ret\n      ^"),
    ("fn main\n  jz +7 ret", "  jz +7 ret\n     ^"),
    ("fn main\n  call away", "  call away\n       ^"),
    ("fn main fn  main", "fn main fn  main\n            ^"),
    ("fn main a: noop a:", "fn main a: noop a:\n                ^"),
    ("fn main\n print %a 3", " print %a 3\n          ^"),
    ("fn main\n set %a 099", " set %a 099\n        ^"),
    ("fn main\n print <<END\nx", " print <<END\n       ^"),
    ("fn main\n  acl x\nfn acl", "fn acl\n   ^"),
    ("  #include  nope ", "  #include  nope\n            ^"),
    ("  #import x", "  #import x\n  ^"),
    ("  ret", "  ret\n  ^"),
    ("  acl allow ALL ALL", "  acl allow ALL ALL\n  ^"),
    ("fn main\n  noop \0\n", "  noop \\x00\n       ^"),
    ("fn main\n\tset\t%a\tx\r", "        set     %a      x\n                        ^"),
    ('fn main\nprint "日本" x', 'print "日本" x\n             ^'),
    ('fn main\nprint "e\u0301" x', 'print "e\u0301" x\n          ^'),
    ('fn main\nprint "\x1b[2J\u202e" x', 'print "\\x1b[2J\\u202e" x\n                      ^'),
    ("fn main\n" + " " * 70 + "x " + "y" * 28, " " * 70 + "x " + "y" * 28 + "\n" + " " * 70 + "^"),
    ("fn main\n" + " " * 70 + "x " + "y" * 29, "…" + " " * 68 + "x " + "y" * 29 + "\n" + " " * 69 + "^"),
    ("fn main\nx " + "y" * 2**20, "x " + "y" * 97 + "…\n^"),
    (f'fn main\nprint "{"z" * 2**20}" x', "…" + "z" * 96 + '" x\n' + " " * 99 + "^"),
    (f'fn main\nprint "{"木" * 500}" x', "…" + "木" * 48 + '" x\n' + " " * 99 + "^"),
    ("", ""),
]  # fmt: skip


@pytest.mark.parametrize(("source", "excerpt"), CARETS)
def test_an_error_shows_its_line_and_a_caret(source: str, excerpt: str) -> None:
    error = error_of(source)
    assert error.excerpt == excerpt
    assert "\n" not in str(error)


@given(st.text(min_size=1), st.integers(0, 500))
def test_excerpts_are_two_narrow_lines_and_harmless(line: str, column: int) -> None:
    place = Place("x", 1, line * 20, column % (20 * len(line)))
    shown, caret = place.excerpt.split("\n")
    assert shown.isprintable()
    assert len(caret) <= 101
    assert caret.strip(" ") == "^"
    assert sum(not combining(character) for character in shown) <= 100


FRAGMENTS = [
    *(
        "fn",
        "main",
        "fn main",
        "jmp",
        "call",
        "anno",
        "2",
        "+0",
        "+9",
        "x:",
        "x",
        "%a",
        '"',
        '\\"',
        "0x",
        "09",
    ),
    *("<<END", "END", "acl", "#include", "#annotate", "m", "\n", "\n#include m\n"),
    *("\t", "\r", ";", "\0", "\u2028", "\ud800"),
]
TEXTS = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=3)), max_size=20).map(" ".join)


@settings(max_examples=300)
@given(TEXTS)
def test_any_text_is_assembled_or_has_a_mistake_in_one_line(text: str) -> None:
    remarks: list[tuple[str, str]] = []
    try:
        assemble(text, "x.pn", including(m="fn m ret").get, True, lambda it: remarks.append((it, it.excerpt)))
    except AssemblyError as error:
        remarks.append((str(error), error.excerpt))
    for sentence, excerpt in remarks:
        assert sentence.isprintable()
        assert excerpt.endswith("^") or sentence.startswith("x.pn: ")


def test_includes_are_read_where_they_stand_and_once() -> None:
    files = including(a="#include b\nfn a retv 7", b="#include a\nfn b call a ret")
    image = assemble("#include a\n#include b\n#include a\nfn main call b ret", "m", files.get)
    assert image == assemble("fn b call a ret fn a retv 7 fn main call b ret", "m", nothing)


def test_a_function_ends_where_a_file_is_included() -> None:
    files = including(a="fn a retv 7")
    image = assemble("fn main noop\n#include a\nfn b ret", "m", files.get)
    assert image == assemble("fn main noop ret fn a retv 7 fn b ret", "m", nothing)
    with pytest.raises(AssemblyError, match="m:3: 'noop' is in no function"):
        assemble("fn main noop\n#include a\nnoop", "m", files.get)


def test_annotations_tell_files_and_functions() -> None:
    files = including(a="#include b\nfn a ret", b="fn b ret")
    image = assemble('#include a\nfn main anno "mine" ret', "m", files.get, annotate=True)
    texts = [b"\x02module : b\0", b"\x03b\0", b"\x02module : a\0", b"\x03a\0", b"\x02MAIN\0", b"\x03main\0"]
    places = [image.index(b"\x08\x14\0\0\0" + text) for text in [*texts, b"\x01mine\0"]]
    assert places == sorted(places)
    assert image.count(b"\x08\x14") == 7


def test_a_source_can_ask_for_its_annotations() -> None:
    source = 'fn main anno "mine" ret'
    kept = assemble(source, "m", nothing, annotate=True)
    assert assemble(f"#annotate\n{source}", "m", nothing) == kept != assemble(source, "m", nothing)
    assert assemble(f"{source}\n#annotate", "m", nothing, annotate=True) == kept


def test_annotations_of_modules_can_be_written() -> None:
    included = assemble("#include a\nfn main ret", "m", including(a="fn a").get, annotate=True)
    written = 'anno 2 "gone" anno 2 "module : a" fn a anno 2 "MAIN"\nfn main ret'
    assert assemble(written, "m", nothing, annotate=True) == included
    assert assemble(written, "m", nothing) == assemble("fn a fn main", "m", nothing)


def test_any_space_separates() -> None:
    assert assemble("fn main noop\u2028\x1cnoop\xa0", "m", nothing) == assemble(
        "fn main noop noop", "m", nothing
    )


def test_errors_in_an_included_file_name_that_file() -> None:
    with pytest.raises(
        AssemblyError, match=r"^m:2: fn main again \(expected: one; the first is at a\.pn:2\)$"
    ):
        assemble("#include a\nfn main", "m", including(a="\nfn main").get)
    with pytest.raises(AssemblyError, match=r"^a\.pn:2: no instruction is called nope"):
        assemble("#include a", "m", including(a="fn a\nnope").get)


def test_files_cannot_include_without_end() -> None:
    def endless(name: str) -> Source:
        return Source(name, f"#include {name}x", name)

    with pytest.raises(AssemblyError, match=f"nested too deep .expected: at most {DEPTH_LIMIT} files"):
        assemble("#include x", "m", endless)


def test_an_image_has_a_largest_size() -> None:
    def source(noops: int) -> str:
        return "fn main " + "noop " * noops

    fits = (IMAGE_LIMIT - len(assemble(source(0), "m", nothing))) // 2
    assert len(assemble(source(fits), "m", nothing)) <= IMAGE_LIMIT
    with pytest.raises(AssemblyError, match=f"at most {IMAGE_LIMIT}"):
        assemble(source(fits + 1), "m", nothing)


def test_a_source_that_has_no_room_in_an_image_is_not_read_to_its_end() -> None:
    many = IMAGE_LIMIT // 2
    sources = {
        "fn main\n" + "jmp x\n" * many: f"m:{IMAGE_LIMIT // 6 + 1}: no room for it in the image",
        "".join(f"fn f{n}\n" for n in range(many)): f"m:{many - 4}: no room for it in the image",
    }
    for source, sentence in sources.items():
        with pytest.raises(AssemblyError, match=sentence) as caught:
            assemble(source + '"', "m", nothing)
        assert caught.value.excerpt


def test_the_modules_that_ship() -> None:
    assert "fn mesh.ping" in (modules.source("mesh") or "")
    for name in ("nope", "../mesh", "", "MESH"):
        assert modules.source(name) is None
        assert modules.find(name) is None
