"""Home directories of users that are in account files of the test's."""

import os
import stat
from pathlib import Path

import pytest

from tests.vm.account_files import at, etc_of, given, user
from tests.vm.resources import CHANGED, call, enforce, seen, settles, stays


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    return etc_of(tmp_path)


@pytest.fixture
def skeleton(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("skeleton")
    (top / ".profile").write_text("umask 022\n")
    (top / "bin" / "deep").mkdir(parents=True)
    (top / "bin").chmod(0o2750)
    (top / "bin" / "odd; name").write_text("#!/bin/sh\n")
    (top / "bin" / "odd; name").chmod(0o755)
    (top / "link").symlink_to("/etc/passwd")
    return top


def with_home(etc: Path, home: Path, skeleton: Path | str) -> list[str]:
    return [
        *user("web", given("user.home", str(home)), uid=1_777, gid=100),
        call("res.user.makehome", "web", skeleton),
    ]


def test_a_home_directory_is_made_like_the_skeleton(etc: Path, skeleton: Path) -> None:
    home = etc / "homes" / "web"
    settles(etc, *with_home(etc, home, skeleton), pragmas=at(etc))
    made = {
        name: (stat.filemode(file.type | file.mode), file.owner, file.group, file.holds)
        for name, file in seen(home).items()
    }
    assert made == {
        ".": ("drwx------", 1777, 100, b""),
        ".profile": ("-rw-r--r--", 1777, 100, b"umask 022\n"),
        "bin": ("drwxr-s---", 1777, 100, b""),
        "bin/deep": ("drwxr-xr-x", 1777, 100, b""),
        "bin/odd; name": ("-rwxr-xr-x", 1777, 100, b"#!/bin/sh\n"),
        "link": ("lrwxrwxrwx", 1777, 100, b"/etc/passwd"),
    }
    assert os.listdir(home.parent) == ["web"]


def test_a_home_directory_without_a_skeleton(etc: Path) -> None:
    settles(etc, *with_home(etc, etc / "web", ""), pragmas=at(etc))
    assert os.listdir(etc / "web") == []


def test_a_home_directory_that_is_there_is_left_alone(etc: Path, skeleton: Path) -> None:
    (etc / "web").mkdir(0o755)
    assert enforce(*user("web", given("user.home", str(etc / "web"))), pragmas=at(etc)) == CHANGED
    stays(etc, call("res.user.makehome", "web", skeleton), pragmas=at(etc))


def test_a_home_directory_that_a_killed_run_began(etc: Path, skeleton: Path) -> None:
    begun = etc / "web.cw-new"
    (begun / "bin").mkdir(parents=True)
    (begun / ".profile").write_text("uma")
    (begun / "link").symlink_to("/etc/passwd")
    settles(etc, *with_home(etc, etc / "web", skeleton), pragmas=at(etc))
    assert (etc / "web" / ".profile").read_text() == "umask 022\n"
    assert not begun.exists()


def test_a_skeleton_that_is_not_there(etc: Path) -> None:
    found = enforce(*with_home(etc, etc / "web", etc / "none"), pragmas=at(etc))
    assert found.errors == f"thing:x: cannot read {etc}/none: (2) No such file or directory\n"
    assert found.status == 1
    assert not (etc / "web").exists()


def test_a_skeleton_with_what_is_no_file(etc: Path, skeleton: Path) -> None:
    os.mkfifo(skeleton / "bin" / "fifo")
    found = enforce(*with_home(etc, etc / "web", skeleton), pragmas=at(etc))
    assert found.errors == (
        f"thing:x: {skeleton}/bin/fifo is a FIFO pipe "
        "(expected: a regular file, a directory or a symbolic link)\n"
    )
    assert not (etc / "web").exists()


def test_a_file_where_the_home_directory_should_be(etc: Path) -> None:
    (etc / "web").write_text("precious")
    found = enforce(*with_home(etc, etc / "web", ""), pragmas=at(etc))
    assert found.errors == "thing:x: there is a regular file in its place (expected: a directory)\n"
    assert (etc / "web").read_text() == "precious"
