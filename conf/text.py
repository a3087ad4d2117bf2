"""Configuration as TOML text: the effective one, and the sample files that users copy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from conf.kinds import Key, escaped


def effective(values: Iterable[tuple[Key, Any, str]]) -> str:
    """TOML of every (key, value, origin), in order; it loads as the same configuration."""
    sections: dict[str, list[str]] = {}
    for key, value, origin in values:
        lines = sections.setdefault(key.section, [f"[{key.section}]"])
        lines += [f"# {escaped(origin)}", assignment(key, key.kind.write(value))]
    return "\n\n".join("\n".join(lines) for lines in sections.values()) + "\n"


def sample(title: str, keys: Iterable[Key], given: Mapping[str, object] | None = None) -> str:
    """A file for users: every key with its sentence, those in `given` (`section.key`: TOML value) set.

    The others are comments that show the default.
    """
    sections: dict[str, list[str]] = {}
    for key in keys:
        lines = sections.setdefault(key.section, [f"[{key.section}]"])
        lines.append(f"# {key.sentence}")
        if given is not None and key.path in given:
            lines.append(assignment(key, given[key.path]))
        else:
            lines.append(
                "".join(f"# {line}\n" for line in assignment(key, key.default).splitlines()).rstrip()
            )
    return title + "\n\n" + "\n\n".join("\n".join(lines) for lines in sections.values()) + "\n"


def assignment(key: Key, value: object) -> str:
    """`name = value` on one line, tables and lists too, so that it may stand anywhere and be a comment."""
    from tomli_w import dumps

    if isinstance(value, dict):
        members = ", ".join(dumps({name: member}).strip() for name, member in value.items())
        return f"{key.name} = {{ {members} }}" if members else f"{key.name} = {{}}"
    if isinstance(value, list):
        members = ", ".join(dumps({"value": member}).strip().removeprefix("value = ") for member in value)
        return f"{key.name} = [{members}]"
    return dumps({key.name: value}).strip()
