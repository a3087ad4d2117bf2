"""The line that says how far a request is: when it is shown, how often, and that nothing is left of it."""

import fcntl
import os
import pty
import struct
import termios
from collections.abc import Iterator

import pytest

from mesh.printing import Tally
from roles.progress import PACE, PATIENCE, Progress

COLUMNS = 30


class Screen:
    """A terminal of so many columns that is nobody's own, and a clock that stands still."""

    def __init__(self) -> None:
        self._ours, self.descriptor = pty.openpty()
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("4H", 24, COLUMNS, 0, 0))
        self.now = 1000.0

    def close(self) -> None:
        os.close(self._ours)
        os.close(self.descriptor)

    def progress(self, sessions: int = 10_000) -> Progress:
        return Progress(self.descriptor, sessions, lambda: self.now)

    def written(self) -> str:
        """What was written since this was last asked."""
        os.write(self.descriptor, b"\0")
        text = ""
        while not text.endswith("\0"):
            text += os.read(self._ours, 65536).decode()
        return text.removesuffix("\0")


@pytest.fixture
def screen() -> Iterator[Screen]:
    screen = Screen()
    yield screen
    screen.close()


def test_nothing_is_shown_of_what_is_over_at_once(screen: Screen) -> None:
    progress = screen.progress()
    assert progress.due == screen.now + PATIENCE
    screen.now += PATIENCE - 0.01
    progress.show(Tally(ok=1))
    progress.hide()
    assert screen.written() == ""


def test_it_is_shown_at_its_pace_and_only_when_it_changes(screen: Screen) -> None:
    progress = screen.progress()
    screen.now += PATIENCE
    progress.show(Tally(ok=1))
    assert screen.written() == "\r1 of 10,000 answered, 0 s\x1b[K"
    screen.now += PACE / 2
    progress.show(Tally(ok=2))
    assert screen.written() == ""
    screen.now = progress.due
    progress.show(Tally(ok=1))
    assert screen.written() == ""
    screen.now = progress.due
    progress.show(Tally(ok=1233, failed=1))
    assert screen.written() == "\r1,234 of 10,000 answered, 1 f\x1b[K"  # one column is the cursor's


def test_it_leaves_nothing_and_comes_back(screen: Screen) -> None:
    progress = screen.progress(3)
    screen.now += PATIENCE
    progress.show(Tally(ok=1))
    progress.hide()
    assert screen.written() == "\r1 of 3 answered, 0 s\x1b[K\r\x1b[K"
    progress.hide()
    assert screen.written() == ""
    screen.now = progress.due
    progress.show(Tally(ok=1))
    assert screen.written() == "\r1 of 3 answered, 0 s\x1b[K"


def test_at_most_ten_are_shown_a_second(screen: Screen) -> None:
    progress = screen.progress()
    for number in range(1000):
        screen.now += 0.002
        progress.show(Tally(ok=number))
    assert screen.written().count("\r") <= 2 / PACE
