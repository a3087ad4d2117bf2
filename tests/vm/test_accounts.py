"""The account files edited in memory."""

from collections.abc import Callable, Mapping
from errno import EEXIST, EINVAL, ENODATA, ENOENT, ENOSPC, errorcode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vm.accounts.database import Database
from vm.accounts.table import Budget

FILES = {
    "passwd": b"root:x:0:0:root:/root:/bin/bash\n# kept\njoe:x:1000:1000:Joe,,,:/home/joe:/bin/sh\n"
    b"ann:x:1001:1001::/:\nbroken:x:1\n\njoe:x:1000:1000:a second one:/:\n+@ops::::::\n+::::::",
    "shadow": b"root:*:15390:0:99999:7:::\njoe:$6$x$y:15259:0:99999:7:::\nold:*:1:2:3\n",
    "group": b"root:x:0:\nops:x:50:ann,joe,ann,\njoe:x:1000:\nbad:x:one:joe\n+:::\n",
    "gshadow": b"root:*::\nops:!:joe:ann,joe\njoe:!::\n",
}
PLAIN = {"passwd": FILES["passwd"], "group": FILES["group"]}
WORD = 0xFFFFFFFF


class Spent:
    """Counts what the database says it takes."""

    def __init__(self) -> None:
        self.labour = 0
        self.grown = 0

    @property
    def budget(self) -> Budget:
        return Budget(self._work, self._grow)

    def _work(self, size: int) -> None:
        self.labour += size

    def _grow(self, size: int) -> None:
        self.grown += max(0, size)


def database_of(files: Mapping[str, bytes], spent: Spent | None = None) -> Database:
    return Database(files, (spent or Spent()).budget)


def line_of(database: Database, file: str, name: str) -> str | None:
    lines = database.contents[file].decode().split("\n")
    return next((line for line in lines if line.startswith(f"{name}:")), None)


def reason(act: Callable[[], object]) -> str:
    with pytest.raises(OSError) as caught:
        act()
    assert caught.value.errno is not None
    return errorcode[caught.value.errno]


READ = [
    ("joe", "uid", 1000),
    ("joe", "gid", 1000),
    ("joe", "username", b"joe"),
    ("joe", "comment", b"Joe,,,"),
    ("joe", "home", b"/home/joe"),
    ("joe", "shell", b"/bin/sh"),
    ("joe", "password", b"x"),
    ("joe", "pwhash", b"$6$x$y"),
    ("joe", "changed", 15259),
    ("joe", "pwmin", 0),
    ("joe", "pwmax", 99999),
    ("joe", "pwwarn", 7),
    ("joe", "inact", WORD),
    ("joe", "expiry", WORD),
]


@pytest.mark.parametrize(("user", "attribute", "value"), READ)
def test_attributes_of_users(user: str, attribute: str, value: bytes | int) -> None:
    users = database_of(FILES).users
    users.find(user.encode())
    assert users.get(attribute.encode()) == value


SET = [
    ("uid", 5, "passwd", "joe:x:5:1000:Joe,,,:/home/joe:/bin/sh"),
    ("uid", 0, "passwd", "joe:x:0:1000:Joe,,,:/home/joe:/bin/sh"),
    ("gid", 2**31 - 1, "passwd", "joe:x:1000:2147483647:Joe,,,:/home/joe:/bin/sh"),
    ("comment", b"Jo\xc3\xa9", "passwd", "joe:x:1000:1000:Joé:/home/joe:/bin/sh"),
    ("home", b"", "passwd", "joe:x:1000:1000:Joe,,,::/bin/sh"),
    ("shell", b"/bin/x y", "passwd", "joe:x:1000:1000:Joe,,,:/home/joe:/bin/x y"),
    ("password", b"*", "passwd", "joe:*:1000:1000:Joe,,,:/home/joe:/bin/sh"),
    ("username", b"joe", "passwd", "joe:x:1000:1000:Joe,,,:/home/joe:/bin/sh"),
    ("pwhash", b"!", "shadow", "joe:!:15259:0:99999:7:::"),
    ("changed", 0, "shadow", "joe:$6$x$y:0:0:99999:7:::"),
    ("changed", WORD, "shadow", "joe:$6$x$y::0:99999:7:::"),
    ("pwmin", 3, "shadow", "joe:$6$x$y:15259:3:99999:7:::"),
    ("pwmax", 0, "shadow", "joe:$6$x$y:15259:0::7:::"),
    ("pwwarn", 0, "shadow", "joe:$6$x$y:15259:0:99999:0:::"),
    ("inact", 9, "shadow", "joe:$6$x$y:15259:0:99999:7:9::"),
    ("inact", 0, "shadow", "joe:$6$x$y:15259:0:99999:7:::"),
    ("expiry", 20000, "shadow", "joe:$6$x$y:15259:0:99999:7::20000:"),
    ("expiry", WORD, "shadow", "joe:$6$x$y:15259:0:99999:7:::"),
]


@pytest.mark.parametrize(("attribute", "value", "file", "line"), SET)
def test_a_user_is_changed_in_its_line_and_nothing_else_is(
    attribute: str, value: bytes | int, file: str, line: str
) -> None:
    database = database_of(FILES)
    database.users.find(b"joe")
    before = line_of(database, file, "joe")
    assert before is not None
    database.set_user(attribute.encode(), value)
    assert database.contents == {**FILES, file: FILES[file].replace(before.encode(), line.encode(), 1)}
    read = database.users.get(attribute.encode())
    assert read == (WORD if (attribute, value) in {("inact", 0), ("expiry", 0)} else value)


REFUSED = [
    ("bogus", b"", "EINVAL"),
    ("uid", b"12a", "EINVAL"),
    ("uid", 2**31, "EINVAL"),
    ("uid", WORD, "EINVAL"),
    ("inact", 2**31, "EINVAL"),
    ("comment", 3, "EINVAL"),
    ("comment", b"a:b", "EINVAL"),
    ("comment", b"a\nroot2:x:0:0:::", "EINVAL"),
    ("shell", b"/bin/sh\r", "EINVAL"),
    ("home", b"/\0", "EINVAL"),
    ("pwhash", b"\x7f", "EINVAL"),
    ("password", b"x" * 4097, "EINVAL"),
    ("username", b"", "EINVAL"),
    ("username", b"a b", "EINVAL"),
    ("username", b"a,b", "EINVAL"),
    ("username", b"a/b", "EINVAL"),
    ("username", b"-a", "EINVAL"),
    ("username", b"+a", "EINVAL"),
    ("username", b"#a", "EINVAL"),
    ("username", b"1000", "EINVAL"),
    ("username", b"..", "EINVAL"),
    ("username", b"a" * 33, "EINVAL"),
    ("username", b"a\n", "EINVAL"),
    ("username", b"ann", "EEXIST"),
    ("username", b"broken", "EEXIST"),
]


@pytest.mark.parametrize(("attribute", "value", "error"), REFUSED)
def test_a_value_that_does_not_fit_is_refused(attribute: str, value: bytes | int, error: str) -> None:
    database = database_of(FILES)
    database.users.find(b"joe")
    assert reason(lambda: database.set_user(attribute.encode(), value)) == error
    database.users.create()
    assert reason(lambda: database.set_user(attribute.encode(), value)) == error
    assert database.contents == FILES


@pytest.mark.parametrize(
    "name", ["", "nobody", "broken", "# kept", "+@ops", "joe:x", "root\n# kept", "x", "1000"]
)
def test_what_no_user_is_named_is_not_found(name: str) -> None:
    users = database_of(FILES).users
    users.find(b"joe")
    assert reason(lambda: users.find(name.encode())) == "ENOENT"
    for act in (lambda: users.get(b"uid"), lambda: users.set(b"uid", 1), users.delete):
        assert reason(act) == "ENOENT"
    assert reason(lambda: users.set(b"username", b"joe")) == "ENOENT"


def test_a_user_without_a_shadow_entry_gets_one_when_it_needs_it() -> None:
    database = database_of(FILES)
    database.users.find(b"ann")
    assert reason(lambda: database.users.get(b"pwhash")) == "ENOENT"
    database.set_user(b"pwmin", 4)
    assert database.contents == {**FILES, "shadow": FILES["shadow"] + b"ann:!::4:::::\n"}


def test_an_older_shadow_entry_is_written_in_full() -> None:
    files = {**FILES, "shadow": b"joe:*:1:2:3\nann:*:1:2:3::4:5"}
    database = database_of(files)
    for name in (b"joe", b"ann"):
        database.users.find(name)
        database.set_user(b"pwwarn", 6)
    assert database.contents["shadow"] == b"joe:*:1:2:3:6:::\nann:*:1:2:3:6:4:5:"


def test_without_shadow_the_hash_is_in_passwd() -> None:
    database = database_of(PLAIN)
    database.users.find(b"joe")
    database.set_user(b"pwhash", b"H")
    assert database.users.get(b"pwhash") == database.users.get(b"password") == b"H"
    assert reason(lambda: database.users.get(b"pwmin")) == "ENOENT"
    assert reason(lambda: database.set_user(b"pwmin", 1)) == "ENOENT"
    database.groups.find(b"ops")
    database.groups.set(b"pwhash", b"G")
    assert line_of(database, "group", "ops") == "ops:G:50:ann,joe,ann,"
    assert not database.groups.has(b"admin", b"joe")
    assert reason(lambda: database.join(b"admin", b"joe")) == "ENOENT"
    database.groups.kick(b"admin", b"joe")
    database.groups.kick(b"member", b"joe")
    assert line_of(database, "group", "ops") == "ops:G:50:ann,ann,"
    assert set(database.contents) == {"passwd", "group"}


@pytest.mark.parametrize(("files", "mark"), [(FILES, "x"), (PLAIN, "!")])
def test_a_new_user_is_locked_and_stands_before_the_entries_for_nis(
    files: Mapping[str, bytes], mark: str
) -> None:
    database = database_of(files)
    database.users.create()
    database.set_user(b"uid", 7)
    database.set_user(b"shell", b"/bin/sh")
    assert database.users.get(b"uid") == 7
    assert reason(lambda: database.users.get(b"gid")) == "ENODATA"
    assert database.contents == files
    database.set_user(b"username", b"eve")
    added = f"eve:{mark}:7::::/bin/sh\n".encode()
    assert database.contents["passwd"] == files["passwd"].replace(b"+@ops", added + b"+@ops")
    assert database.contents.get("shadow", b"").endswith(b"eve:!:::::::\n" if "shadow" in files else b"")
    database.set_user(b"comment", b"Eve")
    database.complete()
    assert line_of(database, "passwd", "eve") == f"eve:{mark}:7:65534:Eve::/bin/sh"


def test_a_new_group_and_its_members() -> None:
    database = database_of(FILES)
    database.groups.create()
    database.join(b"member", b"joe")
    database.groups.set(b"name", b"dev")
    database.join(b"admin", b"ann")
    database.complete()
    assert line_of(database, "group", "dev") == "dev:x:1001:joe"
    assert line_of(database, "gshadow", "dev") == "dev:!:ann:joe"
    assert database.contents["group"].endswith(b"dev:x:1001:joe\n+:::\n")


def test_what_was_created_gets_the_lowest_free_ids_when_it_is_completed() -> None:
    database = database_of(FILES)
    for name in (b"u1", b"u2"):
        database.users.create()
        database.set_user(b"username", name)
        assert database.users.lowest_free(1000) == 1002
    database.set_user(b"username", b"u3")
    database.complete()
    assert line_of(database, "passwd", "u1") == "u1:x:1002:65534:::"
    assert line_of(database, "passwd", "u3") == "u3:x:1003:65534:::"


def test_one_that_was_never_named_is_in_no_file() -> None:
    database = database_of(FILES)
    for entries in (database.users, database.groups):
        entries.create()
        assert reason(database.complete) == "EINVAL"
        entries.find(b"joe")
        database.complete()
        entries.create()
        assert entries.delete() is None
        assert reason(entries.delete) == "ENOENT"
    assert database.contents == FILES


def test_a_new_user_does_not_inherit_the_password_of_one_that_is_no_more() -> None:
    database = database_of(FILES)
    database.users.create()
    database.set_user(b"username", b"old")
    assert line_of(database, "shadow", "old") == "old:!:::::::"
    assert database.contents["shadow"].count(b"old:") == 1


def test_a_user_that_is_deleted_is_gone_with_its_second_entry_and_from_every_group() -> None:
    database = database_of(FILES)
    database.users.find(b"joe")
    database.delete_user()
    contents = database.contents
    assert b"joe" not in contents["passwd"] + contents["shadow"]
    assert contents["passwd"].endswith(b"broken:x:1\n\n+@ops::::::\n+::::::")
    assert contents["group"] == FILES["group"].replace(b"ann,joe,ann,", b"ann,ann,")
    assert contents["gshadow"] == FILES["gshadow"].replace(b"joe:ann,joe", b":ann")
    assert reason(database.delete_user) == "ENOENT"


def test_a_user_that_is_renamed_stays_in_its_groups() -> None:
    database = database_of(FILES)
    database.users.find(b"ann")
    database.set_user(b"username", b"anna.b")
    assert line_of(database, "passwd", "anna.b") == "anna.b:x:1001:1001::/:"
    assert line_of(database, "group", "ops") == "ops:x:50:anna.b,joe,anna.b,"
    assert line_of(database, "gshadow", "ops") == "ops:!:joe:anna.b,joe"


def test_a_group_that_is_renamed_or_deleted() -> None:
    database = database_of(FILES)
    groups = database.groups
    groups.find(b"ops")
    assert reason(lambda: groups.set(b"name", b"joe")) == "EEXIST"
    groups.set(b"name", b"admins")
    assert (groups.get(b"gid"), groups.get(b"name"), groups.get(b"password")) == (50, b"admins", b"x")
    assert line_of(database, "gshadow", "admins") == "admins:!:joe:ann,joe"
    groups.delete()
    for name in ("group", "gshadow"):
        start, end = FILES[name].index(b"ops"), FILES[name].index(b"joe", FILES[name].index(b"\n", 20))
        assert database.contents[name] == FILES[name][:start] + FILES[name][end:]


LISTS = [
    ("has", "member", "ann", True),
    ("has", "member", "an", False),
    ("has", "member", "", False),
    ("has", "member", "ann,joe", False),
    ("has", "admin", "joe", True),
    ("has", "admin", "ann", False),
    ("has", "owner", "joe", "EINVAL"),
    ("join", "member", "nobody", "ENOENT"),
    ("join", "owner", "joe", "EINVAL"),
    ("kick", "owner", "joe", "EINVAL"),
    ("kick", "member", "nobody", None),
    ("join", "member", "joe", None),
]


@pytest.mark.parametrize(("act", "role", "user", "result"), LISTS)
def test_who_is_in_a_group(act: str, role: str, user: str, result: object) -> None:
    database = database_of(FILES)
    does = {"has": database.groups.has, "join": database.join, "kick": database.groups.kick}[act]
    assert reason(lambda: does(b"member", b"joe")) == "ENOENT"
    database.groups.find(b"ops")
    if isinstance(result, str):
        assert reason(lambda: does(role.encode(), user.encode())) == result
    else:
        assert does(role.encode(), user.encode()) == result
    assert database.contents == FILES


def test_members_are_kept_in_both_files_and_admins_in_gshadow() -> None:
    database = database_of(FILES)
    database.groups.find(b"ops")
    database.join(b"member", b"root")
    database.join(b"admin", b"root")
    database.groups.kick(b"member", b"ann")
    assert line_of(database, "group", "ops") == "ops:x:50:joe,,root"
    assert line_of(database, "gshadow", "ops") == "ops:!:joe,root:joe,root"


def test_a_group_without_a_gshadow_entry_gets_one_with_its_members() -> None:
    database = database_of({**FILES, "gshadow": b""})
    database.groups.find(b"ops")
    database.groups.kick(b"member", b"joe")
    assert database.contents["gshadow"] == b""
    database.join(b"admin", b"joe")
    assert database.contents["gshadow"] == b"ops:!:joe:ann,ann,\n"


IDS = [
    ("", 0, 0),
    ("a:x:0:0:::", 0, 1),
    ("a:x:0:0:::\nb:x:2:0:::", 0, 1),
    ("a:x:1:0:::\nb:x:0:0:::\nc:x:002:0:::\n", 0, 3),
    ("broken:x:5:\n+nis:x:6:\n#c:x:7:", 5, 7),
    ("a:x:65534:::::", 65534, 65536),
    ("a:x:99999999999:0:::\na:x::0:::\na:x:-1:0", 0, 0),
    ("a:x:2147483646:0:::", 2**31 - 2, 2**31 - 1),
]


@pytest.mark.parametrize(("passwd", "least", "free"), IDS)
def test_lowest_free_id(passwd: str, least: int, free: int) -> None:
    database = database_of({"passwd": passwd.encode(), "group": b""})
    assert database.users.lowest_free(least) == free
    assert database.groups.lowest_free(least) == (least if least != 65535 else 65536)


@pytest.mark.parametrize("least", [2**31, WORD])
def test_ids_come_to_an_end(least: int) -> None:
    assert reason(lambda: database_of(FILES).users.lowest_free(least)) == "ENOSPC"


def test_edits_say_what_they_take_before_they_take_it() -> None:
    many = b"a,joe," * 1000
    spent = Spent()
    database = database_of({**FILES, "group": b"ops:x:50:" + many}, spent)
    database.users.find(b"joe")
    assert spent.labour >= len(FILES["passwd"])
    assert spent.grown == 0
    database.set_user(b"username", b"j" * 32)
    assert spent.grown >= 1000 * 29
    size = sum(map(len, database.contents.values()))
    for number in range(50):
        database.users.create()
        database.set_user(b"username", b"u%d" % number)
    assert spent.grown >= sum(map(len, database.contents.values())) - size + 1000 * 29


NAMES = st.sampled_from([b"joe", b"ann", b"root", b"ops", b"new"])
REST = st.sampled_from(
    [b":x:7:8:::", b":x:7:", b":x:7:ann,joe", b":x:7:joe", b":x::", b":x:joe:ann", b":x:1:2:3::::"]
)
LINE = st.one_of(
    st.builds(lambda name, rest: name + rest, NAMES, st.one_of(REST, st.binary(max_size=12))),
    st.binary(max_size=30),
)
CONTENT = st.builds(
    lambda lines, end: b"\n".join(lines) + end, st.lists(LINE, max_size=6), st.sampled_from([b"", b"\n"])
)
ANY_FILES = st.fixed_dictionaries(
    {"passwd": CONTENT, "group": CONTENT}, optional={"shadow": CONTENT, "gshadow": CONTENT}
)
VALUE = st.one_of(NAMES, st.binary(max_size=5), st.integers(0, WORD))
ATTRIBUTE = st.sampled_from([b"username", b"name", b"uid", b"gid", b"pwhash", b"expiry", b"comment", b"no"])
ROLE = st.sampled_from([b"member", b"admin"])
STEPS: st.SearchStrategy[tuple[str, tuple[object, ...]]] = st.one_of(
    st.tuples(st.sampled_from(["users.find", "groups.find"]), st.tuples(NAMES)),
    st.tuples(
        st.sampled_from(["users.create", "groups.create", "delete_user", "groups.delete"]), st.just(())
    ),
    st.tuples(st.sampled_from(["set_user", "groups.set"]), st.tuples(ATTRIBUTE, VALUE)),
    st.tuples(st.sampled_from(["join", "groups.kick"]), st.tuples(ROLE, NAMES)),
    st.tuples(st.sampled_from(["users.lowest_free", "groups.lowest_free"]), st.tuples(st.integers(0, WORD))),
    st.tuples(st.just("complete"), st.just(())),
)


def do(database: Database, name: str, operands: tuple[object, ...]) -> None:
    act: object = database
    for part in name.split("."):
        act = getattr(act, part)
    assert callable(act)
    error = None
    try:
        act(*operands)
    except OSError as caught:
        error = caught.errno
    assert error in {None, EEXIST, EINVAL, ENODATA, ENOENT, ENOSPC}


def untouched(content: bytes, touched: set[bytes]) -> list[bytes]:
    whole = content if content.endswith(b"\n") or not content else content + b"\n"
    return [line for line in whole.split(b"\n")[:-1] if not any(name in line for name in touched)]


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("passwd", "group", "shadow", "gshadow"), st.binary()))
)
def test_files_of_any_bytes_are_kept(files: dict[str, bytes]) -> None:
    files = {"passwd": b"", "group": b"", **files}
    database = database_of(files)
    for name in ("users.find", "groups.find"):
        do(database, name, (b"joe",))
    database.complete()
    assert database.contents == files


@given(ANY_FILES, st.lists(STEPS, max_size=12))
def test_other_lines_are_kept_to_the_byte(
    files: dict[str, bytes], steps: list[tuple[str, tuple[object, ...]]]
) -> None:
    database = database_of(files)
    named = {b"joe", b"ann", b"root", b"ops", b"new"} | {
        value for _, operands in steps for value in operands[1:] if isinstance(value, bytes) and value
    }
    for name, operands in steps:
        do(database, name, operands)
    assert database.contents.keys() == files.keys()
    for file, content in files.items():
        assert untouched(database.contents[file], named) == untouched(content, named)


@given(ANY_FILES)
def test_one_that_is_made_and_deleted_leaves_no_trace(files: dict[str, bytes]) -> None:
    database = database_of({name: content + b"\n" for name, content in files.items()})
    before = database.contents
    for entries, attribute in ((database.users, b"username"), (database.groups, b"name")):
        entries.create()
        entries.set(attribute, b"someone")
        assert entries.exists(b"someone")
        entries.delete()
    assert database.contents == before


def test_a_name_with_a_comma_is_in_no_list() -> None:
    """A file may hold one, which no tool gives: in a list it would be two users."""
    files = FILES | {"passwd": FILES["passwd"].replace(b"ann:", b"ann,joe:")}
    database = database_of(files)
    database.groups.find(b"joe")
    assert reason(lambda: database.join(b"member", b"ann,joe")) == "EINVAL"
    database.users.find(b"ann,joe")
    database.set_user(b"username", b"eve")
    assert line_of(database, "passwd", "eve") == "eve:x:1001:1001::/:"
    assert (database.contents["group"], database.contents["gshadow"]) == (FILES["group"], FILES["gshadow"])
