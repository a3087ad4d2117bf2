import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vm.real_files import KINDS, attempted, done, entries, made
from vm.machine import Limits

LISTS = """
    fs.opendir %a %h jnz bad
    next: fs.readdir %h %n jnz done print "%[n]s/" jmp next
    done: perror "end" fs.closedir %h ret
    bad: perror "bad" retv 1
"""


def listed(path: Path | bytes) -> list[bytes]:
    outcome = done(LISTS, path)
    assert (outcome.status, outcome.error_output) == (0, b"end: (0) Success\n")
    return outcome.output.split(b"/")[:-1]


NAMES = st.binary(min_size=1, max_size=255).filter(
    lambda name: not {0, ord("/")} & set(name) and name not in {b".", b".."}
)


@settings(max_examples=30)
@given(st.sets(NAMES, max_size=12))
def test_entries_come_in_order_of_bytes(tmp_path_factory: pytest.TempPathFactory, names: set[bytes]) -> None:
    directory = tmp_path_factory.mktemp("entries")
    for name in names:
        os.close(os.open(os.fsencode(directory) + b"/" + name, os.O_CREAT))
    assert listed(directory) == sorted(names)


@pytest.mark.parametrize("kind", KINDS)
def test_only_directories_are_opened(tmp_path: Path, kind: str) -> None:
    paths = made(tmp_path)
    assert attempted("fs.opendir %a %h", paths[kind]) == ("" if kind == "dir" else "ENOTDIR")


def test_a_link_to_a_directory_is_followed(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "dir" / "x").touch()
    (tmp_path / "to").symlink_to("dir")
    assert listed(tmp_path / "to") == [b"x"]
    assert listed(tmp_path) == [os.fsencode(name) for name in entries(tmp_path)]


UNOPENED = [("", "ENOENT"), ("missing", "ENOENT"), ("x" * 256, "ENAMETOOLONG"), ("dir\0", "EINVAL")]


@pytest.mark.parametrize(("name", "error"), UNOPENED)
def test_what_cannot_be_opened(tmp_path: Path, name: str, error: str) -> None:
    (tmp_path / "dir").mkdir()
    assert attempted("fs.opendir %a %h", f"{tmp_path}/{name}" if name else "") == error


def test_a_listing_shows_no_later_change(tmp_path: Path) -> None:
    for name in "bc":
        (tmp_path / name).touch()
    body = 'fs.opendir %a %h fs.unlink %b fs.touch %c fs.readdir %h %n fs.readdir %h %m print "%[n]s%[m]s"'
    assert done(body, tmp_path, tmp_path / "b", tmp_path / "a").output == b"bc"


def test_handles_are_the_lowest_numbers_free(tmp_path: Path) -> None:
    opens = " ".join(f"fs.opendir %a %{register}" for register in "bcd")
    body = f'{opens} fs.closedir %b fs.closedir %c fs.opendir %a %e print "%[b]d%[c]d%[d]d%[e]d"'
    assert done(body, tmp_path).output == b"0120"


def test_each_handle_is_where_it_is(tmp_path: Path) -> None:
    for name in "xy":
        (tmp_path / name).touch()
    opens = "fs.opendir %a %h fs.opendir %a %i"
    body = f'{opens} fs.readdir %h %n fs.readdir %h %n fs.readdir %i %m print "%[n]s%[m]s"'
    assert done(body, tmp_path).output == b"yx"


def test_the_end_leaves_the_register_alone_again_and_again(tmp_path: Path) -> None:
    reads = "fs.readdir %h %n acc %c fs.readdir %h %n acc %d"
    body = f'set %n "same" fs.opendir %a %h {reads} print "%[n]s%[c]d%[d]d"'
    assert done(body, tmp_path).output == b"same11"


WRONG = [
    "fs.readdir %h %n",
    "fs.closedir %h",
    "set %h 64 fs.readdir %h %n",
    "set %h 0xffffffff fs.readdir %h %n",
    "set %h 0xffffffff fs.closedir %h",
    "fs.opendir %a %h fs.closedir %h fs.readdir %h %n",
    "fs.opendir %a %h fs.closedir %h fs.closedir %h",
]


@pytest.mark.parametrize("instruction", WRONG)
def test_wrong_handles_are_failures(tmp_path: Path, instruction: str) -> None:
    assert attempted(instruction, tmp_path) == "EBADF"


def test_so_many_can_be_open(tmp_path: Path) -> None:
    body = "again: fs.opendir %a %h jnz bad add %c 1 lt %c %b jz again bad: ret"
    assert done(body.replace("%b", "64"), tmp_path).fault == ""
    outcome = done(body.replace("%b", "65"), tmp_path)
    assert (outcome.status, outcome.fault) == (125, "limit: directories (64)")
    assert outcome.error_output.decode().startswith("fault: limit: directories (64) at 0x")
    three = Limits(directories=3)
    assert done(body.replace("%b", "4"), tmp_path, limits=three).fault == "limit: directories (3)"
    closing = body.replace("jnz bad", "fs.closedir %h").replace("%b", "200")
    assert done(closing, tmp_path, limits=three).fault == ""


def test_nothing_stays_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for body in ("fs.opendir %a %h", "fs.opendir %a %h fs.readdir %h %n", "fs.opendir %a %h div %h 0"):
        done(body, tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_heap_is_charged_for_a_listing_once(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number:036}").touch()
    assert done("fs.opendir %a %h", tmp_path, limits=Limits(heap=9_900)).fault == "limit: heap (9900)"
    reads = "fs.opendir %a %h next: fs.readdir %h %n jz next retv 0"
    assert done(reads, tmp_path, limits=Limits(heap=12_000)).fault == ""
