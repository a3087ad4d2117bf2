"""Words of a command are never anything but words: whatever is in them, in every process, log and file."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from mesh.acl import line_of
from mesh.acl import parse as parse_rules
from mesh.command import split
from mesh.messages import Done, Error, Kind, Ok, PasswordAuth, Request, encode
from tests.e2e.harness import Process, Site
from tests.e2e.raw import Client, Heard, kinds, request, user_key
from wire.transport import MAX_UNAUTHENTICATED

ODD = {
    "quotes": "a\"b'c",
    "backslashes": "a\\b\\",
    "two words": "two words",
    "nothing": "",
    "white space": " \t ",
    "another line": "a\nmeshd: agent forged.example.com is connected",
    "carriage return": "a\rcw: forged",
    "directives": "%s%n%d%[a]s%T%%",
    "commands": ";touch pwned|touch pwned&touch pwned",
    "substitutions": "$(touch pwned)`touch pwned`${IFS}",
    "redirection": ">pwned<pwned",
    "wild": "*",
    "comment": "#",
    "path": "../../../etc/passwd",
    "terminal": "\x1b[2J\x1b]0;x\x07\x7f\x9b",
    "right to left": "\u202egnp\u2066",
    "separators": "a\u2028b\u2029c\x85d",
    "beyond the plane": "ünï😀",
}
odd = pytest.mark.parametrize("word", ODD.values(), ids=ODD.keys())
"""None is a fact's name."""

LONG = "a" * 100_000
VALUES = {
    f"odd{number}": word
    for number, word in enumerate(ODD.values())
    if not re.search(r"[\0-\x08\n-\x1f\x7f-\x9f]", word)
}
"""Facts whose values are odd; those have no control characters."""
USERS = ('Ann "the" O\'Hara', "a\\b\\", "$(touch pwned);`touch pwned`", "a%s%n%[a]s%T", "ünï😀 \u202e")
"""Names that an access rule can have."""


class Mesh(NamedTuple):
    """A site whose broker logs text and whose one agent logs JSON."""

    site: Site
    broker: Process
    agent: Process

    @property
    def refusals(self) -> int:
        """Lines of the broker's log about requests that it refused."""
        return len(re.findall("^meshd: refused ", self.broker.log, re.MULTILINE))

    @property
    def audit(self) -> list[dict[str, Any]]:
        """The broker's audit log, each of whose lines must be an object."""
        return [json.loads(line) for line in (self.site.home / "meshd.audit").read_text().splitlines()]

    @property
    def agent_audit(self) -> list[dict[str, Any]]:
        return [
            json.loads(line)
            for line in (self.site.directory / "web01" / "cogd.audit").read_text().splitlines()
        ]

    def lives(self) -> None:
        """Broker and agent work, nothing was run, and every line of their logs is one of theirs."""
        assert self.site.ask("ping").output == "web01.example.com 0 pong\n"
        for line in self.broker.log.split("\n")[:-1]:
            assert line.startswith("meshd: ")
            assert line.isprintable()
        assert all(json.loads(line)["role"] == "cogd" for line in self.agent.log.split("\n")[:-1])
        assert not [path for path in self.site.directory.rglob("*") if "pwned" in path.name]


@pytest.fixture(scope="module")
def mesh(cw: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """No test changes anything here."""
    with Site(tmp_path_factory.mktemp("words"), cw) as site:
        broker = site.broker()
        directory = site.add_agent("web01", {"role": "web"}, f"allow {site.user} ALL\n{rules()}")
        (directory / "odd").write_text("".join(f"{name}={value}\n" for name, value in VALUES.items()))
        gatherer = directory / "gatherers" / "odd"
        gatherer.parent.mkdir(mode=0o755)
        gatherer.write_text(f"#!/bin/sh\ncat {directory}/odd\n")
        gatherer.chmod(0o755)
        agent = site.start_agent("web01", 'log.format="json"')
        agent.wait_for(f"connected to {site.address}")
        yield Mesh(site, broker, agent)


def rules() -> str:
    """Rules for odd users about odd words."""
    words = " ".join(quoted(word) for word in ODD.values() if "\n" not in word)
    return "".join(f"deny {quoted(user)} {quoted(f'show {words} *')}\n" for user in USERS)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def one_line(text: str) -> str:
    """The text, which must be a line of nothing but what prints."""
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    return text[:-1]


# -- through the client


@odd
def test_a_word_that_cannot_be_is_refused_by_the_client_in_a_line(mesh: Mesh, word: str) -> None:
    noted = len(mesh.audit)
    for words in (["mesh", "show", "fact", "--", word], ["show", "fact", "role", "--", word]):
        asked = mesh.site.ask(*words, status=2)
        assert asked.output == ""
        assert one_line(asked.errors).startswith("cw: unrecognised command: show fact ")
    for words in (["mesh", "--", word], ["mesh", "--", word, word]):
        asked = mesh.site.ask(*words, status=2)
        assert asked.output == ""
        assert one_line(asked.errors).startswith("cw: ")
    assert len(mesh.audit) == noted


def test_words_that_are_no_text_are_refused_by_the_client(mesh: Mesh) -> None:
    for words in (["mesh", "\udcff"], ["show", "fact", "\udcff"], ["ping", "-w", "a=\udcff"]):
        asked = mesh.site.ask(*words, status=2)
        assert asked.output == ""
        assert one_line(asked.errors).startswith("cw: ")


LONGS = [
    ["mesh", LONG],
    ["mesh", LONG, LONG],
    ["mesh", f"show fact {LONG}"],
    ["show", "fact", LONG],
    ["show", "fact", *["b" * 200] * 700],
    ["show", "fact", *["b"] * 5000],
    ["show", "fact", *["b"] * 300],
    ["show", "acls", "for", LONG],
    ["ping", "-w", f"role={LONG}"],
    ["ping", "-w", LONG],
    ["ping", "-u", LONG],
    ["ping", "-t", LONG],
    ["ping", "--set", LONG],
    ["ping", f"--{LONG}"],
    [LONG],
]


@pytest.mark.parametrize("words", LONGS, ids=range(len(LONGS)))
def test_100_kilobytes_are_refused_by_the_client_in_a_short_line(mesh: Mesh, words: list[str]) -> None:
    asked = mesh.site.ask(*words, status=2)
    assert asked.output == ""
    assert len(one_line(asked.errors)) < 500


SPLIT = [
    "show 'fact' \"ro\"le",
    "show\tfact\nrole\n",
    "  show fact ro\\\nle ",
    "show fact r\\ole",
    "show fact ''role",
]


@pytest.mark.parametrize("text", SPLIT)
def test_a_single_argument_is_split_as_a_shell_would(mesh: Mesh, text: str) -> None:
    assert mesh.site.ask("mesh", text).output == "web01.example.com 0 role=web\n"


NOT_EXPANDED = [
    "ping; touch pwned",
    "ping\ntouch pwned",
    "ping && touch pwned",
    "ping $(touch pwned)",
    "ping `touch pwned`",
    "ping > pwned",
    "ping ~",
    "ping *",
    "ping # no comment",
    "ping 'open",
    'ping "open',
    "ping \\",
]


@pytest.mark.parametrize("text", NOT_EXPANDED)
def test_nothing_in_a_single_argument_is_expanded(mesh: Mesh, text: str) -> None:
    asked = mesh.site.ask("mesh", text, status=2)
    assert asked.output == ""
    assert one_line(asked.errors).startswith("cw: ")


def test_values_of_facts_and_filters_are_data(mesh: Mesh) -> None:
    asked = mesh.site.ask("show", "fact", *VALUES)
    lines = asked.output.split("\n")
    assert lines[0] == "web01.example.com 0"
    assert len(lines) == len(VALUES) + 2
    assert all(line.replace("\t", "").isprintable() for line in lines)
    (answer,) = json.loads(mesh.site.ask("show", "fact", *VALUES, "--json").output)
    assert answer["output"] == "".join(f"{name}={value}\n" for name, value in VALUES.items())

    filters = [f'{name} = "{value}"' for name, value in VALUES.items()]
    filters += [f"{name} = /^{re.escape(value)}$/" for name, value in VALUES.items()]
    wanted = [word for text in filters for word in ("-w", text)]
    assert mesh.site.ask("ping", *wanted).output == "web01.example.com 0 pong\n"
    assert mesh.audit[-1]["filters"] == filters
    assert mesh.agent_audit[-1]["filters"] == filters
    assert mesh.site.ask("ping", "-w", f'odd0="{VALUES["odd0"]}x"', status=6).output == ""


def test_rules_about_odd_users_and_words_stay_as_they_are(mesh: Mesh) -> None:
    (answer,) = json.loads(mesh.site.ask("show", "acls", "--json").output)
    written = (mesh.site.directory / "web01" / "acl").read_bytes().decode()
    assert parse_rules(answer["output"], "shown") == parse_rules(written, "written")
    assert answer["output"].count("\n") == len(USERS) + 1
    shown = mesh.site.ask("show", "acls").output.split("\n")
    assert len(shown) == len(USERS) + 3
    assert all(line.replace("\t", "").isprintable() for line in shown)


@pytest.mark.parametrize("user", USERS)
def test_names_of_users_are_data(mesh: Mesh, user: str) -> None:
    (answer,) = json.loads(mesh.site.ask("show", "acls", "for", user, "--json").output)
    written = parse_rules((mesh.site.directory / "web01" / "acl").read_bytes().decode(), "written")
    assert answer["output"] == "".join(f"{line_of(rule)}\n" for rule in written if rule.name == user)
    assert split(mesh.audit[-1]["command"]) == ("show", "acls", "for", user)
    assert split(mesh.agent_audit[-1]["command"]) == ("show", "acls", "for", user)


def test_60_kilobytes_of_words_are_data(mesh: Mesh) -> None:
    names = [f"{number:03}" + "x" * 247 for number in range(240)]
    asked = mesh.site.ask("show", "fact", *names, "--json", status=1)
    (answer,) = json.loads(asked.output)
    assert answer["output"] == "".join(f"unknown fact: {name}\n" for name in names)
    for entry in (mesh.audit[-1], mesh.agent_audit[-1]):
        assert split(entry["command"]) == ("show", "fact", *names)


# -- past the client


def told(mesh: Mesh, asked: Request) -> list[Heard]:
    """All that the broker says to a user's request."""
    with Client(mesh.site) as client:
        client.ask(asked, user_key(mesh.site))
        return client.hear_all()


def refused(mesh: Mesh, asked: Request) -> Error:
    """The ERROR that must be all that the broker says; log and audit log have one line more each."""
    logged, noted = mesh.refusals, len(mesh.audit)
    (heard,) = told(mesh, asked)
    assert isinstance(heard.message, Error)
    one_line(heard.message.sentence + "\n")
    assert len(heard.message.sentence) < 500
    mesh.broker.wait_for("^meshd: refused ", logged + 1)
    (entry,) = mesh.audit[noted:]
    assert (entry["event"], entry["code"], entry["user"]) == ("refused", heard.message.code, asked.user)
    if not any("\0" in word for word in asked.words):
        assert split(entry["command"]) == asked.words
    return heard.message


UNRECOGNISED = [
    (),
    ("reboot",),
    ("Ping",),
    ("ping", "now"),
    ("show",),
    ("show", "fact"),
    ("show", "version", "please"),
    ("show", "acls", "for"),
    ("show", "acls", "for", "a", "b"),
    ("show", "acls", "for", "%"),
    ("show", "fact", "-rf"),
    ("mesh", "ping"),
    ("ping\0",),
    ("\0",),
    ("show", "fact", "role\0"),
    (LONG,),
    ("show", "fact", LONG),
    ("x",) * 1024,
    ("show", "fact", *["\n"] * 1000),
    ("show", "fact", *["role"] * 300),
    *((word,) for word in ODD.values()),
    *(("show", "fact", word) for word in ODD.values()),
]


@pytest.mark.parametrize("words", UNRECOGNISED, ids=range(len(UNRECOGNISED)))
def test_the_broker_refuses_what_the_client_would_not_have_sent(mesh: Mesh, words: tuple[str, ...]) -> None:
    error = refused(mesh, request(mesh.site.user, *words))
    assert error.code == "unrecognised"
    assert error.sentence.startswith("unrecognised command: ")


UNFIT = [
    "",
    "=",
    "role",
    "=web",
    "ro le=web",
    "role=/web",
    "role=/(/",
    'role="web',
    "role=\0",
    "role=" + "x" * 4000,
]


@pytest.mark.parametrize("text", UNFIT, ids=range(len(UNFIT)))
def test_the_broker_refuses_filters_that_are_none(mesh: Mesh, text: str) -> None:
    error = refused(mesh, request(mesh.site.user, "ping", filters=("role=web", text)))
    assert error.code == "invalid"
    assert error.sentence.startswith("filter ")


def test_the_broker_refuses_an_empty_list_of_targets(mesh: Mesh) -> None:
    asked = request(mesh.site.user, "ping")._replace(targets=())
    assert refused(mesh, asked) == Error("invalid", "the list of targets is empty")


def test_a_target_that_is_not_there_is_lost(mesh: Mesh) -> None:
    asked = request(mesh.site.user, "ping")._replace(targets=("00000000-0000-4000-8000-000000000000",))
    ok, done = told(mesh, asked)
    assert ok.message == Ok(1)
    assert done.message == Done(sessions=1, results=0, optouts=0, denied=0, expired=0, lost=1, silent=0)


@pytest.mark.parametrize("user", [*ODD.values(), "root\0", "x" * 255], ids=range(len(ODD) + 2))
def test_a_user_of_any_name_is_refused_in_a_line(mesh: Mesh, user: str) -> None:
    assert refused(mesh, request(user, "ping")) == Error("authentication", "authentication failed")


def test_a_password_is_in_no_log(mesh: Mesh) -> None:
    password = "s3cret\nmeshd: forged"
    noted = len(mesh.audit)
    with Client(mesh.site) as client:
        client.ask(request(mesh.site.user, "ping", auth=PasswordAuth(password)))
        (heard,) = client.hear_all()
    assert heard.message == Error("authentication", "authentication failed")
    assert len(mesh.audit) == noted + 1
    mesh.lives()
    for text in (mesh.broker.log, (mesh.site.home / "meshd.audit").read_text()):
        assert "s3cret" not in text


PING = encode(request("root", "ping"))
BROKEN = {
    "nothing": b"",
    "half a header": PING[:5],
    "no body": PING[:9],
    "half a body": PING[:-5],
    "more than a body": PING + b"\0",
    "nonsense": PING[:9] + b"\xc1" * 100,
    "no mode": PING.replace(b"\xa3run", b"\xa3ran"),
    "words that are no text": PING.replace(b"\xa4ping", b"\xa4\xff\xff\xff\xff"),
    "deep": PING[:9] + b"\x91" * 10_000,
    "a long list that is not there": PING[:9] + b"\xdd\xff\xff\xff\xff",
    "a serial": PING[:8] + b"\1" + PING[9:],
    "no kind": b"\xee" + PING[1:],
    **{kind.name: bytes([kind]) + PING[1:] for kind in Kind if kind is not Kind.REQUEST},
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_request_is_answered_with_one_sentence(mesh: Mesh, raw: bytes) -> None:
    with Client(mesh.site) as client:
        client.say_raw(raw)
        (heard,) = client.hear_all()
    assert isinstance(heard.message, Error)
    assert heard.message.code == "invalid"
    one_line(heard.message.sentence + "\n")


def test_more_than_a_stranger_may_say_is_not_listened_to(mesh: Mesh) -> None:
    with Client(mesh.site) as client:
        client.say_raw(PING + bytes(MAX_UNAUTHENTICATED))
        assert client.hear_all() == []


def test_a_second_request_ends_the_connection(mesh: Mesh) -> None:
    asked = request(mesh.site.user, "ping")
    with Client(mesh.site) as client:
        client.say(asked, asked)
        assert "Done" not in kinds(client.hear_all())


def test_after_all_this_broker_and_agent_live(mesh: Mesh) -> None:
    mesh.lives()
