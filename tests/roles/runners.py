"""A runner with a real spawner, for tests: what it runs, it runs as an agent does."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Self

import trio

from host.local import Local
from mesh.admission import Admit
from net.spawner import Spawner
from roles.runner import Runner, Stop
from tests.conftest import CHECKOUT
from vm.assembler import assemble
from vm.effects import effect_of
from vm.machine import Limits, Outcome
from vm.verifier import verify

AMPLE = Limits(instructions=10**12)
PATIENCE = 30
"""Seconds after which a test that waits has failed."""

SCRIPT = """
import json, os, signal, socket, sys, time
from host.itself import archive
from net.spawner import serve
%s
ours = archive()
serve(socket.socket(fileno=%d), work, () if ours is None else (ours,))
"""
FROM_FILE = """
import marshal, sys, types, zipimport
file, script = sys.argv[1:]
sys.argv[:] = [file]
sys.path.insert(0, file)
tag = sys.implementation.cache_tag
loader = zipimport.zipimporter(file)
boot = {"__name__": "boot"}
exec(marshal.loads(loader.get_data(f"{file}/python/{tag}/boot.pyc")[16:]), boot)
cw = types.SimpleNamespace(main=lambda: exec(script, {}))
boot["importlib"] = types.SimpleNamespace(import_module=lambda _: cw)
boot["start"](file, tag, loader.get_data(f"{file}/python/{tag}/index"))
"""
"""Starts the one file as it starts itself, to run a script instead of cw."""

WORK = "from roles.workplace import work"


class Host(Local):
    """A host with two facts, which remembers what is logged."""

    def __init__(self) -> None:
        self.logged: list[tuple[str, str]] = []
        self.heard = trio.Event()

    def facts(self) -> Mapping[str, str]:
        return {"role": "web", "sys.fqdn": "web01.example.com"}

    def acls(self) -> Sequence[str]:
        return ["allow alice ALL"]

    def log(self, level: str, text: str) -> None:
        self.logged.append((level, text))
        self.heard.set()


class Place:
    """A runner with the spawner that it uses."""

    def __init__(self, runner: Runner, spawner: subprocess.Popen[bytes], control: socket.socket) -> None:
        self.runner = runner
        self.spawner = spawner
        self.control = control
        self.host = Host()
        self.stop = Stop()

    def another(self) -> Self:
        """The same place for a command that nobody has stopped."""
        return type(self)(self.runner, self.spawner, self.control)

    async def run(self, admitted: Admit, limits: Limits = AMPLE) -> Outcome:
        return await self.runner.run(admitted, limits, self.host, self.stop)


@contextmanager
def spawned(work: str, cw: Path | None) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        script = SCRIPT % (work, theirs.fileno())
        how = ["-c", script] if cw is None else ["-ISBc", FROM_FILE, str(cw), script]
        with subprocess.Popen(
            [sys.executable, *how],
            pass_fds=[theirs.fileno()],
            cwd=CHECKOUT,
            stderr=subprocess.DEVNULL,
        ) as spawner:
            theirs.close()
            try:
                yield spawner, ours
            finally:
                spawner.kill()


@asynccontextmanager
async def place(work: str = WORK, cw: Path | None = None) -> AsyncIterator[Place]:
    """A runner, its spawner out of the checkout or out of a one file."""
    with spawned(work, cw) as (spawner, control), trio.fail_after(PATIENCE):
        made = Runner(Spawner(spawner.pid, control), 2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.watch)
            yield Place(made, spawner, control)
            nursery.cancel_scope.cancel()


def program(body: str, *arguments: str) -> Admit:
    """An admitted program with this body."""
    image = assemble(f"fn main\n{body}\nret\n", "test", lambda _: None)
    verified = verify(image)
    return Admit(image, verified, effect_of(verified), ("test", *arguments), True)


STUBBORN = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if not os.fork():
    os.setsid()
    if os.fork(): os._exit(0)
    os.write(held, b'x')
    signal.pause()
signal.pause()
"""
"""Leaves its group and its parent, and heeds nothing."""

PYTHON = "/usr/bin/python3"
"""One that any user may run."""


class Pipe:
    """A pipe with a name, for anybody to write to and to read from; what this has of it never blocks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        path.chmod(0o666)
        self._end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._ours = os.open(path, os.O_WRONLY)  # so that the pipe has not ended before it begins

    async def next(self) -> bytes:
        """The next byte; none if nobody could write one any more."""
        while True:
            await trio.lowlevel.wait_readable(self._end)
            try:
                return os.read(self._end, 1)
            except BlockingIOError:
                continue

    def say(self, line: str) -> None:
        """Let who reads it read that."""
        os.write(self._ours, f"{line}\n".encode())

    async def is_gone(self) -> None:
        """Nobody else can write to it any more."""
        os.close(self._ours)
        self._ours = -1
        while await self.next():
            pass

    def close(self) -> None:
        for descriptor in {self._end, self._ours} - {-1}:
            os.close(descriptor)


class Holding(Pipe):
    """A Python program that has a pipe open as `held`, as has all that it starts."""

    def __init__(self, directory: Path, script: str, *words: str) -> None:
        super().__init__(directory / "pipe")
        begin = f"import os, signal, sys\nheld = os.open({str(self.path)!r}, os.O_WRONLY)\n"
        (directory / "script").write_text(begin + script)
        line = " ".join((*words, PYTHON, "-ISB", str(directory / "script")))
        self.admitted = program(f'system "{line}" print "went on"')

    async def began(self) -> None:
        """It has written a byte there."""
        assert await self.next() == b"x"


@contextmanager
def holding(script: str, *words: str) -> Iterator[Holding]:
    """One where any user may read it and write to its pipe; `words` come before it, to start it."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        with closing(Holding(Path(directory), script, *words)) as held:
            yield held
