"""Access rules: who may give a node which commands. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from enum import Enum
from typing import NamedTuple

from errors import CwError
from mesh.words import QuotingError, Token, canonical, quote, shown, tokens

LINE_LIMIT = 4_096
"""Characters of one line of a rules file."""

RULES_LIMIT = 10_000
"""Rules of one list."""

_ACCOUNT = r"[^\s%:*#\x00-\x1f\x7f-\x9f-][^:*\x00-\x1f\x7f-\x9f]{0,254}"
ACCOUNT = re.compile(_ACCOUNT)
"""A user, or a group, whole."""

WHOM = re.compile(f"%?{_ACCOUNT}")
"""A user, or a group behind `%`, whole."""

ACCOUNT_EXPECTED = "account names, without : * and control characters"


EFFECTS = ("pure", "reads", "writes", "executes")
"""What a command may do to a node, the worst last (vm.opcodes.Effect has the same words)."""


class AclError(CwError):
    """A rule is allow|deny USER|%GROUP|ALL "PATTERN"|ALL [final] [as USER] [effect EFFECT]."""


class Who(Enum):
    """What a rule's subject is."""

    USER = "user"
    GROUP = "group"
    ALL = "ALL"


class Verdict(Enum):
    """What one list of rules says of a command: NONE is no match."""

    ALLOW = "allow"
    DENY = "deny"
    NONE = "none"


class Rule(NamedTuple):
    """One rule: a command that begins with `words` (and, without `more`, ends there) is allowed or denied.

    An allowed one does at most `effect` and runs as `run_as`; empty: all that it does, as the agent's user.
    """

    verdict: Verdict
    who: Who
    name: str
    words: tuple[str, ...]
    more: bool
    final: bool
    run_as: str = ""
    effect: str = ""


class Grant(NamedTuple):
    """That a command may run, as `run_as`; empty: as whoever the agent is."""

    run_as: str


def parse(text: str, where: str) -> tuple[Rule, ...]:
    """The rules of a file named `where`, one a line. Raises AclError, which names file and line.

    A line is tokens in the canonical form of words (mesh.md "Commands that go to nodes"): a pattern is one
    token, in quotes, whose text is words in the canonical form again; `ALL` stands bare. A `#` that begins a
    token outside quotes opens a comment.
    """
    rules: list[Rule] = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            rule = _rule(line)
        except (AclError, QuotingError) as error:
            raise AclError(f"{where}:{number}: {error}") from error
        if rule is not None:
            rules.append(rule)
        if len(rules) > RULES_LIMIT:
            raise AclError(f"{where}:{number}: expected at most {RULES_LIMIT} rules")
    return tuple(rules)


def line_of(rule: Rule) -> str:
    """The rule in its one canonical form: `parse(line_of(rule), …) == (rule,)`."""
    subject = {Who.USER: rule.name, Who.GROUP: "%" + rule.name, Who.ALL: "ALL"}[rule.who]
    final = " final" if rule.final else ""
    run_as = f" as {canonical((rule.run_as,))}" if rule.run_as else ""
    effect = f" effect {rule.effect}" if rule.effect else ""
    return f"{rule.verdict.value} {canonical((subject,))} {_pattern_of(rule)}{final}{run_as}{effect}"


def judge(
    rules: Iterable[Rule], user: str, groups: Collection[str], words: Sequence[str], effect: str = EFFECTS[-1]
) -> Verdict:
    """What one list says of a command with that effect (mesh.md "Access rules")."""
    rule = _deciding(rules, user, groups, words, effect)
    return Verdict.NONE if rule is None else rule.verdict


def permitted(
    lists: Iterable[Iterable[Rule]],
    user: str,
    groups: Collection[str],
    words: Sequence[str],
    effect: str = EFFECTS[-1],
) -> Grant | None:
    """Whether lists that are judged apart let the command run: no list denies it, and one allows it.

    It runs as the user whom one of them names; where they name two, it does not run.
    """
    found = [_deciding(rules, user, groups, words, effect) for rules in lists]
    deciding = [rule for rule in found if rule is not None]
    named = {rule.run_as for rule in deciding if rule.run_as}
    if not deciding or len(named) > 1 or any(rule.verdict is Verdict.DENY for rule in deciding):
        return None
    return Grant("".join(named))


def _deciding(
    rules: Iterable[Rule], user: str, groups: Collection[str], words: Sequence[str], effect: str
) -> Rule | None:
    """The last rule that matches; `deny` and `final` stop the search."""
    held, words = frozenset(groups), tuple(words)
    found: Rule | None = None
    for rule in rules:
        if _is_about(rule, user, held) and _covers(rule, words) and _bears(rule, effect):
            found = rule
            if rule.final or rule.verdict is Verdict.DENY:
                break
    return found


def _bears(rule: Rule, effect: str) -> bool:
    return not rule.effect or EFFECTS.index(effect) <= EFFECTS.index(rule.effect)


def _is_about(rule: Rule, user: str, groups: frozenset[str]) -> bool:
    if rule.who is Who.USER:
        return rule.name == user
    return rule.who is Who.ALL or rule.name in groups


def _covers(rule: Rule, words: tuple[str, ...]) -> bool:
    start = words if not rule.more else words[: len(rule.words)]
    return start == rule.words


def _rule(line: str) -> Rule | None:
    if len(line) > LINE_LIMIT:
        raise AclError(f"expected at most {LINE_LIMIT} characters, got {len(line)}")
    if "\0" in line:
        raise AclError("expected no NUL")
    found: list[Token] = []
    for token in tokens(line):
        if token.word.startswith("#") and not token.quoted:
            break
        found.append(token)
    if not found:
        return None
    if len(found) < 3:
        raise AclError('expected allow|deny USER|%GROUP|ALL "PATTERN"|ALL [final] [as USER] [effect EFFECT]')
    verdict = _VERDICTS.get(found[0])
    if verdict is None:
        raise AclError(f"expected allow or deny, got: {shown(found[0].word)}")
    ending = _ending(found)
    if verdict is Verdict.DENY and (ending.run_as or ending.effect):
        raise AclError("expected as and effect behind allow only: what is denied does not run")
    who, name = _subject(found[1])
    words, more = pattern(found[2])
    return Rule(verdict, who, name, words, more, *ending)


class _Ending(NamedTuple):
    """What stands behind a pattern."""

    final: bool = False
    run_as: str = ""
    effect: str = ""


def _ending(found: list[Token]) -> _Ending:
    """In any order, each once at most."""
    ending, rest = _Ending(), found[3:]
    while rest:
        match rest:
            case [Token("final", False), *rest] if not ending.final:
                ending = ending._replace(final=True)
            case [Token("as", False), Token(user, _), *rest] if not ending.run_as:
                if ACCOUNT.fullmatch(user) is None:
                    raise AclError(f"expected a USER behind as, got: {shown(user)}")
                ending = ending._replace(run_as=user)
            case [Token("effect", False), Token(effect, False), *rest] if not ending.effect:
                if effect not in EFFECTS:
                    raise AclError(f"expected {', '.join(EFFECTS)} behind effect, got: {shown(effect)}")
                ending = ending._replace(effect=effect)
            case [Token(word, _), *_]:
                bare = not found[2].quoted and found[2] not in (_ALL, _ANY)
                hint = " (a pattern of several words stands in quotes)" if bare else ""
                raise AclError(
                    f"expected final, as USER, effect EFFECT or the end of the line, got: {shown(word)}{hint}"
                )
    return ending


_VERDICTS = {Token("allow", False): Verdict.ALLOW, Token("deny", False): Verdict.DENY}
_ALL = Token("ALL", False)
_ANY = Token("*", False)


def _subject(token: Token) -> tuple[Who, str]:
    if token.word == "ALL":
        return Who.ALL, ""
    if WHOM.fullmatch(token.word) is None:
        raise AclError(f"expected USER, %GROUP or ALL, got: {shown(token.word)}")
    return (Who.GROUP, token.word[1:]) if token.word.startswith("%") else (Who.USER, token.word)


def pattern(token: Token) -> tuple[tuple[str, ...], bool]:
    """The words of a pattern, and whether any more may follow them. Raises AclError or QuotingError."""
    if token in (_ALL, _ANY):
        return (), True
    if not token.quoted:
        raise AclError(f'expected "PATTERN" in quotes, or ALL, got: {shown(token.word)}')
    found = list(tokens(token.word))
    if not found:
        raise AclError('expected words in the pattern; "*" is any command')
    if found == [_ALL]:
        return (), True
    more = found[-1] == _ANY
    if more:
        found.pop()
    for word, quoted in found:
        if "*" in word and not quoted:
            raise AclError(f"expected * only as the last word of a pattern, got: {shown(token.word)}")
    return tuple(word for word, _ in found), more


def _pattern_of(rule: Rule) -> str:
    if not rule.words:
        return "ALL"
    text = quote("ALL") if rule.words == ("ALL",) and not rule.more else canonical(rule.words)
    return quote(text + " *" if rule.more else text)
