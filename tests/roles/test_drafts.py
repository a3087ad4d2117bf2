from pathlib import Path

import pytest

from auth.keys import SIGNING
from roles.drafts import DraftError, Drafts


def drafts(directory: Path) -> Drafts:
    made = Drafts(directory)
    made.text("one", "1\n")
    made.directory("two", 0o750)
    made.key("three", SIGNING, "alice", b"s" * 32)
    return made


def test_all_is_made(tmp_path: Path) -> None:
    drafts(tmp_path / "new").write()
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"one", "two", "three", "three.pub"}


def test_after_a_failure_nothing_is_left(tmp_path: Path) -> None:
    broken = drafts(tmp_path / "new")
    broken.text("missing/four", "4\n")
    with pytest.raises(DraftError, match=r"cannot make .*/missing/four: No such file or directory"):
        broken.write()
    assert not any(tmp_path.iterdir())


def test_what_must_follow_undoes_all_when_it_fails(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()

    def interrupted() -> None:
        assert (tmp_path / "here/three").exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drafts(tmp_path / "here").write(then=interrupted)
    assert list(tmp_path.rglob("*")) == [tmp_path / "here"]


def test_what_appears_meanwhile_is_neither_overwritten_nor_removed(tmp_path: Path) -> None:
    late = Drafts(tmp_path / "new")
    late.text("one", "1\n")
    late.text("one", "2\n")
    with pytest.raises(DraftError, match="File exists"):
        late.write()
    assert not (tmp_path / "new").exists()
