"""The forms beside LINE in which a client prints answers, each imported when it is asked for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module

from mesh.formats.look import Look
from mesh.formats.names import natural
from mesh.printing import LINE, Answer, Printer, Stream, block, head

Whole = Callable[[Sequence[Answer], Look], Iterator[str]]
"""A form that needs all answers before it can begin: pieces of text, of the answers in order of arrival."""

FORMS = {
    "json": ("mesh.formats.objects", "JSON"),
    "jsonl": ("mesh.formats.objects", "JSONL"),
    "yaml": ("mesh.formats.yaml", "YAML"),
    "xml": ("mesh.formats.markup", "XML"),
    "text": ("mesh.formats.text", "TEXT"),
    "fold": ("mesh.formats.folding", "fold"),
    "diff": ("mesh.formats.difference", "diff"),
    "table": ("mesh.formats.table", "table"),
    "pretty": ("mesh.formats.pretty", "pretty"),
}
"""Where each form is: a module, and the Stream or the Whole in it."""

AT_ONCE = 1 << 16
"""Characters that are written together where there are more."""


def form(name: str, look: Look) -> Stream | Whole:
    """The form of that name, `line` included, as `look` wants it."""
    if name == "line":
        found: Stream | Whole = LINE
        if look.colours:
            found = Stream(
                lambda answer: block(look.paint(answer.outcome, head(answer.fqdn, answer)), answer)
            )
    else:
        module, attribute = FORMS[name]
        found = getattr(import_module(module), attribute)
    return _by_name(found) if look.sort and isinstance(found, Stream) else found


def printer(name: str, look: Look, write: Callable[[str], None]) -> Printer | Collector:
    """What prints answers in the form of that name."""
    found = form(name, look)
    return Printer(found, write) if isinstance(found, Stream) else Collector(found, look, write)


def _by_name(stream: Stream) -> Whole:
    """The form with its answers in the order of the nodes' names."""

    def pieces(answers: Sequence[Answer], _: Look) -> Iterator[str]:
        for number, answer in enumerate(sorted(answers, key=lambda answer: natural(answer.fqdn))):
            yield stream.between if number else stream.opening
            yield stream.one(answer)
        yield stream.closing if answers else stream.nothing

    return pieces


class Collector:
    """A Printer that keeps all answers, equal outputs once, and writes them at the end."""

    def __init__(self, whole: Whole, look: Look, write: Callable[[str], None]) -> None:
        self._whole = whole
        self._look = look
        self._write = write
        self._answers: list[Answer] = []
        self._outputs: dict[bytes, bytes] = {}

    def print(self, answers: Sequence[Answer]) -> None:
        """Keep these."""
        self._answers += [answer._replace(output=self._once(answer.output)) for answer in answers]

    def close(self) -> None:
        """Print them all."""
        waiting: list[str] = []
        length = 0
        for text in self._whole(self._answers, self._look):
            waiting.append(text)
            length += len(text)
            if length >= AT_ONCE:
                self._write("".join(waiting))
                waiting, length = [], 0
        self._write("".join(waiting))

    def _once(self, output: bytes) -> bytes:
        return self._outputs.setdefault(output, output)
