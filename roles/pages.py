"""What the manual has beyond the help of a command: prose, exit statuses, files, environment. Tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mesh.audited import OUTCOMES

DATE = "2026-11-29"
"""Of the last change to what is written here."""

ADMINISTRATOR = ("meshd", "cogd", "init", "trust", "localsys", "audit", "doctor")
"""Roles whose pages are in section 8; those of all others are in 1."""

OFTEN = {
    "0": "Done.",
    "2": "The command line, the configuration or a file cannot be used; one line says why.",
}
ALWAYS = {
    "70": "A fault of cw itself; with CW_DEBUG=1 in the environment, where.",
    "74": "Output could not be written.",
    "130": "Interrupted.",
}
"""Exit statuses of (almost) every role."""


class More(NamedTuple):
    """What one page has beside the help; the paragraphs of `about` have an empty line between them."""

    about: str = ""
    statuses: Mapping[str, str] = {**OFTEN, **ALWAYS}
    files: Mapping[str, str] = {}
    environment: Mapping[str, str] = {}


AT_LENGTH = {
    "--username": "Who asks; else mesh.username, else the user who runs cw.",
    "--key": "The private key to sign with; -k0: none, so a password is asked for.",
    "--config": "This configuration alone, instead of /etc/clockwork/cw.toml and ~/.clockwork/cw.toml.",
    "--set": "Override one key of the configuration; VALUE is TOML.",
    "--canary": "Run it on N nodes alone first, and go on only if none too many failed.",
    "--batch": "Then on N nodes at a time, or on N in a hundred of all.",
    "--pause": "Wait so long between two turns.",
    "--max-failures": "Stop once more than N nodes, or N in a hundred, failed or are missing (0).",
    "--limit": "Only on N of the nodes that would take part, drawn by lot.",
    "--seed": "Draw the same nodes whenever TEXT is the same.",
    "--dry-run": "Tell which nodes would take part, and the effect; run nothing.",
    "--yes": "Do not ask before what writes or executes goes to more than mesh.confirm_above nodes.",
    "--json": "One JSON array.",
    "--jsonl": "A JSON object a line.",
    "--text": "Text, a line for each node with its UUID, then its output after one space.",
    "--xml": "An XML document.",
    "--yaml": "A YAML sequence.",
    "--fold": "Nodes whose status and output are the same together, their names as ranges.",
    "--diff": "How each differs from the most common answer.",
    "--table": "Answers that are key=value lines as columns, a row a node.",
    "--pretty": "A block for each node, failures last.",
    "--sort": "In the order of names.",
    "--only": "Print only answers of that outcome: ok, failed, lost or optout; given again, of that one too.",
    "--optouts": "Name the nodes that the filters leave out.",
    "--histogram": "Draw how many nodes answered after how long.",
    "--stderr": "Print what nodes write to their error output, on standard error.",
    "--noop": "Check everything that can be checked here, and send nothing.",
    "--verbose": "Tell how the user is known, and of each node its time and its error output.",
    "--quiet": "Print no summary, and no progress.",
    "--help": "Print what can be asked and how, and exit.",
    "--version": "Print the version of cw, and exit.",
}
"""Options of commands to nodes, by their last name, for which the help has room for few words only."""

FILTERS = """
FACT=VALUE and FACT!=VALUE compare, and mind case; FACT=/REGEX/ and FACT!=/REGEX/ search, and do not. White
space around the operator is ignored, inside the value it is significant; double quotes around a value make
it literal, even if it begins with a slash.

A fact that a node does not have never matches, negated or not. Of several filters all must match.
"""

OUTPUT = """
A line for each node, as answers arrive: its name, its exit status and what it printed; of several lines each
stands below, after four spaces. What acts on a terminal is shown as \\xNN. A node that took part and did not
answer has - in the place of the status, then lost, silent or expired.

Of a node, status 124 means that the command was killed at its run time, 125 that it could not be run or
reached a limit, 126 that it was refused. A node that is silent at the timeout may still be running it:
--run-time ends it there, and so does Ctrl-C here.

A summary follows on standard error: how many answered, how many of those succeeded or failed, and how many
opted out, denied, expired or were lost. Options print answers in other forms.
"""

RECORDS = {"~/.local/state/clockwork/records.db": "A user's requests and what came of them (records.keep)."}
STATE = {"XDG_STATE_HOME": "Used in the place of ~/.local/state, if set."}

CLIENT_STATUSES = {
    "0": "Every node that took part succeeded.",
    "1": "At least one node failed.",
    "2": "The command line, the configuration or the key cannot be used, or the command was not confirmed; "
    "nothing was run.",
    "3": "Refused: authentication, permission, a command that the broker does not know; or no node ran "
    "it and at least one denied it.",
    "4": "The broker could not be reached, or the connection broke.",
    "5": "Nodes are missing: lost, expired, or silent at the timeout.",
    "6": "Nobody matched.",
    **ALWAYS,
}

CLIENT = More(
    about="""
    cw is a mesh for fleets of hosts: a broker, an agent on every host, a client and local tools, all of them
    one file. A command to nodes is sent to the broker, which knows by key or password who asks; each agent
    checks its filters and its own access rules, runs it and answers.

    Called through a link named cw-NAME, the file is cw NAME. The words of a command are sent as they are; cw
    mesh with a single word splits that as a shell would.
    """,
    statuses=CLIENT_STATUSES,
    files={
        "/etc/clockwork/cw.toml": "The configuration of every user of this host.",
        "~/.clockwork/cw.toml": "A user's own, key by key before the other.",
        "~/.clockwork/mesh.key": "A user's private key, unless told otherwise.",
        **RECORDS,
    },
    environment={
        "NO_COLOR": "If set, there are no colours on a terminal.",
        "CW_DEBUG": "If set, a fault of cw itself shows where it happened.",
        **STATE,
    },
)

ROLES: Mapping[str, More] = {
    "meshd": More(
        about="""
        It runs in the foreground, logs to standard error, and tells systemd when it is ready. SIGHUP: it
        reads trust databases and access rules again, forgets the groups of users and reopens its audit log.
        SIGTERM: it accepts nothing new and ends once open requests are answered; at a second one at once.
        """,
        statuses={**OFTEN, "4": "With --status: the broker does not answer.", **ALWAYS},
        files={"/etc/pam.d/clockwork": "How PAM checks passwords."},
    ),
    "cogd": More(
        about="""
        It runs in the foreground, keeps a session with each of its brokers and comes back to one that is
        lost, logs to standard error, and tells systemd when it is ready. SIGHUP: it gathers facts and reads
        access rules again. SIGTERM: it ends once what runs has ended. Without access rules it denies every
        command.
        """,
    ),
    "audit": More(
        about=f"""
        Options may stand anywhere. Conditions that are given must all be met. A request is about many nodes:
        --node finds what agents tell of themselves, and what brokers tell of agents. Lines that no daemon has
        written, or not whole, are counted on standard error.

        Outcomes: {"; ".join(f"{outcome} ({meaning})" for outcome, meaning in OUTCOMES.items())}.
        """,
        statuses={
            "0": "Something was shown.",
            "1": "Nothing is like that.",
            "2": "The command line makes no sense, or a log could not be read.",
            **ALWAYS,
        },
        files={
            "/var/log/clockwork/meshd.audit": "The log of a broker, unless told otherwise.",
            "/var/log/clockwork/cogd.audit": "That of an agent.",
        },
    ),
    "doctor": More(
        about="""
        Whose configuration a file is, its sections tell. Agents and clients are compared with a broker whose
        files are looked at too, where that is the one they connect to. The handshake with a broker is made
        with the configured key; where a user's key can be read, every node is asked ping, as cw ping does.
        An agent's session is not tried, since that would end the one which the agent has.

        What others may read is judged as they would; what this host lets be read and written, as the user who
        runs it.
        """,
        statuses={
            **OFTEN,
            "0": "Nothing failed; there may be something to look at.",
            "1": "A check failed.",
            **ALWAYS,
        },
        files={
            "/etc/clockwork/meshd.toml": "The configuration of the broker,",
            "/etc/clockwork/cogd.toml": "of the agent",
            "/etc/clockwork/cw.toml": "and of every user, unless told otherwise.",
            "~/.clockwork/cw.toml": "A user's own.",
        },
    ),
    "fact": More(statuses={**OFTEN, "1": "A fact that was asked for is not known.", **ALWAYS}),
    "pn": More(
        about="""
        Options stand before FILE: what follows it is the program's. The exit status is the program's own,
        unless something else ends it.
        """,
        statuses={
            **OFTEN,
            "124": "The program was ended at its run time.",
            "125": "Another fault ended it.",
            "126": "The image was refused.",
            "128+N": "Signal N ended it.",
            **ALWAYS,
        },
        environment={"PENDULUM_INCLUDE": "Directories in which #include looks, with colons between them."},
    ),
    "localsys": More(
        statuses={
            "0": "Done, or yes.",
            "1": "Failed, or no.",
            "2": "The command line makes no sense.",
            "125": "There is no such action.",
            "126": "This host has no system that is known here.",
            **ALWAYS,
        },
    ),
    "jobs": More(files=RECORDS, environment=STATE),
    "job": More(
        statuses={
            **OFTEN,
            "1": "With --diff: something differs.",
            "6": "With --rerun: there is nobody to ask again. Its other statuses are those of cw(1).",
            **ALWAYS,
        },
        files=RECORDS,
        environment=STATE,
    ),
    "demo": More(
        statuses={**OFTEN, "1": "Something did not go as it should.", "128+N": "Signal N ended it.", **ALWAYS}
    ),
    "completion": More(
        about="""
        The scripts ask the very cw that is being typed, so they know what it knows: subcommands, the words of
        commands to nodes, options and their values, keys of the configuration, and, from the records of
        earlier requests, the names of facts and hosts.
        """,
    ),
    "man": More(about="Pages are made from what also makes --help."),
}
"""By name; a role that is not here has what every role has."""
