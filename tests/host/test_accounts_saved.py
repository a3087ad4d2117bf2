"""The account files on disk: read whole, replaced in one step, beside the system's own tools."""

import fcntl
import os
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EAGAIN, EFBIG, EINVAL, ELOOP, ENOENT, ENOTDIR, ESTALE
from functools import partial
from pathlib import Path

import pytest

from host.account_locks import locked
from host.accounts import LocalAccounts
from tests.vm.hosts import FakeHost, main_of, ran
from vm.faults import Fault
from vm.host.accounts import NAMES

FILES = {
    "passwd": b"root:x:0:0:root:/root:/bin/sh\nann:x:1001:1000::/:/bin/sh\njoe:x:1000:1000:Joe:/:/bin/sh\n",
    "shadow": b"root:*:15390:0:99999:7:::\nann:!:15259:0:99999:7:::\njoe:H:15259:0:99999:7:::\n",
    "group": b"root:x:0:\nops:x:50:ann,joe\njoe:x:1000:\nnogroup:x:65534:\n",
    "gshadow": b"root:*::\nops:!:joe:ann,joe\njoe:!::\nnogroup:*::\n",
}
MODES = {"passwd": 0o644, "shadow": 0o640, "group": 0o664, "gshadow": 0o600}
GROUP = 42
LIMIT = 1 << 20
ACCESS_CONTROL_LIST = struct.pack(
    "<I" + "HHI" * 5, 2, 1, 6, WORD := 0xFFFFFFFF, 2, 4, 1000, 4, 0, WORD, 16, 4, WORD, 32, 0, WORD
)
"""user::rw- user:1000:r-- group::--- mask::r-- other::---, as acl(5) is kept on disk: mode 0640."""


def nothing() -> None:
    """What is polled where nothing is to happen."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root directory; the files are in its etc."""
    etc = tmp_path / "root" / "etc"
    etc.mkdir(parents=True)
    for name, content in FILES.items():
        (etc / name).write_bytes(content)
        (etc / name).chmod(MODES[name])
        os.chown(etc / name, 0, GROUP)
    return etc.parent


@pytest.fixture
def etc(root: Path) -> Path:
    return root / "etc"


def contents_of(directory: Path) -> dict[str, bytes]:
    return {name: (directory / name).read_bytes() for name in NAMES if (directory / name).exists()}


def save(
    etc: Path,
    *,
    patience: float = 0.0,
    poll: Callable[[], None] = nothing,
    before: dict[str, bytes] = FILES,
    **after: bytes,
) -> None:
    LocalAccounts(patience).save(bytes(etc), before, {**before, **after}, poll)


def refused(act: Callable[[], object]) -> int | None:
    with pytest.raises(OSError) as caught:
        act()
    return caught.value.errno


def test_reading_gives_the_files_that_are_there(etc: Path) -> None:
    accounts = LocalAccounts()
    assert accounts.read(bytes(etc), LIMIT) == FILES
    (etc / "gshadow").unlink()
    (etc / "shadow").unlink()
    assert accounts.read(bytes(etc), LIMIT) == {name: FILES[name] for name in ("passwd", "group")}


def test_files_of_many_blocks_are_read_whole(etc: Path) -> None:
    long = b"#" * 300_000
    (etc / "passwd").write_bytes(long)
    assert LocalAccounts().read(bytes(etc), LIMIT)["passwd"] == long


def a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


UNREADABLE = [
    ("passwd", Path.unlink, ENOENT),
    ("group", Path.unlink, ENOENT),
    ("passwd", a_link, ELOOP),
    ("gshadow", a_link, ELOOP),
    ("shadow", a_directory, EINVAL),
    ("group", a_pipe, EINVAL),
]


@pytest.mark.parametrize(("name", "spoil", "error"), UNREADABLE)
def test_what_is_no_account_file_is_not_read(
    etc: Path, name: str, spoil: Callable[[Path], None], error: int
) -> None:
    spoil(etc / name)
    assert refused(lambda: LocalAccounts().read(bytes(etc), LIMIT)) == error


def test_no_more_is_read_than_the_limit(etc: Path) -> None:
    size = sum(map(len, FILES.values()))
    assert LocalAccounts().read(bytes(etc), size) == FILES
    for limit in (0, 1, len(FILES["passwd"]), size - 1):
        assert refused(partial(LocalAccounts().read, bytes(etc), limit)) == EFBIG


@pytest.mark.parametrize(("path", "error"), [("", ENOENT), ("nowhere", ENOENT), ("etc/passwd", ENOTDIR)])
def test_a_root_that_is_no_directory(root: Path, path: str, error: int) -> None:
    named = bytes(root / path) if path else b""
    assert refused(lambda: LocalAccounts().read(named, LIMIT)) == error
    assert refused(lambda: LocalAccounts().save(named, FILES, FILES, nothing)) == error


def test_saving_replaces_what_has_changed_and_leaves_the_rest(etc: Path) -> None:
    os.setxattr(etc / "shadow", "system.posix_acl_access", ACCESS_CONTROL_LIST)
    kept = {name: (etc / name).stat() for name in NAMES}
    save(etc, shadow=b"new\n", group=b"")
    assert contents_of(etc) == {**FILES, "shadow": b"new\n", "group": b""}
    for name in NAMES:
        found = (etc / name).stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, GROUP, MODES[name])
        assert (found.st_ino == kept[name].st_ino) == (name in {"passwd", "gshadow"})
    assert "system.posix_acl_access" in os.listxattr(etc / "shadow")
    assert "system.posix_acl_access" not in os.listxattr(etc / "group")
    assert sorted(path.name for path in etc.iterdir()) == sorted(
        [".pwd.lock", *NAMES, "group-", "shadow-"]
    )  # no lock, nothing half-written
    for name in ("shadow", "group"):
        assert (etc / f"{name}-").read_bytes() == FILES[name]
        assert (etc / f"{name}-").stat().st_ino == kept[name].st_ino


def test_lists_that_the_directory_gives_to_new_files_are_not_kept(etc: Path) -> None:
    os.setxattr(etc, "system.posix_acl_default", ACCESS_CONTROL_LIST)
    save(etc, passwd=b"")
    assert stat.S_IMODE((etc / "passwd").stat().st_mode) == MODES["passwd"]
    assert os.listxattr(etc / "passwd") == []


def test_what_an_interrupted_save_left_is_written_over(etc: Path) -> None:
    (etc / "passwd+").symlink_to("group")
    (etc / f"passwd.{os.getpid()}").write_bytes(b"")
    (etc / "passwd-").write_bytes(b"of last week")
    save(etc, passwd=b"new\n")
    assert contents_of(etc) == {**FILES, "passwd": b"new\n"}
    assert (etc / "passwd-").read_bytes() == FILES["passwd"]
    assert not (etc / "passwd+").exists()


CHANGES: list[Callable[[Path], object]] = [
    lambda etc: (etc / "passwd").write_bytes(FILES["passwd"] + b"x"),
    lambda etc: (etc / "gshadow").write_bytes(FILES["gshadow"][:-1]),
    lambda etc: (etc / "gshadow").unlink(),
    lambda etc: (etc / "passwd").unlink(),
]


@pytest.mark.parametrize("change", CHANGES)
def test_files_that_others_have_changed_meanwhile_are_left_to_them(
    etc: Path, change: Callable[[Path], object]
) -> None:
    change(etc)
    found = contents_of(etc)
    assert refused(lambda: save(etc, shadow=b"")) == ESTALE
    assert contents_of(etc) == found
    assert {path.name for path in etc.iterdir()} <= {".pwd.lock", *NAMES}


def test_a_file_that_has_come_meanwhile_is_a_change(etc: Path) -> None:
    plain = {name: FILES[name] for name in ("passwd", "group")}
    assert refused(lambda: save(etc, before=plain, passwd=b"")) == ESTALE


@contextmanager
def lckpwdf(root: Path) -> Iterator[None]:
    """Another process that has called lckpwdf(3) below a root; it gives the lock up at the end."""
    program = (
        "import ctypes, os, sys; libc = ctypes.CDLL(None); os.chroot(sys.argv[1]); "
        "print(libc.lckpwdf(), flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-IS", "-c", program, str(root)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"0\n"
        yield
        process.communicate()


def test_lckpwdf_of_another_process_is_waited_for(root: Path, etc: Path) -> None:
    with lckpwdf(root):
        assert refused(lambda: save(etc, passwd=b"")) == EAGAIN
        assert contents_of(etc) == FILES
    save(etc, passwd=b"")


def test_while_a_save_holds_the_locks_others_do_not_get_them(etc: Path) -> None:
    directory = os.open(etc, os.O_RDONLY)
    with locked(directory, NAMES, 0.0, nothing):
        with (etc / ".pwd.lock").open("wb") as lock, pytest.raises(BlockingIOError):
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for name in NAMES:
            assert (etc / f"{name}.lock").read_bytes() == b"%d\0" % os.getpid()
        assert refused(lambda: save(etc, passwd=b"")) == EAGAIN
        assert (etc / "passwd.lock").exists()
    os.close(directory)
    assert {path.name for path in etc.iterdir()} == {".pwd.lock", *NAMES}


def ended() -> int:
    """The id of a process that is no more."""
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid


LOCKS = [
    ("passwd", lambda: b"%d\0" % os.getppid(), EAGAIN),
    ("gshadow", lambda: b"%d" % os.getppid(), EAGAIN),
    ("shadow", lambda: b"", EAGAIN),
    ("shadow", lambda: b"x\0", EAGAIN),
    ("shadow", lambda: b"0\0", EAGAIN),
    ("shadow", lambda: b"9" * 40, EAGAIN),
    ("shadow", lambda: b"4294967296\0", EAGAIN),
    ("group", lambda: b"%d\0" % ended(), None),
    ("group", lambda: b"%d\n" % ended(), None),
]


@pytest.mark.parametrize(("name", "content", "error"), LOCKS)
def test_lock_files_hold_while_their_process_lives(
    etc: Path, name: str, content: Callable[[], bytes], error: int | None
) -> None:
    lock = etc / f"{name}.lock"
    lock.write_bytes(content())
    if error is None:
        save(etc, passwd=b"")
        assert not lock.exists()
    else:
        assert refused(lambda: save(etc, passwd=b"")) == error
        assert {path.name for path in etc.iterdir()} == {".pwd.lock", *NAMES, lock.name}
        assert contents_of(etc) == FILES


def test_a_lock_file_that_is_a_link_is_refused(etc: Path) -> None:
    (etc / "passwd.lock").symlink_to("passwd")
    assert refused(lambda: save(etc, passwd=b"")) == ELOOP


def test_a_wait_ends_when_the_lock_is_free(etc: Path) -> None:
    lock = etc / "passwd.lock"
    lock.write_bytes(b"%d\0" % os.getppid())
    save(etc, patience=60.0, poll=lambda: lock.unlink(missing_ok=True), passwd=b"")
    assert (etc / "passwd").read_bytes() == b""


def test_a_wait_ends_with_the_run(etc: Path) -> None:
    (etc / "group.lock").write_bytes(b"%d\0" % os.getppid())

    def cancelled() -> None:
        raise Fault("cancelled")

    with pytest.raises(Fault):
        save(etc, patience=60.0, poll=cancelled, passwd=b"")
    assert {path.name for path in etc.iterdir()} == {".pwd.lock", *NAMES, "group.lock"}


def test_a_save_that_fails_leaves_everything_as_it_was(etc: Path) -> None:
    (etc / "passwd-").mkdir()  # so the old file cannot be kept
    (etc / "passwd-" / "x").touch()
    assert refused(lambda: save(etc, passwd=b"")) is not None
    assert contents_of(etc) == FILES
    assert not (etc / "passwd+").exists()


def run_in(etc: Path, body: str) -> str:
    """Run a program on the files; what it printed."""
    host = FakeHost()
    host.accounts = LocalAccounts()
    outcome = ran(main_of(f'pragma authdb.root "{etc}"\nauthdb.open\n{body}'), host=host)
    assert (outcome.fault, outcome.error_output) == ("", b"")
    return outcome.output.decode()


def tool(*words: str) -> None:
    """Run a tool of the system's."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    done = subprocess.run(words, env={"PATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


SAME = [
    ("usermod -l joseph joe", 'user.find "joe" user.set "username" "joseph"'),
    ("usermod -u 77 -g 50 joe", 'user.find "joe" user.set "uid" 77 user.set "gid" 50'),
    ("usermod -s /bin/dash -c J joe", 'user.find "joe" user.set "shell" "/bin/dash" user.set "comment" "J"'),
    ("usermod -p NEW -d /h joe", 'user.find "joe" user.set "pwhash" "NEW" user.set "home" "/h"'),
    ("usermod -e 9999 -f 6 joe", 'user.find "joe" user.set "expiry" 9999 user.set "inact" 6'),
    ("usermod -G root -a ann", 'group.find "root" group.join "member" "ann"'),
    ("usermod -rG ops ann", 'group.find "ops" group.kick "member" "ann"'),
    ("userdel ann", 'user.find "ann" user.delete'),
    ("groupmod -n dev ops", 'group.find "ops" group.set "name" "dev"'),
    ("groupdel ops", 'group.find "ops" group.delete'),
    ("groupadd -g 4711 dev", 'group.new group.set "name" "dev" group.set "gid" 4711'),
    (
        "useradd -M -N -u 7 -g ops -d /h -s /bin/sh eve",
        """user.new user.set "username" "eve" user.set "uid" 7 user.set "gid" 50
           user.set "home" "/h" user.set "shell" "/bin/sh" """,
    ),
]


def lines_of(etc: Path) -> dict[str, list[bytes]]:
    """The lines in any order, since tools move those that they rename, and without the day of a change."""
    found = contents_of(etc)
    found["shadow"] = b"\n".join(
        b":".join([*line.split(b":")[:2], *line.split(b":")[3:]]) for line in found["shadow"].splitlines()
    )
    return {name: sorted(content.splitlines()) for name, content in found.items()}


@pytest.mark.parametrize(("command", "body"), SAME)
def test_edits_have_the_effect_of_the_systems_own_tools(
    root: Path, etc: Path, tmp_path: Path, command: str, body: str
) -> None:
    copy = tmp_path / "copy" / "etc"
    copy.mkdir(parents=True)
    for name, content in FILES.items():
        (copy / name).write_bytes(content)
    name, *rest = command.split()
    tool(name, "--prefix", str(copy.parent), *rest)
    run_in(etc, f"{body}\nauthdb.save")
    assert lines_of(etc) == lines_of(copy)
    assert contents_of(etc) != FILES


AGEING = (
    'user.find "joe" user.set "changed" 8888 user.set "pwmin" 3 user.set "pwmax" 44 user.set "pwwarn" 5 '
    'user.set "inact" 6 user.set "expiry" 9999'
)


def test_ageing_is_that_of_chage(root: Path, etc: Path) -> None:
    run_in(etc, f"{AGEING}\nauthdb.save")
    ours = contents_of(etc)
    tool("chage", "--root", str(root), "-d8888", "-m3", "-M44", "-W5", "-I6", "-E9999", "joe")
    assert contents_of(etc) == ours


def test_the_systems_checkers_are_content(root: Path, etc: Path) -> None:
    run_in(
        etc,
        'user.new user.set "username" "eve" user.set "home" "/" user.set "shell" "/bin/sh" '
        'group.new group.set "name" "dev" group.join "member" "eve" group.join "admin" "joe" '
        'user.find "ann" user.set "username" "anna" user.find "joe" user.set "pwhash" "!" '
        'group.find "ops" group.join "admin" "eve" group.kick "member" "joe"\n'
        "authdb.save",
    )
    tool("pwck", "--root", str(root), "-q", "-r")
    tool("grpck", "--root", str(root), "-r")


LOOKUP = """import os, pwd, grp, sys
os.chroot(sys.argv[1])
print(tuple(pwd.getpwnam("eve")), pwd.getpwuid(7)[0], grp.getgrnam("dev")[2:], len(pwd.getpwall()))
"""


def test_the_c_library_finds_who_was_made(root: Path, etc: Path) -> None:
    run_in(
        etc,
        """user.new user.set "username" "eve" user.set "uid" 7 user.set "comment" "Eve, a"
        group.new group.set "name" "dev" group.set "gid" 9 group.join "member" "joe" group.join "member" "eve"
        authdb.save""",
    )
    words = [sys.executable, "-IS", "-c", LOOKUP, str(root)]
    found = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert found == "('eve', 'x', 7, 65534, 'Eve, a', '', '') eve (9, ['joe', 'eve']) 4\n"


ADDING = (
    'again: authdb.open user.new user.set "username" "%s" authdb.save jnz again '
    'user.find "%s" user.get "uid" %%a print "%%[a]d"'
)


def test_no_change_is_lost_however_many_save_at_once(root: Path, etc: Path) -> None:
    ids: list[str] = []

    def add(*names: str) -> None:
        ids.extend(run_in(etc, ADDING % (name, name)) for name in names)

    def add_by_tool() -> None:
        tool("groupadd", "--prefix", str(root), "tools")

    threads = [threading.Thread(target=add, args=[f"{first}{n}" for n in range(5)]) for first in "abc"]
    threads.append(threading.Thread(target=add_by_tool))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ids) == [str(1002 + n) for n in range(15)]
    found = contents_of(etc)
    assert found["passwd"].startswith(FILES["passwd"])
    assert found["shadow"].count(b"\n") == found["passwd"].count(b"\n") == 18
    assert b"\ntools:x:" in found["group"]
