"""The grammar of commands that go to nodes."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.command import (
    ARGUMENTS_LIMIT,
    BYTES_LIMIT,
    GRAMMAR,
    WORDS_LIMIT,
    UnknownVerb,
    UnrecognisedCommand,
    Verb,
    canonical,
    following,
    parse,
    split,
)
from mesh.grammar import KINDS
from mesh.messages import Error, encode


@pytest.mark.parametrize(
    ("words", "function", "arguments"),
    [
        ("ping", "mesh.ping", ()),
        ("show version", "mesh.show.version", ()),
        ("show facts", "mesh.show.facts", ()),
        ("show fact sys.fqdn", "mesh.show.fact", ("sys.fqdn",)),
        ("show fact a b_c a:d-e 0.1 a", "mesh.show.fact", ("a", "b_c", "a:d-e", "0.1", "a")),
        ("show acls", "mesh.show.acls", ()),
        ("show acls for joe", "mesh.show.acls.for", ("joe",)),
        ("show acls for %ops", "mesh.show.acls.for", (":ops",)),
        ("show acls for for", "mesh.show.acls.for", ("for",)),
        ('show acls for "DOM\\\\joe"', "mesh.show.acls.for", ("DOM\\joe",)),
        ('show acls for "%domain users"', "mesh.show.acls.for", (":domain users",)),
        ("show package libc6:amd64", "mesh.show.package", ("libc6:amd64",)),
        ("show package app-misc/screen", "mesh.show.package", ("app-misc/screen",)),
        ("show service getty@tty1", "mesh.show.service", ("getty@tty1",)),
        ("show file /etc/motd", "mesh.show.file", ("/etc/motd",)),
        ("show user www-data", "mesh.show.user", ("www-data",)),
        ('show user "joe smith"', "mesh.show.user", ("joe smith",)),
        ("show group adm", "mesh.show.group", ("adm",)),
        ("package g++ install", "mesh.package.install", ("g++",)),
        (
            "package nginx install 1:1.22.1-9+deb12u1~x",
            "mesh.package.install",
            ("nginx", "1:1.22.1-9+deb12u1~x"),
        ),
        ("package nginx remove", "mesh.package.remove", ("nginx",)),
        ("package nginx version", "mesh.package.version", ("nginx",)),
        ("package nginx latest", "mesh.package.latest", ("nginx",)),
        ("package recache", "mesh.package.recache", ()),
        ("package recache remove", "mesh.package.remove", ("recache",)),
        ("package install install install", "mesh.package.install", ("install", "install")),
        ("service nginx start", "mesh.service.start", ("nginx",)),
        ("service nginx stop", "mesh.service.stop", ("nginx",)),
        ("service nginx restart", "mesh.service.restart", ("nginx",)),
        ("service nginx reload", "mesh.service.reload", ("nginx",)),
        ("service nginx status", "mesh.service.status", ("nginx",)),
        ("service nginx enable", "mesh.service.enable", ("nginx",)),
        ("service nginx disable", "mesh.service.disable", ("nginx",)),
        ('file "/srv/a b/..c/$(x);\\\\" sha1', "mesh.file.sha1", ("/srv/a b/..c/$(x);\\",)),
        ("file /sysctl get", "mesh.file.get", ("/sysctl",)),
        ("exec -- ls -l -- --shell", "mesh.exec", ("ls", "-l", "--", "--shell")),
        ('exec -- "" "a  b" "*"', "mesh.exec", ("", "a  b", "*")),
        ('exec --shell "ls | wc -l; true"', "mesh.exec.shell", ("ls | wc -l; true",)),
        ("exec --shell -x", "mesh.exec.shell", ("-x",)),
    ],
)
def test_every_row(words: str, function: str, arguments: tuple[str, ...]) -> None:
    command = parse(split(words))
    assert command.verb.function == function
    assert command.verb.function.startswith("mesh.")
    assert command.arguments == arguments
    assert canonical(command.words) == words


def test_rows_are_what_their_usage_says() -> None:
    assert [verb.usage for verb in GRAMMAR] == [
        "ping",
        "show version",
        "show facts",
        "show fact NAME…",
        "show acls",
        "show acls for USER|%GROUP",
        "show package NAME",
        "show service NAME",
        "show file PATH",
        "show user NAME",
        "show group NAME",
        "package recache",
        "package NAME install [VERSION]",
        "package NAME remove",
        "package NAME version",
        "package NAME latest",
        "service NAME start",
        "service NAME stop",
        "service NAME restart",
        "service NAME reload",
        "service NAME status",
        "service NAME enable",
        "service NAME disable",
        "file PATH sha1",
        "file PATH get",
        "exec -- ARGV…",
        "exec --shell LINE",
    ]
    assert len({verb.name for verb in GRAMMAR}) == len({verb.function for verb in GRAMMAR}) == len(GRAMMAR)


@pytest.mark.parametrize("verb", ["show service", "service NAME restart"])
def test_a_service_loses_its_suffix_before_anybody_looks(verb: str) -> None:
    with_suffix, without = (
        parse(verb.replace("NAME", name).split() + [name] * ("NAME" not in verb))
        for name in ("x.y.service", "x.y")
    )
    assert with_suffix == without
    assert parse(with_suffix.words) == without


FIRST = "one of: ping, show, package, service, file, exec"


def test_rows_with_the_same_first_word_stand_together() -> None:
    firsts = [verb.words[0] for verb in GRAMMAR]
    assert sorted(firsts, key=firsts.index) == firsts


SHOW = (
    "show version, show facts, show fact NAME…, show acls, show acls for USER|%GROUP, "
    "show package NAME, show service NAME, show file PATH, show user NAME, show group NAME"
)
PACKAGE = (
    "package recache, package NAME install [VERSION], package NAME remove, "
    "package NAME version, package NAME latest"
)
A_PACKAGE = "where NAME is at most 250 letters, digits and _ . + : / -, no sign first"
A_SERVICE = "where NAME is at most 250 letters, digits and _ . + : @ \\ -, no sign first"
A_VERSION = (
    "package NAME install [VERSION], "
    "where VERSION is at most 200 letters, digits and . + ~ : ^ _ -, no sign first"
)
A_PATH = "where PATH is absolute, without .. . and //, and not under /proc or /sys"
AN_ACCOUNT = "where NAME is one of the account names, without : * and control characters"
A_FACT = "show fact NAME…, where NAME is letters, digits, _ . : -"
WHOM = "show acls for USER|%GROUP, where USER and GROUP are account names, without : * and control characters"


@pytest.mark.parametrize(
    ("words", "shown", "expected"),
    [
        ([], "no words", FIRST),
        ([""], '""', FIRST),
        (["frobnicate", "x"], "frobnicate x", FIRST),
        (["show version"], '"show version"', FIRST),
        (["ping", "web01"], "ping web01", "ping"),
        (["ping", ""], 'ping ""', "ping"),
        (["show"], "show", SHOW),
        (["show", "frobnicate"], "show frobnicate", SHOW),
        (["show", "version", "-v"], "show version -v", "show version"),
        (["show", "facts", "a"], "show facts a", "show facts"),
        (["show", "fact"], "show fact", "show fact NAME…"),
        (["show", "fact", "-x"], "show fact -x", A_FACT),
        (["show", "fact", "a", "b c"], 'show fact a "b c"', A_FACT),
        (["show", "fact", ""], 'show fact ""', A_FACT),
        (["show", "fact", "a\n"], r'show fact "a\n"', A_FACT),
        (["show", "fact", "$(id)"], "show fact $(id)", A_FACT),
        (["show", "fact", "ünï"], "show fact ünï", A_FACT),
        (["show", "acls", "joe"], "show acls joe", "show acls"),
        (["show", "acls", "for"], "show acls for", "show acls for USER|%GROUP"),
        (["show", "acls", "for", "a", "b"], "show acls for a b", "show acls for USER|%GROUP"),
        (["show", "acls", "for", "%"], "show acls for %", WHOM),
        (["show", "acls", "for", "%%x"], "show acls for %%x", WHOM),
        (["show", "acls", "for", ":ops"], "show acls for :ops", WHOM),
        (["show", "acls", "for", "-x"], "show acls for -x", WHOM),
        (["show", "acls", "for", "%-x"], "show acls for %-x", WHOM),
        (["show", "acls", "for", "x\n"], r'show acls for "x\n"', WHOM),
        (["show", "acls", "for", "*"], 'show acls for "*"', WHOM),
        (["package"], "package", PACKAGE),
        (["package", "nginx"], "package nginx", PACKAGE),
        (["package", "recache", "x"], "package recache x", "package recache"),
        (["package", "nginx", "frobnicate"], "package nginx frobnicate", PACKAGE),
        (["package", "x", "remove", "y"], "package x remove y", "package NAME remove"),
        (["package", "-x", "remove"], "package -x remove", f"package NAME remove, {A_PACKAGE}"),
        (["package", "", "remove"], 'package "" remove', f"package NAME remove, {A_PACKAGE}"),
        (["show", "package", "a b"], 'show package "a b"', f"show package NAME, {A_PACKAGE}"),
        (["show", "package", "a;id"], "show package a;id", f"show package NAME, {A_PACKAGE}"),
        (["show", "package", "a\n"], r'show package "a\n"', f"show package NAME, {A_PACKAGE}"),
        (["package", "x", "install", "-y"], "package x install -y", A_VERSION),
        (["package", "x", "install", ""], 'package x install ""', A_VERSION),
        (["package", "x", "install", "1", "2"], "package x install 1 2", "package NAME install [VERSION]"),
        (["show", "service", "-x"], "show service -x", f"show service NAME, {A_SERVICE}"),
        (["show", "service", ".service"], "show service .service", f"show service NAME, {A_SERVICE}"),
        (
            ["service", "a.service.service", "stop"],
            "service a.service.service stop",
            f"service NAME stop, {A_SERVICE}",
        ),
        (["service", "a/b", "stop"], "service a/b stop", f"service NAME stop, {A_SERVICE}"),
        (["show", "user", "-x"], "show user -x", f"show user NAME, {AN_ACCOUNT}"),
        (["show", "user", "%x"], "show user %x", f"show user NAME, {AN_ACCOUNT}"),
        (["show", "group", "a:b"], "show group a:b", f"show group NAME, {AN_ACCOUNT}"),
        *(
            (["show", "file", path], f"show file {shown}", f"show file PATH, {A_PATH}")
            for path, shown in (
                ("etc/motd", "etc/motd"),
                ("", '""'),
                ("/", "/"),
                ("//etc/motd", "//etc/motd"),
                ("/etc/", "/etc/"),
                ("/etc/../x", "/etc/../x"),
                ("/etc/..", "/etc/.."),
                ("/./x", "/./x"),
                ("/etc/.", "/etc/."),
                ("/etc//motd", "/etc//motd"),
                ("/proc/1/environ", "/proc/1/environ"),
                ("/sys/x", "/sys/x"),
                ("/proc", "/proc"),
                ("-x", "-x"),
            )
        ),
        (["file", "/etc/motd"], "file /etc/motd", "file PATH sha1, file PATH get"),
        (["exec"], "exec", "exec -- ARGV…, exec --shell LINE"),
        (["exec", "ls"], "exec ls", "exec -- ARGV…, exec --shell LINE"),
        (["exec", "--"], "exec --", "exec -- ARGV…"),
        (["exec", "--shell"], "exec --shell", "exec --shell LINE"),
        (["exec", "--shell", "ls", "x"], "exec --shell ls x", "exec --shell LINE"),
        (["ping\0"], r'"ping\x00"', "words without NUL"),
        (["show", "fact", "a\udc80"], r"show fact a\udc80", "words in UTF-8"),
    ],
)
def test_everything_else_is_refused_in_one_line(words: list[str], shown: str, expected: str) -> None:
    with pytest.raises(UnrecognisedCommand) as caught:
        parse(words)
    assert str(caught.value) == f"unrecognised command: {shown} (expected {expected})"
    assert caught.value.status == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["show", "fact", *["a"] * (WORDS_LIMIT - 1)], f"at most {WORDS_LIMIT} words, got {WORDS_LIMIT + 1}"),
        (
            ["show", "fact", *["a"] * (ARGUMENTS_LIMIT + 1)],
            "show fact NAME…, with at most 252 arguments, got 253",
        ),
        (["x" * (BYTES_LIMIT + 1)], f"at most {BYTES_LIMIT} bytes in all, got {BYTES_LIMIT + 1}"),
        (["ping", "ü" * (BYTES_LIMIT // 2)], f"at most {BYTES_LIMIT} bytes in all, got {BYTES_LIMIT + 4}"),
        (["ping", "x" * 100_000], "ping"),
    ],
)
def test_size_is_bounded_and_the_refusal_is_short(words: list[str], expected: str) -> None:
    with pytest.raises(UnrecognisedCommand, match=re.escape(f"… (expected {expected})")) as caught:
        parse(words)
    assert len(str(caught.value)) < 250


def test_as_many_words_as_may_be() -> None:
    assert len(parse(["show", "fact", *["a"] * ARGUMENTS_LIMIT]).arguments) == ARGUMENTS_LIMIT


opening = st.sampled_from([verb.words for verb in GRAMMAR] + [("show",), ()])


@given(
    opening, st.lists(st.text(st.characters(), max_size=5) | st.sampled_from(["a", "%b", "for"]), max_size=4)
)
def test_any_words_are_a_command_as_they_are_or_one_line(opened: Sequence[str], rest: list[str]) -> None:
    words = (*opened, *rest)
    refusal, command = "", None
    try:
        command = parse(words)
    except UnrecognisedCommand as error:
        refusal = str(error)
    assert refusal.isprintable()
    if command is None:
        assert refusal.startswith("unrecognised command: ")
    else:
        assert len(command.words) == len(words)
        assert parse(command.words) == command
        assert words[: len(command.verb.words)] == command.verb.words
        own = len(command.verb.form) - len(command.verb.forms)
        assert len(command.arguments) == len(words) - own
        assert len(command.places) == len(command.arguments)


TAKEN: dict[str, tuple[list[str], list[str]]] = {
    "account": (["www-data", "joe smith", "ünï"], ["", "-x", "a:b", "%x", "x\n"]),
    "directory": (["/", "/srv", "/srv/a b"], ["", "srv", "//", "/srv/", "/srv/..", "/proc", "/sys/x"]),
    "fact": (["sys.fqdn", "a:b-c_d"], ["", "a b", "$x", "ünï"]),
    "host": (
        ["web01", "web01.example.com", "1.2", "a-b.c"],
        ["", "-a", "a-", "a..b", ".a", "a.", "a_b", "x" * 64],
    ),
    "number": (["0", "7", "999999999"], ["", "-1", "+1", "01", "1.5", "1000000000", "١", "1\n"]),
    "package": (["g++", "net-misc/x:0"], ["", "-x", "a b", "a;b"]),
    "path": (["/etc/motd"], ["", "/", "etc", "/etc/../x", "/proc/1"]),
    "service": (["nginx", "a@b"], ["", "-x", "a/b", "a b"]),
    "text": (["", "-x", "a b", "$(id)", "a\nb"], []),
    "version": (["1:1.22.1-9+deb12u1~x"], ["", "-y", "1 2"]),
    "word": (["a", "web_01.x-y"], ["", "-x", ".x", "a b", "a/b", "x" * 251]),
}
"""Of each kind of argument: words that are of it, and others."""


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_arguments(kind: str) -> None:
    row = Verb(("try",), (KINDS[kind].argument("X"),), "site.x", "mesh.try", "pure", "tries")
    good, bad = TAKEN[kind]
    for word in good:
        assert parse(("try", word), (row,)).arguments == (word,)
    for word in bad:
        with pytest.raises(UnrecognisedCommand, match="expected try X, where X is") as caught:
            parse(("try", word), (row,))
        assert not isinstance(caught.value, UnknownVerb)


def test_what_a_site_adds_is_read_beside_the_rest() -> None:
    added = Verb(("show", "disk"), (KINDS["directory"].argument("WHERE"),), "site.disk", "f", "reads", "x")
    grammar = (*GRAMMAR, added)
    command = parse(("show", "disk", "/srv"), grammar)
    assert command == (added, ("show", "disk", "/srv"), ("/srv",), (2,))
    assert parse(("show", "version"), grammar) == parse(("show", "version"))
    for words in (("show", "disk"), ("show", "dusk", "/srv"), ("disk",), ()):
        with pytest.raises(UnknownVerb):
            parse(words, grammar)
    with pytest.raises(UnknownVerb, match=r"expected show version, .* show group NAME, show disk WHERE\)$"):
        parse(("show", "zzz"), grammar)


def test_however_much_a_site_adds_a_refusal_fits_into_an_error() -> None:
    """A broker that could not say it would end."""
    long = "x" * 32
    first = [Verb(("disk", f"{n:032}", *[long] * 14), (), "site.x", "f", "pure", "x") for n in range(256)]
    other = [Verb((f"{n:032}",), (), "site.x", "f", "pure", "x") for n in range(256)]
    for grammar, words in ((first, ("disk", "\u2028" * 1000)), (other, ("disk",))):
        with pytest.raises(UnknownVerb, match=", …\\)$") as caught:
            parse(words, grammar)
        encode(Error("unrecognised", str(caught.value)))


def test_only_words_that_no_row_is_meant_by_are_of_an_unknown_verb() -> None:
    for words in (("reboot",), ("ping", "web01"), ("show", "file"), ("package", "x", "hold")):
        with pytest.raises(UnknownVerb):
            parse(words)
    for known in (
        ("show", "file", "x"),
        ("show", "fact", "a b"),
        ("reboot", "\0"),
        ("x" * (BYTES_LIMIT + 1),),
    ):
        with pytest.raises(UnrecognisedCommand) as caught:
            parse(known)
        assert not isinstance(caught.value, UnknownVerb)


@pytest.mark.parametrize(
    ("words", "places"),
    [
        ("ping", ()),
        ("show fact a b c", (2, 3, 4)),
        ("package x install 1", (1, 3)),
        ("package x install", (1,)),
        ("show service x.service", (2,)),
        ("exec -- ls -- -l", (2, 3, 4)),
    ],
)
def test_where_the_arguments_stand_among_the_words(words: str, places: tuple[int, ...]) -> None:
    command = parse(split(words))
    assert command.places == places
    assert command.arguments == tuple(command.words[place] for place in places)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("sho", "show"),
        ("Ping", "ping"),
        ("servcie nginx stop", "service"),
        ("show versions", "version"),
        ("show fcats", "facts"),
        ("show acls fro joe", "for"),
        ("package nginx instal", "install"),
        ("package nginx remvoe now", "remove"),
        ("service x.service reloda", "reload"),
        ("file /etc/motd sha2", "sha1"),
        ("exec --shel ls", "--shell"),
    ],
)
def test_a_misspelt_word_is_told_the_one_that_was_meant(words: str, meant: str) -> None:
    with pytest.raises(UnrecognisedCommand) as caught:
        parse(words.split())
    assert str(caught.value) == f"unrecognised command: {words}: did you mean '{meant}'?"


@pytest.mark.parametrize(
    ("words", "next_words"),
    [
        ("", ["ping", "show", "package", "service", "file", "exec"]),
        ("ping", []),
        ("show acls", ["for"]),
        ("show acls for", ["USER|%GROUP"]),
        ("show acls for joe", []),
        ("show fact", ["NAME…"]),
        ("show fact a b", ["NAME…"]),
        ("package", ["recache", "NAME"]),
        ("package nginx", ["install", "remove", "version", "latest"]),
        ("package nginx install", ["[VERSION]"]),
        ("package nginx install 1", []),
        ("nonsense", []),
    ],
)
def test_what_may_follow(words: str, next_words: list[str]) -> None:
    found = [part if isinstance(part, str) else part.usage for part in following(words.split())]
    assert found == next_words
