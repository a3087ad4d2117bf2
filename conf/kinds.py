"""What a configuration key may hold: one `Kind` for each sort of value, exact, without coercion."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from conf.addresses import AddressError, dialled, is_host_name, listening
from errors import CwError

_FACT_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,255}\Z")
_HEX_KEY = re.compile(r"[0-9A-Fa-f]{64}\Z")
_SERVICE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")
_WEEK = 7 * 86400
_LONGEST_PATH = 200


class ConfError(CwError):
    """The configuration cannot be used."""


class Kind(NamedTuple):
    """A sort of value.

    `expected` says it to users; `read` takes a TOML value and the directory that relative paths start from,
    and raises ValueError for anything else; `write` is its inverse, for `--show-config`. `words` are all
    that there are, if that is a closed set.
    """

    expected: str
    read: Callable[[object, Path], Any]
    write: Callable[[Any], object] = lambda value: value
    words: tuple[str, ...] = ()


class Key(NamedTuple):
    """One key of a configuration file: where it stands, its default in TOML's terms, and what it is for."""

    section: str
    name: str
    default: object
    kind: Kind
    sentence: str

    @property
    def path(self) -> str:
        """`section.name`, as users write it."""
        return f"{self.section}.{self.name}"


def _anywhere(read: Callable[[object], Any]) -> Callable[[object, Path], Any]:
    """The reader of a kind to which it is all the same where the value stands."""
    return lambda value, _: read(value)


def _text(value: object) -> str:
    if type(value) is not str or not (value.isprintable() or not value):
        raise ValueError(value)
    return value


def _texts(value: object) -> list[str]:
    if type(value) is not list:
        raise ValueError(value)
    return [_text(member) for member in value]


def _boolean(value: object) -> bool:
    if type(value) is not bool:
        raise ValueError(value)
    return value


def _path(value: object, base: Path) -> Path:
    text = _text(value)
    if not text:
        raise ValueError(value)
    return base / os.path.expanduser(text)


def _optional_path(value: object, base: Path) -> Path | None:
    return None if value == "" else _path(value, base)


def _broker_key(value: object, base: Path) -> str:
    text = _text(value)
    return text.lower() if _HEX_KEY.match(text) else str(_path(text, base))


def _service(value: object) -> str:
    text = _text(value)
    if text and not is_service_name(text):
        raise ValueError(value)
    return text


def _host(value: object) -> str:
    text = _text(value)
    if text and not is_host_name(text):
        raise ValueError(value)
    return text


def _user(value: object) -> str:
    text = _text(value)
    if len(text) > 255 or any(character.isspace() for character in text):
        raise ValueError(value)
    return text


def _address(value: object) -> str:
    return _checked([_text(value)], dialled)[0]


def _optional_listen(value: object) -> str:
    return "" if value == "" else _checked([_text(value)], listening)[0]


def _checked(texts: Sequence[str], parse: Callable[[str], object]) -> tuple[str, ...]:
    try:
        for text in texts:
            parse(text)
    except AddressError as error:
        raise ValueError(texts) from error
    return tuple(texts)


def _some_addresses(parse: Callable[[str], object]) -> Callable[[object], tuple[str, ...]]:
    def read(value: object) -> tuple[str, ...]:
        texts = _texts(value)
        if not texts or len(set(texts)) != len(texts):
            raise ValueError(value)
        return _checked(texts, parse)

    return read


def _facts(value: object) -> dict[str, str]:
    if type(value) is not dict or not all(_FACT_NAME.match(name) for name in value):
        raise ValueError(value)
    return {name: _text(fact) for name, fact in value.items()}


def is_service_name(text: str) -> bool:
    """Whether the text can name a file of /etc/pam.d, and nothing outside it."""
    return _SERVICE.match(text) is not None


def choice(*words: str) -> Kind:
    """One of these words."""

    def read(value: object) -> str:
        if type(value) is not str or value not in words:
            raise ValueError(value)
        return value

    return Kind("one of " + ", ".join(f'"{word}"' for word in words), _anywhere(read), words=words)


def whole(least: int, most: int, unit: str = "") -> Kind:
    """A whole number between two others, both included."""

    def read(value: object) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError(value)
        return value

    return Kind(f"a whole number{unit and ' of ' + unit} from {least} to {most}", _anywhere(read))


def seconds(least: float = 0.1, most: float = _WEEK) -> Kind:
    """A span of time; whole or with a fraction."""

    def read(value: object) -> float:
        if type(value) not in (int, float) or not isinstance(value, int | float):
            raise ValueError(value)
        if not math.isfinite(value) or not least <= value <= most:
            raise ValueError(value)
        return float(value)

    def write(value: float) -> int | float:
        return int(value) if value == int(value) else value

    return Kind(f"a number of seconds from {least:g} to {most:.0f}", _anywhere(read), write)


BOOLEAN = Kind("true or false", _anywhere(_boolean))
PATH = Kind("the path of a file", _path, str)
OPTIONAL_PATH = Kind(
    'the path of a file, or ""', _optional_path, lambda path: "" if path is None else str(path)
)
OPTIONAL_DIRECTORY = OPTIONAL_PATH._replace(expected='the path of a directory, or ""')
BROKER_KEY = Kind("64 hex digits or the path of a .pub", _broker_key)
SERVICE = Kind('the name of a file in /etc/pam.d, or ""', _anywhere(_service))
HOST = Kind('a host name, or ""', _anywhere(_host))
USER = Kind('a user name, or ""', _anywhere(_user))
ADDRESS = Kind('HOST:PORT, such as "broker.example.com:2315" or "[::1]:2315"', _anywhere(_address))
ADDRESSES = Kind(
    'a list of HOST:PORT, each once, such as ["broker.example.com:2315"]',
    _anywhere(_some_addresses(dialled)),
    list,
)
LISTEN = Kind(
    'a list of HOST:PORT, each once, such as ["*:2315"] or ["[::1]:0"]',
    _anywhere(_some_addresses(listening)),
    list,
)
OPTIONAL_LISTEN = Kind('HOST:PORT, such as "127.0.0.1:9315", or ""', _anywhere(_optional_listen))
FACTS = Kind('a table of facts, each a text, such as { role = "web" }', _anywhere(_facts), dict)


def escaped(text: str) -> str:
    """The text with everything that is not printable as \\uNNNN, so that it stays on its line."""
    return "".join(character if character.isprintable() else f"\\u{ord(character):04x}" for character in text)


def title(what: str) -> str:
    """The first lines of a configuration file."""
    return (
        f"# {what}. TOML; keys that are comments show their defaults.\n"
        f"# Relative paths start from this file's directory; sizes are bytes, times seconds."
    )


def brief(path: os.PathLike[str] | str) -> str:
    """A path for an error: whole, unless nobody would write it by hand."""
    text = os.fspath(path)
    return text if len(text) <= _LONGEST_PATH else text[: _LONGEST_PATH - 4] + " ..."


def shown(value: object) -> str:
    """A TOML value for the end of an error: one line of at most 80 characters, harmless on a terminal."""
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, str):
        text = f'"{escaped(value[:100])}"'
    else:
        text = _several(value)
    return text if len(text) <= 80 else text[:76] + " ..."


def _several(value: object) -> str:
    """A value that is no text, as TOML has it; of many in it the first, as no more is shown."""
    match value:
        case list():
            return f"[{', '.join(shown(one) for one in value[:20])}]"
        case dict() if value:
            return f"{{ {', '.join(f'{name} = {shown(one)}' for name, one in islice(value.items(), 20))} }}"
    return str(value)  # of an empty table, too
