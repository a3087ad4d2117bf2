"""What a node does with the images of a broker that a test plays: limits, order, refusals, nothing left."""

import hashlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from mesh.clock import SAMPLES
from mesh.command import parse
from mesh.images import image_of
from mesh.messages import Command, Denied, Expired, Result
from tests.e2e.harness import Site, until
from tests.e2e.played import FOREIGN, PONG, TIRELESS, Node, children, gone, image, running
from tests.e2e.raw import NOW, command

EARLY = b"cancelled before its turn came\n"

ENDLESS = image("again:", "jmp again")
ENDLESS_READER = image('fact.get "role" %a', "again:", "jmp again")
LOOPS = pytest.mark.parametrize(
    ("words", "loop"),
    [(("ping",), ENDLESS), (("show", "facts"), ENDLESS_READER)],
    ids=["thread", "child"],
)
"""What is pure runs in a thread of the agent, the rest in a child of its spawner."""


@pytest.fixture(scope="module")
def place(cw: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Where the files of all these agents are."""
    with Site(tmp_path_factory.mktemp("execution"), cw) as site:
        yield site


@pytest.fixture(scope="module")
def node(place: Site) -> Iterator[Node]:
    """An agent that no test harms."""
    with Node(place, "node", TIRELESS) as node:
        yield node


@pytest.fixture(scope="module")
def narrow(place: Site) -> Iterator[Node]:
    """An agent that allows itself little; no test harms it."""
    with Node(
        place, "narrow", "limits.run_time=0.1", "limits.output=1000", 'agent.max_effect="pure"'
    ) as node:
        yield node


@pytest.fixture
def own(place: Site) -> Iterator[Node]:
    """An agent of the test's own."""
    with Node(place, f"own-{uuid4().hex}", TIRELESS) as node:
        yield node


@pytest.fixture(scope="module")
def single(place: Site) -> Iterator[Node]:
    """An agent that runs one command at a time; no test harms it."""
    with Node(place, "single", TIRELESS, "limits.concurrent=1") as node:
        yield node


# -- time


@LOOPS
def test_who_overruns_the_time_that_the_user_gives_is_killed(
    node: Node, words: tuple[str, ...], loop: bytes
) -> None:
    result = node.run(*words, module=FOREIGN, image=loop, run_time=50)
    assert (result.status, result.output, result.truncated) == (124, b"killed: run time\n", False)
    assert result.error_output.splitlines()[-1] == b"killed: run time"
    node.works()


@pytest.mark.parametrize("asked", [0, 10**9], ids=["not asked", "asked for more"])
def test_nobody_gets_more_time_than_the_node_gives(narrow: Node, asked: int) -> None:
    loop = image('print "so far\\n"', 'error "trouble"', "again:", "jmp again")
    serial = narrow.begin("ping", module=FOREIGN, image=loop, run_time=asked)
    assert narrow.result(serial) == Result(
        124, b"so far\nkilled: run time\n", b"trouble\nkilled: run time\n", False, 0
    )
    assert narrow.audited(serial) == ["ran", "ended"]
    assert narrow.entries()[-1]["status"] == 124
    narrow.works()


# -- beside each other


@LOOPS
def test_heartbeats_go_on_and_commands_pass_each_other(
    node: Node, words: tuple[str, ...], loop: bytes
) -> None:
    serials = [running(node, *words, image=loop) for _ in range(2)]
    for now in range(NOW, NOW + 20):
        node.beats(now)
    node.works()
    assert node.run("show", "fact", "role").output == b"role=web\n"
    for serial in reversed(serials):
        node.cancel(serial)
        result = node.result(serial)
        assert result.status == 125
        assert b"cancelled" in result.error_output
        assert node.audited(serial) == ["ran", "ended"]
    node.works()


@LOOPS
def test_only_so_many_run_at_once_and_the_rest_wait(
    single: Node, words: tuple[str, ...], loop: bytes
) -> None:
    first = running(single, *words, image=loop)
    waiting = [single.begin(*words) for _ in range(3)]
    single.beats()
    assert [single.audited(serial) for serial in waiting] == [[], [], []]
    single.cancel(first)
    assert single.result(first).status == 125
    answers = sorted(single.session.hear()[0] for _ in waiting)
    assert answers == waiting
    assert [single.audited(serial) for serial in waiting] == [["ran", "ended"]] * 3


@LOOPS
def test_what_became_too_old_while_it_waited_is_expired(
    single: Node, words: tuple[str, ...], loop: bytes
) -> None:
    for _ in range(SAMPLES):  # of the broker's clock, by which commands age
        single.beats(NOW)
    first = running(single, *words, image=loop)
    old, fresh = single.begin(*words, ttl=10**6), single.begin(*words)
    single.beats(NOW + 2 * 10**6)
    single.cancel(first)
    assert single.result(first).status == 125
    answers = dict(single.session.hear() for _ in (old, fresh))
    assert answers[old] == Expired()
    assert isinstance(answers[fresh], Result)
    assert single.audited(old) == ["expired"]


def test_what_waits_can_be_cancelled(single: Node) -> None:
    first = running(single, "ping", image=ENDLESS)
    waiting = single.begin("ping")
    single.cancel(waiting)
    assert single.result(waiting) == Result(125, EARLY, EARLY, False, 0)
    assert single.audited(waiting) == ["cancelled"]
    single.cancel(first)
    assert single.result(first).status == 125


def test_what_is_unknown_cannot_be_cancelled(node: Node) -> None:
    done = node.begin("ping")
    node.result(done)
    for serial in (done, done + 100, 2**64 - 1):
        node.cancel(serial)
    node.beats()
    node.works()


@LOOPS
def test_a_lost_broker_stops_nothing_and_hears_nothing_later(
    own: Node, words: tuple[str, ...], loop: bytes
) -> None:
    serial = running(own, *words, image=loop)
    own.session.close()
    own.join()
    own.works()
    own.cancel(serial)  # on another session than it came by: means nothing
    own.beats()
    assert own.audited(serial) == ["ran"]
    own.process.signal(signal.SIGTERM)
    own.process.wait_for("stopping")
    own.beats()
    assert own.audited(serial) == ["ran"]
    own.process.signal(signal.SIGTERM)
    with pytest.raises(EOFError):
        own.session.hear()
    assert own.process.finished().status == 0
    assert own.audited(serial) == ["ran", "ended"]
    last = own.entries()[-1]
    assert (last["event"], last["status"], last["fault"]) == ("ended", 125, "cancelled")


def test_what_waits_ends_with_its_session(single: Node) -> None:
    first = running(single, "ping", image=ENDLESS, run_time=1000)
    waiting = single.begin("ping")
    single.session.close()
    single.join()
    until(lambda: single.audited(waiting) == ["cancelled"], "cancelled")
    until(lambda: single.audited(first) == ["ran", "ended"], "ended")
    single.works()


# -- what is not carried out


def test_a_serial_that_does_not_rise_is_dropped(node: Node) -> None:
    serial = node.begin("ping")
    node.result(serial)
    for again in (serial, serial - 1, 0):
        node.session.say(command(node.user, "ping"), serial=again)
        node.beats()
    node.process.wait_for(rf"^cogd: 127\.0\.0\.1:\d+ sent serial {serial:016x} again, or late: dropped$")
    assert node.audited(serial) == ["ran", "ended"]
    node.works()


def test_what_is_too_old_is_expired_but_only_told_to_those_with_rights(node: Node) -> None:
    old = {"issued": 0, "ttl": 1}
    assert node.answer("ping", **old) == Expired()
    assert node.answer("ping", user="stranger", **old) == Denied()
    assert node.answer("ping", filters=("role=none",), **old) == Expired()
    node.works()


def broken(whole: bytes) -> dict[str, bytes]:
    """An image cut short and spoilt in every way that a broker with a fault may find."""
    cuts = {f"{size} bytes": whole[:size] for size in range(0, len(whole), 7)}
    return {
        **cuts,
        "no magic": b"xx" + whole[2:],
        "an opcode that is none": whole[:2] + b"\xff" * (len(whole) - 2),
        "an instruction that is not carried out": whole[:2] + b"\x6a\x31" + whole[4:],
        "text": b"#!/bin/sh\ntouch /tmp/pwned\n",
        "zeros": bytes(1000),
    }


def test_an_image_that_does_not_verify_is_refused(node: Node) -> None:
    for what, spoilt in broken(image_of(parse(("ping",)).verb).image).items():
        sentence = node.refusal("ping", module=FOREIGN, image=spoilt)
        assert re.match("image refused at 0x[0-9a-f]{8}: ", sentence), what
    node.works()


def test_an_image_that_does_more_than_its_verb_is_refused(node: Node) -> None:
    facts = image_of(parse(("show", "facts")).verb).image
    assert node.refusal("ping", module=FOREIGN, image=facts) == "image refused: it reads, and ping is pure\n"
    assert node.run("show", "facts", module=FOREIGN, image=facts).status == 0


def test_a_command_that_does_more_than_the_node_allows_is_refused(narrow: Node) -> None:
    allowed = "more than agent.max_effect = 'pure' allows here\n"
    assert narrow.refusal("show", "facts") == f"show facts reads: {allowed}"
    assert narrow.refusal("show", "fact", "role") == f"show fact reads: {allowed}"
    assert narrow.entries()[-1]["event"] == "refused"
    narrow.works()


def test_a_node_insists_on_its_own_bytes_where_it_has_the_module(node: Node) -> None:
    own = image_of(parse(("ping",)).verb)
    other = image('print "pong\\n"', "retv 0")
    for unlike in (other, own.image + b"\0", own.image[:-1], b""):
        assert node.refusal("ping", image=unlike) == "image refused: not the one that mesh/1 has for ping\n"
    assert node.run("ping", module=FOREIGN, image=other).output == PONG


def test_what_a_node_does_not_know_is_refused_or_denied(node: Node) -> None:
    unknown = Command(node.user, (), "key", ("reboot", "now"), (), *command(node.user, "ping")[5:])
    for user, expected in ((node.user, Result), ("stranger", Denied)):
        serial = node.next_serial
        node.session.say(unknown._replace(user=user), serial=serial)
        answered, message = node.session.hear()
        assert answered == serial
        assert isinstance(message, expected)
    node.works()


# -- other limits

GREEDY = image('set %a "0123456789abcdef"', "again:", 'string "%[a]s%[a]s" %a', "jmp again")
TALKING = image('set %a "0123456789abcde\\n"', "again:", 'print "%[a]s"', "jmp again")
"""Prints for ever, 16 bytes at a time."""
BABBLING = image(
    'set %a "01234567"',
    "set %b 17",
    "again:",
    'string "%[a]s%[a]s" %a',
    "sub %b 1",
    "eq %b 0",
    "jnz again",
    *['print "%[a]s"'] * 10,
    "retv 0",
)
"""Prints 10 MiB and ends."""


def test_memory_is_limited(node: Node) -> None:
    result = node.run("ping", module=FOREIGN, image=GREEDY)
    assert (result.status, result.output) == (125, result.error_output)
    assert re.fullmatch(rb"fault: limit: heap \(16777216\) at [^\n]*\n", result.error_output)
    node.works()


def test_instructions_are_limited(place: Site) -> None:
    with Node(place, "lazy", "limits.instructions=1000") as lazy:
        result = lazy.run("ping", module=FOREIGN, image=ENDLESS)
        assert result.status == 125
        assert re.fullmatch(rb"fault: limit: instructions \(1000\) at [^\n]*\n", result.error_output)
        lazy.works()


def test_output_is_cut_and_the_command_goes_on(narrow: Node) -> None:
    result = narrow.run("ping", module=FOREIGN, image=BABBLING)
    assert (result.status, result.output, result.truncated) == (0, b"01234567" * 125, True)
    result = narrow.run("ping", module=FOREIGN, image=TALKING)
    assert (result.status, len(result.output), result.truncated) == (124, 1000, True)
    assert result.error_output == b"killed: run time\n"


def test_ten_mebibytes_are_cut_too(node: Node) -> None:
    result = node.run("ping", module=FOREIGN, image=BABBLING)
    assert (result.status, len(result.output), result.truncated) == (0, 524_288, True)
    assert result.output == b"01234567" * (524_288 // 8)
    node.works()


# -- the host

READER = image(
    'fs.sha1 "/etc/passwd" %a',
    "authdb.open",
    'user.find "root"',
    'user.get "uid" %b',
    "authdb.close",
    'sha1 "abc" %c',
    'print "%[a]s %[b]d %[c]s\\n"',
    "retv 0",
)


def test_what_runs_in_a_child_has_all_of_the_one_file(node: Node) -> None:
    accounts = hashlib.sha1(Path("/etc/passwd").read_bytes()).hexdigest()
    result = node.run("show", "facts", module=FOREIGN, image=READER)
    assert (result.status, result.error_output) == (0, b"")
    assert result.output.decode() == f"{accounts} 0 {hashlib.sha1(b'abc').hexdigest()}\n"


# -- processes


def test_no_zombie_stays_behind_a_command(node: Node) -> None:
    for _ in range(5):
        assert node.run("show", "fact", "role").output == b"role=web\n"
    (spawner,) = children(node.process.pid)
    until(lambda: children(spawner) == [], "reaped")


def family(node: Node) -> list[int]:
    """The agent, its spawner and the child that runs a command of theirs."""
    running(node, "show", "facts", image=ENDLESS_READER)
    (spawner,) = children(node.process.pid)
    until(lambda: len(children(spawner)) == 1, "forked")
    return [node.process.pid, spawner, *children(spawner)]


def test_an_agent_whose_spawner_is_killed_says_so_in_one_line_and_ends(own: Node) -> None:
    agent, spawner, child = family(own)
    os.kill(spawner, signal.SIGKILL)
    answered, result = own.session.hear()
    assert answered == 1
    assert isinstance(result, Result)
    assert result.status == 125
    assert result.error_output.count(b"\n") == 1  # the agent's sentence, or the child's, who notices it too
    ended = own.process.finished()
    assert ended.status == 70
    (last,) = [line for line in ended.errors.splitlines() if line.startswith("cw: ")]
    assert last.startswith("cw: The process that starts commands died")
    assert "Traceback" not in ended.errors
    gone([agent, spawner, child])


@pytest.mark.parametrize(
    "numbers", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGKILL,)], ids=["told twice", "killed"]
)
def test_nothing_survives_an_agent(own: Node, numbers: tuple[signal.Signals, ...]) -> None:
    processes = family(own)
    own.process.signal(numbers[0])
    for number in numbers[1:]:
        own.process.wait_for("stopping")
        own.process.signal(number)
    own.process.finished()
    gone(processes)


def test_sigterm_lets_what_runs_end(own: Node) -> None:
    serial = running(own, "ping", image=ENDLESS, run_time=1000)
    own.process.signal(signal.SIGTERM)
    own.process.wait_for("stopping")
    assert own.result(serial).status == 124
    assert own.process.finished().status == 0
