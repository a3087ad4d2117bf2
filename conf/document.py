"""Configuration before it is judged: defaults, files and `--set` laid over each other, with origins."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from conf.guarded import insist_on_writers
from conf.kinds import ConfError, Key, brief, shown
from errors import meant

MAX_FILE = 1 << 20
"""Bytes of a configuration file at most."""
DEFAULT = "default"
"""The name of the origin of what is written nowhere."""

_NAME = re.compile(r"([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{1,64})\Z")


class NoConfiguration(ConfError):
    """A role has been given nothing to work with."""


class Origin(NamedTuple):
    """Where a value came from (DEFAULT, `--set` or a file), and where its relative paths start."""

    name: str
    base: Path


class Layer(NamedTuple):
    """The values of one origin, by section and key."""

    origin: Origin
    values: dict[str, dict[str, object]]


class Document(NamedTuple):
    """All layers as one: values by section and key, origins by `section.key` (and by `section`)."""

    values: dict[str, dict[str, object]]
    origins: dict[str, Origin]


def defaults(keys: Iterable[Key], base: Path) -> Layer:
    """The layer below all others; its relative paths belong to the configuration file's directory."""
    values: dict[str, dict[str, object]] = {}
    for key in keys:
        values.setdefault(key.section, {})[key.name] = key.default
    return Layer(Origin(DEFAULT, base), values)


def from_file(path: Path) -> Layer:
    """The layer of one file, which none but its owner can have written. Raises ConfError naming the file."""
    try:
        with path.open("rb") as stream:
            insist_on_writers(path, os.fstat(stream.fileno()))
            raw = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfError(f"cannot read {brief(path)}: {error.strerror}") from error
    if len(raw) > MAX_FILE:
        raise ConfError(f"{path}: expected at most {MAX_FILE} bytes of TOML, got more")
    document = toml(raw, str(path))
    values: dict[str, dict[str, object]] = {}
    for section, table in document.items():
        if not isinstance(table, dict):
            raise ConfError(f"{path}: {shown(section)[1:-1]}: expected a [section], got {shown(table)}")
        values[section] = table
    return Layer(Origin(str(path), path.absolute().parent), values)


def toml(raw: bytes, where: str) -> dict[str, object]:
    """The tables and keys of a file named `where`. Raises ConfError."""
    try:
        return tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise ConfError(f"{where}: expected TOML, got: {' '.join(str(error).split())}") from error


def from_place(path: Path) -> list[Layer]:
    """The layer of a file that need not be there. Raises ConfError if there is no telling, too."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ConfError(f"cannot read {brief(path)}: {error.strerror}") from error
    return [from_file(path)]


def insist_on_some(places: Sequence[str], origin: str, needed: str | Path) -> None:
    """Raises NoConfiguration where no file is in the usual places, and nothing at `needed` either.

    `needed` is a file that the role cannot do without, `origin` the name of what says where it is: a role
    that was told so, or finds it where it is by default, has all that it needs.
    """
    if origin != DEFAULT or any(os.path.exists(os.path.expanduser(place)) for place in (needed, *places)):
        return
    raise NoConfiguration(
        f"no configuration: looked for {' and '.join(places)} "
        "(-c FILE takes another, cw init DIR makes a site)"
    )


def from_overrides(overrides: Sequence[str], base: Path) -> Layer:
    """The layer of every `--set section.key=VALUE`; the last of a key wins. Raises ConfError."""
    values: dict[str, dict[str, object]] = {}
    for override in overrides:
        name, equals, text = override.partition("=")
        found = _NAME.match(name.strip())
        if not equals or found is None:
            raise ConfError(f"--set: expected section.key=VALUE, got {shown(override)}")
        section, key = found.groups()
        values.setdefault(section, {})[key] = _value(f"{section}.{key}", text.strip())
    return Layer(Origin("--set", base), values)


def _value(name: str, text: str) -> object:
    try:
        document = tomllib.loads(f"value = {text[:MAX_FILE]}")
    except (ValueError, RecursionError) as error:
        hint = (
            f"; text needs quotes: --set '{name}=\"{text}\"'" if re.match(r"[\w./*:-]{1,64}\Z", text) else ""
        )
        raise ConfError(
            f"--set: {name}: expected a TOML value, got {shown(text)[1:-1] or 'nothing'}{hint}"
        ) from error
    if list(document) != ["value"]:
        raise ConfError(f"--set: {name}: expected one TOML value, got {shown(text)}")
    return document["value"]


def merged(layers: Iterable[Layer]) -> Document:
    """The layers as one document, later ones over earlier ones, key by key."""
    values: dict[str, dict[str, object]] = {}
    origins: dict[str, Origin] = {}
    for layer in layers:
        for section, table in layer.values.items():
            origins[section] = layer.origin
            values.setdefault(section, {}).update(table)
            origins.update({f"{section}.{name}": layer.origin for name in table})
    return Document(values, origins)


def unknown(document: Document, keys: Iterable[Key], section: str, name: str | None) -> ConfError:
    """The error for a section, or for a key of a known section, that no configuration of this role has."""
    if name is None:
        known = sorted({key.section for key in keys})
        path, got = section, f"[{section}]"
    else:
        known = sorted(key.name for key in keys if key.section == section)
        path, got = f"{section}.{name}", name
    origin = document.origins[path].name
    hint = meant(name or section, known)
    return ConfError(
        f"{origin}: {shown(path)[1:-1]}: expected one of {', '.join(known)}, got {shown(got)[1:-1]}{hint}"
    )


def unfit(document: Document, key: Key) -> ConfError:
    """The error for a value that is not what its key holds."""
    value = document.values[key.section][key.name]
    hint = meant(value, key.kind.words) if isinstance(value, str) else ""
    return ConfError(
        f"{document.origins[key.path].name}: {key.path}: expected {key.kind.expected}, "
        f"got {shown(value)}{hint}"
    )
