"""Runs admitted commands: what is `pure` in a thread, anything else in a child of the spawner; never a hang.

Each runs under limits, can be stopped, and ends as exactly one Outcome, whatever its image or its child does.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence

import trio

from host.local import Local
from host.usage import Ceiling
from mesh.admission import FAULT, Admit
from net.spawner import Spawner
from roles import workplace
from roles.workplace import FRAME, Frame
from vm.host import Host
from vm.machine import Limits, Outcome, run
from vm.opcodes import Effect
from vm.verifier import verify

OVERRUN = 124
KILLED = b"killed: run time\n"
"""Exit status and last error line of a command that overran its time (mesh.md "Who answers")."""
LAST_WORDS = 1.0
"""Seconds that a command has to notice that its time is up, and then, told, to say what it has so far."""
LIMIT = 60.0
"""Seconds after its run time at which a child is killed even if nobody asks the spawner for it."""
LOGGED = 100
"""Lines that one command may log."""
OVERHEAD = 4096
"""Bytes of a child's last frame that are not output."""
CANCELLED = "cancelled"
"""The fault of a machine that was told to stop."""
DIED = "the process that starts commands died"


class Stop:
    """A wish that a command stop. Threads may look at `asked`."""

    def __init__(self) -> None:
        self.asked = False
        self._event = trio.Event()

    def ask(self) -> None:
        """Make the wish."""
        self.asked = True
        self._event.set()

    async def wait(self) -> None:
        """Until it is made."""
        await self._event.wait()


class _Terse(Local):
    """The host of one run, which logs no more than one may, whether it runs here or in a child."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._logged = 0

    def facts(self) -> Mapping[str, str]:
        return self._host.facts()

    def acls(self) -> Sequence[str]:
        return self._host.acls()

    def log(self, level: str, text: str) -> None:
        self._logged += 1
        if self._logged <= LOGGED:
            self._host.log(level, text)


class _Child:
    """What is known of one child of the spawner."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.overrun = False
        self.status: int | None = None
        self.ended = trio.Event()


class Runner:
    """Where a node's commands run; `watch` must run as long as they do."""

    def __init__(self, spawner: Spawner, threads: int) -> None:
        self._spawner = spawner
        self._threads = trio.CapacityLimiter(threads)
        self._children: dict[int, _Child] = {}
        self._dead = trio.Event()

    @property
    def dead(self) -> bool:
        """Whether the spawner has died."""
        return self._dead.is_set()

    async def watch(self) -> None:
        """Hear how children ended, until the spawner has died. Then nothing can run here any more."""
        async for number, status in self._spawner.ends():
            if child := self._children.get(number):
                child.status = status
                child.ended.set()
        self._dead.set()

    async def run(self, admitted: Admit, limits: Limits, host: Host, stop: Stop) -> Outcome:
        """Run an admitted image to its end, within `limits`."""
        host = _Terse(host)
        if admitted.effect is Effect.PURE:
            try:
                return await trio.to_thread.run_sync(
                    _sheltered, admitted, limits, host, stop, limiter=self._threads
                )
            except RuntimeError as error:  # the host has no thread left (threading.Thread.start)
                return failed(f"cannot run: {error}")
        task = workplace.Task.of(admitted, limits, host)
        try:
            ceiling = Ceiling(limits.memory, limits.processes)
            number, ours = self._spawner.start(limits.seconds + LIMIT, ceiling)
        except OSError as error:
            return failed(DIED if self.dead else f"cannot run: {error.strerror}")
        self._children[number] = child = _Child(number)
        try:
            return await self._run_in_child(child, ours, task, host, stop)
        finally:
            del self._children[number]

    async def _run_in_child(
        self, child: _Child, ours: socket.socket, task: workplace.Task, host: Host, stop: Stop
    ) -> Outcome:
        outcome: Outcome | None = None
        channel = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
        async with channel:
            async with trio.open_nursery() as watchers:
                scope = watchers.cancel_scope
                watchers.start_soon(self._heed, child, stop, scope)
                watchers.start_soon(self._keep_time, child, task.limits.seconds, scope)
                watchers.start_soon(self._mourn, scope)
                outcome = await _converse(channel, task, host)
                scope.cancel()
            if outcome is not None and outcome.fault and task.run_as:
                # What it has started may have become root: only the spawner can end that.
                self._spawner.kill(child.number)
                await self._end_of(child)
        if outcome is None:
            outcome = await self._obituary(child, stop)
            self._spawner.kill(child.number)
        late = child.overrun and not stop.asked and outcome.fault == CANCELLED
        return overran(outcome) if late else outcome

    async def _heed(self, child: _Child, stop: Stop, scope: trio.CancelScope) -> None:
        await stop.wait()
        await self._end(child, scope)

    async def _keep_time(self, child: _Child, seconds: float, scope: trio.CancelScope) -> None:
        """The machine minds its time itself, except where it waits for something: so this comes later."""
        await trio.sleep(seconds + LAST_WORDS)
        child.overrun = True
        await self._end(child, scope)

    async def _end(self, child: _Child, scope: trio.CancelScope) -> None:
        """Ask, then kill, then give up: the kernel does not kill what hangs in some system calls."""
        for end in (self._spawner.stop, self._spawner.kill):
            end(child.number)
            await trio.sleep(LAST_WORDS)
        scope.cancel()

    async def _mourn(self, scope: trio.CancelScope) -> None:
        await self._dead.wait()
        scope.cancel()

    async def _obituary(self, child: _Child, stop: Stop) -> Outcome:
        """The outcome of a child that did not tell its own."""
        if child.overrun:
            return Outcome(OVERRUN, b"", KILLED, False, KILLED.decode().strip())
        if stop.asked:
            return failed(CANCELLED)
        if self._dead.is_set():
            return failed(DIED)
        await self._end_of(child)
        return failed(f"the process that ran it ended without an answer ({_how(child.status)})")

    async def _end_of(self, child: _Child) -> None:
        with trio.move_on_after(LAST_WORDS):
            await child.ended.wait()


def overran(outcome: Outcome) -> Outcome:
    """What a machine told that was stopped because its time was up: it had begun to count later than we."""
    before, newline, _ = outcome.error_output.removesuffix(b"\n").rpartition(b"\n")
    error_output = before + newline + KILLED
    return outcome._replace(status=OVERRUN, error_output=error_output, fault=KILLED.decode().strip())


def failed(sentence: str) -> Outcome:
    """The outcome of a command that could not be carried out."""
    return Outcome(FAULT, b"", sentence.encode() + b"\n", False, sentence)


def _how(status: int | None) -> str:
    if status is None:
        return "nobody knows how"
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def _sheltered(admitted: Admit, limits: Limits, host: Host, stop: Stop) -> Outcome:
    """In a thread: a fault of the machine's own must end the agent no more than one in a child does."""
    try:
        program = admitted.program or verify(admitted.image)
        return run(program, admitted.arguments, host, limits, lambda: stop.asked)
    except Exception as error:  # noqa: BLE001 - whatever a machine with a fault in it may raise
        return failed(f"internal error: {type(error).__name__}")


async def _converse(channel: trio.SocketStream, task: workplace.Task, host: Host) -> Outcome | None:
    """Give a child its task and hear it out; None if it ends, or talks nonsense, without an outcome."""
    try:
        await channel.send_all(workplace.encode(task))
        while head := await _exactly(channel, FRAME.size):
            kind, length = FRAME.unpack(head)
            if length > task.limits.output + OVERHEAD:  # the two outputs and the log share one limit
                return None
            body = await _exactly(channel, length)
            if kind == Frame.OUTCOME:
                return workplace.decode_outcome(body)
            host.log(*workplace.decode_line(body))
    except (trio.BrokenResourceError, workplace.Nonsense):
        return None
    return None


async def _exactly(channel: trio.SocketStream, length: int) -> bytes:
    """That many bytes, or b"" if the channel ends before."""
    received = bytearray()
    while len(received) < length:
        some = await channel.receive_some(length - len(received))
        if not some:
            return b""
        received += some
    return bytes(received)
