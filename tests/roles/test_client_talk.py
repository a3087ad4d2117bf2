"""The client against a broker that says what a test wants: output, errors, exit status, Ctrl-C."""

import io
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import cw
from auth.keys import SIGNING, write_pair
from auth.signing import verified
from mesh.command import GRAMMAR
from mesh.images import image_of
from mesh.messages import (
    Bye,
    Cancel,
    Done,
    Error,
    Expired,
    KeyAuth,
    Lost,
    Message,
    NoAuth,
    Ok,
    Optin,
    Optout,
    PasswordAuth,
    Ping,
    Pong,
    Request,
    Result,
    Silent,
    encode,
    encode_identity,
    relay,
)
from roles import conversation
from tests.fake_broker import SERIAL, Link, answering, broker, done, node, refusing
from tests.sessions import BROKER

PONG = Result(0, b"pong\n", b"", False, 1000)
SEED = bytes(range(32))


class Ended(NamedTuple):
    status: int
    output: str
    errors: str


Ask = Callable[..., Ended]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "alice.key"
    write_pair(path, SIGNING, "alice", SEED)
    return path


@pytest.fixture
def ask(
    tmp_path: Path, key_file: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Ask:
    """Runs `cw` with these words against a broker with this script, in this process."""
    configuration = tmp_path / "cw.toml"

    def ask(script: Callable[[Link], None], *words: str) -> Ended:
        with broker(script) as listener:
            configuration.write_text(
                f'[mesh]\nbroker = "{listener.address}"\nbroker_key = "{BROKER.public.hex()}"\n'
                f'username = "alice"\nkey = "{key_file}"\ntimeout = 20\n'
            )
            status = cw.main(["-c", str(configuration), *words])
        return Ended(status, *capfd.readouterr())

    return ask


class Heard:
    """A script that keeps the request, and lets nobody answer it."""

    request: Request
    hash: bytes

    def __call__(self, link: Link) -> None:
        self.request, self.hash = link.request(), link.hash
        link.say(Ok(0), done())


def test_answers_are_printed_and_counted(ask: Ask) -> None:
    ended = ask(answering(PONG, PONG, optouts=2), "ping")
    assert ended == (
        0,
        "web01.example.com 0 pong\nweb02.example.com 0 pong\n",
        "2 answered: 2 ok; 2 opted out\n",
    )


def test_the_request_says_what_was_asked(ask: Ask) -> None:
    heard = Heard()
    words = ["show", "fact", "sys.arch", "-w", "role = web", "-w", "a!=b", "--optouts", "-t", "7.5"]
    ask(heard, *words, "--run-time", "3")
    asked = heard.request
    assert (asked.version, asked.user, asked.mode, asked.targets) == (1, "alice", "run", None)
    assert asked.words == ("show", "fact", "sys.arch")
    assert asked.filters == ("role = web", "a!=b")
    assert (asked.timeout, asked.run_time, asked.optouts) == (7500, 3000, True)


def test_the_request_is_signed_for_this_connection(ask: Ask) -> None:
    first, second = Heard(), Heard()
    ask(first, "ping")
    ask(second, "ping")
    assert verified(first.request, first.hash)
    assert not verified(first.request, second.hash)
    assert isinstance(first.request.auth, KeyAuth)
    assert isinstance(second.request.auth, KeyAuth)
    assert first.request.auth.nonce != second.request.auth.nonce


@pytest.mark.parametrize(("given", "auth"), [(b"s3cret\n", PasswordAuth("s3cret")), (b"", NoAuth())])
def test_without_a_key_the_password_is_sent(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, given: bytes, auth: object
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    heard = Heard()
    ended = ask(heard, "ping", "-k0")
    assert heard.request.auth == auth
    assert "s3cret" not in ended.output + ended.errors


def test_the_method_is_told_where_that_is_wanted(
    ask: Ask, key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    refuse = refusing("authentication", "")
    assert f"cw: asking as alice with the key {key_file}\n" in ask(Heard(), "ping", "-v").errors
    key_file.unlink()
    assert ask(refuse, "ping") == (3, "", "cw: authentication failed\n")
    ended = ask(refuse, "ping", "-v")
    assert (ended.status, ended.output) == (3, "")
    told = ended.errors.splitlines()
    assert told[:2] == [
        f"cw: asking as alice with a password ({key_file} is not there)",
        "cw: no password was given",
    ]
    assert told[-1] == "cw: authentication failed"


def test_nobody_is_there(ask: Ask) -> None:
    assert ask(answering(), "ping") == (6, "", "0 answered\n")
    assert ask(answering(), "ping", "--json") == (6, "[]\n", "0 answered\n")
    assert ask(answering(), "ping", "--jsonl", "-q") == (6, "", "")


CLOSINGS = [
    ((PONG,), {}, 0),
    ((PONG, Result(1, b"", b"", False, 0)), {}, 1),
    ((PONG,), {"denied": 1}, 0),
    ((), {"denied": 1}, 3),
    ((PONG,), {"lost": 1}, 5),
    ((), {"silent": 1}, 5),
    ((), {"expired": 2}, 5),
    ((), {"optouts": 2}, 6),
]


@pytest.mark.parametrize(("results", "counts", "status"), CLOSINGS)
def test_the_exit_status_is_of_the_broker_s_counts(
    ask: Ask, results: tuple[Result, ...], counts: dict[str, int], status: int
) -> None:
    assert ask(answering(*results, **counts), "ping", "-q").status == status


def test_every_way_to_close_is_named(ask: Ask) -> None:
    def script(link: Link) -> None:
        link.request()
        link.say(Ok(5))
        closings: tuple[Message, ...] = (Lost(), Silent(), Expired())
        for number, closing in enumerate(closings, 1):
            link.report(node(number), Optin(), closing)
        link.report(node(4), Optout())
        link.pass_on(relay(encode(PONG, SERIAL) + b"!", encode_identity(node(5))))
        link.say(done(sessions=5, results=1, optouts=1, expired=1, lost=1, silent=1))

    ended = ask(script, "ping")
    assert ended.output.splitlines() == [
        "web01.example.com - lost",
        "web02.example.com - silent",
        "web03.example.com - expired",
        "web04.example.com - optout",
        "web05.example.com - malformed",
    ]
    assert ended.errors == "1 answered: 1 failed; 1 opted out; 1 expired; 1 lost; 1 silent\n"
    assert ended.status == 5


def test_nothing_that_a_node_prints_acts_on_the_terminal(ask: Ask) -> None:
    hostile = Result(0, b"\x1b]0;x\x07\xff\r\nforged.example.com 0 pong\n", b"\x1b[2J\n", False, 0)
    ended = ask(answering(hostile), "ping", "-v")
    assert ended.output == (
        "web01.example.com 0\n    \\x1b]0;x\\x07\\xff\\x0d\n    forged.example.com 0 pong\n"
    )
    assert "web01.example.com: \\x1b[2J\n" in ended.errors


def test_error_output_is_shown_where_it_is_asked_for(ask: Ask) -> None:
    failing = answering(Result(2, b"out\n", b"one\ntwo\n", False, 0))
    assert ask(failing, "ping").errors == "1 answered: 1 failed\n"
    ended = ask(failing, "ping", "--stderr")
    assert ended.output == "web01.example.com 2 out\n"
    assert ended.errors == "web01.example.com: one\nweb01.example.com: two\n1 answered: 1 failed\n"


def test_json_is_one_array_of_what_arrived(ask: Ask) -> None:
    ended = ask(answering(PONG, Result(3, b"\xff", b"", True, 0)), "ping", "--json")
    first, second = json.loads(ended.output)
    assert (first["outcome"], first["duration"]) == ("ok", 0.001)
    assert (second["outcome"], second["output_base64"], second["truncated"]) == ("failed", "/w==", True)


def mixed(link: Link) -> None:
    """Five nodes, each of which closes in another way."""
    asked = link.request()
    link.say(Ok(5))
    link.report(node(10), Optin(), Result(0, b"a=1\n", b"", False, 1000))
    link.report(node(2), Optin(), Result(1, b"\x1b[2J\n", b"why\n", False, 0))
    link.report(node(3), Optin(), Result(0, b"a=1\n", b"", False, 1000))
    link.report(node(4), Optin(), Lost())
    if asked.optouts:
        link.report(node(5), Optout())
    link.say(done(sessions=5, results=3, lost=1, optouts=1))
    assert link.gone()


COUNTS = "3 answered: 2 ok, 1 failed; 1 opted out; 1 lost\n"
LOST = "web04.example.com - lost\n"
OK = "web10.example.com 0 a=1\nweb03.example.com 0 a=1\n"
OK_SORTED = "web03.example.com 0 a=1\nweb10.example.com 0 a=1\n"
TWO = "web[03,10].example.com (2) 0 a=1\n"
FAILED = "web02.example.com 1 \\x1b[2J\n"
SHOWN = [
    ("", "web10.example.com 0 a=1\n" + FAILED + "web03.example.com 0 a=1\n" + LOST),
    ("--sort", FAILED + "web03.example.com 0 a=1\n" + LOST + "web10.example.com 0 a=1\n"),
    ("--only ok", OK),
    ("--only failed --only lost", FAILED + LOST),
    ("--only optout", "web05.example.com - optout\n"),
    ("--fold --only ok --only failed", TWO + FAILED.replace(" ", " (1) ", 1)),
    ("--json --only lost --only optout --sort", None),
    ("--table --only ok", "NODE               STATUS  a\n" + OK_SORTED.replace(" 0 a=", "  0       ")),
    ("-P --only failed", "web02.example.com: failed, status 1, 0.000 s\n    \\x1b[2J\n  ! why\n"),
]


@pytest.mark.parametrize(("options", "output"), SHOWN, ids=[options for options, _ in SHOWN])
def test_answers_are_printed_as_asked(ask: Ask, options: str, output: str | None) -> None:
    ended = ask(mixed, "ping", *options.split())
    assert (ended.status, ended.errors) == (5, COUNTS)
    if output is None:
        assert [one["outcome"] for one in json.loads(ended.output)] == ["lost", "optout"]
    else:
        assert ended.output == output


@pytest.mark.parametrize("form", ["", "--fold"])
def test_each_node_s_time_and_error_output_are_told_on_request(ask: Ask, form: str) -> None:
    ended = ask(mixed, "ping", "-v", "--only", "failed", "--only", "lost", *form.split())
    told = re.sub(r"after [0-9]+\.[0-9]{3} s", "after T", ended.errors).splitlines()
    assert told[-4:] == [
        "cw: web02.example.com answered after T, of which it ran 0.000 s",
        "web02.example.com: why",
        "cw: web04.example.com lost after T",
        COUNTS.strip(),
    ]


def test_answer_times_are_drawn_on_request(ask: Ask) -> None:
    ended = ask(mixed, "ping", "--histogram", "-q", "--only", "lost")
    assert ended.output == LOST
    assert re.match(r"3 answered: half within [0-9.]+ s, 95 % within .*\n  to +[0-9.]+ s  █", ended.errors)
    assert sum(map(int, re.findall(r"(?m) ([0-9]+)$", ended.errors))) == 3
    assert ask(answering(), "ping", "--histogram").errors == "0 answered\n"


def test_a_form_that_waits_prints_what_came_where_the_end_never_does(ask: Ask) -> None:
    def script(link: Link) -> None:
        link.request()
        link.say(Ok(2))
        link.report(node(1), PONG)
        link.report(node(2), PONG)

    ended = ask(script, "ping", "--fold")
    assert (ended.status, ended.output) == (4, "web[01-02].example.com (2) 0 pong\n")


REFUSALS = [
    ("authentication", "unknown key", 3, "authentication failed"),
    ("denied", "alice may not ping", 3, "alice may not ping"),
    ("unrecognised", "unrecognised command: ping", 3, "unrecognised command: ping"),
    ("failed", "the broker cannot write its audit log", 3, "the broker cannot write its audit log"),
    ("busy", "too many requests", 4, "too many requests"),
]


@pytest.mark.parametrize(("code", "sentence", "status", "told"), REFUSALS)
def test_a_refusal_is_one_line(ask: Ask, code: str, sentence: str, status: int, told: str) -> None:
    assert ask(refusing(code, sentence), "ping") == (status, "", f"cw: {told}\n")


def test_a_broker_that_stops_in_the_middle_says_so(ask: Ask) -> None:
    def script(link: Link) -> None:
        link.request()
        link.say(Ok(2))
        link.report(node(1), PONG)
        link.say(Error("closing", "the broker is stopping"))

    ended = ask(script, "ping", "--json")
    assert [answer["fqdn"] for answer in json.loads(ended.output)] == ["web01.example.com"]
    assert ended.errors == "1 answered: 1 ok\ncw: the broker is stopping\n"
    assert ended.status == 4


def test_a_broken_connection_is_told_behind_what_came(ask: Ask) -> None:
    def script(link: Link) -> None:
        link.request()
        link.say(Ok(2))
        link.report(node(1), PONG)
        link.report(node(2), Optin())

    ended = ask(script, "ping", "--json")
    assert [answer["fqdn"] for answer in json.loads(ended.output)] == ["web01.example.com"]
    assert ended.errors.startswith("1 answered: 1 ok\ncw: the connection to the broker 127.0.0.1:")
    assert ended.status == 4


def test_a_broker_that_breaks_the_protocol(ask: Ask) -> None:
    def script(link: Link) -> None:
        link.request()
        link.pass_on(b"\xee" * 20)
        link.gone()

    ended = ask(script, "ping")
    assert (ended.status, ended.output) == (4, "")
    assert ended.errors.startswith("cw: ")
    assert ended.errors.count("\n") == 1


def test_ping_is_answered(ask: Ask) -> None:
    answers = []

    def script(link: Link) -> None:
        link.request()
        link.say(Ping(41), serial=0)
        answers.append(link.hear())
        link.say(Ok(0))
        link.say(Ping(42), serial=0)
        answers.append(link.hear())
        link.say(done())

    assert ask(script, "ping").status == 6
    assert answers == [Pong(41), Pong(42)]


def test_silence_before_the_answer(ask: Ask) -> None:
    last_words = []

    def script(link: Link) -> None:
        link.request()
        last_words.append(link.hear())

    ended = ask(script, "ping", "-t", "0.1")
    assert (ended.status, ended.output) == (4, "")
    assert ended.errors.endswith(" did not answer in 0.1 seconds\n")
    assert last_words == [Bye()]


def test_silence_in_the_middle(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "GRACE", 0.1)
    last_words = []

    def script(link: Link) -> None:
        link.request()
        link.say(Ok(2))
        link.report(node(1), Optin(), PONG)
        link.report(node(2), Optin())
        last_words.append(link.hear())

    ended = ask(script, "ping", "-t", "0.1")
    assert ended.output == "web01.example.com 0 pong\nweb02.example.com - silent\n"
    assert ended.errors.startswith("1 answered: 1 ok; 1 silent\n")
    assert ended.errors.endswith(" did not end the request in 0.1 seconds\n")
    assert (ended.status, last_words) == (4, [Bye()])


def test_the_client_waits_no_longer_than_for_the_end(ask: Ask) -> None:
    after = []

    def script(link: Link) -> None:
        link.request()
        link.say(Ok(1))
        link.report(node(1), PONG)
        link.say(done(sessions=1, results=1))
        after.append(link.gone())

    assert ask(script, "ping").status == 0
    assert after == [True]


def press_ctrl_c() -> None:
    """As a terminal does: the signal goes to the main thread."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


def test_ctrl_c_cancels_and_prints_what_comes_of_it(ask: Ask) -> None:
    heard = []

    def script(link: Link) -> None:
        link.request()
        link.say(Ok(2))
        link.report(node(1), PONG)
        press_ctrl_c()
        heard.append(link.hear())
        link.report(node(2), Result(125, b"half\n", b"cancelled\n", False, 0))
        link.say(done(sessions=2, results=2))

    ended = ask(script, "ping")
    assert heard == [Cancel()]
    assert ended.output == "web01.example.com 0 pong\nweb02.example.com 125 half\n"
    assert ended.errors == "2 answered: 1 ok, 1 failed\n"
    assert ended.status == 130


def test_ctrl_c_before_the_broker_has_answered(ask: Ask) -> None:
    heard = []

    def script(link: Link) -> None:
        link.request()
        press_ctrl_c()
        heard.append(link.hear())
        link.say(Ok(0), done())

    assert ask(script, "ping", "--json") == (130, "[]\n", "0 answered\n")
    assert heard == [Cancel()]


def test_after_ctrl_c_nobody_is_waited_for_long(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "AFTER_CANCEL", 0.1)
    heard = []

    def script(link: Link) -> None:
        link.request()
        link.say(Ok(1))
        link.report(node(1), Optin())
        press_ctrl_c()
        heard.extend([link.hear(), link.hear()])

    ended = ask(script, "ping")
    assert heard == [Cancel(), Bye()]
    assert ended == (130, "web01.example.com - silent\n", "0 answered; 1 silent\n")


def test_a_second_ctrl_c_ends_it_at_once(ask: Ask) -> None:
    def script(link: Link) -> None:
        link.request()
        link.say(Ok(1))
        press_ctrl_c()
        assert link.hear() == Cancel()
        press_ctrl_c()
        assert link.hear() == Bye()

    assert ask(script, "ping") == (130, "", "")


@pytest.fixture
def closed_pipe() -> Iterator[io.TextIOWrapper]:
    """A standard output that nobody reads any more."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with open(write_end, "w") as stream:
        yield stream


def test_nobody_reads_on(ask: Ask, monkeypatch: pytest.MonkeyPatch, closed_pipe: io.TextIOWrapper) -> None:
    last_words = []

    def script(link: Link) -> None:
        link.request()
        link.say(Ok(2))
        link.report(node(1), PONG)
        last_words.append(link.hear())

    monkeypatch.setattr(sys, "stdout", closed_pipe)
    assert ask(script, "ping") == (141, "", "")
    assert last_words == [Bye()]


def test_a_full_disk_is_told(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        ended = ask(answering(PONG), "ping")
        monkeypatch.undo()
    assert ended.errors == "cw: cannot write: No space left on device\n"
    assert ended.status == 74


def test_nothing_is_sent_on_request(key_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["--set", f'mesh.broker_key="{BROKER.public.hex()}"', "--set", 'mesh.broker="127.0.0.1:1"']
    status = cw.main([*words, "-n", "-k", str(key_file), "-u", "alice", "show", "fact", "a", "-w", "b = c d"])
    told = capfd.readouterr()
    assert (status, told.err) == (0, "")
    assert told.out.startswith(
        'nothing sent: show fact a -w "b = c d", asked of 127.0.0.1:1 by alice with the key '
    )


REFUSED_HERE = [
    (["mesh", "pong"], "unrecognised command: pong: did you mean 'ping'?"),
    (["mesh"], "a command is missing (see cw mesh --help)"),
    (["mesh", ""], "a command is missing (see cw mesh --help)"),
    (["mesh", "show 'version"], ""),
    (["show", "fact", "-x"], "unknown option -x"),
    (["ping", "-w", "=x"], "filter =x: expected FACT = VALUE"),
    (["ping", "-w", "a=/(/"], "filter "),
    (["ping", *(["-w", "a=b"] * 65)], "the request cannot be sent: REQUEST: "),
    (["ping", "-c", "/nonexistent/cw.toml"], ""),
    (["ping", "-u", "x" * 256], "the request cannot be sent: REQUEST: "),
    (["ping", "-u", "\udcff"], "the request cannot be sent: REQUEST: "),
    (["ping", "-k", "/nonexistent"], "cannot read the key /nonexistent: No such file or directory"),
]


@pytest.mark.parametrize(("words", "sentence"), REFUSED_HERE)
def test_what_is_wrong_is_told_before_anyone_is_asked(
    words: list[str], sentence: str, capfd: pytest.CaptureFixture[str]
) -> None:
    key = f'mesh.broker_key="{BROKER.public.hex()}"'
    assert cw.main([*words, "--set", key, "--set", 'mesh.broker="127.0.0.1:1"']) == 2
    output, errors = capfd.readouterr()
    assert output == ""
    assert errors.startswith(f"cw: {sentence}")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("words", [["mesh", "--version"], ["ping", "--version"], ["show", "-q", "--version"]])
def test_the_version(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert cw.main(words) == 0
    assert capfd.readouterr().out == "cw 0.1.0\n"


def test_the_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert cw.main(["mesh", "--help"]) == 0
    assert "fact NAME… | " in capfd.readouterr().out


HELPS = [
    (["mesh", "-h", "show", "version"], ["show version               prints the version of cw (effect: "]),
    (["mesh", "show version", "-h"], ["show version               prints the version of cw (effect: pure)"]),
    (["ping", "-h"], ["ping                       answers pong (effect: pure)"]),
    (["show", "fact", "-h"], ["show fact NAME…            prints the facts named (effect: reads)", "NAME"]),
    (["show", "acls", "-h"], ["show acls                  ", "show acls for USER|%GROUP  "]),
    (["show", "acls", "for", "joe", "-h"], ["show acls for USER|%GROUP  ", "USER and GROUP are "]),
]  # fmt: skip


@pytest.mark.parametrize(("words", "lines"), HELPS)
def test_the_help_of_a_command_says_what_it_can_do_to_a_node(
    words: list[str], lines: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert cw.main(words) == 0
    shown = capfd.readouterr().out.splitlines()
    assert [one[: len(line) + 2] for one, line in zip(shown[1:], lines, strict=False)] == [
        f"  {line}" for line in lines
    ]
    assert shown[len(lines) + 1].startswith("  -w, --where FILTER")
    assert len(shown) <= 24
    assert max(map(len, shown)) <= 100


def test_the_help_of_every_command_names_its_effect(capfd: pytest.CaptureFixture[str]) -> None:
    for verb in GRAMMAR:
        words = [part if isinstance(part, str) else "x" for part in verb.form]
        assert cw.main(["mesh", "--help", "--", *words]) == 0
        assert f"(effect: {image_of(verb).effect.word})" in capfd.readouterr().out.splitlines()[1]


def test_the_help_of_no_command(capfd: pytest.CaptureFixture[str]) -> None:
    assert cw.main(["show", "pong", "--help"]) == 2
    assert capfd.readouterr().err.startswith("cw: unrecognised command: show pong (expected show version, ")
    assert cw.main(["mesh", "--help", "pong"]) == 2
    assert capfd.readouterr().err == "cw: unrecognised command: pong: did you mean 'ping'?\n"


def test_all_counts_of_the_broker_are_there() -> None:
    """The summary speaks of every count of DONE but `sessions`, their sum."""
    assert set(Done._fields) == {"sessions", "results", "optouts", "denied", "expired", "lost", "silent"}
