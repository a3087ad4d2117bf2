"""Whether a node runs a COMMAND: the checks of protocol.md "A request" 2, in their order. Pure.

The first check that objects decides. Access rules come before filters, so that an opt-out tells nothing about
a node to someone without rights there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from mesh import acl, filters, messages
from mesh.command import Command, UnrecognisedCommand, parse
from mesh.filters import Bounded, FilterError
from mesh.images import image_of
from vm.effects import effect_of
from vm.opcodes import Effect
from vm.program import Program
from vm.verifier import VerifyError, verify

FAULT = 125
REFUSED = 126
"""Exit statuses (pendulum.md "Machine"): what could not be carried out, and an image that is not to run."""


class Node(NamedTuple):
    """What a node goes by at the moment."""

    uuid: str
    rules: tuple[Sequence[acl.Rule], ...]
    """Lists of access rules, judged apart: a deny in any stands, else one must allow."""
    facts: Mapping[str, str]
    max_effect: Effect


class Drop(NamedTuple):
    """No answer: the serial does not rise, so it was answered before or is none of this session's."""


class Deny(NamedTuple):
    """DENIED."""


class Expire(NamedTuple):
    """EXPIRED: it has lived for `age` milliseconds, more than it was given."""

    age: int


class Abstain(NamedTuple):
    """OPTOUT."""


class Refuse(NamedTuple):
    """RESULT with this status and sentence; nothing runs."""

    status: int
    sentence: str


class Admit(NamedTuple):
    """OPTIN; then, if `runs`, the image with the arguments, and its RESULT."""

    image: bytes
    program: Program | None
    """The image's, where it is this node's own. A stranger's has to be verified again when its turn comes: it
    may take 64 MiB, too much to keep of each command that waits."""
    effect: Effect
    arguments: tuple[str, ...]
    runs: bool
    run_as: str = ""
    """The user that the rules name; empty: whoever the agent is."""


Decision = Drop | Deny | Expire | Abstain | Refuse | Admit


class Case(NamedTuple):
    """A COMMAND and what it is judged by."""

    command: messages.Command
    serial: int
    last: int
    """The highest serial that this session has seen."""
    now: int
    """Milliseconds, by the broker's clock."""
    node: Node
    unable: str
    """Why nothing more can be started at present; empty: it can."""
    bounded: Bounded
    """What ends a pattern that takes too long."""

    def read(self) -> Command:
        """The command as this node's own grammar reads it. Raises UnrecognisedCommand."""
        return _parsed(self.command.words)


_parsed = lru_cache(maxsize=1)(parse)
"""Every check reads the same words."""


def admit(case: Case) -> Decision:
    """What a node answers. Whatever a COMMAND holds, nothing is raised."""
    found = objection(case)
    return judge_image(case) if found is None else found


def objection(case: Case) -> Drop | Deny | Expire | Abstain | Refuse | None:
    """What speaks against the command before its image is looked at; within milliseconds."""
    for check in CHECKS:
        found = check(case)
        if found is not None:
            return found
    return None


def expired(command: messages.Command, now: int) -> Expire | None:
    """Whether a command is too old to start at the broker's `now`, in milliseconds."""
    age = now - command.issued
    return Expire(age) if age > command.ttl else None


def _serial(case: Case) -> Drop | None:
    return Drop() if case.serial <= case.last else None


def _rules(case: Case) -> Deny | None:
    return None if _grant(case) else Deny()


def _grant(case: Case) -> acl.Grant | None:
    """By the words as this node reads them, since those run, and by what its own image of them may do.

    A command that it does not know is judged as it came, and as one that may do anything.
    """
    try:
        command = case.read()
        words, effect = command.words, image_of(command.verb).effect
    except UnrecognisedCommand:
        words, effect = case.command.words, Effect.EXECUTES
    return acl.permitted(case.node.rules, case.command.user, case.command.groups, words, effect.word)


def _age(case: Case) -> Expire | None:
    return expired(case.command, case.now)


def _targets(case: Case) -> Abstain | None:
    targets = case.command.targets
    return Abstain() if targets is not None and case.node.uuid not in targets else None


def _filters(case: Case) -> Abstain | Refuse | None:
    if not case.command.filters:
        return None
    try:
        wanted = filters.parse_all(case.command.filters, case.bounded)
        return None if filters.matches(wanted, case.node.facts, case.bounded) else Abstain()
    except FilterError as error:
        return Refuse(FAULT, str(error))


CHECKS: tuple[Callable[[Case], Drop | Deny | Expire | Abstain | Refuse | None], ...] = (
    _serial,
    _rules,
    _age,
    _targets,
    _filters,
)
"""What may object before the image is looked at, in order."""


def strange(case: Case) -> bool:
    """Whether the image is not of a module that this node has: then it takes up to seconds to judge."""
    try:
        return case.command.module != image_of(case.read().verb).module
    except UnrecognisedCommand:
        return False


def judge_image(case: Case) -> Refuse | Admit:
    """The image must be this node's own where the module is, and do no more than the verb and node allow."""
    program: Program | None
    try:
        command = case.read()
        own = image_of(command.verb)
        image, program, effect = own.image, own.program, own.effect
        if case.command.module != own.module:
            image, program = case.command.image, None
            effect = effect_of(verify(image))
    except (UnrecognisedCommand, VerifyError) as error:
        return Refuse(REFUSED, str(error))
    name = command.verb.name
    if case.command.image != image:
        return Refuse(REFUSED, f"image refused: not the one that {own.module} has for {name}")
    if effect > own.effect:
        return Refuse(REFUSED, f"image refused: it {_does(effect)}, and {name} {_does(own.effect)}")
    if effect > case.node.max_effect:
        allowed = case.node.max_effect.word
        return Refuse(
            REFUSED, f"{name} {_does(effect)}: more than agent.max_effect = {allowed!r} allows here"
        )
    runs = case.command.mode == "run"
    if runs and case.unable:
        return Refuse(FAULT, case.unable)
    grant = _grant(case)
    if grant is None:  # whoever asks only this is not told more either
        return Refuse(REFUSED, "no access rule allows it")
    return Admit(image, program, effect, (command.verb.module, *command.arguments), runs, grant.run_as)


def _does(effect: Effect) -> str:
    return "is pure" if effect is Effect.PURE else effect.word
