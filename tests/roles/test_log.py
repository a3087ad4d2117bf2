import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roles.log import LEVELS, Log, escaped


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def logged(level: str, style: str, *calls: tuple[str, str]) -> str:
    stream = io.StringIO()
    log = Log("meshd", level, style, stream, now=lambda: 1_700_000_000.1234)
    for name, sentence in calls:
        getattr(log, name)(sentence, address="192.0.2.1", count=3)
    return stream.getvalue()


def test_text_is_role_and_sentence() -> None:
    assert logged("info", "text", ("info", "listening on *:2315")) == "meshd: listening on *:2315\n"


def test_json_is_an_object_a_line_with_the_fields() -> None:
    assert json.loads(logged("info", "json", ("warning", "a \x1b[1m line\n"))) == {
        "time": "2023-11-14T22:13:20.123Z",
        "level": "warning",
        "role": "meshd",
        "message": "a \x1b[1m line\n",
        "address": "192.0.2.1",
        "count": 3,
    }


@pytest.mark.parametrize(("level", "lines"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
@pytest.mark.parametrize("style", ["text", "json"])
def test_a_level_hides_what_is_less_serious(level: str, lines: int, style: str) -> None:
    assert logged(level, style, *((name, "x") for name in LEVELS)).count("\n") == lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain – text", "plain – text"),
        ("a\nmeshd: b", "a\\x0ameshd: b"),
        ("\x1b[2J\x07\r", "\\x1b[2J\\x07\\x0d"),
        ("\x9b\x7f", "\\x9b\\x7f"),
        ("\u202e\u2028\udc80", "\\u202e\\u2028\\udc80"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_nothing_in_a_sentence_acts_on_a_terminal(text: str, shown: str) -> None:
    assert escaped(text) == shown
    assert logged("info", "text", ("info", text)) == f"meshd: {shown}\n"


@given(st.text(st.characters(codec=None)))
def test_any_sentence_is_one_line_in_either_format(text: str) -> None:
    line = logged("info", "text", ("info", text))
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    assert json.loads(logged("info", "json", ("info", text)))["message"] == text


def test_a_log_that_is_gone_stops_nobody() -> None:
    Log("meshd", stream=Broken()).error("x")


def test_without_a_stream_it_is_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    Log("cogd").info("connected to 127.0.0.1:2315")
    assert capsys.readouterr().err == "cogd: connected to 127.0.0.1:2315\n"
