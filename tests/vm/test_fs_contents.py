import errno
import hashlib
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.files import LocalFiles
from tests.vm.real_files import KINDS, Filed, Word, answer, attempted, done, entries, made
from vm.host.files import BLOCK, Contents
from vm.machine import Limits


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    return made(tmp_path)


SIZES = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK]


@pytest.mark.parametrize("size", SIZES)
def test_whole_files(tmp_path: Path, size: int) -> None:
    content = (bytes(range(256)) * (size // 256 + 1))[:size]
    path = tmp_path / "file"
    path.write_bytes(content)
    assert answer("fs.get %a %i", "s", path) == (0, content)
    assert answer("fs.sha1 %a %i", "s", path) == (0, hashlib.sha1(content).hexdigest().encode())
    assert attempted("fs.put %a %b", tmp_path / "other", content) == ""
    assert (tmp_path / "other").read_bytes() == content
    assert attempted("fs.copy %a %b", path, tmp_path / "copy") == ""
    assert (tmp_path / "copy").read_bytes() == content


@settings(max_examples=40)
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_what_was_put_is_got(tmp_path_factory: pytest.TempPathFactory, content: bytes, before: bytes) -> None:
    path = tmp_path_factory.mktemp("files") / "file"
    path.write_bytes(before)
    body = 'fs.put %a %b jnz bad fs.get %a %c jnz bad streq %b %c jnz bad print "fine" bad: ret'
    assert done(body, path, content).output == b"fine"
    assert path.read_bytes() == content


@pytest.mark.parametrize("instruction", ["fs.get", "fs.sha1"])
@pytest.mark.parametrize("kind", KINDS)
def test_only_regular_files_are_read(paths: dict[str, Path], kind: str, instruction: str) -> None:
    error = attempted(f"{instruction} %a %i", paths[kind])
    assert error == ("" if kind in {"file", "link"} else "EISDIR" if kind == "dir" else "EINVAL")
    if error:
        assert answer(f"{instruction} %a %i", "s", paths[kind]) == (1, b"same")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/tty"])
def test_nor_are_those_that_a_link_leads_to(tmp_path: Path, device: str) -> None:
    (tmp_path / "link").symlink_to(device)
    assert attempted("fs.get %a %i", tmp_path / "link") == "EINVAL"


def test_a_fifo_with_a_writer_keeps_what_is_in_it(paths: dict[str, Path]) -> None:
    both = os.open(paths["fifo"], os.O_RDWR | os.O_NONBLOCK)
    try:
        os.write(both, b"unread")
        for instruction in ("fs.get %a %i", "fs.sha1 %a %i", 'fs.put %a "x"', "fs.copy %a %a", "fs.touch %a"):
            attempted(instruction, paths["fifo"])
        assert os.read(both, 100) == b"unread"
    finally:
        os.close(both)


UNREADABLE = [("", "ENOENT"), ("missing", "ENOENT"), ("file/x", "ENOTDIR"), ("x" * 256, "ENAMETOOLONG"),
              ("dangling", "ENOENT"), ("loop", "ELOOP"), ("file\0", "EINVAL")]  # fmt: skip


@pytest.mark.parametrize("instruction", ["fs.get", "fs.sha1"])
@pytest.mark.parametrize(("name", "error"), UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_cannot_be_read(paths: dict[str, Path], name: str, error: str, instruction: str) -> None:
    here = paths["file"].parent
    (here / "loop").symlink_to("loop")
    (here / "dangling").symlink_to("nowhere")
    assert attempted(f"{instruction} %a %i", f"{here}/{name}" if name else "") == error


def test_files_that_do_not_say_how_long_they_are() -> None:
    assert os.stat("/proc/self/status").st_size == 0
    assert answer("fs.get %a %i", "s", "/proc/sys/kernel/ostype") == (0, b"Linux\n")
    assert answer("fs.sha1 %a %i", "s", "/proc/sys/kernel/ostype")[0] == 0


def test_the_heap_bounds_what_is_got(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.touch()
    os.truncate(path, 2**40)
    limits = Limits(heap=4 * BLOCK)
    assert done("fs.get %a %i", path, limits=limits).fault == f"limit: heap ({4 * BLOCK})"
    os.truncate(path, 2 * BLOCK)
    assert done("fs.get %a %i ret", path, limits=limits).status == 0
    assert done("fs.get %a %i fs.get %a %i", path, limits=limits).fault == f"limit: heap ({4 * BLOCK})"


def test_empty_files_cost_something_too(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    assert (
        done("again: fs.get %a %i jmp again", path, limits=Limits(heap=10_000)).fault == "limit: heap (10000)"
    )


class Growing(LocalFiles):
    """Each file grows by a block as one is read."""

    @contextmanager
    def contents(self, path: bytes, links: bool = True) -> Iterator[Contents]:
        with super().contents(path, links) as (mode, blocks):
            yield Contents(mode, self._grown(path, blocks))

    def _grown(self, path: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            with open(path, "ab") as file:
                file.write(block)
            yield block


STEADY = [
    ("fs.get %a %i", {"heap": 8 * BLOCK}, "limit: heap (1048576)"),
    ("fs.get %a %i", {"seconds": 10}, "limit: seconds (10)"),
    ("fs.sha1 %a %i", {"seconds": 10}, "limit: seconds (10)"),
    ("fs.copy %a %b", {"seconds": 10}, "limit: seconds (10)"),
]


@pytest.mark.parametrize(("instruction", "limits", "fault"), STEADY)
def test_a_file_that_grows_ends_at_a_limit(
    tmp_path: Path, instruction: str, limits: dict[str, int], fault: str
) -> None:
    (tmp_path / "growing").write_bytes(b"x" * BLOCK)
    (tmp_path / "other").write_bytes(b"as it was")
    host = Filed(Growing(), tick=1.0 if "seconds" in limits else 0.0)
    outcome = done(instruction, tmp_path / "growing", tmp_path / "other", host=host, limits=Limits(**limits))
    assert outcome.fault == fault
    assert entries(tmp_path) == ["growing", "other"]
    assert (tmp_path / "other").read_bytes() == b"as it was"


@pytest.mark.parametrize("instruction", ["fs.sha1 %a %i", "fs.get %a %i", "fs.copy %a %b", "fs.put %b %c"])
def test_long_work_heeds_the_wish_to_stop(tmp_path: Path, instruction: str) -> None:
    (tmp_path / "long").write_bytes(b"x" * (40 * BLOCK))
    asked: list[bool] = []

    def cancelled() -> bool:
        asked.append(len(asked) >= 5)
        return asked[-1]

    words: list[Word] = [tmp_path / "long", tmp_path / "new", b"x" * (40 * BLOCK)]
    outcome = done(instruction, *words, cancelled=cancelled)
    assert (outcome.fault, len(asked)) == ("cancelled", 6)
    assert entries(tmp_path) == ["long"]


@pytest.mark.parametrize("kind", KINDS)
def test_put_replaces_regular_files_and_nothing_else(paths: dict[str, Path], kind: str) -> None:
    os.chown(paths[kind], 1234, 4321, follow_symlinks=False)
    if kind == "file":
        paths[kind].chmod(0o4751)
    before = {other: path.lstat() for other, path in paths.items()}
    errors = {"file": "", "link": "ELOOP", "dir": "EISDIR"}
    assert attempted('fs.put %a "new"', paths[kind]) == errors.get(kind, "EINVAL")
    assert entries(paths[kind].parent) == sorted(KINDS)
    for other, path in paths.items():
        now = path.lstat()
        if (kind, other) == ("file", "file"):
            assert path.read_bytes() == b"new"
            assert (now.st_uid, now.st_gid, now.st_mode) == (1234, 4321, 0o104751)
        else:
            assert now == before[other]


def test_put_where_there_is_no_name(paths: dict[str, Path]) -> None:
    here = paths["file"].parent
    for path, error in ((f"{here}/dir/", "EISDIR"), (f"{here}/new/", "ENOENT"), (f"{here}/file/", "ENOTDIR"),
                        ("/", "EISDIR"), (f"{here}/.", "EISDIR"), (f"{here}/dir/..", "EISDIR")):  # fmt: skip
        assert attempted('fs.put %a "x"', path) == error, path
    assert entries(here) == sorted(KINDS)


def test_the_longest_name_can_be_put(tmp_path: Path) -> None:
    assert attempted('fs.put %a "x"', tmp_path / ("n" * 255)) == ""
    assert entries(tmp_path) == ["n" * 255]


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (BLOCK // 2, hard))
    try:
        error = attempted("fs.put %a %b", path, b"x" * BLOCK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error == errno.errorcode[errno.EFBIG]
    assert (path.read_bytes(), entries(tmp_path)) == (b"old", ["file"])


def test_the_vector_about_files(tmp_path: Path) -> None:
    (tmp_path / "hostname").write_bytes(b"lab1\n")
    (tmp_path / "hostname").chmod(0o640)
    source = Path(__file__).parent.parent / "vectors" / "pendulum" / "files.pn"
    body = source.read_text().removeprefix("fn main\n").replace("/etc/hostname", f"{tmp_path}/hostname")
    digest = hashlib.sha1(b"lab1\n").hexdigest()
    outcome = done(body)
    assert (outcome.status, outcome.output.decode()) == (0, f"0640 {digest}\n")
