"""Hosts with networks of their own for tests: namespaces joined by a wire that can be cut or made to lose
packets, and a relay that delays. As root; nothing of it has a name, and all of it ends with its processes.
"""

import contextlib
import os
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from tests.e2e.harness import PATIENCE, Site, until


class Host:
    """A network namespace with one address, kept by a process that ends with the tests, however they end."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._keeper = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"]
        )
        self.pid = self._keeper.pid
        own = os.readlink("/proc/self/ns/net")
        until(lambda: os.readlink(f"/proc/{self.pid}/ns/net") != own, "made a network namespace")
        self.words = ("nsenter", f"--net=/proc/{self.pid}/ns/net", "--")
        """What to put before a command that is to run there."""

    def close(self) -> None:
        """End the namespace, once nothing else runs in it."""
        self._keeper.kill()
        self._keeper.wait(PATIENCE)

    def do(self, *words: str) -> None:
        """Run a command there."""
        subprocess.run([*self.words, *words], check=True)

    def connect(self, device: str) -> None:
        """Give its end of the wire its address."""
        self.do("ip", "address", "add", f"{self.address}/24", "dev", device)
        for up in (device, "lo"):
            self.do("ip", "link", "set", up, "up")

    @contextlib.contextmanager
    def dropping(self, *chains: str, match: tuple[str, ...] = ()) -> Iterator[None]:
        """Packets that match, all of them by default, are dropped on their way in (INPUT) or out (OUTPUT)."""
        for chain in chains:
            self.do("iptables", "-w", "-A", chain, *match, "-j", "DROP")
        try:
            yield
        finally:
            self.do("iptables", "-w", "-F")


@contextlib.contextmanager
def wired() -> Iterator[tuple[Host, Host]]:
    """Two hosts and the wire between them."""
    with contextlib.ExitStack() as stack:
        hosts = Host("10.77.0.1"), Host("10.77.0.2")
        for host in hosts:
            stack.callback(host.close)
        near, far = hosts
        peer = ("peer", "name", "wire", "netns", str(far.pid))
        near.do("ip", "link", "add", "wire", "type", "veth", *peer)
        for host in hosts:
            host.connect("wire")
        yield near, far


class Delaying:
    """A port of loopback that leads to a site's broker, with what is said on it `delay` seconds behind, each
    way.
    """

    def __init__(self, site: Site, delay: float) -> None:
        self._to = ("127.0.0.1", site.port)
        self._delay = delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(PATIENCE)
        for sock in self._sockets:
            with contextlib.suppress(OSError):  # closed by the other side already
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        for sock in (*self._sockets, self._listener):
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # shut down
            while True:
                one, _ = self._listener.accept()
                other = socket.create_connection(self._to, PATIENCE)
                for source, sink in ((one, other), (other, one)):
                    self._sockets.append(source)
                    source.settimeout(None)
                    under_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
                    for work, end in ((self._read, source), (self._write, sink)):
                        self._threads.append(threading.Thread(target=work, args=(end, under_way)))
                        self._threads[-1].start()

    def _read(self, source: socket.socket, under_way: queue.SimpleQueue[tuple[float, bytes]]) -> None:
        received = b"more"
        while received:
            try:
                received = source.recv(65536)
            except OSError:
                received = b""
            under_way.put((time.monotonic() + self._delay, received))

    def _write(self, sink: socket.socket, under_way: queue.SimpleQueue[tuple[float, bytes]]) -> None:
        with contextlib.suppress(OSError):  # nobody reads any more
            while True:
                due, piece = under_way.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not piece:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(piece)
