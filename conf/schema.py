"""Every key of meshd.toml and cogd.toml: its type, its safe default and the sentence that explains it."""

# No postponed annotations here: load.py walks the sections by their classes.

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import attrs

from conf.kinds import (
    ADDRESSES,
    BOOLEAN,
    BROKER_KEY,
    FACTS,
    HOST,
    LISTEN,
    OPTIONAL_DIRECTORY,
    OPTIONAL_LISTEN,
    OPTIONAL_PATH,
    PATH,
    SERVICE,
    Key,
    Kind,
    choice,
    seconds,
    title,
    whole,
)

MEBIBYTE = 1 << 20


def _key(kind: Kind, default: object, sentence: str) -> Any:
    """An attribute that is a key; `default` is in TOML's terms."""
    return attrs.field(
        factory=lambda: kind.read(default, Path()),
        metadata={"kind": kind, "default": default, "sentence": sentence},
    )


@attrs.frozen
class Log:
    """[log]."""

    level: str = _key(
        choice("debug", "info", "warning", "error"), "info", "The least serious line that is logged."
    )
    format: str = _key(choice("text", "json"), "text", "How lines look on standard error.")


@attrs.frozen
class Broker:
    """[broker]."""

    listen: tuple[str, ...] = _key(
        LISTEN, ["*:2315"], "Where agents and clients connect; * is every interface, port 0 a free one."
    )
    key: Path = _key(
        PATH, "broker.key", "The broker's private key; its .pub is what agents and clients know it by."
    )
    commands: Path | None = _key(
        OPTIONAL_DIRECTORY, "", "The site's own commands, NAME.pn and NAME.toml each; empty: none."
    )


@attrs.frozen
class MeshdAuth:
    """[auth] of meshd."""

    pam_service: str = _key(
        SERVICE, "clockwork", "The file of /etc/pam.d that checks passwords; empty: no passwords."
    )
    trusted: Path | None = _key(
        OPTIONAL_PATH, "trusted", "The trust database of users' keys; empty: no keys."
    )
    agents: Path | None = _key(OPTIONAL_PATH, "agents", "The trust database of agents' keys.")
    agent_trust: str = _key(
        choice("listed", "any"),
        "listed",
        "Which agents may join: those listed, or any (their names are then unproven).",
    )
    groups_ttl: float = _key(seconds(0), 60, "How long the groups of a user are remembered, in seconds.")


@attrs.frozen
class MeshdAcl:
    """[acl] of meshd."""

    file: Path | None = _key(
        OPTIONAL_PATH, "", "Access rules of the broker's own, before those of the agents."
    )
    name_denied: bool = _key(BOOLEAN, False, "Tell clients which nodes denied a command, not only how many.")


@attrs.frozen
class MeshdAudit:
    """[audit] of meshd."""

    file: Path | None = _key(
        OPTIONAL_PATH, "/var/log/clockwork/meshd.audit", "JSON lines of who asked for what; empty: none."
    )


@attrs.frozen
class MeshdMetrics:
    """[metrics] of meshd."""

    listen: str = _key(
        OPTIONAL_LISTEN,
        "",
        "Where Prometheus reads figures over HTTP, such as 127.0.0.1:9315; empty: nowhere.",
    )


@attrs.frozen
class MeshdLimits:
    """[limits] of meshd."""

    handshake: float = _key(
        seconds(), 10, "Time for everything before a peer is known, passwords aside, in seconds."
    )
    heartbeat: float = _key(
        seconds(), 10, "A session idle this long is pinged; two misses end it. In seconds."
    )
    unauthenticated: int = _key(
        whole(1, 65536), 1024, "Connections that have not proved who they are, at most."
    )
    request_time: float = _key(seconds(), 3600, "The longest that a client may wait for answers, in seconds.")
    message: int = _key(whole(128 * 1024, MEBIBYTE, "bytes"), MEBIBYTE, "The longest message, in bytes.")
    queue: int = _key(
        whole(2 * MEBIBYTE, 1024 * MEBIBYTE, "bytes"),
        64 * MEBIBYTE,
        "What may wait to be sent to one peer, in bytes.",
    )
    queues: int = _key(
        whole(MEBIBYTE, 65536 * MEBIBYTE, "bytes"),
        256 * MEBIBYTE,
        "What may wait to be sent to all peers, in bytes.",
    )
    stall: float = _key(seconds(), 20, "A peer whose queue is full this long is cut off, in seconds.")


@attrs.frozen
class Agent:
    """[agent]."""

    brokers: tuple[str, ...] = _key(
        ADDRESSES, ["127.0.0.1:2315"], "The brokers; the agent keeps a session with each."
    )
    broker_key: str = _key(
        BROKER_KEY, "broker.key.pub", "The brokers' public key: 64 hex digits or the path of a .pub."
    )
    key: Path = _key(PATH, "agent.key", "The agent's private key; made if it is not there.")
    state_dir: Path = _key(PATH, "/var/lib/clockwork", "Where the agent keeps what must outlive it.")
    fqdn: str = _key(HOST, "", "The name of this node; empty: the host's.")
    max_effect: str = _key(
        choice("pure", "reads", "writes", "executes"),
        "executes",
        "The most that a command may do to this node.",
    )


@attrs.frozen
class CogdAcl:
    """[acl] of cogd."""

    file: Path | None = _key(OPTIONAL_PATH, "acl", "Access rules; without any, every command is denied.")


@attrs.frozen
class CogdAudit:
    """[audit] of cogd."""

    file: Path | None = _key(
        OPTIONAL_PATH,
        "/var/log/clockwork/cogd.audit",
        "JSON lines of what was run or refused, for whom; empty: none.",
    )


@attrs.frozen
class Facts:
    """[facts]."""

    gatherers: Path | None = _key(
        OPTIONAL_PATH, "gatherers", "A directory of executables that print name=value lines; empty: none."
    )
    interval: float = _key(seconds(1), 300, "How often facts are gathered, in seconds.")
    time_limit: float = _key(seconds(), 10, "What runs longer is killed and skipped, in seconds.")
    static: Mapping[str, str] = _key(FACTS, {}, "Facts that are so because they are written here; they win.")


@attrs.frozen
class CogdLimits:
    """[limits] of cogd."""

    run_time: float = _key(seconds(), 600, "A command that runs longer is killed, in seconds.")
    memory: int = _key(
        whole(64 * MEBIBYTE, 1 << 50, "bytes"),
        4096 * MEBIBYTE,
        "A command that uses more memory, with all that it runs, is killed, in bytes.",
    )
    processes: int = _key(
        whole(16, 1 << 22), 4096, "A command with more processes and threads at once is killed."
    )
    output: int = _key(whole(1, 786432, "bytes"), 524288, "Output of a command is cut here, in bytes.")
    instructions: int = _key(
        whole(1000, 10**12), 100_000_000, "Instructions of one run of a command, at most."
    )
    concurrent: int = _key(whole(1, 1024), 8, "Commands that run at once; more wait.")


@attrs.frozen(kw_only=True)
class Conf:
    """What the configurations of all roles have: `origins` says where each `section.key` came from."""

    FILE: ClassVar[Path]
    """Where the configuration is unless told otherwise."""
    TITLE: ClassVar[str]
    """The first lines of a file for users."""
    origins: Mapping[str, str] = attrs.field(factory=dict, repr=False, eq=False)


@attrs.frozen(kw_only=True)
class MeshdConf(Conf):
    """meshd.toml."""

    FILE: ClassVar[Path] = Path("/etc/clockwork/meshd.toml")
    TITLE: ClassVar[str] = title("meshd.toml: the broker (cw meshd)")
    broker: Broker = attrs.field(factory=Broker)
    auth: MeshdAuth = attrs.field(factory=MeshdAuth)
    acl: MeshdAcl = attrs.field(factory=MeshdAcl)
    audit: MeshdAudit = attrs.field(factory=MeshdAudit)
    metrics: MeshdMetrics = attrs.field(factory=MeshdMetrics)
    limits: MeshdLimits = attrs.field(factory=MeshdLimits)
    log: Log = attrs.field(factory=Log)


@attrs.frozen(kw_only=True)
class CogdConf(Conf):
    """cogd.toml."""

    FILE: ClassVar[Path] = Path("/etc/clockwork/cogd.toml")
    TITLE: ClassVar[str] = title("cogd.toml: the agent of a node (cw cogd)")
    agent: Agent = attrs.field(factory=Agent)
    acl: CogdAcl = attrs.field(factory=CogdAcl)
    audit: CogdAudit = attrs.field(factory=CogdAudit)
    facts: Facts = attrs.field(factory=Facts)
    limits: CogdLimits = attrs.field(factory=CogdLimits)
    log: Log = attrs.field(factory=Log)


def sections_of(schema: type[Conf]) -> dict[str, type]:
    """The classes of a schema's sections, by name, in order."""
    return {
        section.name: section.type
        for section in attrs.fields(schema)
        if section.type is not None and attrs.has(section.type)
    }


def keys_of(schema: type[Conf]) -> tuple[Key, ...]:
    """Every key of a schema, in order."""
    return tuple(
        Key(section, key.name, key.metadata["default"], key.metadata["kind"], key.metadata["sentence"])
        for section, cls in sections_of(schema).items()
        for key in attrs.fields(cls)
    )
