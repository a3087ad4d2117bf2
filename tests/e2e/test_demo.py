"""`cw demo` as a new user runs it: its whole story, and nothing left behind however it ends."""

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import PATIENCE, Finished, Process, until

WEB = ["web01", "web02", "web03"]
ALL = sorted([*WEB, "db01", "db02", "mail01"])


class Demo:
    """Runs `cw demo` with a temporary directory of its own, by which all that belongs to it is known."""

    def __init__(self, cw: tuple[str, ...], directory: Path) -> None:
        self.cw = cw
        self.directory = directory
        self.env = {"PATH": os.defpath, "TMPDIR": str(directory), "LC_ALL": "C.UTF-8"}
        self.records = directory.parent / f"{directory.name}-state"
        self.env["XDG_STATE_HOME"] = str(self.records)
        self.started: list[Process] = []

    def start(self, *words: str) -> Process:
        return self.run_as([*self.cw, "demo", *words])

    def run_as(self, words: list[str]) -> Process:
        process = Process(shlex.join(words), words, self.env, Path("/"))
        self.started.append(process)
        return process

    def finished(self, *words: str) -> Finished:
        return self.start(*words).finished()

    def processes(self) -> list[int]:
        """Those that have a file of the demo among their words."""
        mark = os.fsencode(self.directory)
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and mark in _words_of(entry)
        ]

    def leaves_nothing(self) -> bool:
        return not self.processes() and not list(self.directory.iterdir())


def _words_of(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:  # it has just ended
        return b""


@pytest.fixture
def demo(cw: tuple[str, ...], tmp_path: Path) -> Iterator[Demo]:
    demo = Demo(cw, tmp_path)
    try:
        yield demo
    finally:
        for process in demo.started:
            process.kill()
        for number in demo.processes():
            os.kill(number, signal.SIGKILL)


def answered(paragraph: str) -> list[str]:
    """The short names of the nodes that answered with status 0."""
    return sorted(re.findall(r"^(\w+)\.example\.com 0", paragraph, re.MULTILINE))


def test_the_story(demo: Demo) -> None:
    told = demo.finished()
    assert (told.status, told.errors) == (0, "")
    _, *paragraphs = told.output.removesuffix("\n\n").split("\n\n")
    commands = [shlex.split(paragraph.splitlines()[0]) for paragraph in paragraphs]
    assert all(words[:3] == ["$", "cw", "-c"] for words in commands)
    assert [words[4:] for words in commands] == [
        ["show", "version"],
        ["show", "version", "-w", "sys.fqdn=/^web/"],
        ["ping"],
        ["show", "facts", "-w", "role=db"],
        ["show", "acls", "for", "%wheel"],
        ["show", "acls"],
    ]
    assert [answered(paragraph) for paragraph in paragraphs] == [ALL, WEB, ALL, ["db01", "db02"], [], ALL]
    assert [paragraph.splitlines()[-2:] for paragraph in paragraphs] == [
        ["6 answered: 6 ok", "status 0"],
        ["3 answered: 3 ok; 3 opted out", "status 0"],
        ["6 answered: 6 ok", "status 0"],
        ["2 answered: 2 ok; 4 opted out", "status 0"],
        ["0 answered; 6 denied", "status 3"],
        ["6 answered: 6 ok", "status 0"],
    ]
    assert not demo.records.exists()
    assert paragraphs[3].count("\n    role=db\n") == 2
    assert demo.leaves_nothing()


ENDINGS = [
    ("a broker and 6 agents", signal.SIGTERM, 143),
    (r"^\$ cw ", signal.SIGINT, 130),
    (r"^\$ cw .* ping$", signal.SIGTERM, 143),
    ("^status 3", signal.SIGHUP, 129),
]


@pytest.mark.parametrize(("moment", "number", "status"), ENDINGS)
def test_a_signal_ends_all_of_it(demo: Demo, moment: str, number: int, status: int) -> None:
    running = demo.start()
    running.wait_for_output(moment)
    running.signal(number)
    ended = running.finished()
    assert (ended.status, ended.errors) == (status, "")
    assert demo.leaves_nothing()


def test_nobody_reads_on(demo: Demo) -> None:
    line = f"{shlex.join(demo.cw)} demo | head -n 1"
    head = demo.run_as(["bash", "-o", "pipefail", "-c", line]).finished()
    assert head.status == 141
    assert demo.leaves_nothing()


def test_an_agent_that_dies_is_told_and_nothing_stays(demo: Demo) -> None:
    running = demo.start()
    running.wait_for_output("a broker and 6 agents")
    while not demo.processes():  # the first of the demo's own
        assert "$ cw" not in running.log
    os.kill(demo.processes()[0], signal.SIGKILL)
    ended = running.finished()
    assert ended.status == 1
    assert re.fullmatch(r"cw: .+ (ended with status|expected status).*\n", ended.errors)
    assert demo.leaves_nothing()


def test_kept_it_can_be_asked_and_changed_and_stopped_as_it_says(demo: Demo) -> None:
    kept = demo.finished("--keep")
    assert (kept.status, kept.errors) == (0, "")
    told = dict(re.findall(r"^([^:\n]+): +(.+)$", kept.output, re.MULTILINE))
    use = shlex.split(told["use it"])
    assert answered(demo.run_as(_runnable(demo, use)).finished().output) == ["db01", "db02"]

    changed = re.fullmatch(r"edit (\S+); (kill .+; )(\S+)( cogd .+)", told["change it"])
    assert changed is not None
    configuration = Path(changed[1])
    configuration.write_text(configuration.read_text().replace('role = "web"', 'role = "db"'))
    log = Path(told["its logs"].replace("*", "web01"))
    log.unlink()
    in_shell(changed[2] + shlex.join(_runnable(demo, [changed[3]])) + changed[4])
    until(lambda: log.exists() and "cogd: connected to " in log.read_text(), "started again")
    assert answered(demo.run_as(_runnable(demo, use)).finished().output) == ["db01", "db02", "web01"]

    in_shell(told["stop it"])
    assert demo.leaves_nothing()


def in_shell(line: str) -> None:
    """Run what the demo says, as its user would; nothing is to be complained of."""
    ended = subprocess.run(["sh", "-c", line], check=True, timeout=PATIENCE, capture_output=True)
    assert (ended.stdout, ended.stderr) == (b"", b"")


def _runnable(demo: Demo, words: list[str]) -> list[str]:
    """The words, run by the tests' own interpreter whatever the file's first line finds."""
    return [*demo.cw, *words[1:]] if words[0] == demo.cw[-1] else words
