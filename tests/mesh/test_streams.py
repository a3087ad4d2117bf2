"""The forms that print as answers arrive: each is well-formed, and reads back, whatever bytes nodes send."""

import base64
import json
import xml.parsers.expat as expat
from typing import Any

import pytest
import yaml
from hypothesis import example, given

from mesh.formats import FORMS, form
from mesh.formats.markup import FORBIDDEN
from mesh.formats.objects import json_object
from mesh.printing import LINE, Answer, Stream
from tests.answers import PLAIN, SCREEN, UUID, answers, closed, printed, ran

STREAMS = [name for name in ("line", *FORMS) if isinstance(form(name, PLAIN), Stream)]


def told(answer: Answer) -> dict[str, Any]:
    """The object that stands for an answer, as the design has it."""
    as_text = answer.output.decode("utf-8", "replace")
    said: dict[str, Any] = {
        "uuid": answer.uuid,
        "fqdn": answer.fqdn,
        "outcome": answer.outcome,
        "status": answer.status,
        "output": as_text,
        "error_output": answer.error_output.decode("utf-8", "replace"),
        "truncated": answer.truncated,
        "duration": answer.duration,
    }
    if as_text.encode() != answer.output:
        said["output_base64"] = base64.b64encode(answer.output).decode()
    return said


def in_xml(text: str) -> str:
    """What XML can have of a text."""
    return "".join("\ufffd" if ord(character) in FORBIDDEN else character for character in text)


class Document:
    """A document that expat has read: the answers in it, as the attributes and elements of each."""

    def __init__(self, text: str) -> None:
        self.found: list[dict[str, str]] = []
        self._path: list[str] = []
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.Parse(text.encode("ascii"), True)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name)
        match self._path:
            case ["answers"]:
                assert not attributes
            case ["answers", "answer"]:
                self.found.append(dict(attributes))
            case ["answers", "answer", element]:
                self.found[-1][element] = ""

    def _end(self, name: str) -> None:
        assert self._path.pop() == name

    def _text(self, text: str) -> None:
        match self._path:
            case ["answers", "answer", element]:
                self.found[-1][element] += text
            case _:
                assert not text.strip()


def test_there_are_these_streams() -> None:
    assert set(STREAMS) == {"line", "json", "jsonl", "yaml", "xml", "text"}


@given(answers())
def test_json_reads_back(said: list[Answer]) -> None:
    text = printed("json", said)
    assert json.loads(text) == [told(answer) for answer in said]
    lines = printed("jsonl", said).splitlines()
    assert [json.loads(line) for line in lines] == json.loads(text)
    assert all(line.isascii() and line.isprintable() for line in [*text.splitlines(), *lines])


@given(answers())
@example([ran(bytes(range(256)))])
@example([ran("\x7f\x85\u2028\ufeff\ufffe\uffff\U0010ffff👍".encode())])
def test_yaml_reads_back(said: list[Answer]) -> None:
    text = printed("yaml", said)
    assert yaml.safe_load(text) == [told(answer) for answer in said]
    assert text.replace("\n", "").isascii()
    assert text.replace("\n", "").isprintable()


@given(answers())
@example([ran(bytes(range(256)))])
@example([ran("\x7f\x85\u2028\ufeff\ufffe\uffff\U0010ffff👍]]>".encode())])
@example([ran(b"\x01"), ran(b"a\r\nb\rc\n\t")])
def test_xml_reads_back(said: list[Answer]) -> None:
    text = printed("xml", said)
    assert all(line.isascii() and line.replace("\t", "").isprintable() for line in text.split("\n"))
    found = Document(text).found
    assert len(found) == len(said)
    for answer, element in zip(said, found, strict=True):
        expected = told(answer)
        assert element.pop("output") == in_xml(expected["output"])
        assert element.pop("error_output") == in_xml(expected["error_output"])
        base64_of_it = element.pop("output_base64", None)
        if base64_of_it is not None:
            assert base64.b64decode(base64_of_it) == answer.output
        else:
            assert in_xml(expected["output"]).encode() == answer.output
        assert element.pop("truncated") == ("true" if answer.truncated else "false")
        assert float(element.pop("duration", 0)) == (answer.duration or 0)
        assert element.pop("status", None) == (None if answer.status is None else str(answer.status))
        assert element == {name: expected[name] for name in ("uuid", "fqdn", "outcome")}


TEXTS = [
    (ran(b"pong\n"), f"{UUID} web01.example.com success 0\n pong\n"),
    (ran(b"a\n\nb", 3), f"{UUID} web01.example.com failed 3\n a\n \n b\n"),
    (
        ran(b"\x1b[2Jx", truncated=True),
        f"{UUID} web01.example.com success 0\n \\x1b[2Jx\n [cut at 5 bytes]\n",
    ),
    (ran(), f"{UUID} web01.example.com success 0\n"),
    (closed("malformed"), f"{UUID} web01.example.com malformed -\n"),
    (closed("lost"), f"{UUID} web01.example.com lost -\n"),
]


@pytest.mark.parametrize(("answer", "text"), TEXTS)
def test_text(answer: Answer, text: str) -> None:
    assert printed("text", [answer]) == text


EMPTY = {
    "json": "[]\n",
    "yaml": "[]\n",
    "xml": '<?xml version="1.0" encoding="UTF-8"?>\n<answers>\n</answers>\n',
}


@pytest.mark.parametrize("name", ["line", *FORMS])
def test_nobody_answered(name: str) -> None:
    for look in (PLAIN, SCREEN, PLAIN._replace(sort=True)):
        assert printed(name, [], look) == EMPTY.get(name, "")


@given(answers())
def test_what_comes_at_once_makes_no_difference(said: list[Answer]) -> None:
    for name in ("line", *FORMS):
        assert printed(name, said, at_once=1) == printed(name, said, at_once=10)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_says_each_at_once_and_in_order_of_names_only_when_asked(name: str) -> None:
    said = [ran(fqdn=f"web{number}") for number in (10, 2, 1)]
    stream = form(name, PLAIN)
    assert isinstance(stream, Stream)
    in_turn = stream.opening + stream.between.join(map(stream.one, said)) + stream.closing
    assert printed(name, said) == in_turn
    assert printed(name, said, PLAIN._replace(sort=True)) == printed(name, said[::-1])


def test_a_line_is_coloured_on_a_terminal_where_it_is_not_good_news() -> None:
    said = [ran(b"pong\n"), ran(b"a\nb\x1b\n", 1), closed("lost"), closed("optout")]
    assert printed("line", said, SCREEN) == (
        "web01.example.com 0 pong\n"
        "\x1b[31mweb01.example.com 1\x1b[0m\n    a\n    b\\x1b\n"
        "\x1b[33mweb01.example.com - lost\x1b[0m\n"
        "\x1b[2mweb01.example.com - optout\x1b[0m\n"
    )
    assert printed("line", said, SCREEN._replace(colours=False)) == "".join(map(LINE.one, said))


def test_a_json_object_has_these_members() -> None:
    assert json.loads(json_object(ran(b"pong\n", error_output=b"oh\n"))) == {
        "uuid": UUID,
        "fqdn": "web01.example.com",
        "outcome": "ok",
        "status": 0,
        "output": "pong\n",
        "error_output": "oh\n",
        "truncated": False,
        "duration": 0.25,
    }


def test_a_very_short_time_is_a_number_in_yaml() -> None:
    text = printed("yaml", [ran()._replace(duration=1e-06)])
    assert yaml.safe_load(text)[0]["duration"] == 1e-06
