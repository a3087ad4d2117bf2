"""The text of `cw ping --help`: on one screen, whatever the command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mesh.command import Argument, Verb, verbs_for
from roles.options import FORMS, OPTIONS, Option

LINES, COLUMNS = 24, 100
"""What a screen has."""

DETAILED = 5
"""Commands whose help has a line each; of more it is only told how they are written."""

EXAMPLES = {
    "cw show version -w 'sys.fqdn=/^web/' --fold": "ask the nodes whose name begins with web",
    "cw show fact sys.arch -w role=db --json": "for a script",
    "cw mesh 'show acls for %ops'": "one word is split as a shell would",
}

TOGETHER: dict[str, list[tuple[str, ...]]] = {
    "who asks:": [("-u", "--username"), ("-k", "--key"), ("-c", "--config"), ("--set",)],
    "in turns:": [
        *(("--canary",), ("--batch",), ("--pause",), ("--max-failures",), ("--limit",), ("--seed",)),
        *(("--dry-run",), ("--yes",)),
    ],
    "as answers come:": [form.names for form in FORMS if not form.waits],
    "at the end:": [*(form.names for form in FORMS if form.waits), ("--sort",)],
    "besides:": [
        *(("-n", "--noop"), ("--optouts",), ("--histogram",), ("--stderr",)),
        *(("-v", "--verbose"), ("-q", "--quiet")),
    ],
}
"""Options that share lines, so that there is room."""

ELSEWHERE = (("-h", "--help"), ("--version",))
"""Options that the first line has."""


def usage(commands: Sequence[str]) -> str:
    """The text; `commands` are lines about the verbs that nodes know."""
    by_names = {option.names: option for option in OPTIONS}
    shared = {names for several in TOGETHER.values() for names in several}
    lines = ["usage: cw COMMAND… [OPTION…], where COMMAND is one of            (-h, --help; --version)"]
    lines += [f"  {line}" for line in commands]
    lines += [_alone(option) for option in OPTIONS if option.names not in shared.union(ELSEWHERE)]
    for when, several in TOGETHER.items():
        lines += _run_in(f"  {when}", [_briefly(by_names[names]) for names in several])
    examples = [f"  $ {line:43} # {why}" for line, why in EXAMPLES.items()]
    return "\n".join(lines + examples[: max(0, LINES - len(lines))])


def described(words: tuple[str, ...], grammar: Sequence[Verb]) -> list[str]:
    """Lines about the commands that the words begin, with what the program of each can do to a node.

    Raises UnrecognisedCommand.
    """
    verbs = verbs_for(words, grammar) if words else grammar
    if len(verbs) > DETAILED:
        return _in_brief(verbs)
    shipped, added = map(_in_full, _apart(verbs))
    lines = [*shipped, *(["of this site:"] if added else []), *added]
    return lines + [argument.expected for argument in verbs[0].forms if len(verbs) == 1]


def _apart(verbs: Sequence[Verb]) -> tuple[list[Verb], list[Verb]]:
    """The commands of cw, and those of the site."""
    return [verb for verb in verbs if not verb.is_of_site], [verb for verb in verbs if verb.is_of_site]


def _in_full(verbs: Sequence[Verb]) -> list[str]:
    return [f"{verb.usage:26} {verb.sentence} (effect: {verb.effect})" for verb in verbs]


def _in_brief(verbs: Sequence[Verb]) -> list[str]:
    """How they are written, those of the site behind the others."""
    from textwrap import wrap

    shipped, added = map(_families, _apart(verbs))
    texts = (shipped, f"of this site: {added}" if added else "")
    wrapped = [line for text in texts for line in wrap(text, COLUMNS - 2, break_on_hyphens=False)]
    return [line.replace(_TIE, " ") for line in wrapped]


_TIE = "\N{NO-BREAK SPACE}"
"""A space at which no line ends."""


def _families(verbs: Sequence[Verb]) -> str:
    """How they are written, a first word only once, and once an argument that follows it in several rows."""
    families: dict[str, dict[str, list[str]]] = {}
    for verb in verbs:
        first, *rest = (part if isinstance(part, str) else part.usage for part in verb.form)
        place = 1 if len(rest) > 1 and isinstance(verb.form[1], Argument) else 0
        families.setdefault(first, {}).setdefault(_TIE.join(rest[:place]), []).append(_TIE.join(rest[place:]))
    return "; ".join(f"{first}{_TIE}{_rows(family)}".rstrip(_TIE) for first, family in families.items())


def _rows(family: Mapping[str, Sequence[str]]) -> str:
    """`NAME start|stop`, or `version | facts` where they share no argument."""
    return " | ".join(
        f"{shared}{_TIE}{'|'.join(rests)}" if shared else " | ".join(rests)
        for shared, rests in family.items()
    )


def _alone(option: Option) -> str:
    written = f"{', '.join(option.names)} {option.value}".rstrip()
    return f"  {written:24} {option.sentence}"


def _briefly(option: Option) -> str:
    return f"{option.names[0]} {option.value}".rstrip() + f" ({option.sentence})"


def _run_in(title: str, parts: Iterable[str], behind: str = ",") -> list[str]:
    """The parts behind the title, with that behind each but the last, on as many lines as it takes."""
    lines = [f"{title:18}"]
    for part in parts:
        if len(lines[-1]) + len(part) + len(behind) > COLUMNS - 1:
            lines.append(" " * 18)
        lines[-1] += f" {part}{behind}"
    lines[-1] = lines[-1].removesuffix(behind)
    return lines
