"""Files that others could have written are not obeyed, whatever they are for."""

import os
from pathlib import Path

import pytest

from conf import client
from conf.guarded import insist_on_writers
from conf.kinds import ConfError
from conf.load import load
from conf.schema import CogdConf


def insist(path: Path) -> None:
    insist_on_writers(path, path.stat())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "directory").mkdir(0o755)
    path = tmp_path / "directory" / "file"
    path.write_text("")
    path.chmod(0o644)
    return path


@pytest.mark.parametrize("mode", [0o660, 0o606, 0o666, 0o664, 0o646, 0o4622])
def test_what_others_can_change_is_refused_with_the_remedy(mode: int, file: Path) -> None:
    file.chmod(mode)
    with pytest.raises(ConfError) as caught:
        insist(file)
    assert str(caught.value) == f"{file}: others can change it (mode {mode:04o}): chmod go-w {file}"
    file.chmod(mode & ~0o022)
    insist(file)


@pytest.mark.parametrize(("mode", "fine"), [(0o777, False), (0o703, False), (0o1777, True), (0o775, True)])
def test_where_anyone_can_put_another_in_its_place_is_refused(mode: int, fine: bool, file: Path) -> None:
    file.parent.chmod(mode)
    if fine:
        insist(file)
        return
    with pytest.raises(ConfError) as caught:
        insist(file)
    assert str(caught.value) == (
        f"{file}: others can replace it ({file.parent} has mode {mode:04o}): chmod o-w {file.parent}"
    )


def test_a_link_does_not_hide_where_the_file_is(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    insist(link)
    file.parent.chmod(0o777)
    with pytest.raises(ConfError, match=f"{link}: others can replace it"):
        insist(link)


def test_what_is_no_file_is_let_pass() -> None:
    insist(Path(os.devnull))


def test_no_configuration_is_taken_from_anyone(file: Path) -> None:
    file.chmod(0o666)
    for take in (lambda: load(CogdConf, file), lambda: client.load(file)):
        with pytest.raises(ConfError, match=f"{file}: others can change it"):
            take()
