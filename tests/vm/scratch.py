"""A whole host in memory, for programs that nobody has read: random ones, and a fuzzer's."""

from collections.abc import Callable, Iterator, Mapping
from errno import EBADF, EFBIG, EINVAL, EMLINK, ENOENT, ENOSPC, ESTALE, ETXTBSY
from hashlib import sha1

from tests.vm.hosts import FakeHost
from tests.vm.scratch_files import ScratchFiles, failing, in_blocks
from vm.host.augeas import Refused
from vm.host.programs import Order, Sink

NODES_LIMIT = 200
"""Nodes that a tree has room for."""


class ScratchAccounts:
    """vm.host.accounts.Accounts in any directory but two: one has no accounts, in one others are at work."""

    def __init__(self, host: "ScratchHost") -> None:
        self._host = host
        self._files = {
            "passwd": b"root:x:0:0:root:/root:/bin/sh\na:x:1:1::/:\n#\nbroken\n+::::::\n",
            "shadow": b"root:*:1:0:99999:7:::\na:!:::::::\n",
            "group": b"root:x:0:\na:x:1:root,a\n",
            "gshadow": b"root:*::\na:!:a:root\n",
        }

    def read(self, root: bytes, limit: int) -> Mapping[str, bytes]:
        if root == b"a":
            raise failing(ENOENT)
        if sum(map(len, self._files.values())) > limit:
            raise failing(EFBIG)
        return dict(self._files)

    def save(
        self, root: bytes, before: Mapping[str, bytes], after: Mapping[str, bytes], poll: Callable[[], None]
    ) -> None:
        assert before.keys() == after.keys()
        poll()
        while root == b"/etc":
            self._host.passes(0.1)
            poll()
        if before != self._files:
            raise failing(ESTALE)
        self._files.update(after)


class ScratchPrograms:
    """vm.host.programs.Programs of which there are six, told apart by their last word."""

    def __init__(self, host: "ScratchHost") -> None:
        self._host = host

    def run(self, order: Order, output: Sink, errors: Sink, heed: Callable[[], None]) -> int:
        word = order.words[-1] if order.words else b""
        heed()
        if word == b"missing":
            raise failing(ENOENT)
        if word == b"busy":
            raise failing(ETXTBSY)
        if word == b"forever":
            while True:
                self._host.passes(0.1)
                output(b"still here\n")
                heed()
        if word == b"killed":
            return 137
        if word == b"env":
            output(b"".join(b"%s=%s\n" % variable for variable in sorted(order.environment.items())))
            errors(b"%a %a %o\n" % (order.user, order.group, order.umask))
            return 0
        output(b" ".join(order.words) + b"\nand a second line")
        return len(word) % 256


class ScratchTree:
    """vm.host.augeas.Tree of values by path; a star at the end of one matches all that begin so."""

    def __init__(self, values: dict[bytes, bytes]) -> None:
        self._saved = values
        self._values = dict(values)
        self._open = True

    def get(self, path: bytes) -> bytes:
        return self._values[self.find(path)]

    def set(self, path: bytes, value: bytes) -> None:
        if len(self._values) >= NODES_LIMIT:
            raise Refused(ENOSPC, "no room")
        matching = self._matching(path)
        self._values[self.find(path) if len(matching) > 1 else path] = value

    def find(self, path: bytes) -> bytes:
        matching = self._matching(path)
        if len(matching) != 1:
            raise Refused(EMLINK if matching else ENOENT, f"{len(matching)} nodes match")
        return matching[0]

    def remove(self, path: bytes) -> None:
        for found in self._matching(path) or [self.find(path)]:
            del self._values[found]

    def save(self) -> None:
        if b"/files/nonsense" in self._values:
            raise Refused(EINVAL, "put_failed")
        self._saved.clear()
        self._saved.update(self._values)

    def close(self) -> None:
        assert self._open
        self._open = False

    def _matching(self, path: bytes) -> list[bytes]:
        assert self._open
        if b"[" in path or b"\0" in path:
            raise Refused(EINVAL, "Invalid path expression")
        if path.endswith(b"*"):
            return [found for found in self._values if found.startswith(path[:-1])]
        return [found for found in self._values if found == path]


class ScratchAugeas:
    """vm.host.augeas.Augeas of one file under one root."""

    def __init__(self) -> None:
        self._values = {
            b"/files/etc/hosts/1/ipaddr": b"127.0.0.1",
            b"/files/etc/hosts/1/canonical": b"localhost",
        }

    def open(self, root: bytes) -> ScratchTree:
        if root != b"/":
            raise Refused(EBADF, "no such root")
        return ScratchTree(self._values)


class ScratchMaster:
    """vm.host.remote.Remote with copies of files; of one of them the end is never there."""

    def __init__(self, copies: Mapping[bytes, bytes]) -> None:
        self._copies = copies

    def live(self) -> bool:
        return True

    def sha1(self, name: bytes) -> bytes:
        return sha1(self._copy(name)).hexdigest().encode()

    def contents(self, name: bytes) -> Iterator[bytes]:
        yield from in_blocks(self._copy(name))
        if name == b"cut":
            raise failing(EINVAL)

    def _copy(self, name: bytes) -> bytes:
        if name not in self._copies:
            raise failing(ENOENT)
        return self._copies[name]


class ScratchHost(FakeHost):
    """A fresh one for each program: what it does there is gone with it."""

    def __init__(self) -> None:
        super().__init__({"a": "1", "b": "x%[a]s"}, ["allow ALL ALL", "deny a ping"])
        self.files = ScratchFiles()
        self.accounts = ScratchAccounts(self)
        self.augeas = ScratchAugeas()
        self.programs = ScratchPrograms(self)
        self.remote = ScratchMaster({b"a": b"a copy\n", b"cut": b"x" * 2_500})

    def passes(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
