"""From a TOML file and `--set` to a checked configuration, and back to TOML with the origin of each value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from conf.document import (
    DEFAULT,
    Document,
    defaults,
    from_file,
    from_overrides,
    from_place,
    merged,
    unfit,
    unknown,
)
from conf.kinds import Key
from conf.schema import Conf, keys_of, sections_of
from conf.text import effective

C = TypeVar("C", bound=Conf)


def load(schema: type[C], path: Path | None = None, overrides: Sequence[str] = ()) -> C:
    """The configuration of a role.

    `path` None means the schema's own file, which need not be there. Relative paths start from the file's
    directory, those of `overrides` (`section.key=VALUE`) from the current one. Raises ConfError, one line for
    the first thing wrong.
    """
    keys = keys_of(schema)
    named = path or schema.FILE
    layers = [
        defaults(keys, named.absolute().parent),
        *(from_place(named) if path is None else [from_file(path)]),
        from_overrides(overrides, Path.cwd()),
    ]
    document = merged(layers)
    sections: dict[str, Any] = {
        section: cls(**_read(document, keys, section)) for section, cls in sections_of(schema).items()
    }
    if strange := document.values.keys() - sections.keys():
        raise unknown(document, keys, min(strange), None)
    origins = {path: origin.name for path, origin in document.origins.items()}
    return schema(origins=origins, **sections)


def show(conf: Conf) -> str:
    """The effective configuration as TOML; a comment above each key says where its value came from."""
    return effective(
        (key, getattr(getattr(conf, key.section), key.name), conf.origins.get(key.path, DEFAULT))
        for key in keys_of(type(conf))
    )


def _read(document: Document, keys: Sequence[Key], section: str) -> dict[str, Any]:
    """The values of a section, each as its own kind reads it. Raises ConfError for the first that does not
    fit, then for a key that there is not.
    """
    left = dict(document.values[section])
    values = {}
    for key in keys:
        if key.section != section:
            continue
        try:
            values[key.name] = key.kind.read(left.pop(key.name), document.origins[key.path].base)
        except ValueError as error:
            raise unfit(document, key) from error
    if left:
        raise unknown(document, keys, section, min(left))
    return values
