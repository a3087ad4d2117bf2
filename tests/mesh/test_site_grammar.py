"""The grammars of sites: what their files may say, and that nothing else passes."""

import re
from contextlib import suppress
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

import cw
from conf.kinds import ConfError
from errors import CwError
from mesh.command import GRAMMAR, UnrecognisedCommand, Verb, parse
from mesh.grammar import KINDS
from mesh.site_grammar import COMMANDS_LIMIT, SUBCOMMANDS, SiteError, rows


def written(*commands: dict[str, Any]) -> bytes:
    """A grammar with these tables."""
    return tomli_w.dumps({"command": list(commands)}).encode()


def a_command(usage: str = "disk free", kind: str = "path", **more: Any) -> dict[str, Any]:
    """A table with that usage, all of whose arguments are of one kind."""
    names = re.findall(r"\[?([A-Z]+)", usage)
    table: dict[str, Any] = {"usage": usage, "sentence": "says so", "effect": "reads"}
    if names:
        table["arguments"] = dict.fromkeys(names, kind)
    return {name: value for name, value in (table | more).items() if value is not None}


def verbs(*commands: dict[str, Any]) -> tuple[Verb, ...]:
    return tuple(row.verb for row in rows({"disk.toml": written(*commands)}, "/d"))


def test_a_command_is_a_row_of_the_grammar() -> None:
    text = b"""
[[command]]
usage = "disk free DEVICE of [PATH...]"
function = "disk.show?"
sentence = "prints it"
effect = "executes"
arguments = { DEVICE = "word", PATH = "path" }
[[command]]
usage = "disks"
sentence = "lists them"
effect = "pure"
"""
    free, disks = rows({"disk.toml": text}, "/d")
    arguments = (
        KINDS["word"].argument("DEVICE"),
        "of",
        KINDS["path"].argument("PATH", repeats=True, optional=True),
    )
    assert free.verb == Verb(("disk", "free"), arguments, "site.disk", "disk.show?", "executes", "prints it")
    assert (free.verb.usage, free.where) == ("disk free DEVICE of [PATH…]", "/d/disk.toml: command 1")
    assert disks.verb == Verb(("disks",), (), "site.disk", "mesh.disks", "pure", "lists them")
    assert disks.where == "/d/disk.toml: command 2"
    assert free.verb.is_of_site
    assert not any(verb.is_of_site for verb in GRAMMAR)


def test_a_function_is_called_as_the_own_words_are() -> None:
    (verb,) = verbs(a_command("disk DEVICE wipe now", "word"))
    assert verb.function == "mesh.disk.wipe.now"


@pytest.mark.parametrize(
    ("usage", "good", "bad"),
    [
        ("disk", ["disk"], ["disk x", "disk disk"]),
        ("disk PATH", ["disk /x"], ["disk", "disk x", "disk /x /y"]),
        ("disk PATH…", ["disk /x", "disk /x /y /z"], ["disk", "disk /x y"]),
        ("disk PATH...", ["disk /x", "disk /x /y /z"], ["disk", "disk /x y"]),
        ("disk [PATH]", ["disk", "disk /x"], ["disk x", "disk /x /y"]),
        ("disk [PATH…]", ["disk", "disk /x", "disk /x /y"], ["disk x", "disk /x y"]),
        ("disk FROM to TO", ["disk /x to /y"], ["disk /x", "disk /x to", "disk /x tu /y"]),
    ],
)
def test_what_a_usage_takes(usage: str, good: list[str], bad: list[str]) -> None:
    grammar = (*GRAMMAR, *verbs(a_command(usage)))
    for words in good:
        assert parse(words.split(), grammar).verb.is_of_site
    for words in bad:
        with pytest.raises(UnrecognisedCommand):
            parse(words.split(), grammar)


USAGES = [
    "", " ", "Disk", "PATH", "PATH disk", "[disk]", "disk  free", " disk", "disk ", "disk\tfree",
    "disk\nfree",
    "disk -x", "disk --", "-disk", "disk Path", "disk pATH", "disk PATH… free", "disk PATH… OTHER",
    "disk [PATH] free", "disk [PATH] [OTHER]", "disk [PATH", "disk PATH]", "disk […PATH]", "disk PATH PATH",
    "disk $(id)", "disk *", "disk ü", "d" * 33, "disk " + "P" * 33, " ".join(f"w{n}" for n in range(17)),
    "9x",
]  # fmt: skip


@pytest.mark.parametrize("usage", USAGES)
def test_what_is_no_usage(usage: str) -> None:
    with pytest.raises(
        SiteError, match=r"^/d/disk.toml: command 1: usage: expected at most 16 words "
    ) as caught:
        verbs(a_command(usage))
    assert str(caught.value).isprintable()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"sentence": "says so", "effect": "pure"}, "usage: expected at most 16 words with .*, got nothing"),
    (a_command() | {"usage": ["disk"]}, r'usage: expected at most 16 words with .*, got \["disk"\]'),
    (a_command(sentence=None), "sentence: expected a line of 1 to 50 characters, got nothing"),
    (a_command(sentence=""), 'sentence: expected .*, got ""'),
    (a_command(sentence="x" * 51), "sentence: expected .*"),
    (a_command(sentence="two\nlines"), r'sentence: expected .*, got "two\\u000alines"'),
    (a_command(sentence=["x"]), r'sentence: expected .*, got \["x"\]'),
    (a_command(effect=None), 'effect: expected one of "pure", "reads", "writes", "executes", got nothing'),
    (a_command(effect="destroys"), 'effect: expected .*, got "destroys"'),
    (a_command(effect=1), "effect: expected .*, got 1"),
    (a_command(function="a b"), 'function: expected the name of a function in its module, got "a b"'),
    (a_command(function="x\n  syslog 1"), "function: expected .*"),
    (a_command(function=""), 'function: expected .*, got ""'),
    (a_command(function="x;"), "function: expected .*"),
    (
        a_command("disk PATH", arguments=None),
        "arguments: expected the kind of PATH, one of account, .*, word",
    ),
    (
        a_command("disk PATH", "regex"),
        "arguments: expected a table of arguments, each with its kind, one of .*",
    ),
    (a_command("disk PATH", arguments={"PATH": ["path"]}), "arguments: expected a table .*"),
    (a_command("disk PATH", arguments="path"), 'arguments: expected a table .*, got "path"'),
    (
        a_command("disk PATH", arguments={"PATH": "path", "B": "path"}),
        "arguments: expected none but those of its usage, got B",
    ),
    (a_command(arguments={"free": "path"}), "arguments: expected none but those of its usage, got free"),
    (a_command(pattern="x"), "expected one of usage, function, sentence, effect, arguments, got pattern"),
    (
        a_command() | {"\x1b[2J": 1},
        r"expected one of usage, function, sentence, effect, arguments, got \\u001b\[2J",
    ),
    *(
        (a_command(f"{first} x"), f"usage: expected another first word, since cw {first} is cw's own")
        for first in ("init", "pn", "mesh")
    ),
    *(
        (a_command(usage), f"usage: '{re.escape(usage)}' could be meant by the words of .*, cw's own")
        for usage in (
            "ping",
            "show version",
            "show THING",
            "show fact first",
            "show fact a b c",
            "package PATH install",
            "package nginx install PATH",
            "service nginx restart",
            "service NAME restart",
            "file A B",
            "show acls for me",
            "show acls for [WHOM]",
        )
    ),
]


@pytest.mark.parametrize(("table", "sentence"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_said_in_one_line(table: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SiteError) as caught:
        verbs(a_command("all right"), table)
    assert re.fullmatch(f"/d/disk.toml: command 2: {sentence}", str(caught.value))
    assert str(caught.value).isprintable()
    assert caught.value.status == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "expected one [[command]] or more"),
        (b"command = []", "expected one [[command]] or more"),
        (b"command = 1", "expected one [[command]] or more"),
        (b"[command]\nusage = 'x'", "expected one [[command]] or more"),
        (b"command = [1]", "expected one [[command]] or more"),
        (b"[[command]]\n[[commands]]", "commands: expected nothing but [[command]]"),
        (b"[arguments]\nPATH = 'path'", "arguments: expected nothing but [[command]]"),
        (b"no toml", "expected TOML, got: "),
        (b"\xff", "expected TOML, got: "),
        (b"x = " + b"[" * 10_000, "expected TOML, got: "),
        (b"[[command]]\nusage = 'a'\nusage = 'b'", "expected TOML, got: "),
    ],
)
def test_what_is_no_grammar(text: bytes, sentence: str) -> None:
    with pytest.raises((SiteError, ConfError)) as caught:
        rows({"disk.toml": text}, "/d")
    assert str(caught.value).startswith(f"/d/disk.toml: {sentence}")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["Disk", "9", "-x", "_x", "a.b", "mesh.x", "d" * 33, "a b", "", "ü", "a\n"])
def test_what_a_module_cannot_be_called(name: str) -> None:
    with pytest.raises(SiteError, match="expected a name of at most 32 of a-z, 0-9, _ and -, ") as caught:
        rows({f"{name}.toml": written(a_command())}, "/d")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("disk free", "disk free"),
        ("disk free", "disk ANY"),
        ("disk free PATH", "disk DEVICE /x".replace("/x", "x")),
        ("disk PATH…", "disk a b c d"),
        ("disk [PATH]", "disk"),
        ("disk a [PATH]", "disk DEVICE"),
        ("disk a [PATH…]", "disk DEVICE b c"),
    ],
)
def test_two_commands_that_the_same_words_could_mean_are_refused_with_both_places(
    one: str, other: str
) -> None:
    for first, second in ((one, other), (other, one)):
        with pytest.raises(SiteError) as caught:
            rows({"a.toml": written(a_command(first)), "b.toml": written(a_command(second))}, "/d")
        assert str(caught.value) == (
            f"/d/b.toml: command 1: usage: '{second}' could be meant by the words of '{first}' "
            "(/d/a.toml: command 1)"
        )
        with pytest.raises(
            SiteError, match=r"^/d/disk.toml: command 2: usage: .* \(/d/disk.toml: command 1\)$"
        ):
            verbs(a_command(first), a_command(second))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("disk", "disks"),
        ("disk", "disk PATH"),
        ("disk free", "disk full"),
        ("disk free PATH", "disk full PATH"),
        ("disk PATH free", "disk PATH full"),
        ("disk a PATH…", "disk b PATH…"),
        ("disk a", "disk A b"),
        ("show disk PATH", "package NAME hold"),
        ("ping twice", "show acls in PATH"),
    ],
)
def test_commands_that_no_words_could_both_mean_stand_side_by_side(one: str, other: str) -> None:
    both = verbs(a_command(one), a_command(other))
    grammar = (*GRAMMAR, *both)
    for verb in both:
        words = [part if isinstance(part, str) else "/x" for part in verb.form]
        assert parse(words, grammar).verb == verb


def test_commands_are_bounded_in_number() -> None:
    most = [a_command(f"disk w{number}") for number in range(COMMANDS_LIMIT)]
    assert len(verbs(*most)) == COMMANDS_LIMIT
    with pytest.raises(SiteError, match=f": expected at most {COMMANDS_LIMIT} commands in the directory$"):
        verbs(*most, a_command("disk more"))


def test_no_subcommand_of_cw_is_a_sites_to_give() -> None:
    assert cw.ROLES.keys() <= SUBCOMMANDS
    assert not {verb.words[0] for verb in GRAMMAR} & SUBCOMMANDS


words = st.sampled_from(["disk", "show", "file", "package", "a", "b", "A", "B", "C…", "[D]", "[E…]", "exec"])


@given(
    st.lists(words, min_size=1, max_size=4),
    st.lists(st.sampled_from(["disk", "show", "a", "/x"]), max_size=5),
)
def test_a_site_never_takes_a_command_from_cw(usage: list[str], asked: list[str]) -> None:
    added: tuple[Verb, ...] = ()
    with suppress(SiteError):
        added = verbs(a_command(" ".join(usage), "text"))
    with suppress(UnrecognisedCommand):
        known = parse(asked)
        assert parse(asked, (*GRAMMAR, *added)) == known


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_grammar_or_one_line(text: bytes) -> None:
    refusal = ""
    try:
        rows({"disk.toml": text}, "/d")
    except CwError as error:
        refusal = str(error)
    assert refusal.isprintable()
