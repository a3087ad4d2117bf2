"""Every key of cw.toml, and its loading: strict, without attrs and cattrs, since clients must start fast."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from conf.document import (
    Document,
    defaults,
    from_file,
    from_overrides,
    from_place,
    insist_on_some,
    merged,
    unfit,
    unknown,
)
from conf.kinds import (
    ADDRESS,
    BROKER_KEY,
    OPTIONAL_DIRECTORY,
    OPTIONAL_PATH,
    USER,
    Key,
    seconds,
    title,
    whole,
)

FILE = Path("/etc/clockwork/cw.toml")
OWN_FILE = "~/.clockwork/cw.toml"

TITLE = title("cw.toml: the client (cw ping, cw show and so on)")

KEYS = (
    Key("mesh", "broker", "127.0.0.1:2315", ADDRESS, "The broker that commands go to."),
    Key(
        "mesh",
        "broker_key",
        "broker.key.pub",
        BROKER_KEY,
        "Its public key: 64 hex digits or the path of a .pub.",
    ),
    Key("mesh", "username", "", USER, "Who asks; empty: the user who runs cw."),
    Key(
        "mesh", "key", "~/.clockwork/mesh.key", OPTIONAL_PATH, "The user's private key, used if it is there."
    ),
    Key("mesh", "timeout", 40, seconds(), "How long to wait for answers, in seconds."),
    Key(
        "mesh",
        "commands",
        "commands",
        OPTIONAL_DIRECTORY,
        "The broker's broker.commands, or a copy of its NAME.toml, used if it is there.",
    ),
    Key(
        "mesh",
        "confirm_above",
        10,
        whole(0, 10**9),
        "Ask before a command that writes or executes goes to more nodes than this.",
    ),
    Key(
        "records",
        "keep",
        100,
        whole(0, 100_000),
        "Records of so many requests are kept for cw jobs, in ~/.local/state/clockwork; 0: none.",
    ),
)


class ClientConf(NamedTuple):
    """cw.toml, checked.

    `broker` is HOST:PORT, `broker_key` 64 hex digits or a path, `username` may be empty (the caller's),
    `timeout` seconds, `commands` a directory that need not be there, `confirm_above` nodes, `keep` records;
    `origins` says where each `section.key` came from.
    """

    broker: str
    broker_key: str
    username: str
    key: Path | None
    timeout: float
    commands: Path | None
    confirm_above: int
    keep: int
    origins: Mapping[str, str]


def load(path: Path | None = None, overrides: Sequence[str] = ()) -> ClientConf:
    """The client's configuration: `path` alone, else the system's file, then the user's own, if there.

    Raises ConfError, one line for the first thing wrong.
    """
    base = (path or FILE).absolute().parent
    own = Path(os.path.expanduser(OWN_FILE))
    layers = [from_file(path)] if path else [*from_place(FILE), *from_place(own)]
    document = merged([defaults(KEYS, base), *layers, from_overrides(overrides, Path.cwd())])
    _refuse_unknown(document)
    values = {}
    for key in KEYS:
        try:
            values[key.name] = key.kind.read(
                document.values[key.section][key.name], document.origins[key.path].base
            )
        except ValueError as error:
            raise unfit(document, key) from error
    return ClientConf(**values, origins={name: origin.name for name, origin in document.origins.items()})


def insist_on_file(conf: ClientConf) -> None:
    """Raises NoConfiguration if the configuration, loaded from the usual places, is none."""
    insist_on_some([str(FILE), OWN_FILE], conf.origins["mesh.broker_key"], conf.broker_key)


def show(conf: ClientConf) -> str:
    """The effective configuration as TOML; a comment above each key says where its value came from."""
    from conf.text import effective

    return effective((key, getattr(conf, key.name), conf.origins[key.path]) for key in KEYS)


def _refuse_unknown(document: Document) -> None:
    known = {key.path for key in KEYS}
    for section, table in document.values.items():
        if section not in {key.section for key in KEYS}:
            raise unknown(document, KEYS, section, None)
        for name in table:
            if f"{section}.{name}" not in known:
                raise unknown(document, KEYS, section, name)
