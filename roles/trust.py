"""`cw trust`: whose keys a broker accepts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from auth.keys import is_name, is_public, read_public
from auth.trust import Entry, added, revoked, update
from roles.arguments import Parser, UsageError

EXAMPLES = """\
  cw trust -d /etc/clockwork/agents web01.pub            accept the agent of that key
  cw trust -d /etc/clockwork/trusted alice.pub bob.pub   accept users
  cw trust -d agents 5f3a…=web02.example.com             a key (64 hex digits) and its name
  cw trust -d trusted --revoke alice.pub 5f3a…           under every name that they have
"""


def main(argv: Sequence[str]) -> int:
    """Add keys to a trust database, or revoke them, and say so; daemons notice by themselves."""
    options = parser().parse_args(argv)
    entries = [_entry(word, options.revoke) for word in options.keys]
    change = revoked if options.revoke else added
    sentences = update(
        options.database, lambda text, where: change(text, where, entries), create=not options.revoke
    )
    print("\n".join(sentences))
    return 0


def parser() -> Parser:
    """The command line."""
    words = Parser("trust", "Edits a trust database, whole or not at all; its comments stay.", EXAMPLES)
    words.add_argument("-d", "--database", metavar="FILE", type=Path, required=True, help="lines of HEX NAME")
    words.add_argument("--revoke", action="store_true", help="trust them no longer")
    words.add_argument(
        "keys",
        nargs="+",
        metavar="KEY.pub|HEX=NAME",
        help="a key and the name it is good for; with --revoke, HEX alone is every name",
    )
    return words


def _entry(word: str, revoke: bool) -> Entry:
    public, equals, name = word.partition("=")
    if equals and is_public(public):
        if not is_name(name):
            raise UsageError(f"expected HEX=NAME, a name without white space or #, got {name[:80]!r}")
        return Entry(public.lower(), name)
    if revoke and is_public(word):
        return Entry(word.lower(), None)
    if not (word.endswith(".pub") or "/" in word or os.path.exists(word)):
        forms = "KEY.pub, HEX or HEX=NAME" if revoke else "KEY.pub or HEX=NAME"
        raise UsageError(f"expected {forms}, with 64 hex digits, got {word[:160]!r}")
    key = read_public(Path(word))
    return Entry(key.public.hex(), None if revoke else key.name)
