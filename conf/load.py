"""From a TOML file and `--set` to a checked configuration, and back to TOML with the origin of each value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
from cattrs import AttributeValidationNote, ClassValidationError, Converter, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from conf.document import (
    DEFAULT,
    Document,
    Origin,
    defaults,
    from_file,
    from_overrides,
    from_place,
    merged,
    unfit,
    unknown,
)
from conf.kinds import Key, Kind
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
    try:
        conf = _converter(schema, keys, document.origins).structure(document.values, schema)
    except ClassValidationError as error:
        raise _culprit(error, document, keys) from error
    return attrs.evolve(conf, origins={path: origin.name for path, origin in document.origins.items()})


def show(conf: Conf) -> str:
    """The effective configuration as TOML; a comment above each key says where its value came from."""
    return effective(
        (key, getattr(getattr(conf, key.section), key.name), conf.origins.get(key.path, DEFAULT))
        for key in keys_of(type(conf))
    )


def _converter(schema: type[C], keys: Sequence[Key], origins: dict[str, Origin]) -> Converter:
    """What cattrs is without its coercions: each key read by its own kind, unknown keys refused."""
    converter = Converter(forbid_extra_keys=True)
    for section, cls in sections_of(schema).items():
        hooks: dict[str, Any] = {
            key.name: override(struct_hook=_hook(key.kind, origins[key.path].base))
            for key in keys
            if key.section == section
        }
        hooks["_cattrs_forbid_extra_keys"] = True
        converter.register_structure_hook(cls, make_dict_structure_fn(cls, converter, **hooks))
    hooks = {"_cattrs_forbid_extra_keys": True, "origins": override(omit=True)}
    converter.register_structure_hook(schema, make_dict_structure_fn(schema, converter, **hooks))
    return converter


def _hook(kind: Kind, base: Path) -> Callable[[Any, Any], Any]:
    return lambda value, _: kind.read(value, base)


def _culprit(error: ClassValidationError, document: Document, keys: Sequence[Key]) -> Exception:
    """The first failure that cattrs collected, as an error that a user can act on."""
    path, failure = next(_failures(error, ()))
    if isinstance(failure, ForbiddenExtraKeysError):
        name = min(failure.extra_fields)
        return unknown(document, keys, path[0], name) if path else unknown(document, keys, name, None)
    return unfit(document, next(key for key in keys if key.path == ".".join(path)))


def _failures(error: Exception, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Exception]]:
    """Every failure below, depth first, with the names of the attributes that lead to it."""
    if not isinstance(error, ClassValidationError):
        yield path, error
        return
    for inner in error.exceptions:
        notes = [
            note for note in getattr(inner, "__notes__", ()) if isinstance(note, AttributeValidationNote)
        ]
        yield from _failures(inner, (*path, *(note.name for note in notes)))
