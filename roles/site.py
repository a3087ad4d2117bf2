"""The commands that a site adds, as a client's configuration says where they are."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import conf.client
from conf.dropped import Dropped
from mesh.grammar import GRAMMAR, Verb
from mesh.site_grammar import rows
from roles.options import Asked, UsageError, parse


def begins_command(argv: Sequence[str]) -> bool:
    """Whether the first word of a command line begins a command that the site has added. Raises CwError."""
    try:
        asked = parse(argv)
    except UsageError:
        asked = Asked()  # whose the words are is to be known before what is wrong with them
    return any(verb.words[0] == argv[0] for verb in added(asked))


def grammar(asked: Asked) -> tuple[Verb, ...]:
    """All that a client's command line can ask for. Raises CwError."""
    return (*GRAMMAR, *added(asked))


def added(asked: Asked) -> tuple[Verb, ...]:
    """The commands that the site has added, if the directory that the client's configuration names is there.

    Raises CwError.
    """
    configuration = conf.client.load(Path(asked.config) if asked.config else None, asked.set)
    directory = configuration.commands
    if directory is None or not _is_there(directory):
        return ()
    grammars: Dropped[tuple[Verb, ...]] = Dropped(directory, (".toml",), _verbs, (), "mesh.commands")
    grammars.refresh()
    return grammars.value


def _is_there(directory: Path) -> bool:
    """Whether there is anything; what cannot be told will be when it is read."""
    try:
        os.stat(directory)
    except OSError as error:
        return not isinstance(error, FileNotFoundError | NotADirectoryError)
    return True


def _verbs(files: Mapping[str, bytes], directory: str) -> tuple[Verb, ...]:
    return tuple(row.verb for row in rows(files, directory))
