"""The one command: picks the role that the first word names; an error becomes one line and an exit status.

A role's module is imported only when it is chosen, and nothing here imports more than it must: the time that
`cw --version` takes is the time that every command takes before it begins.
"""

import errno
import importlib
import os
import sys
from contextlib import suppress

from conf.version import VERSION
from errors import CwError, meant

ROLES = {
    "meshd": ("roles.meshd", "the broker: authenticates users, sends commands to nodes, relays answers"),
    "cogd": ("roles.cogd", "the agent, one on every node: authorises, filters, runs, answers"),
    "init": ("roles.init", "make keys and configuration of a new site, or of a new agent in it"),
    "cert": ("roles.cert", "make the keys of a user, an agent or a broker"),
    "trust": ("roles.trust", "edit whose keys are accepted"),
    "audit": ("roles.audit_logs", "show who asked for what"),
    "doctor": ("roles.doctor", "what is wrong with a set-up, and how to mend it"),
    "fact": ("roles.fact", "what this node knows of itself"),
    "pn": ("roles.pn", "assemble and run Pendulum"),
    "localsys": ("roles.localsys", "packages and services of this host"),
    "jobs": ("roles.jobs", "what was asked before"),
    "job": ("roles.job", "the answers of one: once more, compared, or asked again"),
    "demo": ("roles.demo", "a whole mesh on this host: broker, six agents, a few queries, clean exit"),
    "completion": ("roles.completion", "what bash, zsh and fish need to complete commands"),
    "man": ("roles.man", "a page of the manual"),
}
"""The subcommands that are a role of their own; `main` of the module gets the words after the name."""

OF_ALL = ("completion", "man")
"""Those that speak of all the others: their `main` gets `commands()` too."""

CLIENT = "roles.client"
VERBS = {
    "mesh": "send a command to the nodes: its words as they are, or one word to be split",
    "ping": "which nodes answer",
    "show": "what nodes know: version, facts, acls, a package, service, file, user, group",
    "package": "install, remove, update packages",
    "service": "start, stop, reload, enable, disable services",
    "file": "checksum and contents of a file",
    "exec": "run a program: exec -- ARGV…, or exec --shell LINE",
}
"""The first words of commands to nodes; `main` of the client gets these words too."""

TOGETHER = (
    ("package", "service"),
    ("cert", "trust"),
    ("audit", "doctor"),
    ("pn", "localsys"),
    ("jobs", "job"),
    ("completion", "man"),
)
"""Subcommands that share a line of the help, which fits a screen."""

EXAMPLES = {
    "cw demo": "see it all, with nothing to set up",
    "cw init /etc/clockwork": "begin a site whose broker is this host",
    "cw ping": "who is there",
    "cw show version -w 'sys.fqdn=/^web/'": "ask only the nodes whose name begins with web",
    "cw meshd -c /etc/clockwork/meshd.toml": "run the broker in the foreground",
}

STDOUT, STDERR = 1, 2
INTERNAL, UNWRITABLE, INTERRUPTED, BROKEN_PIPE = 70, 74, 130, 141
"""Exit statuses: EX_SOFTWARE and EX_IOERR of sysexits.h; SIGINT and SIGPIPE as a shell reports them."""

UNWRITABLE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EAGAIN}
"""How an output fails that takes no more: it is full or broken, open only for reading, or does not wait."""


class UsageError(CwError):
    """The command line makes no sense."""


def commands() -> dict[str, tuple[str, str]]:
    """Every subcommand: its module and what it is for."""
    return {**{name: (CLIENT, summary) for name, summary in VERBS.items()}, **ROLES}


def usage() -> str:
    """The text of `cw --help`: at most 24 lines of at most 100 columns."""
    summaries = {name: summary for name, (_, summary) in commands().items()}
    partners = {name: several for several in TOGETHER for name in several}
    rows = dict.fromkeys(partners.get(name, (name,)) for name in summaries)
    return "\n".join(
        (
            "usage: cw COMMAND [WORD…] [OPTION…]      cw COMMAND --help says more; cw --version",
            "",
            *(f"  {', '.join(row):16} {'; '.join(summaries[name] for name in row)}" for row in rows),
            "",
            *(f"  $ {line:38} # {why}" for line, why in EXAMPLES.items()),
        )
    )


def run(words: list[str]) -> int:
    """Do what the words say; the exit status. Raises what the role raises."""
    match words:
        case []:
            complain("a command is missing")
            tell(usage())
            return UsageError.status
        case ["--version", *_]:
            print(f"cw {VERSION}")
            return 0
        case ["--help" | "-h", *_]:
            print(usage())
            return 0
        case [name, *_] if name in VERBS or name.startswith("-"):  # the client's options go anywhere
            module, arguments = CLIENT, words
        case [name, *arguments] if name in OF_ALL:
            done: int = importlib.import_module(ROLES[name][0]).main(arguments, commands())
            return done
        case [name, *arguments] if name in ROLES:
            module = ROLES[name][0]
        case _ if importlib.import_module("roles.site").begins_command(words):
            module, arguments = CLIENT, words
        case _:
            hint = meant(words[0], (*VERBS, *ROLES)) or " (see cw --help)"
            raise UsageError(f"unknown command {words[0][:40]!r}{hint}")
    status: int = importlib.import_module(module).main(arguments)
    return status


def called_as(path: str) -> list[str]:
    """The words that the name of the file stands for: a link named cw-NAME is `cw NAME`."""
    name = os.path.basename(path)
    return [name[3:]] if name.startswith("cw-") else []


def complain(sentence: str, excerpt: str = "") -> None:
    """One line on standard error, then those of the excerpt; none acts on the terminal or begins another."""
    for line in (f"cw: {sentence}", *excerpt.splitlines()):
        tell("".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line))


def tell(text: str) -> None:
    """The text on standard error; where that takes no more, the exit status still says it."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def settle() -> None:
    """Write what is still buffered, or drop it: a failure at exit would be a complaint of Python's."""
    for stream, descriptor in ((sys.stdout, STDOUT), (sys.stderr, STDERR)):
        try:
            stream.flush()
        except OSError:
            silence(descriptor)


def silence(descriptor: int) -> None:
    """Let what is still buffered for a broken output go nowhere, without a complaint at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def ended_by(error: BaseException) -> int:
    """The exit status for an error, told in one line where its user can do something about it.

    A group of one error, as a nursery raises it, is that error. Anything undeclared is a fault of cw itself:
    its traceback is shown only where CW_DEBUG is set.
    """
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    match error:
        case CwError():
            complain(str(error), error.excerpt)
            return error.status
        case KeyboardInterrupt():
            return INTERRUPTED
        case BrokenPipeError():
            return BROKEN_PIPE
        case OSError(errno=number) if number in UNWRITABLE_ERRORS:
            complain(f"cannot write: {error.strerror}")
            return UNWRITABLE
    if os.environ.get("CW_DEBUG"):
        raise error
    what = str(error).strip().split("\n")[0]
    complain(f"internal error: {type(error).__name__}: {what} (CW_DEBUG=1 shows where)")
    return INTERNAL


def main(argv: list[str] | None = None) -> int:
    """Run cw with these words, the process's own where none are given; the exit status."""
    try:
        status = run([*called_as(sys.argv[0]), *sys.argv[1:]] if argv is None else argv)
        sys.stdout.flush()  # here, where a failure can still be told
    except (KeyboardInterrupt, BaseExceptionGroup, Exception) as error:  # noqa: BLE001 - the last resort
        status = ended_by(error)
    settle()
    return status


if __name__ == "__main__":
    sys.exit(main())
