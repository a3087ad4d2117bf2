"""The guard that ends a call after 5 ms of processor time, for real: patterns, signals, Trio."""

import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from mesh.filters import VALUE_LIMIT, FilterError, FilterTooSlow, TooSlow, matches, parse, unbounded
from net.bounded import LIMIT, bounded

ROOT = Path(__file__).parents[2]

ENOUGH = 0.5
"""Seconds of processor time: a hundred times the limit, and far from what the patterns below would take."""


def spin() -> None:
    while True:
        pass


def spent(call: Callable[[], object]) -> float:
    """Seconds of this thread's processor time that a call which is too slow takes."""
    began = time.thread_time()
    with pytest.raises((TooSlow, FilterTooSlow)):
        call()
    return time.thread_time() - began


@pytest.fixture(autouse=True)
def _quiet_timer() -> Iterator[None]:
    yield
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_call_that_is_in_time_returns_its_value() -> None:
    assert bounded(lambda: 7) == 7
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_a_call_raises_is_raised() -> None:
    with pytest.raises(re.error):
        bounded(lambda: re.compile("["))


def test_a_call_without_end_is_ended_again_and_again() -> None:
    for _ in range(20):
        assert LIMIT <= spent(lambda: bounded(spin)) < ENOUGH


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+b",
        r"(a|aa)+b",
        r"(?:a|b|ab)*c",
        r"((((a*)*)*)*)*b",
        r"(?:(?:a?){50}){50}b",
        r".*.*.*.*b",
        r"[^b]*[^b]*[^b]*[^b]*b",
        r"(?=(.*)){65535}",
        r".{0,60}.{0,60}[bc]",
        r"(?<=" + "a" * 900 + ")b",
    ],
)
def test_a_catastrophic_pattern_is_ended(pattern: str) -> None:
    filters = [parse(f"x=/{pattern}/", unbounded)]  # compiling is quick, but not where coverage is measured
    assert spent(lambda: matches(filters, {"x": "a" * VALUE_LIMIT}, bounded)) < ENOUGH
    assert matches([parse("x=/a$/", unbounded)], {"x": "a" * VALUE_LIMIT}, bounded)


@pytest.mark.parametrize(
    "pattern",
    [
        "[\x01-\uffff]" * 40,
        "[\x01-\U0010ffff][\x02-\U0010ffff][\x03-\U0010ffff]" * 10,
        "(?:[\u0100-\uffff]" * 30 + ")" * 30,
    ],
)
def test_a_pattern_that_is_catastrophic_to_compile_is_ended(pattern: str) -> None:
    assert spent(lambda: parse(f"x=/{pattern}/", bounded)) < ENOUGH


@pytest.mark.parametrize("pattern", ["(" * 500 + ")" * 500, "a{99999999999}", "[[a]]", "("])
def test_a_pattern_that_is_refused_is_refused_under_the_guard_too(pattern: str) -> None:
    with pytest.raises(FilterError):
        parse(f"x=/{pattern}/", bounded)


def test_an_exception_lost_in_a_finaliser_is_not_the_last() -> None:
    swallowed = []

    def stubborn() -> None:
        while True:
            try:
                spin()
            except TooSlow:
                swallowed.append(1)
                if len(swallowed) == 3:
                    raise

    spent(lambda: bounded(stubborn))
    assert 1 <= len(swallowed) <= 3  # fewer than three where a signal came while one was being swallowed


@pytest.mark.parametrize("enabled", [True, False])
def test_no_garbage_is_collected_meanwhile(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    try:
        assert not bounded(gc.isenabled)
        spent(lambda: bounded(spin))
        assert gc.isenabled() is enabled
    finally:
        gc.enable()


def test_a_signal_outside_a_guarded_call_does_nothing() -> None:
    bounded(lambda: 0)
    for _ in range(100):
        signal.raise_signal(signal.SIGALRM)


def test_a_signal_in_time_does_nothing() -> None:
    def call() -> int:
        signal.raise_signal(signal.SIGALRM)
        return 7

    assert bounded(call) == 7


def test_a_call_kept_waiting_by_others_is_not_to_blame() -> None:
    def wait() -> int:
        deadline = time.monotonic() + 10 * LIMIT
        while time.monotonic() < deadline:
            time.sleep(LIMIT)  # the subject of the test: wall-clock time without processor time
        return 7

    assert bounded(wait) == 7


def test_a_guarded_call_inside_another_is_refused() -> None:
    with pytest.raises(RuntimeError, match="inside a bounded call"):
        bounded(lambda: bounded(lambda: 7))
    assert bounded(lambda: 7) == 7


def test_another_thread_is_refused() -> None:
    told: list[str] = []

    def call() -> None:
        try:
            bounded(lambda: 7)
        except RuntimeError as error:
            told.append(str(error))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert told == ["a bounded call outside the main thread"]
    assert bounded(lambda: 7) == 7
    assert spent(lambda: bounded(spin)) < ENOUGH


async def test_trio_goes_on_around_it() -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await trio.lowlevel.checkpoint()
            beats += 1

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(beat)
            for _ in range(10):
                before = beats
                assert spent(lambda: bounded(spin)) < ENOUGH
                while beats == before:
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()


def test_a_process_started_with_the_signal_blocked_is_guarded_too() -> None:
    program = (
        "from net.bounded import bounded; from mesh.filters import TooSlow\n"
        "try: bounded(lambda: sum(0 for _ in iter(int, 1)))\n"
        "except TooSlow: print('ended')\n"
    )
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        told = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    assert told.stdout == "ended\n"
