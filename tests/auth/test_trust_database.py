import multiprocessing
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.trust import NOBODY, Entry, TrustError, added, parse, revoked, update

A, B, C = "aa" * 32, "bb" * 32, "cc" * 32
TEXT = f"# users\n{A} alice\n\n  {B.upper()}   bob  # on holiday\n{A} admin\n"


def test_a_key_has_the_names_it_is_listed_for() -> None:
    trust = parse(TEXT, "db")
    assert trust.names_of(A) == ("alice", "admin")
    assert trust.names_of(B) == trust.names_of(B.upper()) == ("bob",)
    assert trust.names_of(C) == ()
    assert trust.keys_of("bob") == (B,)
    assert trust.keys_of("carol") == ()
    assert trust.names == ("alice", "admin", "bob")
    assert len(trust) == 2
    assert len(parse("", "db")) == len(NOBODY) == 0


@pytest.mark.parametrize(
    "line",
    [
        A,
        f"{A} alice bob",
        f"{A[:-1]} alice",
        f"{A}0 alice",
        f"x{A[1:]} alice",
        f"alice {A}",
        f"{A} {'x' * 256}",
        f"{A} al\x1bice",
        f"{A}\x00 alice",
    ],
)
def test_a_line_that_is_not_understood_is_named(line: str) -> None:
    with pytest.raises(TrustError, match=r"db:2: expected HEX NAME") as caught:
        parse(f"# one\n{line}\n", "db")
    assert str(caught.value).isprintable()


def test_adding_keeps_everything_and_is_idempotent() -> None:
    entries = [Entry(C, "carol"), Entry(A, "alice"), Entry(C, "carol")]
    text, sentences = added(TEXT, "db", entries)
    assert text == f"{TEXT}{C} carol\n"
    assert sentences == [f"trusted: {C} carol", f"already trusted: {A} alice", f"already trusted: {C} carol"]
    assert added(text, "db", entries)[0] == text


def test_a_last_line_without_an_end_gets_one() -> None:
    assert added(f"{A} alice", "db", [Entry(B, "bob")])[0] == f"{A} alice\n{B} bob\n"


def test_revoking_takes_the_lines_and_says_what_is_left() -> None:
    text, sentences = revoked(TEXT, "db", [Entry(A, "alice"), Entry(B, None), Entry(C, None)])
    assert text == f"# users\n\n{A} admin\n"
    assert sentences == [
        f"revoked: {A} alice (still trusted as admin)",
        f"revoked: {B} bob",
        f"not listed: {C}",
    ]
    assert revoked(TEXT, "db", [Entry(A, None)]) == (
        f"# users\n\n  {B.upper()}   bob  # on holiday\n",
        [f"revoked: {A} alice, admin"],
    )


@pytest.mark.parametrize("change", [added, revoked])
def test_a_database_that_does_not_parse_is_not_edited(change: object) -> None:
    assert callable(change)
    with pytest.raises(TrustError, match="db:1"):
        change("nonsense\n", "db", [Entry(A, "alice")])


ENTRIES = st.lists(st.tuples(st.sampled_from([A, B, C]), st.sampled_from(["alice", "bob", "x.example.com"])))
COMMENTS = st.lists(st.sampled_from(["", "# note", "   ", "#", f"# {A} alice", "# a\x0cb", "# \u2028"]))


@given(ENTRIES, ENTRIES, COMMENTS)
def test_what_is_added_is_trusted_until_it_is_revoked(
    first: list[tuple[str, str]], then: list[tuple[str, str]], comments: list[str]
) -> None:
    base = "".join(f"{comment}\n" for comment in comments)
    text, _ = added(base, "db", [Entry(*entry) for entry in first])
    assert text.startswith(base)
    trust = parse(text, "db")
    assert {(key, name) for key in (A, B, C) for name in trust.names_of(key)} == set(first)
    text, _ = revoked(text, "db", [Entry(*entry) for entry in then])
    assert text.startswith(base)
    left = parse(text, "db")
    assert {(key, name) for key in (A, B, C) for name in left.names_of(key)} == set(first) - set(then)


@given(st.text())
def test_any_text_is_a_database_or_a_declared_error(text: str) -> None:
    sentence = ""
    try:
        parse(text, "db")
    except TrustError as error:
        sentence = str(error)
    assert sentence.isprintable()


def add_bob(text: str, where: str) -> tuple[str, list[str]]:
    return added(text, where, [Entry(B, "bob")])


def test_an_update_keeps_mode_and_links_and_leaves_nothing_else(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text(TEXT.replace(B.upper(), C))
    real.chmod(0o640)
    link.symlink_to(real)
    before = real.stat().st_ino
    assert update(link, add_bob, create=False) == [f"trusted: {B} bob"]
    assert link.is_symlink()
    assert parse(real.read_text(), "db").names_of(B) == ("bob",)
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert real.stat().st_ino != before
    assert sorted(os.listdir(tmp_path)) == ["link", "real"]


def test_an_update_that_changes_nothing_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "db"
    path.write_text(TEXT)
    before = path.stat()
    assert update(path, add_bob, create=True) == [f"already trusted: {B} bob"]
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_failed_update_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "db"
    path.write_text("nonsense\n")
    with pytest.raises(TrustError, match=f"{path}:1: expected HEX NAME"):
        update(path, add_bob, create=True)
    assert path.read_text() == "nonsense\n"
    assert os.listdir(tmp_path) == ["db"]


def test_a_database_is_made_only_where_one_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match=r"cannot edit .*/db: No such file or directory"):
        update(tmp_path / "db", add_bob, create=False)
    made = update(tmp_path / "db", add_bob, create=True)
    assert made == [f"made {tmp_path}/db", f"trusted: {B} bob"]
    assert (tmp_path / "db").read_text() == f"{B} bob\n"
    assert stat.S_IMODE((tmp_path / "db").stat().st_mode) == 0o644
    with pytest.raises(TrustError, match="cannot open the directory"):
        update(tmp_path / "none" / "db", add_bob, create=True)


def add_number(path: Path, number: int) -> None:
    update(path, lambda text, where: added(text, where, [Entry(f"{number:064x}", "x")]), create=True)


def test_edits_at_once_all_count(tmp_path: Path) -> None:
    path = tmp_path / "db"
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=add_number, args=(path, number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(parse(path.read_text(), "db")) == 4
