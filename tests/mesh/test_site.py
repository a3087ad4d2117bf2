"""What a site adds: modules that are checked against their grammars, and what goes to nodes of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import conf.client
from errors import CwError
from mesh.command import GRAMMAR, parse
from mesh.grammar import KINDS
from mesh.images import NAMES, image_of
from mesh.site import IMAGES_LIMIT, Sent, Site, checked
from mesh.site_grammar import COMMANDS_LIMIT, SiteError
from tests.mesh.test_site_grammar import a_command, written
from tests.vm.hosts import FakeHost
from vm import modules
from vm.host.programs import Order, Sink
from vm.machine import Limits, Outcome, run
from vm.opcodes import Effect
from vm.verifier import verify

SAMPLES = Path(conf.client.__file__).parent / "commands"

HELLO = b"""
fn mesh.hello
  pop %c
  sub %c 1
  pop %a
  next:
    eq %c 0  jz done
    sub %c 1
    pop %a
    print "hello, %[a]s\\n"
    jmp next
  done: retv 0
"""
"""Greets whom its arguments name."""


def a_site(**files: bytes) -> Site:
    """The site of these files, `NAME_pn` and `NAME_toml`."""
    return checked({name.replace("_", "."): text for name, text in files.items()}, "/d")


def outcome_of(site: Site, words: Sequence[str], host: FakeHost | None = None) -> Outcome:
    """How a command ends on a node that does not know it."""
    command = parse(words, site.grammar)
    sent = site.sent(command.verb)
    arguments = (sent.module.partition("/")[0], *(command.words[place] for place in command.places))
    return run(verify(sent.image), arguments, host or FakeHost(), Limits(), lambda: False)


def test_a_site_without_files_has_what_cw_has() -> None:
    assert checked({}, "/d") == Site() == Site(GRAMMAR, {})
    for verb in GRAMMAR:
        own = image_of(verb)
        assert Site().sent(verb) == Sent(own.image, own.effect, own.module)


def test_a_command_is_an_image_with_its_own_name() -> None:
    greeting = written(a_command("hello WHO…", "text", effect="pure"))
    site = a_site(hello_pn=HELLO, hello_toml=greeting)
    *shipped, verb = site.grammar
    assert (tuple(shipped), verb.usage) == (GRAMMAR, "hello WHO…")
    sent = site.sent(verb)
    assert sent.effect is Effect.PURE
    assert re.fullmatch(r"site\.hello/[0-9a-f]{8}", sent.module)
    odd = ("a b", "", '"c"', "$(id)", "%[a]s", "--")
    assert outcome_of(site, ("hello", *odd)).output.decode() == "".join(f"hello, {name}\n" for name in odd)

    assert a_site(hello_pn=HELLO, hello_toml=greeting).sent(verb) == sent
    changed = a_site(hello_pn=HELLO.replace(b"hello,", b"hullo,"), hello_toml=greeting).sent(verb)
    assert changed.module != sent.module
    assert changed.image != sent.image
    assert site.sent(GRAMMAR[0]).module in NAMES
    assert sent.module not in NAMES


def test_what_is_included_is_of_the_site_or_ships_with_cw() -> None:
    site = a_site(
        one_pn=b"#include two\n#include stdlib\n#include mesh\nfn mesh.one\n call two\n call mesh.ping\n",
        one_toml=written(a_command("one", effect="pure"), a_command("onto", function="mesh.ping")),
        two_pn=b'#include one\nfn two\n print "two\\n"\n',
    )
    assert outcome_of(site, ("one",)).output == b"two\npong\n"
    assert outcome_of(site, ("onto",)).output == b"pong\n"


@pytest.mark.parametrize("name", ["../x", "sub/x", "/etc/x", "x"])
def test_nothing_outside_the_directory_is_included(name: str, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "d", tmp_path / "d" / "sub"):
        place.mkdir(exist_ok=True)
        (place / "x.pn").write_text("fn x\n")
    source = f"#include {name}\nfn mesh.a\n call x\n".encode()
    with pytest.raises(SiteError, match=rf"^{tmp_path}/d/a.pn:1: "):
        checked({"a.pn": source, "a.toml": written(a_command("a"))}, str(tmp_path / "d"))


def test_an_effect_may_be_better_than_the_grammar_says_but_not_worse() -> None:
    source = b'fn mesh.a\n fs.mkdir "/srv/x"\n'
    for effect in ("writes", "executes"):
        site = a_site(a_pn=source, a_toml=written(a_command("a", effect=effect)))
        assert site.sent(site.grammar[-1]).effect is Effect.WRITES
    for effect in ("pure", "reads"):
        with pytest.raises(SiteError) as caught:
            a_site(a_pn=source, a_toml=written(a_command("a", effect=effect)))
        assert str(caught.value) == (
            f'/d/a.toml: command 1: effect: expected "writes", which mesh.a may do, got "{effect}"'
        )


GRAMMAR_OF_A = written(a_command("a"))

WRONG: list[tuple[dict[str, bytes], str]] = [
    ({"a_toml": GRAMMAR_OF_A}, "/d/a.toml: command 1: expected its module beside it, /d/a.pn"),
    ({"stdlib_toml": GRAMMAR_OF_A}, "/d/stdlib.toml: command 1: expected its module beside it, /d/stdlib.pn"),
    ({"a_pn": b"fn a\n"}, "/d/a.pn: expected its grammar, a.toml, or another module to include it"),
    (
        {"a_pn": b"fn mesh.a\n", "a_toml": GRAMMAR_OF_A, "b_pn": b"fn b\n"},
        "/d/b.pn: expected its grammar, b.toml, or another module to include it",
    ),
    ({"A_pn": b"fn a\n"}, "/d/A.pn: expected a name of at most 32 of a-z, 0-9, _ and -, .*"),
    ({"mesh_pn": b"fn a\n"}, "/d/mesh.pn: expected another name, since a module that ships with cw has it"),
    ({"stdlib_pn": b"fn a\n"}, "/d/stdlib.pn: expected another name, .*"),
    ({"a_pn": b"fn a\n  \xff"}, "/d/a.pn:2: expected UTF-8 text, got other bytes"),
    (
        {"a_pn": b"fn mesh.b\n", "a_toml": GRAMMAR_OF_A},
        "/d/a.toml: command 1: function: expected one that /d/a.pn has, got 'mesh.a'",
    ),
    ({"a_pn": b"", "a_toml": GRAMMAR_OF_A}, "/d/a.toml: command 1: function: expected one .*"),
    (
        {"a_pn": b"fn mesh.a\nfn main\n", "a_toml": GRAMMAR_OF_A},
        "/d/a.pn: expected a module, without a function main",
    ),
    (
        {"a_pn": b"fn mesh.a\n prnt 1\n", "a_toml": GRAMMAR_OF_A},
        "/d/a.pn:2: no instruction is called prnt: did you mean 'print'\\?",
    ),
    ({"a_pn": b"fn mesh.a\n \0", "a_toml": GRAMMAR_OF_A}, "/d/a.pn:2: a NUL character .*"),
    (
        {"a_pn": b"#include b\nfn mesh.a\n", "a_toml": GRAMMAR_OF_A, "b_pn": b"fn mesh.a\n"},
        "/d/a.pn:2: fn mesh.a again .*the first is at /d/b.pn:1.*",
    ),
    (
        {"a_pn": b"#include c\nfn mesh.a\n", "a_toml": GRAMMAR_OF_A, "b_pn": b"fn b\n"},
        "/d/a.pn:1: no module c .*",
    ),
    ({"a_pn": b"fn mesh.ping\n", "a_toml": written(a_command("ping"))}, "/d/a.toml: command 1: usage: .*"),
    (
        {"a_pn": b"fn mesh.a\n" + b" set %a 1\n" * 30_000, "a_toml": GRAMMAR_OF_A},
        "/d/a.pn:[0-9]+: no room for it in the image .*",
    ),
]


@pytest.mark.parametrize(("files", "sentence"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_said_in_one_line(files: dict[str, bytes], sentence: str) -> None:
    with pytest.raises(CwError) as caught:
        a_site(**files)
    assert re.fullmatch(sentence, str(caught.value))
    assert str(caught.value).isprintable()
    assert (caught.value.status, caught.value.excerpt) == (2, "")


def test_images_are_bounded_all_together() -> None:
    many = [a_command(f"a w{number}", effect="pure", function="x") for number in range(COMMANDS_LIMIT)]
    room = IMAGES_LIMIT // COMMANDS_LIMIT
    with pytest.raises(
        SiteError, match=rf"^/d/a.toml: command \d+: expected images of at most {IMAGES_LIMIT} "
    ):
        a_site(a_pn=b'fn x\n print "' + b"x" * room + b'"\n', a_toml=written(*many))


def test_no_module_of_cw_can_be_taken_for_a_sites() -> None:
    assert not any(name.startswith("site.") for name in modules.SHIPPED)


@given(st.binary(max_size=100) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_a_module_or_one_line(source: bytes) -> None:
    refusal = ""
    try:
        a_site(a_pn=source, a_toml=GRAMMAR_OF_A)
    except CwError as error:
        refusal = str(error)
    assert refusal.isprintable()


# -- the samples


def samples() -> Site:
    return checked({path.name: path.read_bytes() for path in SAMPLES.iterdir()}, str(SAMPLES))


class Df:
    """A program that says how it was called."""

    def run(self, order: Order, output: Sink, errors: Sink, heed: Callable[[], None]) -> int:
        output(b"|".join(order.words) + b"\n")
        return 3


@pytest.mark.parametrize(
    ("words", "called"),
    [
        (("disk", "free"), b"df|-Pk|--\n"),
        (("disk", "free", "/"), b"df|-Pk|--|/\n"),
        (("disk", "free", '/srv/a b"$(id)'), b'df|-Pk|--|/srv/a b"$(id)\n'),
        (("disk", "inodes", "/srv"), b"df|-Pi|--|/srv\n"),
    ],
)
def test_the_samples_do_what_they_say(words: Sequence[str], called: bytes) -> None:
    host = FakeHost()
    host.programs = Df()
    outcome = outcome_of(samples(), words, host)
    assert (outcome.status, outcome.output) == (3, called)


def test_the_samples_are_what_their_grammars_say() -> None:
    site = samples()
    assert [(verb.usage, site.sent(verb).effect.word) for verb in site.images] == [
        ("disk free [DIRECTORY]", "executes"),
        ("disk inodes [DIRECTORY]", "executes"),
    ]
    assert all(verb.effect == site.sent(verb).effect.word for verb in site.images)


def test_the_samples_name_every_kind_of_argument() -> None:
    text = (SAMPLES / "disk.toml").read_text()
    (said,) = re.findall(r"The kind of each: (.*)\.$", text, re.MULTILINE)
    assert said.replace(" or ", ", ").split(", ") == sorted(KINDS)
