"""`cw cert`: a key pair for a user, an agent or a broker."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

from auth.keys import ENCRYPTION, SIGNING, public_path, write_pair
from roles.arguments import Parser

KINDS = {"user": SIGNING, "agent": ENCRYPTION, "broker": ENCRYPTION}

EXAMPLES = """\
  cw cert -t user -i alice -f ~/.clockwork/mesh.key      makes mesh.key and mesh.key.pub
  cw cert -t agent -i web01.example.com -f agent.key
  cw cert -t broker -i mesh.example.com -f broker.key
"""


def main(argv: Sequence[str]) -> int:
    """Make FILE and FILE.pub; nothing that is there is overwritten."""
    options = parser().parse_args(argv)
    key = write_pair(options.file, KINDS[options.type], options.identity, secrets.token_bytes(32))
    print(f"made {options.file} and {public_path(options.file)}: {key.public.hex()} {key.name}")
    return 0


def parser() -> Parser:
    """The command line."""
    words = Parser("cert", "Makes a key pair: FILE, which nobody else may read, and FILE.pub.", EXAMPLES)
    words.add_argument("-t", "--type", choices=tuple(KINDS), required=True, help="whose key it is")
    words.add_argument("-i", "--identity", metavar="NAME", required=True, help="user name or FQDN")
    words.add_argument("-f", "--file", metavar="FILE", type=Path, required=True, help="where it goes")
    return words
