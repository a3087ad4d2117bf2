import errno
import os
import stat
from pathlib import Path

import pytest

from tests.vm.real_files import KINDS, Filed, attempted, done, entries, made, process_umask


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    return made(tmp_path)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def like(path: Path) -> tuple[object, ...]:
    """All that would show if a file had been touched, times of its contents included."""
    found = path.lstat()
    return found.st_ino, found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns, found.st_ctime_ns


MASKS = [(0o000, 0o666, 0o777), (0o022, 0o644, 0o755), (0o077, 0o600, 0o700), (0o777, 0o000, 0o000)]


@pytest.mark.parametrize("others", [0o000, 0o077, 0o177])
@pytest.mark.parametrize(("mask", "file", "directory"), MASKS)
def test_the_mask_is_the_machines(tmp_path: Path, mask: int, file: int, directory: int, others: int) -> None:
    source = tmp_path / "source"
    source.touch()
    source.chmod(0o6777)
    new = [tmp_path / name for name in ("touched", "made", "put", "copied")]
    body = f'umask {mask} %p fs.touch %a fs.mkdir %b fs.put %c "x" fs.copy "{source}" %d'
    with process_umask(others):
        assert done(body, *new).status == 0
        assert os.umask(others) == others
    assert [mode_of(path) for path in new] == [file, directory, file, 0o777 & ~mask]


def test_touch_creates_an_empty_file(tmp_path: Path) -> None:
    assert attempted("fs.touch %a", tmp_path / "new") == ""
    assert (tmp_path / "new").read_bytes() == b""
    assert (tmp_path / "new").lstat().st_uid == os.geteuid()


@pytest.mark.parametrize("kind", KINDS)
def test_touch_leaves_alone_what_is_there(paths: dict[str, Path], kind: str) -> None:
    before = like(paths[kind])
    assert attempted("fs.touch %a", paths[kind]) == ("EISDIR" if kind == "dir" else "")
    assert like(paths[kind]) == before


def test_touch_makes_nothing_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("planted")
    assert attempted("fs.touch %a", tmp_path / "link") == ""
    assert entries(tmp_path) == ["link"]


@pytest.mark.parametrize("kind", KINDS)
def test_mkdir_of_what_is_there(paths: dict[str, Path], kind: str) -> None:
    before = like(paths[kind])
    assert attempted("fs.mkdir %a", paths[kind]) == ("" if kind == "dir" else "EEXIST")
    assert like(paths[kind]) == before


def test_mkdir_takes_no_link_for_a_directory(paths: dict[str, Path]) -> None:
    link = paths["dir"].with_name("to-dir")
    link.symlink_to("dir")
    assert attempted("fs.mkdir %a", link) == "EEXIST"


def test_a_directory_inherits_its_group_where_the_parent_hands_it_down(tmp_path: Path) -> None:
    os.chown(tmp_path, -1, 4321)
    tmp_path.chmod(0o2755)
    done("fs.mkdir %a fs.touch %b", tmp_path / "dir", tmp_path / "file")
    assert (mode_of(tmp_path / "dir"), (tmp_path / "dir").stat().st_gid) == (0o2755, 4321)
    assert (mode_of(tmp_path / "file"), (tmp_path / "file").stat().st_gid) == (0o644, 4321)


@pytest.mark.parametrize("kind", KINDS)
def test_hard_links(paths: dict[str, Path], kind: str) -> None:
    name = paths[kind].with_name("name")
    if kind == "dir":
        assert attempted("fs.link %a %b", paths[kind], name) == "EPERM"
        assert not name.exists()
    else:
        assert attempted("fs.link %a %b", paths[kind], name) == ""
        assert name.lstat().st_ino == paths[kind].lstat().st_ino
        assert attempted("fs.link %a %b", paths[kind], name) == "EEXIST"


def test_symbolic_links(tmp_path: Path) -> None:
    name = tmp_path / "name"
    assert attempted("fs.symlink %a %b", b"no/where \xff", name) == ""
    assert os.readlink(os.fsencode(name)) == b"no/where \xff"
    assert attempted("fs.symlink %a %b", "other", name) == "EEXIST"
    assert attempted("fs.symlink %a %b", "", tmp_path / "empty") == "ENOENT"
    assert attempted("fs.symlink %a %b", "a\0b", tmp_path / "nul") == "EINVAL"
    assert attempted("fs.symlink %a %b", "x" * 4096, tmp_path / "long") == "ENAMETOOLONG"
    assert entries(tmp_path) == ["name"]


@pytest.mark.parametrize("kind", KINDS)
def test_unlink_and_rmdir(paths: dict[str, Path], kind: str) -> None:
    remover, other = ("fs.rmdir", "fs.unlink") if kind == "dir" else ("fs.unlink", "fs.rmdir")
    assert attempted(f"{other} %a", paths[kind]) == ("EISDIR" if kind == "dir" else "ENOTDIR")
    assert os.path.lexists(paths[kind])
    assert attempted(f"{remover} %a", paths[kind]) == ""
    assert not os.path.lexists(paths[kind])
    assert paths["file"].exists() == (kind != "file")
    assert attempted(f"{remover} %a", paths[kind]) == "ENOENT"


def test_a_directory_with_something_in_it_stays(paths: dict[str, Path]) -> None:
    (paths["dir"] / "x").touch()
    assert attempted("fs.rmdir %a", paths["dir"]) == "ENOTEMPTY"


@pytest.mark.parametrize("kind", KINDS)
def test_rename(paths: dict[str, Path], kind: str) -> None:
    inode = paths[kind].lstat().st_ino
    name = paths[kind].with_name("name")
    assert attempted("fs.rename %a %b", paths[kind], name) == ""
    assert (name.lstat().st_ino, os.path.lexists(paths[kind])) == (inode, False)


def test_rename_over_what_is_there(paths: dict[str, Path]) -> None:
    assert attempted("fs.rename %a %b", paths["file"], paths["dir"]) == "EISDIR"
    assert attempted("fs.rename %a %b", paths["dir"], paths["file"]) == "ENOTDIR"
    assert attempted("fs.rename %a %b", paths["file"], paths["link"]) == ""
    assert paths["link"].read_bytes() == b"content\n"
    assert not paths["link"].is_symlink()


@pytest.mark.parametrize("kind", KINDS)
def test_owner_and_group(paths: dict[str, Path], kind: str) -> None:
    target = like(paths["file"])
    assert attempted("fs.chown %a 4000000000", paths[kind]) == ""
    assert attempted("fs.chgrp %a 1234", paths[kind]) == ""
    found = paths[kind].lstat()
    assert (found.st_uid, found.st_gid) == (4_000_000_000, 1234)
    assert kind == "file" or like(paths["file"]) == target
    for instruction in ("fs.chown", "fs.chgrp"):
        assert attempted(f"{instruction} %a 0xffffffff", paths[kind]) == "EINVAL"


@pytest.mark.parametrize("kind", KINDS)
def test_modes(paths: dict[str, Path], kind: str) -> None:
    before = {other: like(path) for other, path in paths.items()}
    for given, kept in ((0o6751, 0o6751), (0o100644, 0o644), (0, 0)):
        error = attempted(f"fs.chmod %a {given}", paths[kind])
        if kind == "link":
            assert error == errno.errorcode[errno.EOPNOTSUPP]
        else:
            assert (error, mode_of(paths[kind])) == ("", kept)
    assert {other for other, path in paths.items() if like(path) != before[other]} <= {kind} - {"link"}


@pytest.mark.parametrize("kind", KINDS)
def test_copy_is_of_regular_files(paths: dict[str, Path], kind: str) -> None:
    name = paths[kind].with_name("name")
    error = attempted("fs.copy %a %b", paths[kind], name)
    assert error == ("" if kind in {"file", "link"} else "EISDIR" if kind == "dir" else "EINVAL")
    assert os.path.lexists(name) == (not error)
    if not error:
        assert name.read_bytes() == b"content\n"
        assert not name.is_symlink()


@pytest.mark.parametrize("kind", KINDS)
def test_copy_over_what_is_there(paths: dict[str, Path], kind: str) -> None:
    source = paths["file"].with_name("source")
    source.write_bytes(b"new\n" * 100_000)
    source.chmod(0o777)
    os.chown(paths[kind], 1234, 4321, follow_symlinks=False)
    before = {other: like(path) for other, path in paths.items()}
    errors = {"file": "", "link": "ELOOP", "dir": "EISDIR"}
    assert attempted("fs.copy %a %b", source, paths[kind]) == errors.get(kind, "EINVAL")
    changed = {other for other, path in paths.items() if like(path) != before[other]}
    assert changed == ({"file"} if kind == "file" else set())
    assert entries(source.parent) == sorted([*KINDS, "source"])
    if kind == "file":
        found = paths["file"].stat()
        assert (found.st_uid, found.st_gid, mode_of(paths["file"])) == (1234, 4321, 0o644)
        assert paths["file"].read_bytes() == source.read_bytes()


def test_a_copy_onto_itself_changes_nothing(paths: dict[str, Path]) -> None:
    assert attempted("fs.copy %a %a", paths["file"]) == ""
    assert paths["file"].read_bytes() == b"content\n"


def test_parents_are_like_the_nearest(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    os.chown(top, 1234, 4321)
    top.chmod(0o2751)
    with process_umask(0o077):
        assert attempted("fs.mkparent %a", top / "a" / "b" / "c") == ""
    for directory in (top / "a", top / "a" / "b"):
        found = directory.stat()
        assert (found.st_uid, found.st_gid, mode_of(directory)) == (1234, 4321, 0o2751)
    assert entries(top / "a" / "b") == []


ENDS = ["a/b/c", "a/b/c/", "a//b///c//", "a/./b/c", "./a/b/../b/c"]


@pytest.mark.parametrize("end", ENDS)
def test_parents_however_they_are_written(tmp_path: Path, end: str) -> None:
    assert attempted("fs.mkparent %a", f"{tmp_path}/{end}") == ""
    assert entries(tmp_path) == ["a"]
    assert entries(tmp_path / "a") == ["b"]
    assert entries(tmp_path / "a" / "b") == []


NOTHING_TO_MAKE = ["/", "//", "/x", "x", ".", "..", "/usr/x"]


@pytest.mark.parametrize("path", NOTHING_TO_MAKE)
def test_parents_that_are_there(path: str) -> None:
    assert attempted("fs.mkparent %a", path) == ""


def test_parents_that_cannot_be_made(paths: dict[str, Path]) -> None:
    here = paths["file"].parent
    (here / "dangling").symlink_to("nowhere")
    assert attempted("fs.mkparent %a", here / "file" / "x") == "ENOTDIR"
    assert attempted("fs.mkparent %a", here / "file" / "x" / "y") == "ENOTDIR"
    assert attempted("fs.mkparent %a", here / "link" / "x") == "ENOTDIR"
    assert attempted("fs.mkparent %a", here / "fifo" / "x") == "ENOTDIR"
    assert attempted("fs.mkparent %a", here / "dangling" / "x" / "y") == "EEXIST"
    assert attempted("fs.mkparent %a", here / ("x" * 256) / "y") == "ENAMETOOLONG"
    assert attempted("fs.mkparent %a", f"{here}/" + "x/" * 5000) == "ENAMETOOLONG"
    assert attempted("fs.mkparent %a", "") == "ENOENT"
    assert attempted("fs.mkparent %a", f"{here}/new\0/x") == "EINVAL"
    assert entries(here) == sorted([*KINDS, "dangling"])


def test_parents_through_a_link_to_a_directory(paths: dict[str, Path]) -> None:
    link = paths["dir"].with_name("to-dir")
    link.symlink_to("dir")
    assert attempted("fs.mkparent %a", link / "x" / "y") == ""
    assert entries(paths["dir"]) == ["x"]


class Gone:
    """A file system with nothing in it, not even a root."""

    def stat(self, path: bytes) -> None:
        raise FileNotFoundError(errno.ENOENT, "gone")


@pytest.mark.parametrize("path", ["a/b", "/a/b", "/", "."])
def test_parents_where_nothing_exists(path: str) -> None:
    assert attempted("fs.mkparent %a", path, host=Filed(Gone())) == "ENOENT"


ONE_PATH = ["touch", "mkdir", "unlink", "rmdir", "chown %a 1", "chgrp %a 1", "chmod %a 1", 'put %a "x"']
TWO_PATHS = ["link", "rename", "copy"]
WRONG = [
    ("", "ENOENT"),
    ("missing/x", "ENOENT"),
    ("file/x", "ENOTDIR"),
    ("x" * 256, "ENAMETOOLONG"),
    ("new\0er", "EINVAL"),
    ("loop/x", "ELOOP"),
]


@pytest.mark.parametrize(("name", "error"), WRONG, ids=range(len(WRONG)))
def test_paths_that_nothing_can_be_done_to(paths: dict[str, Path], name: str, error: str) -> None:
    here = paths["file"].parent
    (here / "loop").symlink_to("loop")
    path = f"{here}/{name}" if name else ""
    before = {path: like(here / path) for path in entries(here)}
    for instruction in ONE_PATH:
        assert attempted(f"fs.{instruction}" + (" %a" if "%" not in instruction else ""), path) == error
    for instruction in TWO_PATHS:
        assert attempted(f"fs.{instruction} %a %b", path, here / "other") == error
        assert attempted(f"fs.{instruction} %a %b", paths["file"], path) == error
    assert attempted("fs.symlink %a %b", "target", path) == error
    assert {path: like(here / path) for path in entries(here)} == before


def test_names_that_are_not_text(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\xfe \n%s"
    assert attempted("fs.touch %a", name) == ""
    assert attempted("fs.chmod %a 0600", name) == ""
    assert os.listdir(os.fsencode(tmp_path)) == [b"\xff\xfe \n%s"]
