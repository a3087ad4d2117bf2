"""Group resources on account files of the test's."""

from pathlib import Path

import pytest

from tests.vm.account_files import at, etc_of, given, group, lines
from tests.vm.resources import call, refuses, settles, stays


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    return etc_of(tmp_path)


def test_a_new_group(etc: Path) -> None:
    settles(etc, *group("web"), pragmas=at(etc))
    assert lines(etc, "web") == {"group": "x:1001:", "gshadow": "!::"}


def test_a_new_group_with_everything(etc: Path) -> None:
    settles(
        etc,
        *group(
            "web",
            given("group.password", "$y$x"),
            given("group.member", "jack"),
            given("group.member", "gone"),
            given("group.admin", "jack"),
            gid=77,
        ),
        pragmas=at(etc),
    )
    assert lines(etc, "web") == {"group": "x:77:jack,gone", "gshadow": "$y$x:jack:jack,gone"}


GROUP_CHANGES = [
    ([], 77, "x:77:jack,gone", "$y$hash:gone:jack,gone"),
    ([("password", "!")], None, "x:1003:jack,gone", "!:gone:jack,gone"),
    ([("member", "root")], None, "x:1003:jack,gone,root", "$y$hash:gone:jack,gone,root"),
    ([("nomember", "jack")], None, "x:1003:gone", "$y$hash:gone:gone"),
    ([("admin", "root")], None, "x:1003:jack,gone", "$y$hash:gone,root:jack,gone"),
    ([("noadmin", "gone")], None, "x:1003:jack,gone", "$y$hash::jack,gone"),
]


@pytest.mark.parametrize(("verbs", "gid", "line", "secret"), GROUP_CHANGES)
def test_what_changes_of_a_group(
    etc: Path, verbs: list[tuple[str, str]], gid: int | None, line: str, secret: str
) -> None:
    calls = [given(f"group.{verb}", value) for verb, value in verbs]
    settles(etc, *group("ops", *calls, gid=gid), pragmas=at(etc))
    assert lines(etc, "ops") == {"group": line, "gshadow": secret}


GROUP_SAME = [
    group("ops"),
    group("ops", gid=1003),
    group("ops", given("group.password", "$y$hash")),
    group("ops", given("group.member", "jack"), given("group.admin", "gone")),
    group("ops", given("group.nomember", "root"), given("group.noadmin", "jack")),
    group("ops", given("group.nomember", "nobody")),
    [call("res.group.absent", "web")],
]


@pytest.mark.parametrize("calls", GROUP_SAME)
def test_a_group_that_is_right_is_left_alone(etc: Path, calls: list[str]) -> None:
    stays(etc, *calls, pragmas=at(etc))


def test_group_absent(etc: Path) -> None:
    settles(etc, call("res.group.absent", "ops"), pragmas=at(etc))
    assert lines(etc, "ops") == {}


GROUP_FAILURES = [
    (group("web", gid=100), "another group has the id 100"),
    (group("ops", gid=0), "another group has the id 0"),
    (group("ops", gid=0x80000000), "cannot set the id 2147483648: (28) No space left on device"),
    (group("a:b"), "cannot make the group a:b: (22) Invalid argument"),
    (group("ops", given("group.member", "nobody")), "there is no user nobody"),
    (group("ops", given("group.admin", "nobody")), "there is no user nobody"),
    (group("ops", given("group.password", "a:b")), "cannot set the password: (22) Invalid argument"),
    ([call("res.group.gidof", "nobody")], "there is no group nobody"),
]


@pytest.mark.parametrize(("calls", "sentence"), GROUP_FAILURES)
def test_groups_that_cannot_be(etc: Path, calls: list[str], sentence: str) -> None:
    refuses(etc, sentence, *calls, pragmas=at(etc))
