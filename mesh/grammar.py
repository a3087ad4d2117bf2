"""The grammar of commands that go to nodes: one row a verb, and the forms of what may stand in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from mesh import acl, facts

WORDS_LIMIT = 1_024
"""Words of one command (mesh/messages.py has the same bound on the wire)."""


SITE = "site."
"""What the names of modules begin with that are a site's own."""


class Argument(NamedTuple):
    """What may stand among a verb's words: `name` in the usage, `form` of a word and its name for people.

    `meant` is the word that a user means by another, which is then the word of the command; `passed` is how
    the verb's program is given that. Only the last may repeat or be left out. `names` is what it names, where a
    client may know such: fact, user, group, whom, file.
    """

    name: str
    form: re.Pattern[str]
    expected: str
    repeats: bool = False
    optional: bool = False
    meant: Callable[[str], str] = str
    passed: Callable[[str], str] = str
    names: str = ""

    @property
    def usage(self) -> str:
        """How it is written: `[VERSION]`."""
        written = self.name + "…" * self.repeats
        return f"[{written}]" if self.optional else written


class Kind(NamedTuple):
    """A sort of argument, as rows and the grammars of sites name it; the fields are those of Argument."""

    form: re.Pattern[str]
    expected: str
    meant: Callable[[str], str] = str
    names: str = ""

    def argument(self, name: str, *, repeats: bool = False, optional: bool = False) -> Argument:
        """One of this sort."""
        expected = f"{name} is {self.expected}"
        return Argument(name, self.form, expected, repeats, optional, self.meant, names=self.names)


class Verb(NamedTuple):
    """One row of the grammar: `words` open a command, `arguments` follow, `function` of `module` runs it.

    A string among the arguments is a word of the verb's own: `package NAME install`. `effect` is the most that
    it does to a node, a word of vm.opcodes.Effect, written here so that a client need not assemble to know.
    """

    words: tuple[str, ...]
    arguments: tuple[Argument | str, ...]
    module: str
    function: str
    effect: str
    sentence: str

    @property
    def form(self) -> tuple[Argument | str, ...]:
        """All of it, in order."""
        return self.words + self.arguments

    @property
    def name(self) -> str:
        """Its own words: `package install`."""
        return " ".join(part for part in self.form if isinstance(part, str))

    @property
    def usage(self) -> str:
        """How it is written: `show fact NAME…`."""
        return " ".join(part if isinstance(part, str) else part.usage for part in self.form)

    @property
    def forms(self) -> tuple[Argument, ...]:
        """Its arguments without its own words."""
        return tuple(part for part in self.arguments if isinstance(part, Argument))

    def opens(self, words: tuple[str, ...]) -> bool:
        """Whether its own words stand where they have to."""
        return len(words) >= len(self.words) and all(
            not isinstance(part, str) or words[place : place + 1] == (part,)
            for place, part in enumerate(self.form)
        )

    @property
    def sizes(self) -> range:
        """How many words a command can have that is one of it."""
        last = self.form[-1]
        most, least = len(self.form), len(self.form)
        if isinstance(last, Argument):
            most += WORDS_LIMIT * last.repeats
            least -= last.optional
        return range(least, most + 1)

    @property
    def is_of_site(self) -> bool:
        """Whether a site has added it."""
        return self.module.startswith(SITE)


def _group_by_colon(whom: str) -> str:
    """`%GROUP` as `:GROUP`: how Pendulum's show.acl tells a group from a user (no account has a colon)."""
    return ":" + whom[1:] if whom.startswith("%") else whom


def _without_suffix(service: str) -> str:
    return service.removesuffix(".service")


_NAMED = "at most 250 letters, digits and"
_ANY = re.compile(r".*", re.DOTALL)
_BELOW_ROOT = r"(?!/(?:proc|sys)(?:/|\Z))(?:/(?!\.{1,2}(?:/|\Z))[^/]+)+"

KINDS = {
    "account": Kind(acl.ACCOUNT, f"one of the {acl.ACCOUNT_EXPECTED}", names="user"),
    "directory": Kind(
        re.compile(f"/|{_BELOW_ROOT}"),
        "/, or absolute without .. . and //, and not under /proc or /sys",
        names="file",
    ),
    "fact": Kind(facts.NAME, facts.NAME_EXPECTED, names="fact"),
    "host": Kind(
        re.compile(r"(?=.{1,253}\Z)(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.(?!\Z)|\Z))+"),
        "a host name",
    ),
    "number": Kind(re.compile(r"0|[1-9][0-9]{0,8}"), "a whole number of at most 9 digits"),
    "package": Kind(
        re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+:/-]{0,249}"), f"{_NAMED} _ . + : / -, no sign first"
    ),
    "path": Kind(
        re.compile(_BELOW_ROOT),
        "absolute, without .. . and //, and not under /proc or /sys",
        names="file",
    ),
    "service": Kind(
        re.compile(r"(?!.*\.service\Z)[A-Za-z0-9_][A-Za-z0-9_.+:@\\-]{0,249}"),
        f"{_NAMED} _ . + : @ \\ -, no sign first",
        _without_suffix,
    ),
    "text": Kind(_ANY, "any text, as one word"),
    "version": Kind(
        re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~:^_-]{0,199}"),
        "at most 200 letters, digits and . + ~ : ^ _ -, no sign first",
    ),
    "word": Kind(re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,249}"), f"{_NAMED} _ . -, no sign first"),
}
"""Every sort of argument that has a name."""

_FACTS = KINDS["fact"].argument("NAME", repeats=True)
_WHOM = Argument(
    "USER|%GROUP",
    acl.WHOM,
    f"USER and GROUP are {acl.ACCOUNT_EXPECTED}",
    passed=_group_by_colon,
    names="whom",
)
_USER = KINDS["account"].argument("NAME")
_GROUP = _USER._replace(names="group")
_PACKAGE = KINDS["package"].argument("NAME")
_VERSION = KINDS["version"].argument("VERSION", optional=True)
_SERVICE = KINDS["service"].argument("NAME")
_PATH = KINDS["path"].argument("PATH")
_ARGV = Argument("ARGV", _ANY, "ARGV is a program and its arguments", repeats=True, names="file")
_LINE = Argument("LINE", _ANY, "LINE is one word, a line for /bin/sh")


PURE, READS, WRITES, EXECUTES = acl.EFFECTS

# fmt: off
GRAMMAR: tuple[Verb, ...] = (
    Verb(("ping",), (), "mesh", "mesh.ping", PURE, "answers pong"),
    Verb(("show", "version"), (), "mesh", "mesh.show.version", PURE, "prints the version of cw"),
    Verb(("show", "facts"), (), "mesh", "mesh.show.facts", READS, "prints every fact as name=value, sorted"),
    Verb(("show", "fact"), (_FACTS,), "mesh", "mesh.show.fact", READS, "prints the facts named"),
    Verb(("show", "acls"), (), "mesh", "mesh.show.acls", PURE, "prints the access rules in force"),
    Verb(("show", "acls", "for"), (_WHOM,), "mesh", "mesh.show.acls.for", PURE, "prints those for one user or group"),
    Verb(("show", "package"), (_PACKAGE,), "mesh.package", "mesh.show.package", READS, "prints its versions"),
    Verb(("show", "service"), (_SERVICE,), "mesh.service", "mesh.show.service", READS, "prints whether it runs, and starts at boot"),
    Verb(("show", "file"), (_PATH,), "mesh.file", "mesh.show.file", READS, "prints owner, mode, size and time"),
    Verb(("show", "user"), (_USER,), "mesh.account", "mesh.show.user", READS, "prints the account, without its password"),
    Verb(("show", "group"), (_GROUP,), "mesh.account", "mesh.show.group", READS, "prints its number and its members"),
    Verb(("package", "recache"), (), "mesh.package", "mesh.package.recache", EXECUTES, "reads anew what the repositories have"),
    Verb(("package",), (_PACKAGE, "install", _VERSION), "mesh.package", "mesh.package.install", EXECUTES, "installs the latest, or that version"),
    Verb(("package",), (_PACKAGE, "remove"), "mesh.package", "mesh.package.remove", EXECUTES, "removes it, if it is there"),
    Verb(("package",), (_PACKAGE, "version"), "mesh.package", "mesh.package.version", EXECUTES, "prints which version is installed"),
    Verb(("package",), (_PACKAGE, "latest"), "mesh.package", "mesh.package.latest", EXECUTES, "prints which version would be"),
    Verb(("service",), (_SERVICE, "start"), "mesh.service", "mesh.service.start", EXECUTES, "starts it"),
    Verb(("service",), (_SERVICE, "stop"), "mesh.service", "mesh.service.stop", EXECUTES, "stops it"),
    Verb(("service",), (_SERVICE, "restart"), "mesh.service", "mesh.service.restart", EXECUTES, "stops and starts it"),
    Verb(("service",), (_SERVICE, "reload"), "mesh.service", "mesh.service.reload", EXECUTES, "has it read its files again"),
    Verb(("service",), (_SERVICE, "status"), "mesh.service", "mesh.service.status", EXECUTES, "prints running, or stopped with status 1"),
    Verb(("service",), (_SERVICE, "enable"), "mesh.service", "mesh.service.enable", EXECUTES, "starts it at boot from now on"),
    Verb(("service",), (_SERVICE, "disable"), "mesh.service", "mesh.service.disable", EXECUTES, "starts it at boot no more"),
    Verb(("file",), (_PATH, "sha1"), "mesh.file", "mesh.file.sha1", READS, "prints the SHA-1 of its contents"),
    Verb(("file",), (_PATH, "get"), "mesh.file", "mesh.file.get", READS, "prints its contents"),
    Verb(("exec", "--"), (_ARGV,), "mesh.exec", "mesh.exec", EXECUTES, "runs a program, without a shell"),
    Verb(("exec", "--shell"), (_LINE,), "mesh.exec", "mesh.exec.shell", EXECUTES, "has a shell run a line"),
)
# fmt: on
