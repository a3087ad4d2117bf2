"""User resources, and lookups, on account files of the test's."""

import os
from pathlib import Path

import pytest

from host.accounts import LocalAccounts
from tests.vm.account_files import GROUP, SHADOW, at, etc_of, given, group, lines, user
from tests.vm.resources import CHANGED, Enforced, ThisHost, call, enforce, refused, refuses, settles, stays


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    return etc_of(tmp_path)


def test_a_new_user_has_what_a_user_needs(etc: Path) -> None:
    settles(etc, *user("web"), pragmas=at(etc))
    assert lines(etc, "web") == {
        "passwd": "x:1003:1004::/home/web:/bin/sh",
        "shadow": "!:::::::",
        "group": "x:1004:",
        "gshadow": "!::",
    }


def test_a_new_user_with_everything(etc: Path) -> None:
    settles(
        etc,
        *user(
            "web",
            given("user.home", "/srv/web"),
            given("user.shell", "/usr/sbin/nologin"),
            given("user.comment", "Web server"),
            given("user.password", "$6$salt$hash"),
            given("user.pwmin", 1),
            given("user.pwmax", 45),
            given("user.pwwarn", 10),
            given("user.inact", 5),
            given("user.expiry", 30_000),
            uid=40,
            gid=100,
        ),
        pragmas=at(etc),
    )
    assert lines(etc, "web") == {
        "passwd": "x:40:100:Web server:/srv/web:/usr/sbin/nologin",
        "shadow": "$6$salt$hash::1:45:10:5:30000:",
    }


def test_a_new_user_joins_the_group_of_its_name(etc: Path) -> None:
    settles(etc, *user("ops"), pragmas=at(etc))
    assert lines(etc, "ops")["passwd"] == "x:1003:1003::/home/ops:/bin/sh"
    assert (etc / "group").read_text() == GROUP


def test_a_user_that_is_there_is_left_alone(etc: Path) -> None:
    stays(etc, *user("jack"), pragmas=at(etc))
    stays(etc, *user("jack", given("user.home", "/home/jack"), uid=1000, gid=1000), pragmas=at(etc))


USER_CHANGES = [
    ([], 40, None, "passwd", "x:40:1000:Jack,,,:/home/jack:/bin/bash"),
    ([], None, 100, "passwd", "x:1000:100:Jack,,,:/home/jack:/bin/bash"),
    ([("home", "/srv/jack")], None, None, "passwd", "x:1000:1000:Jack,,,:/srv/jack:/bin/bash"),
    ([("shell", "/bin/sh")], None, None, "passwd", "x:1000:1000:Jack,,,:/home/jack:/bin/sh"),
    ([("comment", "")], None, None, "passwd", "x:1000:1000::/home/jack:/bin/bash"),
    ([("comment", "50%[z]s")], None, None, "passwd", "x:1000:1000:50%[z]s:/home/jack:/bin/bash"),
    ([("password", "$y$other")], None, None, "shadow", "$y$other:19000:0:99999:7:::"),
    ([("password", "*")], None, None, "shadow", "*:19000:0:99999:7:::"),
    ([("password", "!no")], None, None, "shadow", "!no:19000:0:99999:7:::"),
    ([("lock", None)], None, None, "shadow", "!$y$hash:19000:0:99999:7:::"),
    ([("password", "$y$x"), ("lock", None)], None, None, "shadow", "!$y$x:19000:0:99999:7:::"),
    ([("pwmin", 3)], None, None, "shadow", "$y$hash:19000:3:99999:7:::"),
    ([("pwmax", 30)], None, None, "shadow", "$y$hash:19000:0:30:7:::"),
    ([("pwmax", 0)], None, None, "shadow", "$y$hash:19000:0::7:::"),
    ([("pwwarn", 0)], None, None, "shadow", "$y$hash:19000:0:99999:0:::"),
    ([("inact", 9)], None, None, "shadow", "$y$hash:19000:0:99999:7:9::"),
    ([("expiry", 30_000)], None, None, "shadow", "$y$hash:19000:0:99999:7::30000:"),
]


@pytest.mark.parametrize(("verbs", "uid", "gid", "file", "line"), USER_CHANGES)
def test_what_changes_of_a_user(
    etc: Path, verbs: list[tuple[str, str | int]], uid: int | None, gid: int | None, file: str, line: str
) -> None:
    before = {path.name: path.read_text() for path in etc.iterdir()}
    calls = [given(f"user.{verb}", value) for verb, value in verbs]
    settles(etc, *user("jack", *calls, uid=uid, gid=gid), pragmas=at(etc))
    assert lines(etc, "jack")[file] == line
    kept = {name: text for name, text in before.items() if name != file}
    assert {name: (etc / name).read_text() for name in kept} == kept


LOCKED_CHANGES = [
    ([("unlock", None)], "$y$hash:19000:1:60:7:5:20000:"),
    ([("password", "$y$other")], "!$y$other:19000:1:60:7:5:20000:"),
    ([("password", "$y$other"), ("unlock", None)], "$y$other:19000:1:60:7:5:20000:"),
    ([("password", "!!")], "!!:19000:1:60:7:5:20000:"),
    ([("inact", 0)], "!$y$hash:19000:1:60:7::20000:"),
    ([("inact", None)], "!$y$hash:19000:1:60:7::20000:"),
    ([("expiry", None)], "!$y$hash:19000:1:60:7:5::"),
]


@pytest.mark.parametrize(("verbs", "line"), LOCKED_CHANGES)
def test_what_changes_of_a_locked_user(etc: Path, verbs: list[tuple[str, str | None]], line: str) -> None:
    settles(etc, *user("gone", *[given(f"user.{verb}", value) for verb, value in verbs]), pragmas=at(etc))
    assert lines(etc, "gone")["shadow"] == line


SAME = [
    ("jack", "password", "$y$hash"),
    ("jack", "unlock", None),
    ("jack", "firstpassword", "$y$other"),
    ("gone", "password", "$y$hash"),
    ("gone", "password", "!$y$hash"),
    ("gone", "lock", None),
    ("root", "lock", None),
    ("open", "unlock", None),
    ("jack", "inact", 0),
    ("jack", "inact", None),
    ("jack", "expiry", 0),
    ("jack", "expiry", None),
]


@pytest.mark.parametrize(("name", "verb", "value"), SAME)
def test_what_is_right_of_a_user(etc: Path, name: str, verb: str, value: str | None) -> None:
    stays(etc, *user(name, given(f"user.{verb}", value)), pragmas=at(etc))


def test_an_account_without_a_password_can_be_locked_and_then_not_unlocked(etc: Path) -> None:
    settles(etc, *user("open", given("user.lock", None)), pragmas=at(etc))
    assert lines(etc, "open")["shadow"] == "!:19000:0:99999:7:::"
    refuses(
        etc,
        "there is no password to unlock",
        *user("open", given("user.unlock", None)),
        pragmas=at(etc),
    )


def test_a_new_user_gets_its_first_password_once(etc: Path) -> None:
    calls = user("web", given("user.firstpassword", "$y$first"))
    settles(etc, *calls, pragmas=at(etc))
    assert enforce(*user("web", given("user.password", "$y$own")), pragmas=at(etc)) == CHANGED
    stays(etc, *calls, pragmas=at(etc))
    assert lines(etc, "web")["shadow"].startswith("$y$own:")


def test_a_user_is_new_only_while_it_is(etc: Path) -> None:
    calls = [*user("web"), *user("jack", given("user.firstpassword", "$y$first"))]
    assert enforce(*calls, pragmas=at(etc)) == CHANGED
    assert (etc / "shadow").read_text().startswith(SHADOW)


def test_without_shadow_files_hashes_are_in_the_others(etc: Path) -> None:
    (etc / "shadow").unlink()
    (etc / "gshadow").unlink()
    settles(etc, *user("web", given("user.password", "$y$x"), given("user.lock", None)), pragmas=at(etc))
    assert lines(etc, "web") == {"passwd": "!$y$x:1003:1004::/home/web:/bin/sh", "group": "!:1004:"}


def test_user_absent(etc: Path) -> None:
    settles(etc, call("res.user.absent", "gone"), pragmas=at(etc))
    assert lines(etc, "gone") == {}
    assert "gone" not in (etc / "group").read_text() + (etc / "gshadow").read_text()
    assert lines(etc, "jack")["passwd"] == "x:1000:1000:Jack,,,:/home/jack:/bin/bash"


USER_FAILURES = [
    (user("web", uid=1000), "another user has the id 1000"),
    (user("jack", uid=0), "another user has the id 0"),
    (user("web", uid=0x80000000), "cannot set the id 2147483648: (28) No space left on device"),
    (user("a:b"), "cannot make the user: (22) Invalid argument"),
    (user(""), "cannot make the user: (22) Invalid argument"),
    (user("jack", given("user.home", "a:b")), "cannot set the home: (22) Invalid argument"),
    (user("jack", given("user.comment", "a\nb")), "cannot set the comment: (22) Invalid argument"),
    (user("jack", given("user.password", "a:b")), "cannot set the password: (22) Invalid argument"),
    (user("jack", given("user.pwmin", 0x80000000)), "cannot set pwmin to 2147483648: (22) Invalid argument"),
    (user("root", given("user.unlock", None)), "there is no password to unlock"),
    ([call("res.user.uidof", "nobody")], "there is no user nobody"),
    ([call("res.user.gidof", "nobody")], "there is no user nobody"),
    ([call("res.user.makehome", "nobody", "")], "there is no user nobody"),
]


@pytest.mark.parametrize(("calls", "sentence"), USER_FAILURES)
def test_users_that_cannot_be(etc: Path, calls: list[str], sentence: str) -> None:
    refuses(etc, sentence, *calls, pragmas=at(etc))


def test_a_resource_that_failed_leaves_nothing_to_the_next(etc: Path) -> None:
    source = [*user("web", given("user.home", "/srv/web"), given("user.comment", "a:b"))]
    assert enforce(*source, pragmas=at(etc)) == refused("cannot set the comment: (22) Invalid argument")
    stays(etc, call("res.user.save"), pragmas=at(etc) + " authdb.open")


def test_account_files_that_are_not_there(tmp_path: Path) -> None:
    sentence = "cannot read the account files: (2) No such file or directory"
    refuses(tmp_path, sentence, *user("web"), pragmas=at(tmp_path))
    refuses(tmp_path, sentence, *group("web"), pragmas=at(tmp_path))


def test_account_files_that_others_hold(etc: Path) -> None:
    host = ThisHost()
    host.accounts = LocalAccounts(patience=0.0)
    (etc / "passwd.lock").write_text(f"{os.getppid()}\0")
    found = enforce(*user("web"), host=host, pragmas=at(etc))
    assert (found.status, found.changed) == (1, False)
    assert found.errors.startswith("thing:x: cannot write the account files: (11) ")


# -- looking up


def test_ids_of_names(etc: Path) -> None:
    calls = [
        call("res.user.uidof", "jack"),
        "acc %d",
        call("res.user.gidof", "gone"),
        "acc %e",
        call("res.group.gidof", "ops"),
        "acc %f",
        'error "%[d]d %[e]d %[f]d"',
        "retv 0",
    ]
    assert enforce(*calls, pragmas=at(etc)) == Enforced(0, False, "1000 100 1003\n")
