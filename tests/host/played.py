"""Programs that play a recording: called in this order, with these words, they end so and say this."""

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from errors import CwError
from host.systems.actions import Reply, perform
from host.systems.tools import Tools

PLAYER = """#!{python} -ISB
import os, sys
place, name = os.path.split(sys.argv[0])
turns = sorted(int(turn) for turn in os.listdir(place + "/turns"))
turn = f"{{place}}/turns/{{turns[0]}}" if turns else "/nonexistent"
def read(what):
    with open(f"{{turn}}/{{what}}") as file:
        return file.read()
if not turns or read("argv") != "\\n".join([name, *sys.argv[1:]]):
    sys.exit(f"not in the recording: {{[name, *sys.argv[1:]]}}")
sys.stdout.write(read("output"))
sys.stderr.write(read("errors"))
status = int(read("status"))
os.rename(turn, f"{{place}}/played/{{turns[0]}}")
sys.exit(status)
"""


class Turn(NamedTuple):
    """One call: the words it must have, one string split at blanks or a list, and what is answered."""

    argv: str | list[str]
    status: int = 0
    output: str = ""
    errors: str = ""

    @property
    def words(self) -> list[str]:
        return self.argv.split(" ") if isinstance(self.argv, str) else self.argv


class Played:
    """A host on which only some programs are."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = place / "root"
        self.path = place / "path"
        for directory in ("turns", "played"):
            (self.path / directory).mkdir(parents=True)
        self.recorded = 0
        monkeypatch.setenv("PATH", str(self.path))
        monkeypatch.setattr("host.systems.tools.SYSTEM_TOOLS", "/nonexistent")
        monkeypatch.setattr("host.systems.tools.LOCK_PAUSE", 0.0)

    def has(self, *programs: str) -> None:
        for program in programs:
            (self.path / program).write_text(PLAYER.format(python=sys.executable))
            (self.path / program).chmod(0o755)

    def writes(self, path: str, text: str = "", mode: int = 0o644) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def records(self, *turns: Turn) -> None:
        for turn in turns:
            self.recorded += 1
            place = self.path / "turns" / str(self.recorded)
            place.mkdir()
            (place / "argv").write_text("\n".join(turn.words))
            (place / "output").write_text(turn.output)
            (place / "errors").write_text(turn.errors)
            (place / "status").write_text(str(turn.status))

    def asks(self, words: str, *turns: Turn) -> Reply | tuple[int, str]:
        """Ask for an action, which must take all turns; its reply, or an error's status and sentence."""
        self.records(*turns)
        answer: Reply | tuple[int, str]
        try:
            answer = perform(Tools(str(self.root), patience=60.0), words.split(" "))
        except CwError as error:
            answer = error.status, str(error)
        assert not list((self.path / "turns").iterdir()), answer
        return answer
