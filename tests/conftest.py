"""What every test shares: the one file, and Hypothesis that draws the same examples every time."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from coverage import Coverage
from hypothesis import settings

settings.register_profile("deterministic", derandomize=True, deadline=None, database=None)
settings.register_profile("explore", deadline=None, max_examples=2000)  # pytest --hypothesis-profile=explore
settings.load_profile("deterministic")

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it, and so would what tests start and hang up
os.umask(0o022)  # of files that others can write, cw takes no configuration

CHECKOUT = Path(__file__).parent.parent


def pytest_configure() -> None:
    """What tests ask leaves no records among those of the user who runs them."""
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="cw-tests-")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than processors: a third of their time tests wait for something, as for a heartbeat."""
    return len(os.sched_getaffinity(0)) + 1


ON_DEBIAN = ("tests/host/test_systems_apt.py", "tests/host/test_systems_systemd.py")
"""Tests that need a Debian to themselves (tests/host/debian_root.py)."""

MAKING: list[subprocess.Popen[bytes]] = []


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(ids: Sequence[str]) -> None:
    """Begin with what takes half a minute the first time, beside the tests that do without it.

    It belongs to the process that runs no tests, some of which look at their own children. Should it fail,
    the first test that needs it tries again and says why.
    """
    if not MAKING and any(name.startswith(ON_DEBIAN) for name in ids):
        words = [sys.executable, "-m", "tests.host.debian_root"]
        MAKING.append(subprocess.Popen(words, cwd=CHECKOUT, stderr=subprocess.DEVNULL))


def pytest_unconfigure() -> None:
    """Whoever stops the tests stops it too; and no records stay behind."""
    shutil.rmtree(os.environ["XDG_STATE_HOME"])
    for making in MAKING:
        making.kill()
        making.wait()


@pytest.fixture(scope="session", autouse=True)
def _no_lock_to_be_lost() -> None:
    """Let coverage go without its lock, which the interpreter's own makes superfluous.

    It is taken at every call of a function that is measured. What net.bounded raises between two instructions
    may come when it has just been taken: nobody returns it then, and the next call waits for ever.
    """
    measuring = Coverage.current()
    if measuring is not None:
        collector = measuring._collector
        assert collector is not None
        collector.data_lock = None


@pytest.fixture(scope="session")
def cw_file() -> Path:
    """`dist/cw`, made from what is in the checkout now; made once, however many workers ask."""
    (CHECKOUT / "build").mkdir(exist_ok=True)
    calm = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    with (CHECKOUT / "build" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make = ["make", "-s", "-f", "zipapp.mk"]
        made = subprocess.run(make, cwd=CHECKOUT, env=calm, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    return CHECKOUT / "dist" / "cw"
