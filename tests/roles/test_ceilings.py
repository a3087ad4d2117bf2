"""What uses too much is ended with all that it has started, and its command says which limit that was."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import trio

from mesh.admission import Admit
from tests.accounts import account
from tests.roles.runners import AMPLE, STUBBORN, WORK, Holding, Pipe, Place, holding, place
from vm.machine import Outcome

MEBIBYTE = 1 << 20
NARROW = AMPLE._replace(memory=128 * MEBIBYTE, processes=60)

SAY = "print('so far', flush=True)\n"

HOG = f"""
{SAY}
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if not os.fork():
    os.setsid()
    if os.fork(): os._exit(0)
hoard = [b'x' * {8 * MEBIBYTE} for _ in range(64)]
signal.pause()
"""
"""Two who take memory, one of them out of its group and its parent; no more of it than half a gigabyte."""

BOMB = f"""
{SAY}
tokens, left = os.pipe()
os.write(left, b'x' * 2000)
while os.read(tokens, 1):
    if not os.fork(): {{become}}
"""
"""Forks without end; but no more often than two thousand times, should nobody end it."""

THREADS = (
    "import threading\nfor _ in range({count}): threading.Thread(target=signal.pause, daemon=True).start()"
)

GREEDY = {
    "memory": (HOG, "limit: memory (134217728 bytes)"),
    "processes": (BOMB.format(become="pass"), "limit: processes (60)"),
    "processes in sessions of their own": (BOMB.format(become="os.setsid()"), "limit: processes (60)"),
    "threads": (
        f"{SAY}{THREADS.format(count=100)}\nsignal.pause()",
        "limit: processes (60)",
    ),
}


@contextmanager
def somebody(kind: str) -> Iterator[str]:
    """The user that a rule names."""
    if kind == "root":
        yield ""
    else:
        with account() as user:
            yield user.name


WAITING = """
os.write(held, b'x')
with open({path!r}) as go: print(go.readline(), end='', flush=True)
"""


@pytest.mark.parametrize("kind", ["root", "a user"])
@pytest.mark.parametrize("name", GREEDY)
async def test_who_uses_too_much_is_ended_with_all_that_it_has_started_and_nobody_else(
    name: str, kind: str, tmp_path: Path
) -> None:
    script, sentence = GREEDY[name]
    outcomes: list[Outcome] = []

    async def run(another: Place, admitted: Admit) -> None:
        outcomes.append(await another.run(admitted, NARROW))

    go = Pipe(tmp_path / "go")
    waiting = WAITING.format(path=str(go.path))
    with closing(go), somebody(kind) as user, holding(script) as greedy, holding(waiting) as other:
        async with place() as here:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run, here.another(), other.admitted)
                await other.began()
                outcome = await here.run(greedy.admitted._replace(run_as=user), NARROW)
                go.say("still here")
            await greedy.is_gone()
    assert (outcome.status, outcome.fault, outcome.output) == (125, sentence, b"so far\n")
    assert outcome.error_output.decode().startswith(f"fault: {sentence} at 0x")
    assert outcomes == [Outcome(0, b"still here\nwent on", b"", False, "")]


MODEST = f"""
import mmap
shared = mmap.mmap(-1, {32 * MEBIBYTE})
shared.write(b'y' * len(shared))
{THREADS.format(count=20)}
pids = [os.fork() or shared.find(b'x') and signal.pause() for _ in range(8)]
os.write(held, b'x')
with open({{path!r}}) as go: go.readline()
for pid in pids: os.kill(pid, signal.SIGKILL)
for pid in pids: os.wait()
os._exit(0)
"""
"""Nine processes have the same memory, which is there once, and twenty threads."""

COUNTED = f"""
from host import child
look = child.excess
def excess(*what):
    with open({{path!r}}, 'wb', 0) as looks: looks.write(b'x')
    return look(*what)
child.excess = excess
{WORK}
"""


async def test_who_uses_no_more_than_that_is_left_alone_however_often_it_is_looked_at(tmp_path: Path) -> None:
    go, looks = Pipe(tmp_path / "go"), Pipe(tmp_path / "looks")
    outcomes: list[Outcome] = []

    async def run(here: Place, admitted: Admit) -> None:
        outcomes.append(await here.run(admitted, NARROW))

    with closing(go), closing(looks), holding(MODEST.format(path=str(go.path))) as modest:
        async with place(COUNTED.format(path=str(looks.path))) as here, trio.open_nursery() as nursery:
            nursery.start_soon(run, here, modest.admitted)
            await modest.began()
            for _ in range(8):
                await looks.next()
            go.say("")
    assert outcomes == [Outcome(0, b"went on", b"", False, "")]


@contextmanager
def becoming_root() -> Iterator[str]:
    """A program that any user may start, and which starts another as root: what sudo does."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        program = Path(directory, "setpriv")
        shutil.copy("/usr/bin/setpriv", program)
        program.chmod(0o4755)
        yield f"{program} --reuid=0 --regid=0 --clear-groups"


async def stopped(here: Place, stubborn: Holding) -> None:
    await stubborn.began()
    here.stop.ask()


@pytest.mark.parametrize("end", ["cancelled", "out of time", "limit"])
async def test_nothing_survives_of_a_user_who_has_become_root(
    end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of theirs may not end it."""
    script = HOG if end == "limit" else f"os.setresuid(0, 0, 0)\n{STUBBORN}"
    seconds = 0.5 if end == "out of time" else 20
    with account() as user, becoming_root() as words, holding(script, words) as greedy:
        async with place(
            f"from host import programs; programs.GRACE = programs.REAPING = 0.02\n{WORK}"
        ) as here:
            async with trio.open_nursery() as nursery:
                if end == "cancelled":
                    nursery.start_soon(stopped, here, greedy)
                admitted = greedy.admitted._replace(run_as=user.name)
                outcome = await here.run(admitted, NARROW._replace(seconds=seconds))
            await greedy.is_gone()
    sentences = {
        "cancelled": "cancelled",
        "out of time": "limit: seconds (0.5)",
        "limit": GREEDY["memory"][1],
    }
    assert outcome.fault == sentences[end]
