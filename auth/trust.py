"""Trust databases: lines of `HEX NAME`, read as a whole and edited so that comments stay."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from auth.keys import is_name, is_public
from conf.kinds import brief
from errors import CwError

MAX_FILE = 16 << 20
"""Bytes of a database at most: 100,000 keys take ten million."""


class TrustError(CwError):
    """The trust database cannot be used."""


class Entry(NamedTuple):
    """A public key (64 lower-case hex digits) and a name it is trusted for; to revoke, None is every name."""

    public: str
    name: str | None

    def __str__(self) -> str:
        return f"{self.public} {self.name}" if self.name else self.public


class Trust:
    """A parsed database."""

    def __init__(self, names: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self._names = names or {}

    def names_of(self, public: str) -> tuple[str, ...]:
        """The names that a public key (hex digits) is listed for, in order; none if it is not trusted."""
        return self._names.get(public.lower(), ())

    def keys_of(self, name: str) -> tuple[str, ...]:
        """The public keys (hex digits) that are listed for a name."""
        return tuple(public for public, names in self._names.items() if name in names)

    @property
    def names(self) -> tuple[str, ...]:
        """All names that keys are trusted for, in order, each once."""
        return tuple(dict.fromkeys(name for names in self._names.values() for name in names))

    def __len__(self) -> int:
        """How many keys are trusted."""
        return len(self._names)


NOBODY = Trust()
"""The database of those who trust no one."""


def parse(text: str, where: str) -> Trust:
    """The database in a text; `where` names it in errors. Raises TrustError `FILE:LINE: …`."""
    names: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        entry = _entry(line, f"{where}:{number}")
        if entry is not None and entry.name is not None and entry.name not in names.get(entry.public, ()):
            names[entry.public] = (*names.get(entry.public, ()), entry.name)
    return Trust(names)


def added(text: str, where: str, entries: Sequence[Entry]) -> tuple[str, list[str]]:
    """The text with the entries that are not there yet at its end, and a sentence for each."""
    trust = parse(text, where)
    lines = [text if text.endswith("\n") or not text else text + "\n"]
    sentences = []
    new: set[Entry] = set()
    for entry in entries:
        if entry in new or entry.name in trust.names_of(entry.public):
            sentences.append(f"already trusted: {entry}")
            continue
        new.add(entry)
        lines.append(f"{entry}\n")
        sentences.append(f"trusted: {entry}")
    return "".join(lines), sentences


def revoked(text: str, where: str, entries: Sequence[Entry]) -> tuple[str, list[str]]:
    """The text without the lines of the entries, and a sentence for each; lines of comment stay."""
    trust = parse(text, where)
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    sentences = []
    for entry in entries:
        lines = [line for line in lines if not _names(entry, _entry(line.removesuffix("\n"), where))]
        left = parse("".join(lines), where)
        still = left.names_of(entry.public)
        gone = [name for name in trust.names_of(entry.public) if name not in still]
        done = f"revoked: {entry.public} {', '.join(gone)}" if gone else f"not listed: {entry}"
        sentences.append(f"{done} (still trusted as {', '.join(still)})" if still else done)
        trust = left
    return "".join(lines), sentences


def update(path: Path, change: Callable[[str, str], tuple[str, list[str]]], create: bool) -> list[str]:
    """Edit a database atomically: others see the old file or the new one, and two edits at once both count.

    `change(text, name of the file)` gives the new text and sentences, which are returned. A link stays a
    link, owner and mode stay. Raises TrustError; a file that is not there is made only if `create`, and the
    first sentence says so.
    """
    target = Path(os.path.realpath(path))
    try:
        directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise TrustError(f"cannot open the directory of {brief(path)}: {error.strerror}") from error
    try:
        return _update_locked(directory, path, target, change, create)
    except OSError as error:
        raise TrustError(f"cannot edit {brief(path)}: {error.strerror}") from error
    finally:
        os.close(directory)


def _update_locked(
    directory: int,
    path: Path,
    target: Path,
    change: Callable[[str, str], tuple[str, list[str]]],
    create: bool,
) -> list[str]:
    import fcntl

    fcntl.flock(directory, fcntl.LOCK_EX)
    text, status = _text(path, target, create)
    new, sentences = change(text, str(path))
    if new == text and status is not None:
        return sentences
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as stream:
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode) if status else 0o644)
            if status and (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, status.st_uid, status.st_gid)
            stream.write(new)
            stream.flush()
            os.fsync(descriptor)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    os.fsync(directory)
    return sentences if status else [f"made {path}", *sentences]


def _text(path: Path, target: Path, create: bool) -> tuple[str, os.stat_result | None]:
    try:
        with target.open("rb") as stream:
            status = os.fstat(stream.fileno())
            raw = stream.read(MAX_FILE + 1)
    except FileNotFoundError:
        if create:
            return "", None
        raise
    if len(raw) > MAX_FILE:
        raise TrustError(f"{path}: expected at most {MAX_FILE} bytes, got more")
    try:
        return raw.decode(), status
    except UnicodeDecodeError as error:
        raise TrustError(f"{path}: expected UTF-8 text, got other bytes") from error


def _entry(line: str, where: str) -> Entry | None:
    """What a line trusts; None for an empty line and a comment. Raises TrustError."""
    words = line.partition("#")[0].split()
    if not words:
        return None
    if len(words) != 2 or not is_public(words[0]) or not is_name(words[1]):
        raise TrustError(f"{where}: expected HEX NAME (64 hex digits and a name), got {line.strip()[:100]!r}")
    return Entry(words[0].lower(), words[1])


def _names(entry: Entry, other: Entry | None) -> bool:
    return other is not None and entry.public == other.public and entry.name in (None, other.name)
