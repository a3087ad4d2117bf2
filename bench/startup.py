"""How long a start takes: `cw --version` and `cw ping` as ratios of a bare Python, all by the same Python.

    python -m bench.startup [ROUNDS]

Both sides are started by /usr/bin/python3 where that can run dist/cw. Each round runs every command once, in
turn, so that whatever else the host does falls on all of them; the median is told.
"""

import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

CW = Path(__file__).parent.parent / "dist" / "cw"
BARE = "python3 -ISB -c pass"
LIMITS = {"cw --version": 3.0, "cw ping": 10.0}
"""How many times as long as bare Python each may take."""


def able(python: str) -> bool:
    """Can this Python run the file?"""
    try:
        return not subprocess.run(
            [python, "-ISB", CW, "--version"], capture_output=True, check=False
        ).returncode
    except OSError:
        return False


def usual_python() -> str:
    """The Python of the system where that can run the file, else this one."""
    for python in ("/usr/bin/python3", sys.executable):
        if able(python):
            return python
    raise SystemExit(f"{CW}: not there, or not for this Python; run make dist")


def seconds(words: Sequence[str | Path]) -> float:
    """How long a command takes, start to end; it must succeed."""
    began = time.perf_counter()
    subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def measure(commands: dict[str, Sequence[str | Path]], rounds: int) -> dict[str, float]:
    """The median of each command, in seconds; the first round is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, words in commands.items():
            took = seconds(words)
            if number:
                taken[name].append(took)
    return {name: statistics.median(times) for name, times in taken.items()}


def free_port() -> int:
    """A port of this host that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@contextmanager
def running(words: Sequence[str | Path], ready: str) -> Iterator[None]:
    """A daemon, from when it says that it is ready on standard error until the block ends."""
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as daemon:
        assert daemon.stderr is not None
        try:
            if not any(ready in line for line in daemon.stderr):
                raise SystemExit(f"{words} ended before it said {ready!r}")
            yield
        finally:
            daemon.terminate()


def main(rounds: int) -> None:
    """Print the medians and their ratios to bare Python."""
    python = usual_python()
    cw = (python, "-ISB", CW)
    with ExitStack() as site:
        folder = Path(site.enter_context(tempfile.TemporaryDirectory()))
        listen = f"127.0.0.1:{free_port()}"
        subprocess.run(
            [*cw, "init", folder / "site", "--listen", listen], stdout=subprocess.DEVNULL, check=True
        )
        site.enter_context(running([*cw, "meshd", "-c", folder / "site" / "meshd.toml"], "listening on"))
        site.enter_context(running([*cw, "cogd", "-c", folder / "site" / "cogd.toml"], "connected to"))
        medians = measure(
            {
                BARE: (python, "-ISB", "-c", "pass"),
                "cw --version": (*cw, "--version"),
                "cw ping": (*cw, "ping", "-q", "-c", folder / "site" / "cw.toml"),
            },
            rounds,
        )
    print(f"{python}, median of {rounds}")
    for name, median in medians.items():
        limit = f"  (at most {LIMITS[name]:.0f})" if name in LIMITS else ""
        print(f"{name:22} {median * 1e3:7.1f} ms  x {median / medians[BARE]:.2f}{limit}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 50)
