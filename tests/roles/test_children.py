"""Daemons and the process that started them: none outlives it, whatever ends it."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from roles import children, demo
from roles.children import ChildFailed, Children, Stopped

READY = "import sys, time; print('ready', file=sys.stderr, flush=True); time.sleep(1000)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY}"
ENDING = "import sys; print('first', file=sys.stderr); sys.exit('no such thing')"


def python(code: str) -> list[str]:
    return [sys.executable, "-ISB", "-c", code]


def is_running(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_leaving_the_block_ends_the_daemons(tmp_path: Path) -> None:
    with Children() as family:
        started = [family.start(f"d{n}", python(READY), tmp_path / f"{n}.log") for n in range(3)]
        for child in started:
            family.wait_for(child, "ready")
        assert all(is_running(child.process.pid) for child in started)
    assert not any(is_running(child.process.pid) for child in started)


def test_an_error_ends_them_too(tmp_path: Path) -> None:
    started = []

    def fail() -> None:
        with Children() as family:
            started.append(family.start("daemon", python(READY), tmp_path / "log"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not is_running(started[0].process.pid)


def test_one_that_will_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "ENDED_WITHIN", 0.05)
    with Children() as family:
        child = family.start("daemon", python(STUBBORN), tmp_path / "log")
        family.wait_for(child, "ready")
    assert child.process.returncode == -signal.SIGKILL


def test_one_that_ends_before_it_is_ready_is_told_with_its_last_line(tmp_path: Path) -> None:
    with Children() as family:
        child = family.start("daemon", python(ENDING), tmp_path / "log")
        with pytest.raises(ChildFailed, match="^daemon ended with status 1: no such thing$"):
            family.wait_for(child, "ready")


def test_waiting_for_one_notices_that_another_has_ended(tmp_path: Path) -> None:
    with Children() as family:
        family.start("first", python(ENDING), tmp_path / "1")
        second = family.start("second", python(READY), tmp_path / "2")
        with pytest.raises(ChildFailed, match="^first ended"):
            family.wait_for(second, "never said")


def test_one_that_never_says_so_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Children() as family:
        child = family.start("daemon", python(READY), tmp_path / "log")
        family.wait_for(child, "ready")
        monkeypatch.setattr(children, "READY_WITHIN", 0.0)
        with pytest.raises(ChildFailed, match="^daemon is not ready: ready$"):
            family.wait_for(child, "connected")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_waiting_and_the_daemons(tmp_path: Path, number: int) -> None:
    before = signal.getsignal(number)
    with Children() as family:
        child = family.start("daemon", python(READY), tmp_path / "log")
        signal.raise_signal(number)  # noted, and told when something waits
        with pytest.raises(Stopped) as caught:
            family.wait_for(child, "never said")
    assert caught.value.number == number
    assert not is_running(child.process.pid)
    assert signal.getsignal(number) == before


def test_a_signal_ends_a_command_in_the_foreground(tmp_path: Path) -> None:
    interrupting = f"import os, signal, time; os.kill({os.getpid()}, signal.SIGTERM); time.sleep(1000)"
    with pytest.raises(Stopped), Children() as family:
        family.run(python(interrupting))


def test_a_signal_that_was_ignored_stays_so(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Children() as family:
            child = family.start("daemon", python(READY), tmp_path / "log")
            signal.raise_signal(signal.SIGHUP)
            family.wait_for(child, "ready")
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("status", [0, 3])
def test_a_command_in_the_foreground(status: int, capfd: pytest.CaptureFixture[str]) -> None:
    code = f"import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit({status})"
    with Children() as family:
        assert family.run(python(code)) == status
    assert capfd.readouterr() == ("out\nerr\n", "")


def test_daemons_that_are_released_run_on(tmp_path: Path) -> None:
    with Children() as family:
        child = family.start("daemon", python(READY), tmp_path / "log")
        family.wait_for(child, "ready")
        family.release()
    assert child.process.poll() is None
    child.process.kill()
    child.process.wait()


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[int]], None]:
    def give(numbers: list[int]) -> None:
        monkeypatch.setattr(demo, "_free_port", lambda: numbers.pop(0))

    return give


def test_the_demo_tries_another_port_if_somebody_was_quicker(
    tmp_path: Path, ports: Callable[[list[int]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.setattr(sys, "argv", [str(Path(demo.__file__).parents[1] / "cw.py")])
    free = demo._free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken, Children() as family:
        ports([taken.getsockname()[1], free])
        assert demo.Site(tmp_path, family)._start_broker() == free
