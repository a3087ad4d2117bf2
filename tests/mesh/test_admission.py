"""What a node answers to a COMMAND, and that the checks come in the protocol's order."""

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh import acl
from mesh.admission import (
    FAULT,
    REFUSED,
    Abstain,
    Admit,
    Case,
    Decision,
    Deny,
    Drop,
    Expire,
    Node,
    Refuse,
    Weighed,
    admit,
    judge_image,
    objection,
    strange,
    unweighed,
    weigh,
)
from mesh.command import parse
from mesh.filters import TooSlow, unbounded
from mesh.images import image_of
from mesh.messages import Command
from vm.assembler import assemble
from vm.opcodes import Effect

T = TypeVar("T")

UUID = "6f1c1d3e-0000-4000-8000-000000000001"
OTHER = "6f1c1d3e-0000-4000-8000-000000000002"
FACTS = {"sys.fqdn": "web01.example.com", "role": "web"}


def command(*words: str, **changes: Any) -> Command:
    """A COMMAND as a broker with the same modules sends it."""
    known = parse(words)
    own = image_of(known.verb)
    fitting = Command(
        user="alice",
        groups=("staff",),
        how="key",
        words=words,
        arguments=known.places,
        module=own.module,
        image=own.image,
        filters=(),
        mode="run",
        targets=None,
        issued=10_000,
        ttl=40_000,
        run_time=0,
    )
    return fitting._replace(**changes)


def node(rules: str = "allow alice ALL", max_effect: Effect = Effect.EXECUTES) -> Node:
    return Node(UUID, (acl.parse(rules, "acl"),), lambda: FACTS, max_effect)


def case(asked: Command | None = None, **changes: Any) -> Case:
    fitting = Case(asked or command("ping"), 7, 6, 10_000, node(), "", unbounded)
    return fitting._replace(**changes)


def program(body: str) -> bytes:
    return assemble(f"fn main\n  {body}\n  ret\n", "other", lambda _: None)


READS = program('fact.get "role" %a')
PURE = program('print "pong\\n"')


def test_a_command_that_fits_runs_its_own_image_with_its_arguments() -> None:
    asked = command("show", "fact", "role", "sys.fqdn")
    own = image_of(parse(asked.words).verb)
    assert admit(case(asked)) == Admit(own.image, own.program, own.effect, ("mesh", "role", "sys.fqdn"), True)


def test_a_rule_that_grants_less_than_the_command_does_is_none() -> None:
    facts, exec_ = command("show", "facts"), command("exec", "--", "ls")
    rules = node('allow alice ALL effect reads\nallow alice "exec -- ls" as www-data')
    assert isinstance(admit(case(facts, node=rules)), Admit)
    assert isinstance(admit(case(exec_, node=rules)), Admit)
    assert admit(case(command("exec", "--shell", "ls"), node=rules)) == Deny()
    assert admit(case(command("package", "x", "version"), node=rules)) == Deny()
    assert admit(case(command("ping", words=("reboot",)), node=rules)) == Deny()


def test_it_runs_as_the_rules_say() -> None:
    rules = node('allow alice ALL\nallow alice "exec *" as www-data')
    decided = [admit(case(command(*words), node=rules)) for words in (("ping",), ("exec", "--", "ls"))]
    assert [one.run_as for one in decided if isinstance(one, Admit)] == ["", "www-data"]


def test_an_image_alone_is_not_run_without_a_rule() -> None:
    assert judge_image(case(node=node(""))) == Refuse(REFUSED, "no access rule allows it")


def test_plan_stops_at_optin() -> None:
    decision = admit(case(command("ping", mode="plan"), unable="busy"))
    assert isinstance(decision, Admit)
    assert not decision.runs


ONE_OBJECTION: dict[str, tuple[Case, Decision]] = {
    "serial repeated": (case(last=7), Drop()),
    "serial fell": (case(last=8), Drop()),
    "no rules": (case(node=node("")), Deny()),
    "denied by name": (case(node=node('allow ALL ALL\ndeny alice "ping"')), Deny()),
    "denied by group": (case(node=node("allow ALL ALL\ndeny %staff ALL")), Deny()),
    "allowed to others": (case(node=node("allow bob ALL\nallow %wheel ALL")), Deny()),
    "allowed something else": (case(node=node('allow alice "show *"')), Deny()),
    "denied by another list": (
        case(node=node()._replace(rules=(acl.parse("allow alice ALL", "a"), acl.parse("deny ALL ALL", "b")))),
        Deny(),
    ),
    "a millisecond too late": (case(now=50_001), Expire(40_001)),
    "another's uuid": (case(command("ping", targets=(OTHER,))), Abstain()),
    "nobody's uuid": (case(command("ping", targets=())), Abstain()),
    "filter does not match": (case(command("ping", filters=("role=web", "sys.fqdn=/^db/"))), Abstain()),
    "fact is missing": (case(command("ping", filters=("rack!=7",))), Abstain()),
    "unable": (case(unable="this agent is stopping"), Refuse(FAULT, "this agent is stopping")),
}


@pytest.mark.parametrize("name", ONE_OBJECTION)
def test_one_objection(name: str) -> None:
    judged, expected = ONE_OBJECTION[name]
    assert admit(judged) == expected


@pytest.mark.parametrize(
    "judged",
    [
        case(now=50_000),
        case(now=0),
        case(command("ping", targets=(OTHER, UUID))),
        case(command("ping", filters=("role=web", "sys.fqdn=/^WEB/"))),
        case(node=node('allow %staff "ping"')),
        case(node=node("allow alice ALL", Effect.PURE)),
        case(command("show", "facts"), node=node("allow alice ALL", Effect.READS)),
        case(command("ping", module="mesh/2", image=PURE)),
        case(command("show", "facts", module="mesh/2", image=READS)),
    ],
    ids=[
        "at its last millisecond",
        "from what looks like the future",
        "among the targets",
        "filters match",
        "by group",
        "pure where only pure is allowed",
        "reads where reads is allowed",
        "another version of the module",
        "another version that does no more than ours",
    ],
)
def test_no_objection(judged: Case) -> None:
    assert isinstance(admit(judged), Admit)


def test_another_version_of_the_module_runs_the_image_that_came() -> None:
    decision = admit(case(command("ping", module="mesh/2", image=PURE)))
    assert isinstance(decision, Admit)
    assert (decision.image, decision.effect) == (PURE, Effect.PURE)


def test_the_program_of_a_strangers_image_is_not_kept_while_it_waits() -> None:
    """262,136 bytes of image are 64 MiB of program, and 64 commands may wait."""
    decision = admit(case(command("ping", module="mesh/2", image=PURE)))
    assert isinstance(decision, Admit)
    assert decision.program is None


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (command("ping"), False),
        (command("ping", image=PURE), False),
        (command("ping", module="mesh/2", image=PURE), True),
        (command("ping", words=("reboot",), module="mesh/2"), False),
    ],
    ids=["ours", "not ours under our name", "another version", "unknown verb"],
)
def test_what_takes_long_to_judge(asked: Command, expected: bool) -> None:
    assert strange(case(asked)) is expected


REFUSED_IMAGES: dict[str, tuple[Case, str]] = {
    "not ours": (case(command("ping", image=PURE)), "not the one that mesh/1 has for ping"),
    "another verb's of ours": (
        case(command("ping", image=image_of(parse(("show", "facts")).verb).image)),
        "not the one that mesh/1 has for ping",
    ),
    "empty": (case(command("ping", module="mesh/2", image=b"")), ""),
    "no image": (case(command("ping", module="mesh/2", image=b"pn\xee\x00")), ""),
    "does more than the verb": (
        case(command("ping", module="mesh/2", image=READS)),
        "image refused: it reads, and ping is pure",
    ),
    "does more than the node allows": (
        case(command("show", "facts"), node=node(max_effect=Effect.PURE)),
        "show facts reads: more than agent.max_effect = 'pure' allows here",
    ),
    "unknown verb": (case(command("ping", words=("reboot", "now"))), "unrecognised command: reboot now"),
    "known verb, wrong arguments": (case(command("ping", words=("ping", "-f"))), "unrecognised command"),
}


@pytest.mark.parametrize("name", REFUSED_IMAGES)
def test_refused_image(name: str) -> None:
    judged, sentence = REFUSED_IMAGES[name]
    decision = admit(judged)
    assert isinstance(decision, Refuse)
    assert decision.status == REFUSED
    assert sentence in decision.sentence
    assert "\n" not in decision.sentence


@pytest.mark.parametrize(
    ("calls", "sentence"),
    [(0, "filters too slow to compile"), (1, "filter too slow")],
    ids=["compile", "match"],
)
def test_a_slow_filter_is_no_opt_out_and_does_not_run(calls: int, sentence: str) -> None:
    left = calls

    def too_slow(call: Callable[[], T], /) -> T:
        nonlocal left
        left -= 1
        if left < 0:
            raise TooSlow
        return call()

    slow = admit(case(command("ping", filters=("role=web",)), bounded=too_slow))
    assert slow == Refuse(FAULT, sentence)


def test_many_patterns_take_no_longer_than_one_may() -> None:
    calls = 0

    def counting(call: Callable[[], T], /) -> T:
        nonlocal calls
        calls += 1
        return call()

    filters = tuple(f"role=/w{'e' * n}?b/" for n in range(1, 33))
    assert isinstance(admit(case(command("ping", filters=filters), bounded=counting)), Admit | Abstain)
    assert calls == 2  # one to compile all of them, one to match


@pytest.mark.parametrize("text", ["role=/(/", "no operator", "=x"])
def test_a_filter_that_is_none(text: str) -> None:
    decision = admit(case(command("ping", filters=(text,))))
    assert isinstance(decision, Refuse)
    assert decision.status == FAULT


WORSE: list[tuple[str, dict[str, Any], dict[str, Any], type[Decision]]] = [
    ("serial", {"last": 99}, {}, Drop),
    ("rules", {"node": node("deny ALL ALL")}, {}, Deny),
    ("age", {"now": 10**9}, {}, Expire),
    ("targets", {}, {"targets": (OTHER,)}, Abstain),
    ("filters", {}, {"filters": ("role=db",)}, Abstain),
    ("image", {}, {"image": b"pn"}, Refuse),
    ("unable", {"unable": "busy"}, {}, Refuse),
]
"""What may be wrong with a case and with its command, in the order of the checks."""


@pytest.mark.parametrize("first", range(len(WORSE)), ids=[name for name, *_ in WORSE])
def test_the_first_objection_decides_whatever_else_is_wrong(first: int) -> None:
    changes: dict[str, Any] = {}
    wrong: dict[str, Any] = {}
    for _, of_case, of_command, _ in WORSE[first:]:
        changes |= of_case
        wrong |= of_command
    assert type(admit(case(command("ping", **wrong), **changes))) is WORSE[first][3]


def test_someone_without_rights_learns_nothing_of_the_node() -> None:
    forbidden = node("deny ALL ALL")
    answers = {
        admit(case(command("ping", filters=filters, targets=targets), node=forbidden))
        for filters in ((), ("role=web",), ("role=db",), ("role=/(/",))
        for targets in (None, (UUID,), (OTHER,))
    }
    assert answers == {Deny()}


@given(
    words=st.lists(st.text(max_size=8), max_size=4).map(tuple),
    arguments=st.lists(st.integers(0, 5), max_size=4).map(tuple),
    image=st.binary(max_size=64) | st.sampled_from([PURE, READS]),
    filters=st.lists(st.text(max_size=12), max_size=2).map(tuple),
    module=st.sampled_from(["mesh/1", "mesh/2", ""]),
    user=st.text(max_size=5),
)
def test_whatever_a_command_holds_nothing_is_raised(
    words: tuple[str, ...],
    arguments: tuple[int, ...],
    image: bytes,
    filters: tuple[str, ...],
    module: str,
    user: str,
) -> None:
    asked = command("ping", words=words, image=image, filters=filters, module=module, user=user)
    asked = asked._replace(arguments=arguments)
    decision = admit(case(asked, node=node("allow ALL ALL")))
    assert isinstance(decision, Abstain | Refuse | Admit)


# -- a verb that this node does not know

WRITES = program('fs.mkdir "/srv/x"')
BROKEN = b"pn\xee\x00"
DISK = ("disk", "wipe", "sd a", "now")


def foreign(image: bytes = READS, **changes: Any) -> Command:
    """What a broker sends for a command that its site has added: `disk wipe DISK now`."""
    module = {"module": "site.disk/0123abcd", "words": DISK, "arguments": (2,)}
    return command("ping", image=image, **module | changes)


def test_what_a_node_does_not_know_runs_with_the_arguments_among_its_words() -> None:
    asked = foreign(arguments=(1, 2))
    assert admit(case(asked)) == Admit(READS, None, Effect.READS, ("site.disk", "wipe", "sd a"), True)
    assert admit(case(foreign(arguments=()))) == Admit(READS, None, Effect.READS, ("site.disk",), True)


def test_so_does_a_command_of_a_newer_version() -> None:
    newer = command("ping", words=("ping", "twice"), module="mesh/2", image=PURE, arguments=(1,))
    assert admit(case(newer)) == Admit(PURE, None, Effect.PURE, ("mesh", "twice"), True)


@pytest.mark.parametrize(
    ("rules", "image", "expected"),
    [
        ("allow alice ALL effect reads", READS, Admit),
        ("allow alice ALL effect reads", WRITES, Deny),
        ("allow alice ALL effect reads", BROKEN, Deny),
        ("allow alice ALL effect pure", READS, Deny),
        ("allow alice ALL effect writes", WRITES, Admit),
        ("allow alice ALL", BROKEN, Refuse),
        ('allow alice "disk wipe *"', WRITES, Admit),
        ('allow alice "disk free *"', READS, Deny),
        ('allow alice ALL\ndeny alice "disk *"', READS, Deny),
        ("allow bob ALL", READS, Deny),
        ("", BROKEN, Deny),
    ],
)
def test_rules_see_the_words_as_they_came_and_what_the_image_may_do(
    rules: str, image: bytes, expected: type[Decision]
) -> None:
    assert type(admit(case(foreign(image), node=node(rules)))) is expected


def test_it_runs_as_the_rule_for_its_effect_says() -> None:
    rules = node("allow alice ALL as root\nallow alice ALL as nobody effect reads")
    decided = [admit(case(foreign(image), node=rules)) for image in (READS, WRITES)]
    assert [one.run_as for one in decided if isinstance(one, Admit)] == ["nobody", "root"]


@pytest.mark.parametrize(
    ("changes", "of_case", "sentence"),
    [
        ({"image": BROKEN}, {}, "image refused at 0x00000002: unknown opcode ee"),
        (
            {"image": WRITES},
            {"node": node(max_effect=Effect.READS)},
            "disk wipe now (site.disk/0123abcd) writes: more than agent.max_effect = 'reads' allows here",
        ),
        ({"arguments": (4,)}, {}, "places of arguments: expected some among the words"),
        ({"arguments": (2, 2)}, {}, "places of arguments: expected at most 252, ascending"),
        ({"arguments": (3, 2)}, {}, "places of arguments: expected at most 252, ascending"),
        (
            {"words": ("x",) * 300, "arguments": tuple(range(253))},
            {},
            "places of arguments: expected at most 252, ascending",
        ),
        ({"words": ("disk", "\0")}, {}, r'unrecognised command: disk "\x00" (expected words without NUL)'),
        ({"module": "mesh/1"}, {}, "unrecognised command: disk wipe"),
    ],
    ids=["broken", "max_effect", "beyond", "twice", "descending", "many", "NUL", "a module of ours"],
)
def test_foreign_and_refused(changes: dict[str, Any], of_case: dict[str, Any], sentence: str) -> None:
    decision = admit(case(foreign(**changes), **of_case))
    assert isinstance(decision, Refuse)
    assert (decision.status, decision.sentence[: len(sentence)]) == (REFUSED, sentence)


def test_a_refusal_is_short_however_long_the_words_are() -> None:
    asked = foreign(WRITES, words=("disk", "x" * 100_000, *["y"] * 900), arguments=(), module="\x1b" * 255)
    decision = admit(case(asked, node=node(max_effect=Effect.PURE)))
    assert isinstance(decision, Refuse)
    assert len(decision.sentence) < 600
    assert decision.sentence.isprintable()


FOREIGN_WORSE = [row for row in WORSE if row[0] != "image"]
FOREIGN_WORSE.insert(5, ("image", {}, {"image": BROKEN}, Refuse))


@pytest.mark.parametrize("first", range(len(WORSE)), ids=[name for name, *_ in WORSE])
def test_the_order_of_the_checks_is_the_same(first: int) -> None:
    changes: dict[str, Any] = {}
    wrong: dict[str, Any] = {}
    for _, of_case, of_command, _ in FOREIGN_WORSE[first:]:
        changes |= of_case
        wrong |= of_command
    assert type(admit(case(foreign(**wrong), **changes))) is FOREIGN_WORSE[first][3]


@pytest.mark.parametrize(
    "rules", ["deny ALL ALL", "", "allow alice ALL effect pure", 'allow alice "disk free *"']
)
def test_it_tells_nothing_to_someone_without_rights(rules: str) -> None:
    answers = {
        admit(case(foreign(image, filters=filters, targets=targets), node=node(rules)))
        for image in (READS, WRITES, BROKEN, b"")
        for filters in ((), ("role=web",), ("role=db",), ("role=/(/",))
        for targets in (None, (UUID,), (OTHER,))
    }
    assert answers == {Deny()}


@pytest.mark.parametrize(
    ("judged", "expected"),
    [
        (case(foreign()), True),
        (case(foreign(), node=node("allow alice ALL effect pure")), True),
        (case(foreign(), node=node("allow bob ALL")), False),
        (case(foreign(), node=node('allow alice "disk free *"')), False),
        (case(foreign(), last=7), False),
        (case(foreign(module="mesh/1")), False),
        (case(foreign(words=("show", "file", "../x"))), False),
        (case(command("ping")), False),
        (case(command("ping", module="site.disk/0123abcd")), False),
        (case(foreign(), weighed=Weighed(Effect.READS)), False),
    ],
    ids=[
        "unknown", "some right", "no right", "other words", "came before", "a module of ours",
        "a verb of ours with wrong arguments", "a verb of ours", "a verb of ours in another module",
        "weighed",
    ],
)  # fmt: skip
def test_an_image_is_looked_at_first_only_where_nothing_else_can_tell(judged: Case, expected: bool) -> None:
    assert unweighed(judged) is expected
    assert not (expected and strange(judged))


def test_an_image_that_nobody_has_looked_at_may_do_anything() -> None:
    """So that a caller who forgets to look fails closed."""
    judged = case(foreign(PURE), node=node("allow alice ALL effect reads"))
    assert objection(judged) == Deny()
    assert isinstance(judge_image(case(foreign(PURE))), Refuse)


@given(st.binary(max_size=64) | st.sampled_from([PURE, READS, WRITES]))
def test_any_image_is_weighed(image: bytes) -> None:
    weighed = weigh(image)
    if weighed.refusal is None:
        assert image in (PURE, READS, WRITES) or image.startswith(b"pn")
    else:
        assert weighed.effect is Effect.EXECUTES
