"""Commands run in threads and in children, with every way in which a child can fail to answer."""

import errno
import os

import pytest
import trio
import trio.testing

from mesh.admission import Admit
from mesh.command import parse
from mesh.images import image_of
from roles import runner
from roles.runner import KILLED, LOGGED, OVERRUN
from tests.roles.runners import AMPLE, Place, place, program
from vm.machine import Outcome
from vm.opcodes import Effect

BRIEF = AMPLE._replace(seconds=0.05)


def verb(*words: str) -> Admit:
    command = parse(words)
    own = image_of(command.verb)
    return Admit(own.image, own.program, own.effect, ("mesh", *command.arguments), True)


ENDLESS = 'again: print "x" jmp again'
READING = 'fact.get "role" %a\n'
"""What makes a program run in a child."""

in_both = pytest.mark.parametrize("reading", ["", READING], ids=["thread", "child"])


@pytest.mark.parametrize(
    ("words", "effect", "output"),
    [
        (("ping",), Effect.PURE, b"pong\n"),
        (("show", "version"), Effect.PURE, b"0.1.0\n"),
        (("show", "acls"), Effect.PURE, b"allow alice ALL\n"),
        (("show", "facts"), Effect.READS, b"role=web\nsys.fqdn=web01.example.com\n"),
        (("show", "fact", "role"), Effect.READS, b"role=web\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_verbs(words: tuple[str, ...], effect: Effect, output: bytes) -> None:
    admitted = verb(*words)
    assert admitted.effect is effect
    async with place() as here:
        assert await here.run(admitted) == Outcome(0, output, b"", False, "")


@in_both
async def test_status_error_output_and_log_come_back(reading: str) -> None:
    body = reading + 'error "wrong"\nsyslog "warning" "look"\nretv 7'
    async with place() as here:
        assert await here.run(program(body)) == Outcome(7, b"", b"wrong\n", False, "")
        assert here.host.logged == [("warning", "look")]


@in_both
async def test_a_fault_is_an_outcome(reading: str) -> None:
    async with place() as here:
        outcome = await here.run(program(reading + 'print "so far"\nset %b 0\ndiv %a %b'))
        assert (outcome.status, outcome.output) == (125, b"so far")
        assert "zero" in outcome.fault


@in_both
async def test_output_is_cut_and_the_program_goes_on(reading: str) -> None:
    body = reading + 'set %b 1000\nagain: print "0123456789"\nsub %b 1\neq %b 0\njnz again\nretv 3'
    async with place() as here:
        assert await here.run(program(body), AMPLE._replace(output=55)) == Outcome(
            3, b"0123456789" * 5 + b"01234", b"", True, ""
        )


@in_both
async def test_a_command_is_stopped(reading: str) -> None:
    async with place() as here:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_soon, here)
            outcome = await here.run(program(reading + ENDLESS))
        assert (outcome.status, outcome.fault) == (125, "cancelled")


async def stop_soon(here: Place) -> None:
    here.stop.ask()


@in_both
async def test_a_command_overruns_its_time(reading: str) -> None:
    async with place() as here:
        outcome = await here.run(program(reading + ENDLESS), BRIEF)
        assert outcome.status == OVERRUN
        assert outcome.error_output.endswith(KILLED)
        assert outcome.output.startswith(b"xxx")


@in_both
async def test_what_runs_delays_neither_the_loop_nor_another_command(reading: str) -> None:
    async with place() as here, trio.open_nursery() as nursery:
        nursery.start_soon(here.run, program(reading + ENDLESS))
        for words in (("ping",), ("show", "fact", "role")):
            other = here.another()
            assert (await other.run(verb(*words))).status == 0
        for _ in range(100):
            await trio.lowlevel.checkpoint()
        here.stop.ask()  # only now: so all of the above was done while it ran


async def test_what_is_stopped_because_its_time_is_up_was_not_cancelled(
    mock_clock: trio.testing.MockClock,
) -> None:
    """Its own clock begins with the machine; on a busy host that is late."""
    body = READING + 'error "so far"\nsyslog "info" "begun"\n' + ENDLESS
    outcomes: list[Outcome] = []

    async def run() -> None:
        outcomes.append(await here.run(program(body), AMPLE._replace(seconds=20)))

    async with place() as here:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await here.host.heard.wait()
            mock_clock.jump(20 + runner.LAST_WORDS)
        (outcome,) = outcomes
        assert (outcome.status, outcome.fault) == (OVERRUN, "killed: run time")
        assert outcome.error_output == b"so far\n" + KILLED


HEED_NOTHING = """
def work(channel):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1000)
"""


async def test_a_child_that_heeds_nothing_is_killed_when_its_time_is_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "LAST_WORDS", 0.05)
    async with place(HEED_NOTHING) as here:
        assert await here.run(program(READING), BRIEF) == Outcome(124, b"", KILLED, False, "killed: run time")


async def test_a_child_that_heeds_nothing_is_killed_when_it_is_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "LAST_WORDS", 0.05)
    async with place(HEED_NOTHING) as here:
        here.stop.ask()
        outcome = await here.run(program(READING))
        assert (outcome.status, outcome.fault) == (125, "cancelled")


BAD_CHILDREN = {
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
    "exits": ("os._exit(3)", "exit status 3"),
    "exits in the middle of a frame": ("channel.send(b'\\2\\0\\0'); os._exit(0)", "exit status 0"),
    "an endless frame": ("channel.send(b'\\2\\xff\\xff\\xff\\xff'); channel.recv(1)", "exit status 0"),
    "an outcome that is none": ("channel.send(b'\\2\\0\\0\\0\\1x'); channel.recv(1)", "exit status 0"),
    "lengths that lie": (
        "channel.send(b'\\2\\0\\0\\0\\x0d' + b'\\0' * 5 + b'\\xff' * 8); channel.recv(1)",
        "exit status 0",
    ),
    "an outcome longer than any": (
        "channel.send(b'\\2' + (600000).to_bytes(4, 'big')); channel.recv(1)",
        "exit status 0",
    ),
    "a line that is none": ("channel.send(b'\\1\\0\\0\\0\\1x'); channel.recv(1)", "exit status 0"),
}


@pytest.mark.parametrize("name", BAD_CHILDREN)
async def test_a_child_that_does_not_answer(name: str) -> None:
    script, how = BAD_CHILDREN[name]
    drained = "while not channel.recv(65536).endswith(b']'): pass"
    async with place(f"def work(channel):\n  {drained}\n  {script}") as here:
        outcome = await here.run(program(READING))
        assert outcome.status == 125
        assert outcome.error_output.endswith(b"\n")
        assert outcome.fault.startswith("the process that ran it ended without an answer")
        assert how in outcome.fault
        assert (await here.run(verb("ping"))).status == 0


@in_both
async def test_a_command_that_logs_without_end_is_not_heard_for_ever(reading: str) -> None:
    body = reading + f'set %b {LOGGED + 50}\nagain: syslog "info" "x"\nsub %b 1\neq %b 0\njnz again'
    async with place() as here:
        assert (await here.run(program(body), AMPLE._replace(seconds=20))).status == 0
        assert here.host.logged == [("info", "x")] * LOGGED


async def test_the_spawners_death_is_told_and_leaves_nobody_waiting() -> None:
    async with place(HEED_NOTHING) as here:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kill, here)
            outcome = await here.run(program(READING))
        assert outcome.status == 125
        assert "the process that starts commands died" in outcome.fault
        await here.runner.watch()
        assert here.runner.dead
        late = await here.run(program(READING))
        assert (late.status, late.fault) == (outcome.status, outcome.fault)
        assert (await here.run(verb("ping"))).status == 0


async def kill(here: Place) -> None:
    here.spawner.kill()


async def test_a_child_ends_with_the_spawner() -> None:
    """An endless program notices by itself that nobody is there any more: the pipe it holds is closed."""
    reading, writing = os.pipe()
    held = f"held = os.open('/proc/{os.getpid()}/fd/{writing}', os.O_WRONLY)"
    work = f"from roles import workplace\ndef work(channel):\n  {held}\n  workplace.work(channel)"
    async with place(work) as here, trio.lowlevel.FdStream(reading) as end:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.run, program(READING + 'syslog "info" "running"\n' + ENDLESS))
            await here.host.heard.wait()
            os.close(writing)
            here.spawner.kill()
        assert await end.receive_some() == b""


async def test_a_machine_with_a_fault_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Outcome:
        raise ZeroDivisionError("never said")

    monkeypatch.setattr(runner, "run", broken)
    async with place() as here:
        outcome = await here.run(verb("ping"))
        assert (outcome.status, outcome.fault) == (125, "internal error: ZeroDivisionError")


async def test_a_strangers_image_is_run_from_its_bytes() -> None:
    async with place() as here:
        pure = program('print "hello"')._replace(program=None)
        assert (await here.run(pure)).output == b"hello"


async def test_a_host_without_a_thread_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_thread(*_: object, **__: object) -> object:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("trio.to_thread.run_sync", no_thread)
    async with place() as here:
        outcome = await here.run(verb("ping"))
        assert (outcome.status, outcome.fault) == (125, "cannot run: can't start new thread")


async def test_a_host_without_a_descriptor_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_descriptor() -> object:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async with place() as here:
        with monkeypatch.context() as patched:
            patched.setattr("net.spawner.socket.socketpair", no_descriptor)
            outcome = await here.run(verb("show", "facts"))
        assert (outcome.status, outcome.fault) == (125, "cannot run: Too many open files")
        assert (await here.run(verb("show", "facts"))).status == 0


async def test_no_descriptor_stays() -> None:
    async with place() as here:
        await here.run(verb("show", "facts"))
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(10):
            await here.run(verb("show", "facts"))
        assert len(os.listdir("/proc/self/fd")) == before
