import hashlib
from collections.abc import Sequence

import pytest

from mesh import acl
from mesh.command import ARGUMENTS_LIMIT, GRAMMAR, Verb, canonical, parse
from mesh.images import VERSIONS, image_of
from tests.vm.hosts import FakeHost
from vm import modules
from vm.machine import Limits, Outcome, run
from vm.opcodes import Effect
from vm.verifier import verify

HOST = FakeHost(
    {"sys.fqdn": "web01.example.com", "role": "web", "odd": "%[a]s\n$(x)"},
    ["allow root ALL", 'deny %ops "show *" final'],
)


def outcome_of(*words: str, host: FakeHost = HOST) -> Outcome:
    command = parse(words)
    arguments = (command.verb.module, *command.arguments)
    return run(image_of(command.verb).program, arguments, host, Limits(), lambda: False)


OUTCOMES = [
    (("ping",), 0, "pong\n"),
    (("show", "version"), 0, "9.8.7\n"),
    (("show", "facts"), 0, "odd=%[a]s\n$(x)\nrole=web\nsys.fqdn=web01.example.com\n"),
    (("show", "fact", "role"), 0, "role=web\n"),
    (("show", "fact", "sys.fqdn", "odd"), 0, "sys.fqdn=web01.example.com\nodd=%[a]s\n$(x)\n"),
    (("show", "fact", "nope"), 1, "unknown fact: nope\n"),
    (("show", "fact", "nope", "role"), 1, "unknown fact: nope\nrole=web\n"),
    (("show", "acls"), 0, 'allow root ALL\ndeny %ops "show *" final\n'),
    (("show", "acls", "for", "root"), 0, "allow root ALL\n"),
    (("show", "acls", "for", "%ops"), 0, 'deny %ops "show *" final\n'),
    (("show", "acls", "for", "ops"), 0, ""),
]


@pytest.mark.parametrize(("words", "status", "output"), OUTCOMES)
def test_what_a_node_answers(words: Sequence[str], status: int, output: str) -> None:
    assert outcome_of(*words) == Outcome(status, output.encode(), b"", False, "")


ODD = ("joe smith", "DOM\\joe", 'j"o"e', "joe\xa0smith", "joe  smith", "jöe")
"""Names of accounts: some have to stand in quotes in a rule."""


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("mark", ["", "%"])
def test_rules_for_odd_names(name: str, mark: str) -> None:
    lines = [acl.line_of(rule) for one in ODD for rule in rules_about(one)]
    shown = outcome_of("show", "acls", "for", mark + name, host=FakeHost(acls=lines))
    expected = [acl.line_of(rule) for rule in rules_about(name) if (rule.who is acl.Who.GROUP) is bool(mark)]
    assert shown.output.decode() == "".join(f"{line}\n" for line in expected)


def rules_about(name: str) -> tuple[acl.Rule, ...]:
    text = "".join(f'allow {canonical((mark + name,))} "show *"\n' for mark in ("", "%"))
    return acl.parse(text, "acl")


def test_as_many_arguments_as_a_command_may_have() -> None:
    names = ["role"] * ARGUMENTS_LIMIT
    assert outcome_of("show", "fact", *names).output == b"role=web\n" * ARGUMENTS_LIMIT


def test_a_node_without_facts_answers_nothing() -> None:
    assert outcome_of("show", "facts", host=FakeHost()).output == b""


EFFECTS = {
    **dict.fromkeys(("ping", "show version", "show acls", "show acls for"), Effect.PURE),
    **dict.fromkeys(("show facts", "show fact", "file sha1", "file get"), Effect.READS),
    **{f"show {kind}": Effect.READS for kind in ("package", "service", "file", "user", "group")},
    **{f"package {verb}": Effect.EXECUTES for verb in ("recache", "install", "remove", "version", "latest")},
    **{f"service {verb}": Effect.EXECUTES for verb in ("start", "stop", "restart", "reload", "status")},
    **{f"service {verb}": Effect.EXECUTES for verb in ("enable", "disable")},
    **{f"exec {how}": Effect.EXECUTES for how in ("--", "--shell")},
}


def test_effects() -> None:
    assert {verb.name: image_of(verb).effect for verb in GRAMMAR} == EFFECTS


def test_a_row_says_the_effect_of_its_image() -> None:
    assert {verb.name: verb.effect for verb in GRAMMAR} == {
        verb.name: image_of(verb).effect.word for verb in GRAMMAR
    }


@pytest.mark.parametrize("verb", GRAMMAR, ids=lambda verb: verb.function)
def test_the_image_is_verified_and_made_once(verb: Verb) -> None:
    made = image_of(verb)
    assert made.module == f"{verb.module}/{VERSIONS[verb.module]}"
    assert verify(made.image).instructions == made.program.instructions
    assert image_of(verb) is made


DIGESTS = {
    "mesh": (1, "88d17c7b3d750af8"),
    "mesh.account": (1, "9871fc181045b3b6"),
    "mesh.exec": (1, "c13663381e2065eb"),
    "mesh.file": (1, "13f2c7aa81cf9d16"),
    "mesh.package": (1, "94456305286ac256"),
    "mesh.service": (1, "bf2bd48ad45e64fe"),
}


@pytest.mark.parametrize("module", VERSIONS)
def test_the_version_of_a_module_rises_with_its_text(module: str) -> None:
    digest = hashlib.sha256((modules.source(module) or "").encode()).hexdigest()
    assert (VERSIONS[module], digest[:16]) == DIGESTS[module], "give it a new version"


def test_every_module_of_a_verb_has_a_version() -> None:
    assert {verb.module for verb in GRAMMAR} == set(VERSIONS) == set(DIGESTS)
