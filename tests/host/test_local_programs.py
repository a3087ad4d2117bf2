"""Programs run for real: who they are, what they find, what becomes of what they write, and how they end."""

import errno
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conf.version import VERSION
from host import programs
from host.descendants import below
from host.programs import LONGEST, NAME, NO_GROUP, NO_ID, WORDS, LocalPrograms
from tests.conftest import CHECKOUT
from vm.host.programs import Order

PATH = {b"PATH": b"/usr/bin:/bin"}
PYTHON = "/usr/bin/python3"
"""One that nobody may run too."""

NOBODY = 65_534
UNKNOWN = 54_321


class Done(Exception):
    """What a test raises where the machine raises a Fault."""


def ran(*words: str, line: str = "", heed: Callable[[], None] = lambda: None, **changes: Any) -> "Ran":
    """A program, or a shell line, run to its end."""
    given = words or ("/bin/sh", "-c", line)
    order = Order(tuple(word.encode() for word in given), PATH)._replace(**changes)
    result = Ran()
    result.status = LocalPrograms().run(order, result.output.extend, result.errors.extend, heed)
    return result


class Ran:
    """What came of it."""

    def __init__(self) -> None:
        self.status = -1
        self.output = bytearray()
        self.errors = bytearray()

    @property
    def text(self) -> str:
        """What it wrote on its standard output."""
        return self.output.decode()


STATUSES = [
    ("true", 0),
    ("exit 7", 7),
    ("exit 255", 255),
    ("kill -9 $$", 137),
    ("kill -TERM $$", 143),
    ("no-such-program", 127),
    ("/etc/passwd", 126),
]


@pytest.mark.parametrize(("line", "status"), STATUSES)
def test_statuses(line: str, status: int) -> None:
    assert ran(line=line).status == status


def test_outputs_come_apart_and_whole() -> None:
    result = ran(line="echo one; echo two >&2; seq 1 60000; printf end")
    assert result.text == "one\n" + "".join(f"{n}\n" for n in range(1, 60_001)) + "end"
    assert result.errors == b"two\n"


def test_words_are_no_shell_line() -> None:
    words = ("", "two words", "$(id)", "'", '"', "*", "-x", "\n", "é", "; false")
    assert ran("printf", "<%s>", *words).text == "".join(f"<{word}>" for word in words)


def test_a_program_is_looked_up_on_the_path_of_its_own_environment(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("#!/bin/sh\necho mine\n")
    (tmp_path / "mine").chmod(0o755)
    assert ran("mine", environment={b"PATH": os.fsencode(tmp_path)}).text == "mine\n"
    with pytest.raises(FileNotFoundError):
        ran("mine")


def test_words_for_this_very_cw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(CHECKOUT / "cw.py")])
    assert ran("--version", of_cw=True).text == f"cw {VERSION}\n"


NOT_STARTED: list[tuple[dict[str, Any], int]] = [
    ({"words": (b"no-such-program",)}, errno.ENOENT),
    ({"words": (b"/no/such/program",)}, errno.ENOENT),
    ({"words": (b"/etc/passwd",)}, errno.EACCES),
    ({"words": (b"/etc",)}, errno.EACCES),
    ({"words": ()}, errno.EINVAL),
    ({"words": (b"echo", b"a\0b")}, errno.EINVAL),
    ({"words": (b"ec\0ho",)}, errno.EINVAL),
    ({"environment": {b"A": b"x\0y"}}, errno.EINVAL),
    ({"words": (b"echo", b"x" * 200_000)}, errno.E2BIG),
    ({"words": (b"echo", *[b"x" * 100_000] * 70)}, errno.E2BIG),
    ({"words": (b"echo", b"x" * WORDS)}, errno.E2BIG),
    ({"environment": {b"PATH": b"/:" * LONGEST}}, errno.E2BIG),
    ({"words": (b"x" * (NAME + 1),)}, errno.ENAMETOOLONG),
    ({"words": (b"x" * NAME,), "environment": {b"PATH": b"/:" * (LONGEST // 2)}}, errno.ENOENT),
    ({"user": NO_ID}, errno.EINVAL),
    ({"group": NO_ID}, errno.EINVAL),
    ({"user": NO_ID, "group": 0}, errno.EINVAL),
]


@pytest.mark.parametrize(("changes", "number"), NOT_STARTED)
def test_what_cannot_be_started(changes: dict[str, Any], number: int) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError) as caught:
        ran("echo", **changes)
    assert caught.value.errno == number
    assert os.listdir("/proc/self/fd") == before


def ids(user: int, group: int, *groups: int) -> list[list[int]]:
    return [[user] * 4, [group] * 4, sorted(groups)]


def found(**changes: Any) -> list[list[int]]:
    """Real, effective, saved and file system ids, as the kernel has them, and the groups."""
    lines = ran("grep", "-E", "^(Uid|Gid|Groups):", "/proc/self/status", **changes).text.splitlines()
    rows = [[int(word) for word in line.split()[1:]] for line in lines]
    return [*rows[:2], sorted(rows[2])]


def test_every_id_is_changed_and_the_groups_too() -> None:
    nobody = pwd.getpwuid(NOBODY)
    groups = os.getgrouplist(nobody.pw_name, nobody.pw_gid)
    assert found(user=NOBODY) == ids(NOBODY, nobody.pw_gid, *groups)
    assert found(user=NOBODY, group=4) == ids(NOBODY, 4, *os.getgrouplist(nobody.pw_name, 4))
    assert found(group=NOBODY) == ids(0, NOBODY)
    assert found(user=UNKNOWN) == ids(UNKNOWN, NO_GROUP)
    assert found(user=UNKNOWN, group=7) == ids(UNKNOWN, 7)
    assert "uid=65534(nobody)" in ran("id", user=NOBODY).text


def test_there_is_no_way_back() -> None:
    back = (
        "import os\nfor call in (os.setuid, os.seteuid):\n try: call(0)\n except OSError as e: print(e.errno)"
    )
    assert ran(PYTHON, "-ISBc", back, user=NOBODY).text == f"{errno.EPERM}\n" * 2
    assert ran(line="cat /etc/shadow", user=NOBODY).status != 0


NO_ROOT = """
import os
from host.programs import LocalPrograms
from vm.host.programs import Order

def run(*ids):
    try:
        return LocalPrograms().run(Order((b"true",), {}, *ids), print, print, lambda: None)
    except OSError as error:
        return error.errno

LocalPrograms().run(Order((b"true",), {}, 65534), print, print, lambda: None)
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
print(run(), run(65534), run(65534, 65534), run(0), run(1), run(None, 0))
"""


def test_who_is_not_root_can_be_nobody_else() -> None:
    words = [sys.executable, "-c", NO_ROOT]
    result = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert result.stderr == ""
    assert result.stdout == f"0 0 0 {errno.EPERM} {errno.EPERM} {errno.EPERM}\n"


def test_it_finds_its_environment_and_nothing_else_of_ours() -> None:
    os.environ["CW_TEST_OURS"] = "x"
    try:
        result = ran("env", environment={b"PATH": b"/usr/bin:/bin", b"A": b"b=c", b"\xff": b""})
    finally:
        del os.environ["CW_TEST_OURS"]
    assert sorted(result.output.splitlines()) == [b"A=b=c", b"PATH=/usr/bin:/bin", b"\xff="]


def test_its_mask_place_input_session_and_descriptors() -> None:
    with open("/dev/null") as held:
        os.set_inheritable(held.fileno(), True)
        result = ran(line="umask; pwd; cat; ls /proc/self/fd | tr '\\n' ' '", umask=0o27)
    assert result.text == "0027\n/\n0 1 2 3 "
    own = "import os; print(os.getpid() == os.getsid(0) == os.getpgrp())"
    assert ran(sys.executable, "-ISBc", own).text == "True\n"
    assert ran(line="exec </dev/tty").status != 0


def test_signals_are_as_a_program_expects_them() -> None:
    """Python ignores SIGPIPE; a program that wrote on would never end."""
    lines = ran("grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status").text.split()
    assert int(lines[1], 16) == 0
    assert not int(lines[3], 16) & 1 << signal.SIGPIPE - 1
    assert ran(line="yes | head -1").text == "y\n"


class Enough:
    """Lets a program go on until it has said so."""

    def __init__(self) -> None:
        self.output = bytearray()

    def heed(self) -> None:
        if b"ready" in self.output:
            raise Done


STUBBORN = "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
SAY = "os.write(1, b'ready'); signal.pause()"
ENDLESS = {
    "obedient": "import os, signal; " + SAY,
    "stubborn": STUBBORN + SAY,
    "with a child": STUBBORN + "os.fork() or signal.pause();" + SAY,
    "with a child in another group": STUBBORN + "os.fork() or (os.setpgid(0, 0), signal.pause());" + SAY,
    "with one that left it": STUBBORN
    + "\nif not os.fork():\n os.setsid()\n if os.fork(): os._exit(0)\n "
    + SAY
    + "\nsignal.pause()",
    "who only left somebody in its pipes": STUBBORN + "\nif os.fork():\n signal.pause()\nos.setsid(); " + SAY,
    "of somebody else": STUBBORN + SAY,
}


@pytest.mark.parametrize("name", ENDLESS)
def test_nothing_is_left_of_what_is_ended(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "GRACE", 0.02)
    before, descriptors = set(below(os.getpid())), os.listdir("/proc/self/fd")
    enough = Enough()
    words = tuple(word.encode() for word in (PYTHON, "-ISBc", ENDLESS[name]))
    order = Order(words, {}, user=NOBODY if name == "of somebody else" else None)
    with pytest.raises(Done):
        LocalPrograms().run(order, enough.output.extend, print, enough.heed)
    assert set(below(os.getpid())) == before
    assert os.listdir("/proc/self/fd") == descriptors


def test_it_may_end_in_its_own_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "GRACE", 30.0)
    enough = Enough()
    line = f"trap 'echo bye >{tmp_path}/told; exit' TERM; printf ready; while :; do sleep 0.01; done"
    with pytest.raises(Done):
        LocalPrograms().run(
            Order((b"/bin/sh", b"-c", line.encode()), PATH), enough.output.extend, print, enough.heed
        )
    assert (tmp_path / "told").read_text() == "bye\n"


def test_what_a_sink_raises_ends_it_too() -> None:
    def full(piece: bytes) -> None:
        raise Done

    before = set(below(os.getpid()))
    with pytest.raises(Done):
        LocalPrograms().run(Order((b"yes",), PATH), full, full, lambda: None)
    assert set(below(os.getpid())) == before


def test_who_goes_on_writing_does_not_hold_us() -> None:
    """A program ends and leaves another behind, which lives on, and has our pipe."""
    result = ran(line="sleep 1000 & echo $!")
    left = int(result.text)
    os.kill(left, 0)
    os.kill(left, signal.SIGKILL)
    os.waitpid(left, 0)
    writer = "echo $$ >&2; echo x; kill -USR1 $PPID; while echo x; do :; done"
    result = ran(line=f"trap 'exit 0' USR1; sh -c '{writer}' & while :; do sleep 0.01; done")
    assert result.text.startswith("x\n")
    os.waitpid(int(result.errors.split()[0]), 0)  # its pipe is closed, and nobody ignores SIGPIPE


def test_a_daemon_lives_on_and_is_reaped_when_it_ends(tmp_path: Path) -> None:
    place = LocalPrograms()
    said = bytearray()

    def run(line: str) -> int:
        return place.run(Order((b"/bin/sh", b"-c", line.encode()), PATH), said.extend, print, lambda: None)

    assert run("setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!") == 0
    daemon = int(said)
    os.kill(daemon, 0)
    with pytest.raises(Done):
        place.run(Order((b"yes",), PATH), raising, print, lambda: None)
    os.kill(daemon, 0)  # the end of another is not its own
    assert run(f"kill -9 {daemon}") == 0
    while Path(f"/proc/{daemon}").exists():
        assert run("true") == 0


def raising(_piece: bytes) -> None:
    raise Done
