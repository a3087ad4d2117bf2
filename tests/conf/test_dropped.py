"""Directories into which files are dropped: what counts in them, and what is not obeyed."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from conf.dropped import FILES_LIMIT, MAX_FILE, Dropped
from conf.kinds import ConfError
from errors import CwError


class NoNumber(CwError):
    """That is no number."""


def total(files: Mapping[str, bytes], directory: str) -> int:
    for name, contents in files.items():
        if not contents.isdigit():
            raise NoNumber(f"{directory}/{name}: no number")
    return sum(map(int, files.values()))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "numbers"
    made.mkdir(0o755)
    return made


@pytest.fixture
def dropped(directory: Path) -> Dropped[int]:
    return Dropped(directory, (".one", ".two"), total, -1, "x.numbers")


def put(path: Path, contents: str) -> None:
    """A file that only its owner can write, whatever the umask; another file, if one was there."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(contents)
    new.chmod(0o644)
    new.replace(path)


def test_each_change_of_a_file_that_counts_is_a_new_value(dropped: Dropped[int], directory: Path) -> None:
    assert dropped.value == -1
    assert dropped.refresh()
    assert dropped.value == 0
    put(directory / "a.one", "1")
    put(directory / "b.two", "20")
    put(directory / "c.three", "no number")
    put(directory / ".d.one", "no number")
    put(directory / "e.one~", "no number")
    assert dropped.refresh()
    assert dropped.value == 21
    assert not dropped.refresh()
    put(directory / "c.three", "still none")
    assert not dropped.refresh()
    put(directory / "a.one", "2")
    assert dropped.refresh()
    assert dropped.value == 22
    (directory / "a.one").rename(directory / "f.one")
    assert dropped.refresh()
    (directory / "b.two").unlink()
    assert dropped.refresh()
    assert dropped.value == 2


def test_the_last_good_value_stays_and_is_complained_of_once(dropped: Dropped[int], directory: Path) -> None:
    put(directory / "a.one", "1")
    dropped.refresh()
    put(directory / "b.one", "x")
    with pytest.raises(NoNumber, match=f"^{directory}/b.one: no number$"):
        dropped.refresh()
    assert not dropped.refresh()
    assert dropped.value == 1
    put(directory / "b.one", "2")
    assert dropped.refresh()
    assert dropped.value == 3


def test_no_directory_is_empty_for_ever(directory: Path) -> None:
    nowhere = Dropped(None, (".one",), total, 7)
    assert not nowhere.refresh()
    assert nowhere.value == 7


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_can_change_is_refused(mode: int, dropped: Dropped[int], directory: Path) -> None:
    put(directory / "a.one", "1")
    dropped.refresh()
    put(directory / "a.one", "2")
    (directory / "a.one").chmod(mode)
    for _ in range(2):
        with pytest.raises(ConfError) as caught:
            dropped.refresh()
        file = directory / "a.one"
        assert str(caught.value) == f"{file}: others can change it (mode {mode:04o}): chmod go-w {file}"
    assert dropped.value == 1
    (directory / "a.one").chmod(0o644)
    assert dropped.refresh()
    assert dropped.value == 2


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777, 0o1777])
def test_a_directory_that_others_can_put_files_into_is_refused(
    mode: int, dropped: Dropped[int], directory: Path
) -> None:
    directory.chmod(mode)
    with pytest.raises(ConfError) as caught:
        dropped.refresh()
    assert str(caught.value) == (
        f"{directory}: others can put files into it (mode {mode:04o}): chmod go-w {directory}"
    )


def test_a_directory_that_others_can_replace_is_refused(dropped: Dropped[int], tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(ConfError) as caught:
        dropped.refresh()
    assert str(caught.value) == (
        f"{dropped.path}: others can replace it ({tmp_path} has mode 0777): chmod o-w {tmp_path}"
    )
    tmp_path.chmod(0o1777)  # where each removes their own alone, as in /tmp
    assert dropped.refresh()


def test_a_link_does_not_hide_who_can_change_a_file(
    dropped: Dropped[int], directory: Path, tmp_path: Path
) -> None:
    put(tmp_path / "elsewhere", "1")
    (directory / "a.one").symlink_to(tmp_path / "elsewhere")
    assert dropped.refresh()
    assert dropped.value == 1
    (tmp_path / "elsewhere").chmod(0o666)
    with pytest.raises(ConfError, match=r"a.one: others can change it"):
        dropped.refresh()


def test_what_is_no_file_is_refused_unopened(dropped: Dropped[int], directory: Path) -> None:
    os.mkfifo(directory / "a.one")  # to open it would take for ever
    with pytest.raises(ConfError, match=f"^{directory}/a.one: expected a regular file$"):
        dropped.refresh()
    (directory / "a.one").unlink()
    (directory / "a.one").mkdir()
    with pytest.raises(ConfError, match=f"^{directory}/a.one: expected a regular file$"):
        dropped.refresh()


def test_what_cannot_be_read_is_named_with_the_key(dropped: Dropped[int], directory: Path) -> None:
    (directory / "a.one").symlink_to(directory / "nowhere")
    with pytest.raises(ConfError) as caught:
        dropped.refresh()
    assert str(caught.value) == (
        f"cannot read {directory}/a.one: No such file or directory (x.numbers names it)"
    )
    (directory / "a.one").unlink()
    directory.rmdir()
    with pytest.raises(ConfError, match=f"^cannot read {directory}: No such file or directory "):
        dropped.refresh()
    directory.write_text("")
    with pytest.raises(ConfError, match=f"^cannot read {directory}: Not a directory "):
        dropped.refresh()


def test_size_and_number_are_bounded(dropped: Dropped[int], directory: Path) -> None:
    put(directory / "a.one", "1" * (MAX_FILE + 1))
    with pytest.raises(ConfError, match=f"^{directory}/a.one: expected at most {MAX_FILE} bytes, got more$"):
        dropped.refresh()
    put(directory / "a.one", "1")
    for number in range(FILES_LIMIT):
        put(directory / f"{number}.two", "1")
    got = f"expected at most {FILES_LIMIT} files, got {FILES_LIMIT + 1}"
    with pytest.raises(ConfError, match=f"^{directory}: {got}$"):
        dropped.refresh()
    (directory / "0.two").unlink()
    assert dropped.refresh()
    assert dropped.value == FILES_LIMIT


def test_a_name_stays_on_its_line(dropped: Dropped[int], directory: Path) -> None:
    os.mkfifo(directory / "a\n\x1b[2J.one")
    with pytest.raises(ConfError) as caught:
        dropped.refresh()
    assert str(caught.value) == f"{directory}/a\\u000a\\u001b[2J.one: expected a regular file"
