"""Access rules that a program brings, and showing them after those that the host has in force."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vm.faults import Fault
from vm.machine import Machine
from vm.ops.build import TEXT, takes

_SUBJECT = re.compile(rb'\S+\s+(?:"((?:[^"\\]|\\.)*)"|(\S+))')
_UNESCAPE = re.compile(rb"\\(.)")


@takes(TEXT)
def acl(machine: Machine, text: bytes) -> None:
    """Add an access rule, kept with single spaces before its pattern."""
    words = text.split(None, 2)
    if len(words) < 3 or words[0] not in {b"allow", b"deny"}:
        shown = text[:64].decode(errors="replace")
        raise Fault(f"not an access rule: {shown!r} (expected: allow|deny USER|%GROUP|ALL PATTERN)")
    line = b" ".join(words).rstrip()
    machine.remember(line)
    machine.rules.append(line)
    machine.acc = 0


@takes()
def show_acls(machine: Machine) -> None:
    """Print every rule, one a line."""
    for line in _lines(machine):
        machine.write(machine.output, line + b"\n")


@takes(TEXT)
def show_acl(machine: Machine, whom: bytes) -> None:
    """Print the rules about a user, or about a group written `:group`; those about ALL are about both."""
    subject = b"%" + whom[1:] if whom.startswith(b":") else whom
    for line in _lines(machine):
        if _subject(line) in {subject, b"ALL"}:
            machine.write(machine.output, line + b"\n")


def _subject(line: bytes) -> bytes:
    """Whom a rule is about: a word, or in quotes where a name holds a space, a quote or a backslash."""
    found = _SUBJECT.match(line)
    if found is None:
        return b""
    quoted, plain = found.groups()
    return plain if quoted is None else _UNESCAPE.sub(rb"\1", quoted)


def _lines(machine: Machine) -> Iterator[bytes]:
    for line in machine.host.acls():
        machine.labour(len(line))
        yield line.encode(errors="replace")
    for kept in machine.rules:
        machine.labour(len(kept))
        yield kept
