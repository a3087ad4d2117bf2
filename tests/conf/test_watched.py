import os
from pathlib import Path

import pytest

from conf.kinds import ConfError
from conf.watched import MAX_FILE, Watched
from errors import CwError


class NoNumber(CwError):
    """That is no number."""


def number(text: str, where: str) -> int:
    if not text.isdigit():
        raise NoNumber(f"{where}: no number")
    return int(text)


def test_a_value_is_read_once_for_each_change(tmp_path: Path) -> None:
    path = tmp_path / "number"
    path.write_text("1")
    watched = Watched(path, number, 0)
    assert watched.value == 0
    assert watched.refresh()
    assert watched.value == 1
    assert not watched.refresh()
    path.write_text("22")
    assert watched.refresh()
    assert watched.value == 22


def test_a_file_put_in_its_place_is_a_change(tmp_path: Path) -> None:
    path, other = tmp_path / "number", tmp_path / "other"
    path.write_text("1")
    watched = Watched(path, number, 0)
    watched.refresh()
    other.write_text("2")
    status = path.stat()
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.rename(path)
    assert watched.refresh()
    assert watched.value == 2


def test_the_last_good_value_stays_and_each_bad_text_is_complained_of_once(tmp_path: Path) -> None:
    path = tmp_path / "number"
    path.write_text("1")
    watched = Watched(path, number, 0)
    watched.refresh()
    path.write_text("one")
    with pytest.raises(NoNumber, match=f"{path}: no number"):
        watched.refresh()
    assert watched.value == 1
    assert not watched.refresh()
    path.write_text("333")
    assert watched.refresh()
    assert watched.value == 333


def test_a_file_that_is_gone_is_complained_of_until_it_is_back(tmp_path: Path) -> None:
    path = tmp_path / "number"
    watched = Watched(path, number, 7)
    for _ in range(2):
        with pytest.raises(ConfError, match=r"cannot read .*: No such file or directory"):
            watched.refresh()
    assert watched.value == 7
    path.write_text("8")
    assert watched.refresh()


@pytest.mark.parametrize("content", [b"\xff", b"1" * (MAX_FILE + 1)], ids=["no text", "too long"])
def test_a_file_that_cannot_be_text_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "number"
    path.write_bytes(content)
    with pytest.raises(ConfError, match=f"{path}: expected "):
        Watched(path, number, 0).refresh()


def test_no_file_is_empty_for_ever() -> None:
    watched = Watched(None, number, 7)
    assert not watched.refresh()
    assert watched.value == 7


def test_a_file_that_others_can_change_leaves_the_last_good_value(tmp_path: Path) -> None:
    path = tmp_path / "number"
    path.write_text("1")
    watched = Watched(path, number, 0)
    watched.refresh()
    path.write_text("2")
    path.chmod(0o666)
    for _ in range(2):
        with pytest.raises(ConfError, match=f"{path}: others can change it"):
            watched.refresh()
    assert watched.value == 1
    path.chmod(0o644)
    assert watched.refresh()
    assert watched.value == 2


def test_whether_there_ever_was_a_good_one_is_known(tmp_path: Path) -> None:
    path = tmp_path / "number"
    watched = Watched(path, number, 0)
    path.write_text("one")
    with pytest.raises(NoNumber):
        watched.refresh()
    assert not watched.good
    path.write_text("1")
    watched.refresh()
    assert watched.good


def test_the_key_that_names_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfError, match=r"/none: No such file or directory \(auth.trusted names it\)\Z"):
        Watched(tmp_path / "none", number, 0, "auth.trusted").refresh()
