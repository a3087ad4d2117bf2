"""remote.* with a policy master that is a dictionary."""

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from host.files import LocalFiles
from tests.vm.hosts import FakeHost, main_of, ran
from vm.host.remote import NoMaster, Remote
from vm.machine import Limits, Outcome

MOTD = b"Welcome\n" * 20_000
COPIES = {b"file:/etc/motd": MOTD, b"empty": b""}


class Master:
    """Has copies; gives them in blocks, and hangs up after `blocks` of them."""

    def __init__(self, copies: Mapping[bytes, bytes], blocks: int = 100) -> None:
        self._copies = copies
        self._blocks = blocks

    def live(self) -> bool:
        return True

    def sha1(self, name: bytes) -> bytes:
        return hashlib.sha1(self._copy(name)).hexdigest().encode()

    def contents(self, name: bytes) -> Iterator[bytes]:
        copy = self._copy(name)
        for block, start in enumerate(range(0, len(copy), 65_536)):
            if block == self._blocks:
                raise ConnectionResetError(errno.ECONNRESET, "gone")
            yield copy[start : start + 65_536]

    def _copy(self, name: bytes) -> bytes:
        if name not in self._copies:
            raise FileNotFoundError(errno.ENOENT, "no such file resource")
        return self._copies[name]


def asking(remote: Remote, body: str, host: FakeHost | None = None, limits: Limits | None = None) -> Outcome:
    host = host or FakeHost()
    host.remote, host.files = remote, LocalFiles()
    return ran(main_of(body), host=host, limits=limits)


SHOWS = [
    ("remote.live? acc %a", "0 -"),
    ('remote.sha1 "file:/etc/motd" %b acc %a', f"0 {hashlib.sha1(MOTD).hexdigest()}"),
    ('remote.sha1 "empty" %b acc %a', f"0 {hashlib.sha1().hexdigest()}"),
    ('remote.sha1 "file:/etc/shadow" %b acc %a', "1 -"),
]
NOBODY = [
    ("remote.live? acc %a", "1 -"),
    ('remote.sha1 "empty" %b acc %a', "1 -"),
    ('remote.file "empty" "/nowhere/x" acc %a', "1 -"),
]


@pytest.mark.parametrize(
    ("remote", "body", "shown"),
    [(Master(COPIES), *row) for row in SHOWS] + [(NoMaster(), *row) for row in NOBODY],
)
def test_what_it_says(remote: Remote, body: str, shown: str) -> None:
    outcome = asking(remote, f'set %b "-" {body} print "%[a]d %[b]s"')
    assert (outcome.output.decode(), outcome.fault) == (shown, "")


@pytest.mark.parametrize("name", ["file:/etc/motd", "empty"])
def test_a_copy_is_written(tmp_path: Path, name: str) -> None:
    assert asking(Master(COPIES), f'umask 027 %a remote.file "{name}" "{tmp_path}/it"').status == 0
    assert (tmp_path / "it").read_bytes() == COPIES[name.encode()]
    assert (tmp_path / "it").stat().st_mode & 0o7777 == 0o640


WRONGS = [
    (Master(COPIES), 'remote.file "file:/etc/shadow" "{root}/it"', errno.ENOENT),
    (Master(COPIES), 'remote.sha1 "file:/etc/shadow" %a', errno.ENOENT),
    (Master(COPIES), 'remote.file "empty" "{root}/none/it"', errno.ENOENT),
    (Master(COPIES), 'remote.file "empty" "{root}"', errno.EISDIR),
    (Master(COPIES, 0), 'remote.file "file:/etc/motd" "{root}/it"', errno.ECONNRESET),
    (Master(COPIES, 1), 'remote.file "file:/etc/motd" "{root}/it"', errno.ECONNRESET),
    (NoMaster(), 'remote.file "file:/etc/motd" "{root}/it"', errno.ENOTCONN),
    (NoMaster(), 'remote.sha1 "file:/etc/motd" %a', errno.ENOTCONN),
]


@pytest.mark.parametrize(("remote", "body", "number"), WRONGS)
def test_what_fails_leaves_everything_as_it_was(
    tmp_path: Path, remote: Remote, body: str, number: int
) -> None:
    (tmp_path / "it").write_text("before")
    outcome = asking(remote, body.format(root=tmp_path) + ' perror "motd" ret')
    assert outcome.error_output.decode() == f"motd: ({number}) {os.strerror(number)}\n"
    assert outcome.status == 1
    assert os.listdir(tmp_path) == ["it"]
    assert (tmp_path / "it").read_text() == "before"


def test_a_long_copy_ends_with_the_time(tmp_path: Path) -> None:
    outcome = asking(
        Master(COPIES),
        f'remote.file "file:/etc/motd" "{tmp_path}/it"',
        FakeHost(tick=1.0),
        Limits(seconds=2.5),
    )
    assert (outcome.fault, os.listdir(tmp_path)) == ("limit: seconds (2.5)", [])
