"""What a site adds to the commands of the mesh: grammar and images, from the files it has dropped. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from conf.kinds import brief, escaped
from mesh.grammar import GRAMMAR, SITE, Verb
from mesh.images import image_of, main_of
from mesh.site_grammar import MODULE, Row, SiteError, rows
from vm import modules
from vm.assembler import AssemblyError, assemble
from vm.effects import effect_of
from vm.modules import Source
from vm.opcodes import Effect
from vm.verifier import verify
from wire.primitives import blake2s

IMAGES_LIMIT = 4 << 20
"""Bytes of all images of a site, at most: a broker keeps them."""

_MAIN = "main"
"""What errors of the assembler call the program around a function."""


class Sent(NamedTuple):
    """What a COMMAND says of a verb: its image, which does no more than `effect`, and what it is called."""

    image: bytes
    effect: Effect
    module: str


class Site(NamedTuple):
    """Every command that there is: those of cw, and a site's."""

    grammar: tuple[Verb, ...] = GRAMMAR
    images: Mapping[Verb, Sent] = {}

    def sent(self, verb: Verb) -> Sent:
        """What is sent of a verb of the grammar."""
        if verb in self.images:
            return self.images[verb]
        own = image_of(verb)
        return Sent(own.image, own.effect, own.module)


def checked(files: Mapping[str, bytes], directory: str) -> Site:
    """The site's commands from all its `NAME.pn` and `NAME.toml`, name to contents. Raises CwError, one line.

    Each file is checked, and what each command does against what its grammar says.
    """
    found = rows({name: files[name] for name in files if name.endswith(".toml")}, directory)
    sources = _Sources({name: files[name] for name in files if name.endswith(".pn")}, directory)
    images: dict[Verb, Sent] = {}
    room = IMAGES_LIMIT
    for row in found:
        images[row.verb] = sent = _sent(row, sources)
        room -= len(sent.image)
        if room < 0:
            raise SiteError(f"{row.where}: expected images of at most {IMAGES_LIMIT} bytes in all")
    sources.insist_on_use()
    return Site((*GRAMMAR, *images), images)


class _Sources:
    """The site's modules, and which of them were used."""

    def __init__(self, files: Mapping[str, bytes], directory: str) -> None:
        self._directory = directory
        self._texts = {name.removesuffix(".pn"): self._text(name, raw) for name, raw in files.items()}
        self._used: set[str] = set()

    def _text(self, name: str, raw: bytes) -> str:
        where = self.where(name.removesuffix(".pn"))
        if MODULE.fullmatch(name.removesuffix(".pn")) is None:
            raise SiteError(
                f"{where}: expected a name of at most 32 of a-z, 0-9, _ and -, a letter first, before .pn"
            )
        if name.removesuffix(".pn") in modules.SHIPPED:
            raise SiteError(f"{where}: expected another name, since a module that ships with cw has it")
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            raise SiteError(f"{where}:{line}: expected UTF-8 text, got other bytes") from error

    def __contains__(self, module: str) -> bool:
        return module in self._texts

    def where(self, module: str) -> str:
        """What errors call a module's file."""
        return brief(escaped(f"{self._directory}/{module}.pn"))

    def find(self, name: str) -> Source | None:
        """A module of the site's, else one that ships with cw: for the assembler."""
        if name not in self._texts:
            return modules.find(name)
        self._used.add(name)
        return Source(self.where(name), self._texts[name], (SITE, name))

    def insist_on_use(self) -> None:
        """Raises SiteError for a module that is no command's: its grammar has been forgotten."""
        for name in sorted(self._texts.keys() - self._used):
            raise SiteError(
                f"{self.where(name)}: expected its grammar, {name}.toml, or another module to include it"
            )


def _sent(row: Row, sources: _Sources) -> Sent:
    verb, where = row
    module = verb.module.removeprefix(SITE)
    if module not in sources:
        raise SiteError(f"{where}: expected its module beside it, {sources.where(module)}")
    try:
        image = assemble(main_of(module, verb.function), _MAIN, sources.find)
    except AssemblyError as error:
        raise SiteError(_mistake(str(error), row, sources.where(module))) from error
    effect = effect_of(verify(image))
    if effect > Effect[verb.effect.upper()]:
        raise SiteError(
            f'{where}: effect: expected "{effect.word}", which {verb.function} may do, got "{verb.effect}"'
        )
    return Sent(image, effect, f"{verb.module}/{blake2s(image)[:4].hex()}")


def _mistake(sentence: str, row: Row, source: str) -> str:
    """A mistake in the program around the function is one of the grammar's, or of the module as a whole."""
    place = sentence.partition(": ")[0]
    if place == f"{_MAIN}:2":
        return f"{source}: expected a module, without a function main"
    if place == f"{_MAIN}:3":
        return f"{row.where}: function: expected one that {source} has, got {row.verb.function!r}"
    return sentence
