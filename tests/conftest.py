"""What every test shares: the one file, and Hypothesis that draws the same examples every time."""

import fcntl
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("deterministic", derandomize=True, deadline=None, database=None)
settings.register_profile("explore", deadline=None, max_examples=2000)  # pytest --hypothesis-profile=explore
settings.load_profile("deterministic")

os.umask(0o022)  # of files that others can write, cw takes no configuration

CHECKOUT = Path(__file__).parent.parent


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
