import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.command import GRAMMAR, Verb
from mesh.images import image_of
from tests.vm.images import GOOD, LARGE_IMAGES, RET, image, images, word
from tests.vm.sources import Written, sources
from vm import modules
from vm.assembler import assemble
from vm.disassembler import DisassemblyError, disassemble
from vm.modules import Source
from vm.opcodes import BY_NAME
from vm.verifier import VerifyError


def again(listing: str) -> bytes:
    return assemble(listing, "listing.pn", lambda _: None)


@settings(max_examples=100)
@given(sources(), st.booleans())
def test_a_listing_makes_the_image_that_it_is_of(source: Written, annotate: bool) -> None:
    content = source.image(annotate)
    listing = disassemble(content)
    assert again(listing) == content
    assert not listing.startswith(";")


@pytest.mark.parametrize("annotate", [False, True])
@pytest.mark.parametrize("module", sorted(modules.SHIPPED))
def test_so_do_those_of_the_modules_that_ship(module: str, annotate: bool) -> None:
    content = assemble(f"#include {module}\nfn main", "x", modules.find, annotate)
    assert again(disassemble(content)) == content


@pytest.mark.parametrize("verb", GRAMMAR, ids=lambda verb: "-".join(verb.words))
def test_so_do_those_of_the_commands(verb: Verb) -> None:
    content = image_of(verb).image
    assert again(disassemble(content)) == content


LISTINGS = [
    (
        "fn f set %a 1 ret fn main jz end try f end: acl allow ALL ALL",
        """
fn fn_00000008
  set %a 1
  ret

fn main
  jz l_00000020
  try fn_00000008
l_00000020:
  acl allow ALL ALL
  ret
""",
    ),
    ("fn main ret fn unused retv 1", "\nfn main\n  ret\n\nfn fn_0000000a\n  retv 1\n"),
    ("fn main jz +1 ret retv 1", "\nfn main\n  jz l_00000010\n  ret\nl_00000010:\n  retv 1\n"),
    (
        r'fn main print "\"\\\n\r\té;" pragma x "on" syslog "a b" "acl" loglevel "acl" %a',
        r"""
fn main
  print "\"\\\n\r\té;"
  pragma x on
  syslog "a b" "acl"
  loglevel "acl" %a
  ret
""",
    ),
    (
        'fn main fs.chmod "x" 420 umask 0 %a umask 18 %a fs.chmod "x" 4096 fs.chown "x" 420',
        """
fn main
  fs.chmod "x" 0644
  umask 0 %a
  umask 022 %a
  fs.chmod "x" 4096
  fs.chown "x" 420
  ret
""",
    ),
    (
        '#annotate\n#include m\nfn main jz why why: anno "why" call m ret',
        """#annotate

anno 2 "module : m"

fn m
  ret

anno 2 "MAIN"

fn main
  jz l_0000003f
l_0000003f:
  anno "why"
  call m
  ret
""",
    ),
]


@pytest.mark.parametrize(("source", "listing"), LISTINGS)
def test_listings(source: str, listing: str) -> None:
    assert disassemble(assemble(source, "x", {"m": Source("m", "fn m", 0)}.get)) == listing.removeprefix("\n")


def anno(kind: int, text: bytes) -> bytes:
    return b"\x08\x14" + word(kind) + text + b"\0"


MAIN = b"\x18\x30" + word(8)
UNUSUAL = {
    "no instructions": (
        image(),
        "; no assembler makes this image: listing: no function main (expected: fn main)\n",
    ),
    "no jump in front": (image(RET), "; … code … from 0x00000002 on\nfn main\n  ret\n"),
    "a jump to itself": (
        image(b"\x18\x30", word(2)),
        "; … code … from 0x00000007 on\nfn main\nl_00000002:\n  jmp l_00000002\n",
    ),
    "it runs past its end": (image(MAIN, b"\0\0"), "; … code … from 0x0000000a on\nfn main\n  noop\n"),
    "a string that is not used": (
        image(MAIN, RET, table=b"x\0"),
        "; … strings … from 0x0000000c on\nfn main\n  ret\n",
    ),
    "strings in another order": (
        image(MAIN, b"\x1c\x30", word(26), b"\x1c\x30", word(24), RET, table=b"a\0b\0"),
        '; … code … from 0x0000000d on\nfn main\n  print "b"\n  print "a"\n  ret\n',
    ),
    "a string twice": (
        image(MAIN, b"\x1c\x30", word(24), b"\x1c\x30", word(26), RET, table=b"a\0a\0"),
        '; … code … from 0x00000013 on\nfn main\n  print "a"\n  print "a"\n  ret\n',
    ),
    "a jump into another function": (
        image(MAIN, b"\x18\x30", word(0x16), b"\x0e\x30", word(0x16), RET, RET),
        """; no assembler makes this image: listing:3: no label l_00000016 in fn main (expected: l_00000016:)
fn main
  jmp l_00000016
  call fn_00000016
  ret

fn fn_00000016
l_00000016:
  ret
""",
    ),
    "a jump to the jump in front": (
        image(MAIN, b"\x18\x30", word(2)),
        """; no assembler makes this image: listing:3: no label l_00000002 in fn main (expected: l_00000002:)
fn main
  jmp l_00000002
""",
    ),
    "an annotation of another kind": (
        image(MAIN, anno(9, b"\xff\n"), RET),
        '; … code … from 0x00000007 on\n#annotate\n\nfn main\n  ; anno 9 "\ufffd\\n"\n  ret\n',
    ),
    "main is called otherwise": (
        image(b"\x18\x30", word(8 + 9), anno(3, b"x\n"), RET),
        '; … code … from 0x00000007 on\n#annotate\n\nfn main\n  ; anno 3 "x\\n"\n  ret\n',
    ),
    "two of one name": (
        image(b"\x18\x30", word(19), anno(3, b"main"), RET, anno(3, b"main"), RET),
        """; … code … from 0x0000001b on
#annotate

fn main
  ret

fn fn_00000020
  ; anno 3 "main"
  ret
""",
    ),
    "a function without its name": (
        image(b"\x18\x30", word(19), anno(3, b"main"), b"\x0e\x30", word(27), RET, RET),
        """; … code … from 0x00000018 on
#annotate

fn main
  call fn_0000001b
  ret

fn fn_0000001b
  ret
""",
    ),
    "a name at the end": (
        image(MAIN, RET, anno(3, b"x")),
        '; … code … from 0x00000007 on\n#annotate\n\nfn main\n  ret\n  ; anno 3 "x"\n',
    ),
    "a rule of two lines": (
        image(MAIN, b"\x6d\x30", word(0x12), RET, table=b"allow\nfn x\r\0"),
        "; … strings … from 0x00000017 on\nfn main\n  acl allow\\nfn x\r\\\n  ret\n",
    ),
    "a pragma of two words": (
        image(MAIN, b"\x06\x31", word(0x16), word(3), RET, table=b"a b\0"),
        """; no assembler makes this image: listing:3: expected: {pragma}; found 'a b'
fn main
  pragma "a b" 3
  ret
""",
    ),
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_what_no_assembler_makes_is_shown_with_the_difference(case: str) -> None:
    content, listing = UNUSUAL[case]
    for what in ("code", "strings"):
        long = f"; assembled, this has other {what} than the image from"
        listing = listing.replace(f"; … {what} … from", long)
    listing = listing.replace("{pragma}", BY_NAME["pragma"].usage)
    assert disassemble(content) == listing


@given(images())
def test_any_image_has_a_listing(content: bytes) -> None:
    check_listing(content)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_so_has_a_good_one_with_a_byte_changed(place: int, value: int) -> None:
    check_listing(GOOD[:place] + bytes([value]) + GOOD[place + 1 :])


def check_listing(content: bytes) -> None:
    try:
        listing = disassemble(content)
    except VerifyError:
        return
    assert listing.startswith(";") or again(listing) == content


def test_a_listing_has_a_largest_size() -> None:
    with pytest.raises(DisassemblyError) as failed:
        disassemble(LARGE_IMAGES["one long string, many uses"])
    assert str(failed.value) == "the listing of the image would have more than 16777216 characters"
