"""File, dir and symlink resources on real files."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from host.files import LocalFiles
from tests.vm.resources import NONE, ThisHost, call, put, refuses, seen, settles, stays

# -- a file that is there, or is not


def test_file_present(tmp_path: Path) -> None:
    settles(tmp_path, call("res.file.present", tmp_path / "motd"))
    assert (tmp_path / "motd").read_bytes() == b""
    assert stat.S_IMODE((tmp_path / "motd").stat().st_mode) == 0o644


def test_file_present_leaves_contents_alone(tmp_path: Path) -> None:
    stays(tmp_path, call("res.file.present", put(tmp_path / "motd")))


def test_file_present_makes_parents_like_the_nearest(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    os.chown(tmp_path, 12, 34)
    settles(tmp_path, call("res.file.present", tmp_path / "a" / "b" / "motd"))
    made = seen(tmp_path)["a/b"]
    assert (made.mode, made.owner, made.group) == (0o750, 12, 34)


def test_file_absent(tmp_path: Path) -> None:
    settles(tmp_path, call("res.file.absent", put(tmp_path / "motd")))
    assert list(tmp_path.iterdir()) == []


def test_file_absent_where_its_directory_is_too(tmp_path: Path) -> None:
    stays(tmp_path, call("res.file.absent", tmp_path / "a" / "motd"))


def test_file_absent_takes_a_link_and_not_its_target(tmp_path: Path) -> None:
    put(tmp_path / "target")
    (tmp_path / "motd").symlink_to("target")
    settles(tmp_path, call("res.file.absent", tmp_path / "motd"))
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_file_absent_leaves_directories(tmp_path: Path) -> None:
    (tmp_path / "motd").mkdir()
    refuses(
        tmp_path,
        "there is a directory in its place, which is not removed",
        call("res.file.absent", tmp_path / "motd"),
    )


# -- something else in its place


def as_directory(path: Path) -> None:
    path.mkdir()


def as_symlink(path: Path) -> None:
    path.with_name("target").write_text("precious")
    path.symlink_to("target")


def as_dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def as_fifo(path: Path) -> None:
    os.mkfifo(path)


def as_device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))


def as_socket(path: Path) -> None:
    here = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{here}/{path.name}")
    finally:
        os.close(here)


def as_file(path: Path) -> None:
    path.write_text("old\n")


IN_THE_WAY: dict[str, Callable[[Path], None]] = {
    "directory": as_directory,
    "symbolic link": as_symlink,
    "symbolic link to nowhere": as_dangling,
    "FIFO pipe": as_fifo,
    "character device": as_device,
    "UNIX domain socket": as_socket,
    "regular file": as_file,
}

WANT = {
    "res.file.present": ("regular file", ()),
    "res.file.chown": ("regular file", (12,)),
    "res.file.chgrp": ("regular file", (12,)),
    "res.file.chmod": ("regular file", (0o600,)),
    "res.file.contents": ("regular file", ("new", None, None, None, NONE, 0)),
    "res.file.copy": ("regular file", ("/etc/passwd", None, None, None, NONE, 0)),
    "res.dir.present": ("directory", ()),
    "res.dir.absent": ("directory", ()),
    "res.dir.chown": ("directory", (12,)),
    "res.dir.chgrp": ("directory", (12,)),
    "res.dir.chmod": ("directory", (0o600,)),
    "res.symlink.present": ("symbolic link", ("elsewhere",)),
    "res.symlink.absent": ("symbolic link", ()),
}


@pytest.mark.parametrize("found", IN_THE_WAY)
@pytest.mark.parametrize("function", WANT)
def test_what_is_in_the_way_is_left_alone(tmp_path: Path, function: str, found: str) -> None:
    wanted, arguments = WANT[function]
    kind = found.removesuffix(" to nowhere")
    if kind != wanted:
        IN_THE_WAY[found](tmp_path / "x")
        sentence = f"there is a {kind} in its place (expected: a {wanted})"
        refuses(tmp_path, sentence, call(function, tmp_path / "x", *arguments))


@pytest.mark.parametrize("verb", ["chown", "chgrp", "chmod"])
@pytest.mark.parametrize(("kind", "wanted"), [("file", "regular file"), ("dir", "directory")])
def test_nothing_to_give_an_owner_or_a_mode(tmp_path: Path, kind: str, wanted: str, verb: str) -> None:
    refuses(
        tmp_path, f"there is nothing (expected: a {wanted})", call(f"res.{kind}.{verb}", tmp_path / "x", 5)
    )


PARENTED = ["res.file.present", "res.file.contents", "res.dir.present", "res.symlink.present"]


@pytest.mark.parametrize("function", PARENTED)
def test_a_file_where_a_parent_should_be(tmp_path: Path, function: str) -> None:
    put(tmp_path / "a")
    refuses(
        tmp_path,
        "cannot make the directories above it: (20) Not a directory",
        call(function, tmp_path / "a" / "b" / "x", *WANT[function][1]),
    )


# -- owner, group, mode


@pytest.mark.parametrize("kind", ["file", "dir"])
def test_owner_group_and_mode(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    settles(
        tmp_path,
        call(f"res.{kind}.present", path),
        call(f"res.{kind}.chown", path, 12),
        call(f"res.{kind}.chgrp", path, 34),
        call(f"res.{kind}.chmod", path, 0o4711),
    )
    made = seen(tmp_path)["x"]
    assert (made.mode, made.owner, made.group) == (0o4711, 12, 34)


@pytest.mark.parametrize(("verb", "value"), [("chown", 12), ("chgrp", 34), ("chmod", 0o640)])
@pytest.mark.parametrize("kind", ["file", "dir"])
def test_one_of_them_alone(tmp_path: Path, kind: str, verb: str, value: int) -> None:
    path = tmp_path / "x"
    path.mkdir(0o755) if kind == "dir" else put(path)
    settles(tmp_path, call(f"res.{kind}.{verb}", path, value))
    made = seen(tmp_path)["x"]
    plain = (0o755 if kind == "dir" else 0o644, 0, 0)
    expected = {
        "chown": (plain[0], 12, 0),
        "chgrp": (plain[0], 0, 34),
        "chmod": (0o640, 0, 0),
    }
    assert (made.mode, made.owner, made.group) == expected[verb]


class Unwilling(LocalFiles):
    """Files whose owner and mode cannot be changed, and that cannot be removed or renamed."""

    def chown(self, path: bytes, owner: int, group: int) -> None:
        raise PermissionError(1, os.strerror(1))

    def chmod(self, path: bytes, mode: int) -> None:
        raise PermissionError(1, os.strerror(1))

    def unlink(self, path: bytes) -> None:
        raise PermissionError(1, os.strerror(1))


@pytest.mark.parametrize(
    ("verb", "value", "sentence"),
    [
        ("chown", 12, "cannot set the owner: (1) Operation not permitted"),
        ("chgrp", 34, "cannot set the group: (1) Operation not permitted"),
        ("chmod", 0o640, "cannot set the mode: (1) Operation not permitted"),
        ("absent", None, "cannot remove the file: (1) Operation not permitted"),
    ],
)
def test_what_the_host_does_not_permit(tmp_path: Path, verb: str, value: int | None, sentence: str) -> None:
    host = ThisHost()
    host.files = Unwilling()
    refuses(tmp_path, sentence, call(f"res.file.{verb}", put(tmp_path / "x"), value), host=host)


# -- directories


def test_dir_present(tmp_path: Path) -> None:
    settles(tmp_path, call("res.dir.present", tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").is_dir()


def test_dir_present_where_it_is(tmp_path: Path) -> None:
    put(tmp_path / "x")
    stays(tmp_path, call("res.dir.present", tmp_path))


def test_dir_absent(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    settles(tmp_path, call("res.dir.absent", tmp_path / "d"))
    assert not (tmp_path / "d").exists()


def test_dir_absent_leaves_what_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    put(tmp_path / "d" / "x")
    refuses(
        tmp_path,
        "cannot remove the directory: (39) Directory not empty",
        call("res.dir.absent", tmp_path / "d"),
    )


# -- symbolic links


def test_symlink_present(tmp_path: Path) -> None:
    settles(tmp_path, call("res.symlink.present", tmp_path / "a" / "link", "../no where"))
    assert os.readlink(tmp_path / "a" / "link") == "../no where"


def test_symlink_present_with_another_target(tmp_path: Path) -> None:
    put(tmp_path / "old")
    put(tmp_path / "link.cw-new")
    (tmp_path / "link").symlink_to("old")
    settles(tmp_path, call("res.symlink.present", tmp_path / "link", "new"))
    assert os.readlink(tmp_path / "link") == "new"
    assert sorted(os.listdir(tmp_path)) == ["link", "old"]


def test_symlink_present_to_a_directory_does_not_go_into_it(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to("d")
    settles(tmp_path, call("res.symlink.present", tmp_path / "link", "e"))
    assert os.listdir(tmp_path / "d") == []


def test_symlink_absent(tmp_path: Path) -> None:
    put(tmp_path / "old")
    (tmp_path / "link").symlink_to("old")
    settles(tmp_path, call("res.symlink.absent", tmp_path / "link"))
    assert os.listdir(tmp_path) == ["old"]
