"""The log of a daemon: one line an event on standard error, nothing in it that acts on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

LEVELS = {"debug": 0, "info": 1, "warning": 2, "error": 3}


def escaped(text: str) -> str:
    """The text with everything that is not printable as \\xNN or \\uNNNN, so that it stays on its line."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escape(ord(character)) for character in text)


def _escape(number: int) -> str:
    return (
        f"\\x{number:02x}"
        if number < 0x100
        else f"\\u{number:04x}"
        if number < 0x10000
        else f"\\U{number:08x}"
    )


class Log:
    """Where a role says what it does.

    `level` is the least serious that is written; `format` is `text` (`ROLE: SENTENCE`) or `json` (an object a
    line with time, level, role, message and the fields, which text leaves out).
    """

    def __init__(
        self,
        role: str,
        level: str = "info",
        format: str = "text",  # noqa: A002 - the key of the configuration is called so
        stream: TextIO | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.role = role
        self._least = LEVELS[level]
        self._json = format == "json"
        self._stream = stream
        self._now = now

    def debug(self, sentence: str, **fields: object) -> None:
        """What only a developer wants to know."""
        self._write("debug", sentence, fields)

    def info(self, sentence: str, **fields: object) -> None:
        """What is as it should be."""
        self._write("info", sentence, fields)

    def warning(self, sentence: str, **fields: object) -> None:
        """What an operator should look at."""
        self._write("warning", sentence, fields)

    def error(self, sentence: str, **fields: object) -> None:
        """What an operator must look at."""
        self._write("error", sentence, fields)

    def _write(self, level: str, sentence: str, fields: dict[str, object]) -> None:
        if LEVELS[level] < self._least:
            return
        if self._json:
            import json

            from roles.audit import timestamp

            head = {"time": timestamp(self._now()), "level": level, "role": self.role, "message": sentence}
            line = json.dumps(head | fields, default=str)
        else:
            line = f"{self.role}: {escaped(sentence)}"
        stream = self._stream or sys.stderr
        try:
            stream.write(line + "\n")
            stream.flush()
        except OSError:
            # Nobody can be told that the log is gone; the mesh goes on.
            return
