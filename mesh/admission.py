"""Whether a node runs a COMMAND: the checks of protocol.md "A request" 2, in their order. Pure.

The first check that objects decides. Access rules come before filters, so that an opt-out tells nothing about
a node to someone without rights there; of a verb that this node does not know, only the image can tell what
they say, which is therefore looked at first (`weigh`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from mesh import acl, filters, messages
from mesh.command import ARGUMENTS_LIMIT, Command, UnknownVerb, UnrecognisedCommand, parse
from mesh.filters import Bounded, FilterError
from mesh.images import NAMES, image_of
from mesh.words import brief, shown
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
    facts: Callable[[], Mapping[str, str]]
    """As they are when a filter asks."""
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


class Weighed(NamedTuple):
    """What the image of a verb that this node does not know turned out to be."""

    effect: Effect
    """The most that it does; the worst, where that cannot be told."""
    refusal: Refuse | None = None
    """Why it does not run, whatever it does."""


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
    weighed: Weighed | None = None
    """None: nobody has looked at the image."""

    def read(self) -> Command:
        """The command as this node's own grammar reads it. Raises UnrecognisedCommand."""
        return _parsed(self.command.words)


_parsed = lru_cache(maxsize=1)(parse)
"""Every check reads the same words."""


def admit(case: Case) -> Decision:
    """What a node answers. Whatever a COMMAND holds, nothing is raised."""
    if unweighed(case):
        case = case._replace(weighed=weigh(case.command.image))
    found = objection(case)
    return judge_image(case) if found is None else found


def unweighed(case: Case) -> bool:
    """Whether `weigh` has to tell what the image may do before anything else is said.

    So it is where this node neither knows the verb nor has the module, which would have it; unless the
    command came before, or the rules do not let the user give it whatever its effect.
    """
    return (
        case.weighed is None
        and case.serial > case.last
        and _is_foreign(case)
        and any(_granted(case, case.command.words, effect) for effect in Effect)
    )


def weigh(image: bytes) -> Weighed:
    """What there is to know of an image from elsewhere; takes up to seconds."""
    try:
        return Weighed(effect_of(verify(image)))
    except VerifyError as error:
        return Weighed(Effect.EXECUTES, Refuse(REFUSED, str(error)))


def _is_foreign(case: Case) -> bool:
    if case.command.module in NAMES:
        return False
    try:
        case.read()
    except UnrecognisedCommand as error:
        return isinstance(error, UnknownVerb)
    return False


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

    A command that it does not know is judged as it came, by what the image that came may do, and as one that
    may do anything if that is not known.
    """
    try:
        command = case.read()
        return _granted(case, command.words, image_of(command.verb).effect)
    except UnrecognisedCommand:
        return _granted(case, case.command.words, case.weighed.effect if case.weighed else Effect.EXECUTES)


def _granted(case: Case, words: Sequence[str], effect: Effect) -> acl.Grant | None:
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
        return None if filters.matches(wanted, case.node.facts(), case.bounded) else Abstain()
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
    """Whether `judge_image` takes up to seconds: for an image of a verb that this node has otherwise."""
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
    except UnrecognisedCommand as error:
        return Refuse(REFUSED, str(error)) if case.weighed is None else _judge_foreign(case, case.weighed)
    except VerifyError as error:
        return Refuse(REFUSED, str(error))
    name = command.verb.name
    if case.command.image != image:
        return Refuse(REFUSED, f"image refused: not the one that {own.module} has for {name}")
    if effect > own.effect:
        return Refuse(REFUSED, f"image refused: it {_does(effect)}, and {name} {_does(own.effect)}")
    return _bounded(
        case, name, Admit(image, program, effect, (command.verb.module, *command.arguments), True)
    )


def _judge_foreign(case: Case, weighed: Weighed) -> Refuse | Admit:
    """The arguments of what this node does not know are taken from the words that the rules saw."""
    if weighed.refusal is not None:
        return weighed.refusal
    command = case.command
    places = command.arguments
    if list(places) != sorted(set(places)) or len(places) > ARGUMENTS_LIMIT:
        return Refuse(REFUSED, f"places of arguments: expected at most {ARGUMENTS_LIMIT}, ascending")
    if places and places[-1] >= len(command.words):
        return Refuse(REFUSED, "places of arguments: expected some among the words")
    given = set(places)
    own_words = [word for place, word in enumerate(command.words) if place not in given]
    name = f"{brief(own_words)} ({shown(command.module)})"
    arguments = (command.module.partition("/")[0], *(command.words[place] for place in places))
    return _bounded(case, name, Admit(command.image, None, weighed.effect, arguments, True))


def _bounded(case: Case, name: str, admitted: Admit) -> Refuse | Admit:
    """What is admitted by itself, within what the node allows and can do at the moment, and as whom."""
    if admitted.effect > case.node.max_effect:
        allowed = case.node.max_effect.word
        return Refuse(
            REFUSED, f"{name} {_does(admitted.effect)}: more than agent.max_effect = {allowed!r} allows here"
        )
    runs = case.command.mode == "run"
    if runs and case.unable:
        return Refuse(FAULT, case.unable)
    grant = _grant(case)
    if grant is None:  # whoever asks only this is not told more either
        return Refuse(REFUSED, "no access rule allows it")
    return admitted._replace(runs=runs, run_as=grant.run_as)


def _does(effect: Effect) -> str:
    return "is pure" if effect is Effect.PURE else effect.word
