import grp
import os
import pwd
import threading

import pytest
import trio

from auth.groups import Groups, GroupsError, UnknownUser, lookup
from tests.accounts import account, group


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Directory:
    """A name service that counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.groups = {"alice": ("staff", "users"), "bob": ("users",)}

    def __call__(self, user: str) -> tuple[str, ...]:
        self.asked.append(user)
        if user not in self.groups:
            raise UnknownUser(user)
        return self.groups[user]


def test_all_groups_of_a_real_user_primary_included() -> None:
    with group() as one, group() as other, account(one, other) as user:
        assert lookup(user.name) == tuple(sorted([one, other, user.name]))
        with pytest.raises(UnknownUser, match="does not know the user"):
            lookup(user.name.upper())
    with pytest.raises(UnknownUser):
        lookup(user.name)


def test_the_current_user() -> None:
    entry = pwd.getpwuid(os.geteuid())
    assert grp.getgrgid(entry.pw_gid).gr_name in lookup(entry.pw_name)


@pytest.mark.parametrize("name", ["", "no-such-user", "a\0b", "\udc80", "x" * 300, "a\nb"])
def test_an_unknown_user_is_an_error(name: str) -> None:
    with pytest.raises(UnknownUser) as caught:
        lookup(name)
    assert str(caught.value).isprintable()


def no_names(number: int) -> grp.struct_group:
    raise KeyError(number)


def test_a_group_without_a_name_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grp, "getgrgid", no_names)
    with pytest.raises(GroupsError, match="has no name for the group 0 of the user 'root'"):
        lookup("root")


def another_case(user: str) -> pwd.struct_passwd:
    return pwd.struct_passwd(("Alice", "x", 1, 1, "", "/", "/bin/sh"))


def test_a_name_that_the_host_writes_otherwise_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pwd, "getpwnam", another_case)
    with pytest.raises(UnknownUser, match="knows the user 'alice' as 'Alice'"):
        lookup("alice")


async def test_answers_are_remembered_for_their_time() -> None:
    clock, directory = Clock(), Directory()
    groups = Groups(60, clock, directory)
    assert await groups.of("alice") == ("staff", "users")
    directory.groups["alice"] = ("users",)
    clock.now = 59.9
    assert await groups.of("alice") == ("staff", "users")
    clock.now = 60
    assert await groups.of("alice") == ("users",)
    assert directory.asked == ["alice", "alice"]


async def test_errors_are_not_remembered() -> None:
    directory = Directory()
    groups = Groups(60, Clock(), directory)
    with pytest.raises(UnknownUser):
        await groups.of("carol")
    directory.groups["carol"] = ("users",)
    assert await groups.of("carol") == ("users",)


async def test_clearing_forgets() -> None:
    directory = Directory()
    groups = Groups(60, Clock(), directory)
    await groups.of("alice")
    groups.clear()
    await groups.of("alice")
    assert directory.asked == ["alice", "alice"]


async def test_clearing_forgets_what_is_being_looked_up() -> None:
    begun, go = threading.Event(), threading.Event()
    asked: list[str] = []

    def slow(user: str) -> tuple[str, ...]:
        asked.append(user)
        begun.set()
        go.wait(10)
        return ("users",)

    groups = Groups(60, Clock(), slow)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(groups.of, "alice")
        await trio.to_thread.run_sync(begun.wait, 10)
        groups.clear()
        go.set()
    await groups.of("alice")
    assert asked == ["alice", "alice"]


async def test_a_lookup_that_hangs_is_an_error_and_hinders_nobody() -> None:
    go = threading.Event()

    def hang(user: str) -> tuple[str, ...]:
        if user == "alice":
            go.wait(30)
        return ("users",)

    groups = Groups(60, Clock(), hang, limit=0.05)
    try:
        with pytest.raises(GroupsError, match=r"'alice' could not be looked up in 0\.05 seconds"):
            await groups.of("alice")
        assert await groups.of("bob") == ("users",)
    finally:
        go.set()


async def test_no_more_users_are_remembered_than_there_is_room_for() -> None:
    asked: list[str] = []

    def of_all(user: str) -> tuple[str, ...]:
        asked.append(user)
        return ("users",)

    groups = Groups(60, Clock(), of_all, capacity=2)
    for user in ("a", "b", "c", "b", "c", "a"):
        await groups.of(user)
    assert asked == ["a", "b", "c", "a"]


async def test_a_host_without_a_thread_left_is_an_error() -> None:
    def no_thread(user: str) -> tuple[str, ...]:
        raise RuntimeError("can't start new thread")

    with pytest.raises(GroupsError, match="'alice' could not be looked up: can't start new thread"):
        await Groups(60, Clock(), no_thread).of("alice")
