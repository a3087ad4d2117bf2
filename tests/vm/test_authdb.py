"""authdb.*, user.* and group.* in programs."""

from collections.abc import Callable, Mapping
from errno import EACCES, ESTALE, errorcode

import pytest

from tests.vm.hosts import FakeHost, main_of, ran
from vm.machine import Limits, Outcome

FILES = {
    "passwd": b"root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
    b"user1:x:1000:1100:Some User:/home/user1:/bin/bash\nuser2:x:1001:1101::/home/user2:/bin/bash\n",
    "shadow": b"root:HASH:15390:0:99999:7:::\nuser1:PWHASH:15259:0:99999:7:::\n",
    "group": b"root:x:0:\nsys:x:3:\nuser1:x:1100:\nuser2:x:1101:user1,sys\n",
    "gshadow": b"root:*::\nsys:*::\nuser1:*::user2\nuser2:*:user2:user1,sys\n",
}


class Directories:
    """Accounts in named directories; saving into one fails with the error it was given."""

    def __init__(self, *roots: str, error: int = 0) -> None:
        self.roots: dict[bytes, Mapping[str, bytes]] = {root.encode(): FILES for root in roots}
        self.saves: list[bytes] = []
        self.limits: list[int] = []
        self._error = error

    def read(self, root: bytes, limit: int) -> Mapping[str, bytes]:
        self.limits.append(limit)
        if root not in self.roots:
            raise PermissionError(EACCES, "no")
        return self.roots[root]

    def save(
        self, root: bytes, before: Mapping[str, bytes], after: Mapping[str, bytes], poll: Callable[[], None]
    ) -> None:
        poll()
        if self._error:
            raise OSError(self._error, "no")
        assert before == self.roots[root]
        self.saves.append(root)
        self.roots[root] = dict(after)


def ran_on(accounts: Directories, body: str, *arguments: str, limits: Limits | None = None) -> Outcome:
    host = FakeHost()
    host.accounts = accounts
    return ran(main_of(body), *arguments, host=host, limits=limits)


def printed(body: str, template: str, *, accounts: Directories | None = None) -> str:
    outcome = ran_on(accounts or Directories("/etc"), f'authdb.open {body} print "{template}"')
    assert (outcome.fault, outcome.error_output) == ("", b"")
    return outcome.output.decode()


PRINTS = [
    ("acc %a authdb.close acc %b authdb.close acc %c", "%[a]d%[b]d%[c]d", "000"),
    ("authdb.nextuid 1000 %a authdb.nextgid 1100 %b acc %c", "%[a]d %[b]d %[c]d", "1002 1102 0"),
    ("authdb.nextuid 0 %a set %b 1 authdb.nextgid %b %b", "%[a]d %[b]d", "2 1"),
    ('user.find "user1" acc %a user.find "nobody" acc %b', "%[a]d%[b]d", "01"),
    ('user.find "user1" user.get "uid" %a user.get "comment" %b', "%[a]d %[b]s", "1000 Some User"),
    ('user.find "user1" user.get "pwhash" %a user.get "inact" %b acc %c', "%[a]s %[b]d %[c]d", "PWHASH -1 0"),
    ('set %c "same" user.find "user1" user.get "bogus" %c acc %a', "%[c]s %[a]d", "same 1"),
    ('set %c "same" user.find "nobody" user.get "uid" %c acc %a', "%[c]s %[a]d", "same 1"),
    ('set %a "user2" set %b "shell" user.find %a user.get %b %c', "%[c]s", "/bin/bash"),
    ('user.find "user1" user.set "bogus" 42 acc %a user.set "uid" 7 acc %b', "%[a]d%[b]d", "10"),
    ('user.find "user1" user.set "uid" "77" acc %b user.get "uid" %a', "%[a]d %[b]d", "77 0"),
    ('set %c "x" string "%[c]s" %c user.find "user1" user.set "uid" %c acc %a', "%[a]d", "1"),
    ('set %c 88 string "%[c]d" %c user.find "user1" user.set "uid" %c user.get "uid" %a', "%[a]d", "88"),
    (
        'user.find "user1" set %a 0 sub %a 1 user.set "inact" %a acc %b user.set "uid" %a acc %c',
        "%[b]d%[c]d",
        "01",
    ),
    ('user.find "user1" set %a "/bin/x" user.set "shell" %a user.get "shell" %b', "%[b]s", "/bin/x"),
    ('user.find "user1" user.set "comment" "a:b" acc %a user.get "comment" %b', "%[a]d %[b]s", "1 Some User"),
    (
        'user.find "user1" user.delete acc %a user.find "user1" acc %b user.delete acc %c',
        "%[a]d%[b]d%[c]d",
        "011",
    ),
    (
        'group.find "user2" group.get "gid" %a group.get "name" %b group.get "pwhash" %c',
        "%[a]d %[b]s %[c]s",
        "1101 user2 *",
    ),
    (
        'group.find "user2" group.get "members" %a acc %b group.set "members" "x" acc %c',
        "%[a]s %[b]d%[c]d",
        "user1,sys 01",
    ),
    ('group.find "nope" acc %a group.delete acc %b group.get "gid" %c acc %d', "%[a]d%[b]d%[d]d", "111"),
    (
        'group.find "sys" group.set "gid" 845 acc %a group.set "uid" 1 acc %b group.delete acc %c',
        "%[a]d%[b]d%[c]d",
        "010",
    ),
    (
        'group.find "user2" group.has? "member" "user1" acc %a group.has? "admin" "user1" acc %b',
        "%[a]d%[b]d",
        "01",
    ),
    (
        'group.find "user2" group.has? "admin" "user2" acc %a group.kick "admin" "user2" acc %b',
        "%[a]d%[b]d",
        "00",
    ),
    ('group.find "sys" set %a "user1" group.join "admin" %a group.has? "admin" %a acc %b', "%[b]d", "0"),
    ('group.find "user2" set %a "sys" group.kick "member" %a group.has? "member" %a acc %b', "%[b]d", "1"),
    (
        'group.find "sys" group.join "member" "nobody" acc %a group.join "owner" "user1" acc %b',
        "%[a]d%[b]d",
        "11",
    ),
    ('group.new acc %a group.set "name" "ppl" group.find "ppl" acc %b', "%[a]d%[b]d", "00"),
    (
        "authdb.close user.new acc %a group.new acc %b authdb.save acc %c authdb.nextuid 1 %d acc %d",
        "%[a]d%[b]d%[c]d%[d]d",
        "1111",
    ),
]


@pytest.mark.parametrize(("body", "template", "expected"), PRINTS)
def test_instructions(body: str, template: str, expected: str) -> None:
    assert printed(body, template) == expected


WRONG = [
    ('user.find "root"', "(9) Bad file descriptor"),
    ('user.get "uid" %a', "(9) Bad file descriptor"),
    ('pragma authdb.root "/nowhere" authdb.open', "(13) Permission denied"),
    ('authdb.open user.find "nobody"', "(2) No such file or directory"),
    ('authdb.open user.find "root" user.set "comment" "a\\nb"', "(22) Invalid argument"),
    ('authdb.open user.find "root" user.set "username" "user1"', "(17) File exists"),
    ("authdb.open user.new authdb.save", "(22) Invalid argument"),
    ('authdb.open user.new user.get "uid" %a', "(61) No data available"),
    ('authdb.open pragma authdb.root "/nowhere" authdb.open group.find "root"', "(9) Bad file descriptor"),
]


@pytest.mark.parametrize(("body", "reason"), WRONG)
def test_what_went_wrong_is_kept_for_perror(body: str, reason: str) -> None:
    outcome = ran_on(Directories("/etc"), f'{body} acc %o perror "no" retv %o')
    assert (outcome.status, outcome.error_output.decode()) == (1, f"no: {reason}\n")


def test_nothing_is_saved_when_nothing_has_changed() -> None:
    accounts = Directories("/etc")
    body = 'user.find "user1" user.set "uid" 1000 user.new user.set "username" "x" user.delete authdb.save'
    assert printed(f"{body} acc %a", "%[a]d", accounts=accounts) == "0"
    assert accounts.saves == []


def test_a_program_may_go_on_after_a_save() -> None:
    accounts = Directories("/etc", "/mnt")
    body = (
        'user.find "user1" user.set "shell" "/bin/a" pragma authdb.root "/mnt" authdb.save acc %a '
        'user.set "shell" "/bin/b" authdb.save authdb.save acc %b '
        'authdb.open user.find "user1" user.get "shell" %c'
    )
    assert printed(body, "%[a]d%[b]d %[c]s", accounts=accounts) == "00 /bin/bash"
    assert accounts.saves == [b"/etc", b"/etc"]
    assert accounts.roots[b"/etc"]["passwd"] == FILES["passwd"].replace(
        b"/home/user1:/bin/bash", b"/home/user1:/bin/b"
    )


def test_a_save_that_fails_leaves_the_database_open() -> None:
    accounts = Directories("/etc", error=ESTALE)
    body = (
        'authdb.open user.find "user1" user.delete authdb.save perror "lost" user.find "user1" acc %a retv %a'
    )
    outcome = ran_on(accounts, body)
    assert (outcome.status, outcome.error_output) == (1, b"lost: (116) Stale file handle\n")
    assert errorcode[ESTALE] == "ESTALE"


def test_users_and_groups_of_c_programs_that_give_no_ids() -> None:
    accounts = Directories("/etc")
    body = 'user.new user.set "username" "joe" group.new group.set "name" "ppl" authdb.save'
    printed(body, "", accounts=accounts)
    files = accounts.roots[b"/etc"]
    assert files["passwd"] == FILES["passwd"] + b"joe:x:1002:65534:::\n"
    assert files["group"] == FILES["group"] + b"ppl:x:1000:\n"


def test_opening_again_takes_no_more_of_the_heap() -> None:
    size = sum(map(len, FILES.values()))
    limits = Limits(heap=2 * size + 1000)
    body = "again: authdb.open authdb.close authdb.open add %a 1 lt %a 100 jz again retv 0"
    accounts = Directories("/etc")
    assert ran_on(accounts, body, limits=limits).fault == ""
    assert set(accounts.limits) == {limits.heap}
    assert ran_on(accounts, body, limits=Limits(heap=2 * size)).fault == f"limit: heap ({2 * size})"


def test_a_database_that_grows_is_stopped_by_the_heap() -> None:
    body = (
        'authdb.open again: user.new string "u%[a]d" %b user.set "username" %b add %a 1 lt %a 100000 jz again'
    )
    outcome = ran_on(Directories("/etc"), body, limits=Limits(heap=100_000))
    assert outcome.fault == "limit: heap (100000)"


def test_long_searches_are_stopped_by_the_clock() -> None:
    accounts = Directories("/etc")
    accounts.roots[b"/etc"] = {**FILES, "passwd": b"x" * (1 << 20)}
    host = FakeHost(tick=1.0)
    host.accounts = accounts
    body = 'authdb.open again: user.find "x" jmp again'
    assert ran(main_of(body), host=host).fault == "limit: seconds (60)"


def test_a_number_is_no_text() -> None:
    outcome = ran_on(Directories("/etc"), 'authdb.open user.find "root" user.set "home" 3')
    assert outcome.fault == "no string at 0x00000003"
