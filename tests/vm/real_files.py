"""Programs on real files: a host whose files are this one's, and a file of each kind."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from host.files import LocalFiles
from tests.vm.hosts import FakeHost, main_of, ran
from vm.machine import Limits, Outcome

Word = bytes | str | Path

KINDS = ("file", "link", "dir", "char", "block", "fifo", "socket")
"""The seven kinds, by the names that `made` gives them."""

CHAR, BLOCK = os.makedev(4000, 12), os.makedev(4001, 300_000)
"""Devices that no kernel has: opening one says ENXIO."""


class Filed(FakeHost):
    """Reaches the real files, and nothing else that is real."""

    def __init__(self, files: object = None, tick: float = 0.0) -> None:
        super().__init__(tick=tick)
        self.files = files or LocalFiles()


def made(directory: Path) -> dict[str, Path]:
    """One file of each kind; the link leads to the file."""
    paths = {kind: directory / kind for kind in KINDS}
    paths["file"].write_bytes(b"content\n")
    paths["link"].symlink_to("file")
    paths["dir"].mkdir()
    os.mknod(paths["char"], stat.S_IFCHR | 0o600, CHAR)
    os.mknod(paths["block"], stat.S_IFBLK | 0o600, BLOCK)
    os.mkfifo(paths["fifo"])
    os.mknod(paths["socket"], stat.S_IFSOCK | 0o600)
    return paths


def done(
    body: str,
    *words: Word,
    host: FakeHost | None = None,
    limits: Limits | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Run a body that finds `words` in %a, %b and so on."""
    pops = "".join(f"pop %{chr(ord('a') + n)} " for n in range(len(words)))
    source = main_of(f"pop %p pop %p {pops}{body}")
    return ran(source, *map(os.fsdecode, words), host=host or Filed(), limits=limits, cancelled=cancelled)


def attempted(instruction: str, *words: Word, host: FakeHost | None = None) -> str:
    """Do one instruction: "" if it succeeds, or the name of the error that perror tells of."""
    outcome = done(f'{instruction} jz fine perror "failed" fine: ret', *words, host=host)
    assert not outcome.fault
    if outcome.status == 0:
        assert not outcome.error_output
        return ""
    told = re.fullmatch(rb"failed: \((\d+)\) (.+)\n", outcome.error_output)
    assert told
    assert os.strerror(int(told[1])) == told[2].decode()
    return errno.errorcode.get(int(told[1]), "nothing")


def answer(instruction: str, letter: str, *words: Word, host: FakeHost | None = None) -> tuple[int, bytes]:
    """Do one instruction that sets %i, which was the string `same`: acc, and what is in %i then."""
    body = f'set %i "same" {instruction} acc %p print "%[i]{letter}" retv %p'
    outcome = done(body, *words, host=host)
    assert (outcome.fault, outcome.error_output) == ("", b"")
    return outcome.status, outcome.output


def entries(directory: Path) -> list[str]:
    """What is in a directory, sorted."""
    return sorted(os.listdir(directory))


@contextmanager
def process_umask(mask: int) -> Iterator[None]:
    """This process's umask set for a while."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
