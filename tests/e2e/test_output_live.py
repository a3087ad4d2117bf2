"""Whatever nodes say: delivered, cut with a mark, shown harmless or counted as malformed; nobody hangs."""

import base64
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from xml.parsers.expat import ParserCreate

import pytest
import yaml

from mesh.messages import (
    MAX_OUTPUT,
    VERSION,
    Bye,
    Cancel,
    Command,
    Denied,
    Done,
    Error,
    Expired,
    Hello,
    Kind,
    Lost,
    Message,
    NoAuth,
    Ok,
    Optin,
    Optout,
    Ping,
    Pong,
    Request,
    Result,
    Silent,
    encode,
)
from mesh.printing import ACTING
from tests.e2e.harness import Finished, Process, Site
from tests.e2e.raw import Agent, Talk
from wire.handshake import Peer
from wire.noise import key_pair
from wire.transport import MAX_FROM_AGENT

MANY = 10
NAMES = [f"n{number}.example.com" for number in range(1, MANY + 1)]
UUIDS = [f"00000000-0000-4000-8000-{number:012}" for number in range(1, MANY + 1)]


def result(output: bytes = b"pong\n", status: int = 0, **more: Any) -> Result:
    return Result(status, output, b"", False, 1_000_000)._replace(**more)


class Stage:
    """A broker and nodes whose every word is the test's, their keys listed by `cw trust`."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.broker = site.broker("limits.heartbeat=600")
        self.keys = [key_pair(os.urandom(32)) for _ in NAMES]
        agents = str(site.home / "agents")
        listed = [f"{key.public.hex()}={name}" for key, name in zip(self.keys, NAMES, strict=True)]
        site.run("trust", "-d", agents, *listed)
        self._open: list[Agent] = []
        self._gone = 0

    @contextmanager
    def nodes(self, count: int = 1) -> Iterator[list[Agent]]:
        """The first so many nodes, connected; at the end the broker has noticed that they are gone."""
        nodes = [Agent(self.site, self.keys[number], NAMES[number], UUIDS[number]) for number in range(count)]
        self._open += nodes
        try:
            yield nodes
        finally:
            for node in nodes:
                node.close()
            for node in nodes:
                if node in self._open:
                    self.gone(node)

    def gone(self, node: Agent, why: str = "") -> None:
        """Wait until the broker has noted the end of one session more, for that reason."""
        self._open.remove(node)
        self._gone += 1
        told = self.broker.wait_for(r"^meshd: agent .*at 127\.0\.0\.1 is gone: (.*)$", self._gone)
        assert re.match(why, told[1])

    def ask(self, *words: str) -> Process:
        return self.site.start_asking("ping", *words)


@pytest.fixture(scope="module")
def stage(cw: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """No test leaves a session behind."""
    with Site(tmp_path_factory.mktemp("output"), cw) as site:
        yield Stage(site)


def commanded(node: Agent) -> int:
    """The serial of the COMMAND that a node must hear next."""
    heard = node.hear()
    assert isinstance(heard.message, Command)
    return heard.serial


def answered(stage: Stage, raw: Callable[[int], bytes], *forms: str) -> list[Finished]:
    """How a client of each form ends when the one node answers with OPTIN and these bytes."""
    with stage.nodes() as (node,):
        asking = [stage.ask(*form.split()) for form in forms]
        for _ in forms:
            serial = commanded(node)
            node.say_raw(encode(Optin(), serial), raw(serial))
        return [client.finished() for client in asking]


def harmless(text: str) -> bool:
    """Whether nothing in it acts on a terminal: nothing but what prints, tabs and ends of lines."""
    return not any(ord(character) in ACTING and character != "\n" for character in text)


# -- what a RESULT brings

OBJECTS = ("--json", "--jsonl")

BEGIN = "n1.example.com 0"
SHOWN = {
    "nothing": (b"", f"{BEGIN}\n"),
    "an empty line": (b"\n", f"{BEGIN}\n"),
    "two empty lines": (b"\n\n", f"{BEGIN}\n    \n    \n"),
    "no newline": (b"pong", f"{BEGIN} pong\n"),
    "a tab": (b"a\tb\n", f"{BEGIN} a\tb\n"),
    "text": ("ünï😀\n".encode(), f"{BEGIN} ünï😀\n"),
    "escape sequences": (b"\x1b[2J\x1b]0;x\x07\n", f"{BEGIN} \\x1b[2J\\x1b]0;x\\x07\n"),
    "carriage return": (b"a\rcw: b\r\n", f"{BEGIN} a\\x0dcw: b\\x0d\n"),
    "NUL": (b"a\0b", f"{BEGIN} a\\x00b\n"),
    "C1": ("\x9b2J\x85".encode(), f"{BEGIN} \\xc2\\x9b2J\\xc2\\x85\n"),
    "right to left": ("\u202egnop".encode(), f"{BEGIN} \\xe2\\x80\\xaegnop\n"),
    "line separator": ("a\u2028b".encode(), f"{BEGIN} a\\xe2\\x80\\xa8b\n"),
    "invalid UTF-8": (b"a\xff\xc0\x80\xed\xa0\x80", f"{BEGIN} a\\xff\\xc0\\x80\\xed\\xa0\\x80\n"),
    "half a character": (b"a\xe2\x82", f"{BEGIN} a\\xe2\\x82\n"),
    "a forged line": (b"\nn2.example.com 0 pong\n", f"{BEGIN}\n    \n    n2.example.com 0 pong\n"),
    "JSON": (b'"}]\n', f'{BEGIN} "}}]\n'),
}


@pytest.mark.parametrize(("output", "shown"), SHOWN.values(), ids=SHOWN.keys())
def test_output_is_shown_harmless_and_json_stays_valid(stage: Stage, output: bytes, shown: str) -> None:
    line, *objects = answered(stage, lambda serial: encode(result(output), serial), "", *OBJECTS)
    assert line == (0, shown, "1 answered: 1 ok\n")
    for form, ended in zip(OBJECTS, objects, strict=True):
        assert (ended.status, ended.errors) == (0, "1 answered: 1 ok\n")
        check_json(ended.output, form, output)


def check_json(text: str, form: str, output: bytes) -> None:
    """The text must be printable ASCII, and one answer with that output."""
    assert re.fullmatch(r"[ -~]*\n", text)
    answer = json.loads(text)
    if form == "--json":
        (answer,) = answer
    if output == output.decode("utf-8", "replace").encode():
        assert "output_base64" not in answer
    else:
        assert base64.b64decode(answer.pop("output_base64")) == output
    assert answer == {
        "uuid": UUIDS[0],
        "fqdn": NAMES[0],
        "outcome": "ok",
        "status": 0,
        "output": output.decode("utf-8", "replace"),
        "error_output": "",
        "truncated": False,
        "duration": 1.0,
    }


BINARY = bytes(range(256)) * 16


def test_binary_output(stage: Stage) -> None:
    line, *objects = answered(stage, lambda serial: encode(result(BINARY), serial), "", *OBJECTS)
    assert line.status == 0
    assert harmless(line.output)
    lines = line.output.split("\n")
    assert len(lines) == BINARY.count(b"\n") + 3
    assert all(line.startswith("    ") for line in lines[1:-1])
    for form, ended in zip(OBJECTS, objects, strict=True):
        check_json(ended.output, form, BINARY)


WELL_FORMED: dict[str, Callable[[str], object]] = {
    "--yaml": yaml.safe_load,
    "--xml": lambda text: ParserCreate().Parse(text, True),
    **dict.fromkeys(("--text", "--fold", "--diff", "--table", "--pretty", "--sort", "--histogram"), str),
}


def test_binary_output_in_every_other_form(stage: Stage) -> None:
    binary = result(BINARY, error_output=BINARY)
    told = answered(stage, lambda serial: encode(binary, serial), *(f"-v {form}" for form in WELL_FORMED))
    for well_formed, ended in zip(WELL_FORMED.values(), told, strict=True):
        assert ended.status == 0
        assert harmless(ended.output)
        assert harmless(ended.errors)
        well_formed(ended.output)


def test_error_output_is_shown_only_on_request_and_harmless(stage: Stage) -> None:
    hostile = result(status=1, error_output=b"\x1b[2J\xff\ncw: forged\n")
    forms = ("", "-v", "--json")
    plain, verbose, array = answered(stage, lambda serial: encode(hostile, serial), *forms)
    assert plain == (1, "n1.example.com 1 pong\n", "1 answered: 1 failed\n")
    assert verbose.output == "n1.example.com 1 pong\n"
    assert verbose.errors.endswith(
        "n1.example.com: \\x1b[2J\\xff\nn1.example.com: cw: forged\n1 answered: 1 failed\n"
    )
    assert harmless(verbose.errors)
    assert json.loads(array.output)[0]["error_output"] == "\x1b[2J\ufffd\ncw: forged\n"


def test_output_that_was_cut_has_a_mark(stage: Stage) -> None:
    cut = result(b"12345", truncated=True)
    line, array = answered(stage, lambda serial: encode(cut, serial), "", "--json")
    assert line.output == f"{BEGIN}\n    12345\n    [cut at 5 bytes]\n"
    assert json.loads(array.output)[0]["truncated"] is True


@pytest.mark.parametrize("status", [1, 124, 255, 2**32 - 1])
def test_every_status_but_0_is_a_failure(stage: Stage, status: int) -> None:
    (ended,) = answered(stage, lambda serial: encode(result(status=status), serial), "")
    assert ended == (1, f"n1.example.com {status} pong\n", "1 answered: 1 failed\n")


def test_the_longest_result(stage: Stage) -> None:
    longest = b"\x1b" * MAX_OUTPUT
    line, array = answered(stage, lambda serial: encode(result(longest), serial), "", "--json")
    assert line == (0, f"{BEGIN} " + "\\x1b" * MAX_OUTPUT + "\n", "1 answered: 1 ok\n")
    assert json.loads(array.output)[0]["output"] == longest.decode()


@pytest.mark.parametrize("form", ["--json", "--jsonl", "-v"])
def test_ten_mebibytes_in_one_request(stage: Stage, form: str) -> None:
    text = b"0123456789abcde\n" * (MAX_OUTPUT // 16)
    with stage.nodes(MANY) as nodes:
        asking = stage.ask(form)
        for node in nodes:
            node.say(Optin(), result(text), serial=commanded(node))
        ended = asking.finished()
    assert ended.status == 0
    assert ended.errors.endswith("10 answered: 10 ok\n")
    assert ended.output.count("0123456789abcde") == MANY * text.count(b"\n")


# -- bodies that do not decode

GOOD = encode(result())[9:]
MALFORMED = {
    "nothing": b"",
    "half": GOOD[:-1],
    "more": GOOD + b"\0",
    "nonsense": b"\xc1" * 100,
    "text for bytes": GOOD.replace(b"\xc4\x05pong\n", b"\xa5pong\n"),
    "a field less": b"\x94" + GOOD[1:],
    "a map": b"\x85" + GOOD[1:],
    "a status below 0": GOOD.replace(b"\x95\0", b"\x95\xff"),
    "a status too great": GOOD.replace(b"\x95\0", b"\x95\xcf\0\0\0\1\0\0\0\0"),
    "a length that is not there": b"\x95\0\xc6\xff\xff\xff\xff",
    "depth": b"\x91" * 100_000,
    "a mebibyte": b"\xa5" * (MAX_FROM_AGENT - 9),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_result_that_does_not_decode_is_malformed_and_counts_as_failed(stage: Stage, body: bytes) -> None:
    def raw(serial: int) -> bytes:
        return encode(Optin(), serial).replace(bytes([Kind.OPTIN]), bytes([Kind.RESULT]), 1) + body

    line, *objects = answered(stage, raw, "", *OBJECTS)
    assert line == (1, "n1.example.com - malformed\n", "1 answered: 1 failed\n")
    for form, ended in zip(OBJECTS, objects, strict=True):
        assert (ended.status, ended.errors) == (1, "1 answered: 1 failed\n")
        answer = json.loads(ended.output)
        if form == "--json":
            (answer,) = answer
        assert (answer["outcome"], answer["status"], answer["output"]) == ("malformed", None, "")
        assert answer["duration"] is None


# -- answers that nobody waits for

OTHER = result(b"another\n", status=1)
TAKEN: dict[str, tuple[Sequence[Message], str, str, int]] = {
    "twice": ((Optin(), result(), OTHER, result()), f"{BEGIN} pong\n", "2 answered: 2 ok", 0),
    "opted in twice": ((Optin(), Optin(), result()), f"{BEGIN} pong\n", "2 answered: 2 ok", 0),
    "not opted in": ((result(),), f"{BEGIN} pong\n", "2 answered: 2 ok", 0),
    "opted in later": ((result(), Optin(), Optin()), f"{BEGIN} pong\n", "2 answered: 2 ok", 0),
    "every other end": (
        (Optin(), result(), Optout(), Denied(), Expired(), OTHER),
        f"{BEGIN} pong\n",
        "2 answered: 2 ok",
        0,
    ),
    "opted out first": ((Optout(), Optin(), result()), "", "1 answered: 1 ok; 1 opted out", 0),
    "denied first": ((Denied(), Optin(), result()), "", "1 answered: 1 ok; 1 denied", 0),
    "opted out after all": ((Optin(), Optout(), result()), "", "1 answered: 1 ok; 1 opted out", 0),
    "expired after all": (
        (Optin(), Expired(), result()),
        "n1.example.com - expired\n",
        "1 answered: 1 ok; 1 expired",
        5,
    ),
}


@pytest.mark.parametrize(("said", "shown", "counts", "status"), TAKEN.values(), ids=TAKEN.keys())
def test_the_first_end_of_a_node_is_the_one(
    stage: Stage, said: Sequence[Message], shown: str, counts: str, status: int
) -> None:
    with stage.nodes(2) as (one, two):
        asking = stage.ask()
        one.say(*said, serial=commanded(one))
        if shown:
            asking.wait_for_output(re.escape(shown.strip()))
        two.say(Optin(), result(), serial=commanded(two))
        ended = asking.finished()
        assert (ended.status, ended.errors) == (status, counts + "\n")
        assert sorted(ended.output.splitlines(keepends=True)) == sorted(
            [*([shown] if shown else []), "n2.example.com 0 pong\n"]
        )
        still_served(stage, [one, two])


def still_served(stage: Stage, nodes: Sequence[Agent]) -> None:
    """The sessions are open, and the next request is answered as if nothing had been."""
    asking = stage.ask()
    for node in nodes:
        node.say(Optin(), result(), serial=commanded(node))
    assert asking.finished().errors == f"{len(nodes)} answered: {len(nodes)} ok\n"


def test_answers_to_what_nobody_asked_are_dropped(stage: Stage) -> None:
    with stage.nodes() as (node,):
        node.say(Optin(), OTHER, serial=0)
        asking = stage.ask()
        serial = commanded(node)
        for unknown in (serial - 1, serial + 1, serial ^ 1 << 40, 2**64 - 1, 0):
            node.say(Optin(), OTHER, Optout(), Denied(), serial=unknown)
        node.say(Optin(), result(), serial=serial)
        assert asking.finished() == (0, f"{BEGIN} pong\n", "1 answered: 1 ok\n")
        still_served(stage, [node])


def test_answers_that_come_late_are_dropped(stage: Stage) -> None:
    with stage.nodes() as (node,):
        asking = stage.ask("-t", "0.5")
        late = commanded(node)
        node.say(Optin(), serial=late)
        assert asking.finished() == (5, "n1.example.com - silent\n", "0 answered; 1 silent\n")
        node.say(OTHER, serial=late)
        asking = stage.ask()
        serial = commanded(node)
        node.say(OTHER, Optin(), OTHER, serial=late)
        node.say(Optin(), result(), serial=serial)
        assert asking.finished() == (0, f"{BEGIN} pong\n", "1 answered: 1 ok\n")


# -- messages that may not be

_counts = Done(0, 0, 0, 0, 0, 0, 0)
_MAY_NOT: dict[str, Message] = {
    "HELLO": Hello(VERSION, "0.1.0", NAMES[1], UUIDS[1]),
    "REQUEST": Request(VERSION, "root", NoAuth(), ("ping",), (), "run", None, 1000, 0, False),
    "OK": Ok(1000),
    "ERROR": Error("denied", "forged"),
    "COMMAND": Command("root", (), "key", ("ping",), (), "mesh/1", b"", (), "run", None, 0, 1000, 0),
    "LOST": Lost(),
    "SILENT": Silent(),
    "DONE": _counts,
    "CANCEL": Cancel(),
    "BYE": Bye(),
    "PING": Ping(1),
}
ENDING = {
    **{
        name: (encode(message), f"the agent sent {name}, which it may not in state OPEN$")
        for name, message in _MAY_NOT.items()
    },
    "no kind": (b"\x63" + bytes(8), "there is no kind 99 of message$"),
    "kind 0": (bytes(9), "there is no kind 0 of message$"),
    "nothing": (b"", "a message of 0 bytes is shorter than its header$"),
    "half a header": (encode(Optin())[:8], "a message of 8 bytes is shorter than its header$"),
    "a heartbeat that is none": (encode(Pong(1))[:9] + b"\xc1", "PONG: "),
    "a heartbeat with a serial": (encode(Pong(1))[:8] + b"\1" + encode(Pong(1))[9:], "PONG: has no serial$"),
    "too long": (encode(result(bytes(MAX_OUTPUT))) + bytes(2000), ""),
}


@pytest.mark.parametrize(("raw", "why"), ENDING.values(), ids=ENDING.keys())
def test_what_an_agent_may_not_say_ends_its_session_and_is_logged(stage: Stage, raw: bytes, why: str) -> None:
    with stage.nodes(2) as (one, two):
        asking = stage.ask()
        one.say(Optin(), serial=commanded(one))
        one.say_raw(raw)
        with pytest.raises((EOFError, ConnectionError)):
            one.hear()
        stage.gone(one, why)
        two.say(Optin(), result(), serial=commanded(two))
        ended = asking.finished()
        assert (ended.status, ended.errors) == (5, "1 answered: 1 ok; 1 lost\n")
        assert ended.lines == ["n1.example.com - lost", "n2.example.com 0 pong"]
        still_served(stage, [two])
        with stage.nodes() as (again,):
            still_served(stage, [again, two])


BEFORE = {
    "RESULT": encode(result(), 1),
    "OPTIN": encode(Optin()),
    "PONG": encode(Pong(1)),
    "no kind": b"\x63" + bytes(8),
    "nothing": b"",
    "a HELLO that is none": encode(_MAY_NOT["HELLO"])[:20],
    "the broker's HELLO": bytes([Kind.HELLO]) + bytes(8) + b"\x94\1\xa50.1.0\x0a\x0a",
}


@pytest.mark.parametrize("raw", BEFORE.values(), ids=BEFORE.keys())
def test_what_is_no_hello_is_answered_with_one_sentence(stage: Stage, raw: bytes) -> None:
    with Talk(stage.site, Peer.AGENT, stage.keys[0]) as talk:
        talk.say_raw(raw)
        (heard,) = talk.hear_all()
    assert isinstance(heard.message, Error)
    assert heard.message.code == "invalid"
    assert heard.message.sentence.isprintable()
    stage.broker.wait_for(r"^meshd: refused a connection from 127\.0\.0\.1: ")


# -- real agents

FACT = 65_536
"""Characters of a fact's value, at most."""


def test_output_of_ten_megabytes_is_cut_with_a_mark(site: Site) -> None:
    site.broker()
    directory = site.add_agent("web01")
    (directory / "value").write_text("é" * (FACT - 10))
    (directory / "gatherers").mkdir(mode=0o755)
    for number in range(40):  # 10 MiB in all
        path = directory / "gatherers" / f"{number:02}"
        path.write_text(f'#!/bin/sh\nv=$(cat {directory}/value)\nprintf "big${{0##*/}}%s=$v\\n" a b\n')
        path.chmod(0o755)
    site.start_agent("web01", "limits.output=100002", "facts.time_limit=60").wait_for("connected to")
    asked = site.ask("show", "facts")
    assert asked.errors == "1 answered: 1 ok\n"
    lines = asked.output.split("\n")
    assert lines[0] == "web01.example.com 0"
    assert lines[1].startswith("    big00a=éé")
    assert lines[-3].endswith("é\\xc3")  # cut in the middle of a character
    assert lines[-2:] == ["    [cut at 100002 bytes]", ""]
    (answer,) = json.loads(site.ask("show", "facts", "--json").output)
    assert (answer["outcome"], answer["truncated"]) == ("ok", True)
    assert answer["output"].endswith("é\ufffd")
    assert len(base64.b64decode(answer["output_base64"])) == 100_002
    (answer,) = json.loads(site.ask("show", "fact", "big00a", "big39b", "--json").output)
    assert answer["truncated"] is True
    assert site.ask("ping").output == "web01.example.com 0 pong\n"


GATHERERS = {
    "10-flood": ("exec yes flood=x", "killed: printed more than "),
    "20-binary": ("head -c 1000 /dev/zero; printf '\\377'", "expected UTF-8"),
    "30-escapes": ("printf 'red=\\033[31m\\n'", "line 1: red: expected a value without control characters"),
    "40-nothing": ("true", ""),
    "50-lines": ("echo 'no fact at all'; echo rack=7", "line 1: expected NAME=VALUE"),
    "60-fails": ('echo "$$" >&2; exit 3', "ended with status 3"),
    "70-hangs": ("exec sleep 1000", "killed: not done within 0.5 s"),
}


def test_gatherers_that_print_anything_cost_their_facts_and_nothing_else(site: Site) -> None:
    site.broker()
    directory = site.add_agent("web01", {"role": "web"})
    (directory / "gatherers").mkdir(mode=0o755)
    for name, (script, _) in GATHERERS.items():
        path = directory / "gatherers" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    agent = site.start_agent("web01", "facts.time_limit=0.5")
    agent.wait_for("connected to")
    for name, (_, complaint) in GATHERERS.items():
        if complaint:
            agent.wait_for(rf"^cogd: gatherer [^ ]*/{name}: {re.escape(complaint)}")
    assert all(line.isprintable() for line in agent.log.splitlines())
    assert site.ask("show", "fact", "rack", "role").lines == [
        "    rack=7",
        "    role=web",
        "web01.example.com 0",
    ]
