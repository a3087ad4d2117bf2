"""Who holds a connection, as /proc tells; the processes are this host's own."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from host.clock import synchronised
from host.connections import holders

HOLD = (
    "import socket, sys; sock = socket.create_connection((sys.argv[2], int(sys.argv[3]))); sys.stdin.read()"
)
PLACES = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]


@contextmanager
def connected(server: socket.socket, name: str) -> Iterator[int]:
    """A process that was started with a word, and is connected."""
    words = [sys.executable, "-c", HOLD, name, *map(str, server.getsockname()[:2])]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process, server.accept()[0]:
        yield process.pid


@pytest.mark.parametrize(("family", "address"), PLACES)
def test_who_is_connected(family: socket.AddressFamily, address: str) -> None:
    with socket.create_server((address, 0), family=family) as server:
        peer = (address, server.getsockname()[1])
        with connected(server, "/usr/bin/cw-cogd") as agent, connected(server, "cogd") as other:
            found = holders({peer}, "cogd")
            assert {process.number for process in found} == {agent, other}
            assert found[0].words[0] == sys.executable
            assert holders({peer}, "meshd") == []
            assert holders({(address, 1)}, "cogd") == []


def test_the_kernel_says_whether_the_clock_is_kept() -> None:
    assert synchronised() in (True, False, None)
