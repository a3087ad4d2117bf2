"""What the images of the commands about packages, services, files, accounts and programs do on a node."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from errno import EACCES, ENOENT
from pathlib import Path

import pytest

from host.files import LocalFiles
from mesh.command import parse
from mesh.images import image_of
from tests.vm.hosts import FakeHost
from tests.vm.scratch import ScratchAccounts, ScratchHost
from vm.host.programs import Order, Sink
from vm.machine import Limits, Outcome, run


class Played:
    """Programs of which each says what a test has it say: its exit status, output and error output."""

    def __init__(self, answers: Mapping[str, tuple[int, bytes, bytes]], failure: int = 0) -> None:
        self.ran: list[tuple[bytes, ...]] = []
        self._answers = answers
        self._failure = failure

    def run(self, order: Order, output: Sink, errors: Sink, heed: Callable[[], None]) -> int:
        heed()
        self.ran.append(order.words)
        if self._failure:
            raise OSError(self._failure, os.strerror(self._failure))
        key = os.fsdecode(order.words[1] if order.of_cw else order.words[0])
        status, said, complained = self._answers[key]
        output(said)
        errors(complained)
        return status


def outcome_of(words: Sequence[str], host: FakeHost) -> Outcome:
    command = parse(words)
    arguments = (command.verb.module, *command.arguments)
    return run(image_of(command.verb).program, arguments, host, Limits(), lambda: False)


def with_programs(answers: Mapping[str, tuple[int, bytes, bytes]], failure: int = 0) -> FakeHost:
    host = FakeHost()
    host.programs = Played(answers, failure)
    return host


YES = (0, b"", b"")
V1, V2 = (0, b"1.0-1\n", b""), (0, b"2.0-1\n", b"")
NO = (1, b"", b"")
UNKNOWN = (1, b"", b"cw: unknown package: x\n")
LOCKED = (1, b"", b"cw: the package manager is locked by another program: E: Could not get lock\n")
FULL = (1, b"", b"cw: cannot install x: You don't have enough free space in /var/cache/apt/archives/.\n")
NO_SERVICE = (1, b"", b"cw: unknown service: x\n")
NO_SYSTEMD = (1, b"", b"cw: systemd does not run here\n")
BAD_NAME = (2, b"", b"cw: not a package: 'x' (expected: NAME)\n")
NO_MANAGER = (126, b"", b"cw: this host has no package manager that is known here (apt, dnf)\n")
NONE = "not installed: x (available: 2.0-1)\n"

MANAGED: list[tuple[str, dict[str, tuple[int, bytes, bytes]], list[str], int, str]] = [
    (
        "show package x",
        {"pkg-version": V1, "pkg-latest": V2},
        ["pkg-version x", "pkg-latest x"],
        0,
        "latest=2.0-1\nname=x\nversion=1.0-1\n",
    ),
    (
        "show package x",
        {"pkg-version": V1, "pkg-latest": UNKNOWN},
        ["pkg-version x", "pkg-latest x"],
        0,
        "name=x\nversion=1.0-1\n",
    ),
    ("show package x", {"pkg-version": NO, "pkg-latest": V2}, ["pkg-version x", "pkg-latest x"], 1, NONE),
    ("show package x", {"pkg-version": NO, "pkg-latest": UNKNOWN}, ["pkg-version x", "pkg-latest x"], 1, ""),
    ("package x version", {"pkg-version": V1}, ["pkg-version x"], 0, "1.0-1\n"),
    ("package x version", {"pkg-version": NO, "pkg-latest": V2}, ["pkg-version x", "pkg-latest x"], 1, NONE),
    ("package x version", {"pkg-version": NO_MANAGER}, ["pkg-version x"], 126, ""),
    ("show package x", {"pkg-version": BAD_NAME}, ["pkg-version x"], 2, ""),
    ("package x latest", {"pkg-latest": V2}, ["pkg-latest x"], 0, "2.0-1\n"),
    ("package x latest", {"pkg-latest": UNKNOWN}, ["pkg-latest x"], 1, ""),
    ("package x latest", {"pkg-latest": NO_MANAGER}, ["pkg-latest x"], 126, ""),
    ("package x install", {"pkg-install": V2}, ["pkg-install x"], 0, "2.0-1\n"),
    ("package x install 1.0", {"pkg-install": V1}, ["pkg-install x 1.0"], 0, "1.0-1\n"),
    ("package x install", {"pkg-install": UNKNOWN}, ["pkg-install x"], 1, ""),
    ("package x install", {"pkg-install": LOCKED}, ["pkg-install x"], 1, ""),
    ("package x install", {"pkg-install": FULL}, ["pkg-install x"], 1, ""),
    ("package x remove", {"pkg-remove": YES}, ["pkg-remove x"], 0, ""),
    ("package x remove", {"pkg-remove": LOCKED}, ["pkg-remove x"], 1, ""),
    ("package recache", {"pkg-recache": YES}, ["pkg-recache"], 0, ""),
    *(
        (f"service x {verb}", {"svc-init": answer}, [f"svc-init x {verb}"], answer[0], "")
        for verb in ("start", "stop", "restart", "reload")
        for answer in (YES, NO_SERVICE)
    ),
    ("service x.service enable", {"svc-enable": YES}, ["svc-enable x"], 0, ""),
    ("service x disable", {"svc-disable": NO_SERVICE}, ["svc-disable x"], 1, ""),
    ("service x status", {"svc-run-status": (0, b"running\n", b"")}, ["svc-run-status x"], 0, "running\n"),
    ("service x status", {"svc-run-status": (1, b"stopped\n", b"")}, ["svc-run-status x"], 1, "stopped\n"),
    ("service x status", {"svc-run-status": NO_SERVICE}, ["svc-run-status x"], 1, ""),
    (
        "show service x.service",
        {"svc-run-status": (1, b"stopped\n", b""), "svc-boot-status": (0, b"enabled\n", b"")},
        ["svc-run-status x", "svc-boot-status x"],
        0,
        "boot=enabled\nname=x\nstate=stopped\n",
    ),
    ("show service x", {"svc-run-status": NO_SYSTEMD}, ["svc-run-status x"], 1, ""),
    (
        "show service x",
        {"svc-run-status": (0, b"running\n", b""), "svc-boot-status": NO_SERVICE},
        ["svc-run-status x", "svc-boot-status x"],
        1,
        "",
    ),
]


@pytest.mark.parametrize(("words", "answers", "asked", "status", "output"), MANAGED)
def test_packages_and_services(
    words: str, answers: dict[str, tuple[int, bytes, bytes]], asked: list[str], status: int, output: str
) -> None:
    """Why something is not done is among the answers, in the words of cw localsys."""
    host = with_programs(answers)
    outcome = outcome_of(words.split(), host)
    assert [b" ".join(one).decode() for one in host.programs.ran] == [f"localsys {one}" for one in asked]
    told = b"".join(answers[one.split()[0]][2] for one in asked).replace(b"cw: ", b"")
    expected = (told + output.encode(), b"") if status else (output.encode(), told)
    assert (outcome.status, outcome.output, outcome.error_output) == (status, *expected)
    assert outcome.fault == ""


@pytest.mark.parametrize(
    "words",
    [
        "package x install",
        "package x remove",
        "package x version",
        "package x latest",
        "package recache",
        "show package x",
        "show service x",
        "service x status",
        "service x start",
        "service x enable",
    ],
)
def test_a_cw_that_cannot_be_run(words: str) -> None:
    outcome = outcome_of(words.split(), with_programs({}, EACCES))
    assert outcome.status == 126
    assert outcome.output == b"cannot run cw localsys: (13) Permission denied\n"


def test_a_program_runs_with_its_words_as_they_are() -> None:
    host = with_programs({"prog": (3, b"out\n", b"err\n")})
    outcome = outcome_of(["exec", "--", "prog", "%[a]s", "", "a b", "$(x)", "-c"], host)
    assert host.programs.ran == [(b"prog", b"%[a]s", b"", b"a b", b"$(x)", b"-c")]
    assert (outcome.status, outcome.output, outcome.error_output) == (3, b"out\n", b"err\n")


def test_a_shell_runs_the_line_as_it_is() -> None:
    host = with_programs({"/bin/sh": (127, b"out\n", b"err\n")})
    outcome = outcome_of(["exec", "--shell", "echo %[a]s %d | wc; x"], host)
    assert host.programs.ran == [(b"/bin/sh", b"-c", b"--", b"echo %[a]s %d | wc; x")]
    assert (outcome.status, outcome.output, outcome.error_output) == (127, b"out\n", b"err\n")


@pytest.mark.parametrize(
    ("words", "failure", "status", "sentence"),
    [
        (["--", "nosuch", "x"], ENOENT, 127, "program not found: nosuch"),
        (["--", "/etc/passwd"], EACCES, 126, "cannot run /etc/passwd: (13) Permission denied"),
        (["--shell", "true"], EACCES, 126, "cannot run /bin/sh: (13) Permission denied"),
    ],
)
def test_what_cannot_be_started(words: list[str], failure: int, status: int, sentence: str) -> None:
    outcome = outcome_of(["exec", *words], with_programs({}, failure))
    assert (outcome.status, outcome.output.decode()) == (status, f"{sentence}\n")


def test_a_program_that_ends_with_127_was_found() -> None:
    assert outcome_of(["exec", "--", "x"], with_programs({"x": (127, b"", b"")})).output == b""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """Reaches real files: one of each kind in the current directory, which is the test's."""
    host = FakeHost()
    host.files = LocalFiles()
    tmp_path = tmp_path.resolve()
    (tmp_path / "plain").write_bytes(b"abc\0\n\xff")
    (tmp_path / "plain").chmod(0o640)
    os.utime(tmp_path / "plain", (1, 1_700_000_000))
    (tmp_path / "link").symlink_to("plain")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "in").write_text("x")
    (tmp_path / "way").symlink_to("dir")
    os.mkfifo(tmp_path / "fifo")
    with open(tmp_path / "large", "wb") as large:
        large.truncate(2**32)
    monkeypatch.chdir(tmp_path)
    return host


def asked_of(host: FakeHost, words: str, name: str) -> tuple[int, str]:
    path = str(Path.cwd() / name)
    outcome = outcome_of([path if word == "PATH" else word for word in words.split()], host)
    assert (outcome.error_output, outcome.fault) == (b"", "")
    return outcome.status, outcome.output.decode(errors="surrogateescape").replace(str(Path.cwd()), "HERE")


def test_a_file(files: FakeHost) -> None:
    assert asked_of(files, "show file PATH", "plain") == (
        0,
        "gid=0\nmode=0640\nmtime=1700000000\npath=HERE/plain\nsize=6\nuid=0\n",
    )
    assert "size=4294967295+\n" in asked_of(files, "show file PATH", "large")[1]
    assert asked_of(files, "file PATH sha1", "plain") == (
        0,
        hashlib.sha1(b"abc\0\n\xff").hexdigest() + "\n",
    )
    assert asked_of(files, "file PATH get", "plain") == (0, "abc\0\n\udcff")


@pytest.mark.parametrize("words", ["show file PATH", "file PATH sha1", "file PATH get"])
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nothing", "no such file: HERE/nothing"),
        ("plain/x", "no such file: HERE/plain/x"),
        ("link", "not a regular file: HERE/link (symbolic link)"),
        ("way/in", "not followed: HERE/way/in leads through a symbolic link"),
        ("dir", "not a regular file: HERE/dir (directory)"),
        ("fifo", "not a regular file: HERE/fifo (FIFO pipe)"),
        ("x" * 300, f"cannot read HERE/{'x' * 300}: (36) File name too long"),
    ],
)
def test_what_is_no_file_to_be_read(files: FakeHost, words: str, name: str, sentence: str) -> None:
    assert asked_of(files, words, name) == (1, f"{sentence}\n")


def test_what_is_too_large_to_be_got(files: FakeHost) -> None:
    assert asked_of(files, "file PATH get", "large") == (
        1,
        "too large: HERE/large (expected at most 8000000 bytes)\n",
    )


@pytest.mark.parametrize(
    ("words", "status", "output"),
    [
        (
            "show user root",
            0,
            "comment=root\ngid=0\nhome=/root\nlocked=yes\nname=root\nshell=/bin/sh\nuid=0\n",
        ),
        ("show user a", 0, "comment=\ngid=1\nhome=/\nlocked=yes\nname=a\nshell=\nuid=1\n"),
        ("show user nobody", 1, "no such user: nobody\n"),
        ("show group a", 0, "gid=1\nmembers=root,a\nname=a\n"),
        ("show group root", 0, "gid=0\nmembers=\nname=root\n"),
        ("show group nobody", 1, "no such group: nobody\n"),
    ],
)
def test_accounts(words: str, status: int, output: str) -> None:
    outcome = outcome_of(words.split(), ScratchHost())
    assert (outcome.status, outcome.output.decode(), outcome.error_output) == (status, output, b"")


class Unreadable(ScratchAccounts):
    def read(self, root: bytes, limit: int) -> Mapping[str, bytes]:
        raise OSError(EACCES, os.strerror(EACCES))


@pytest.mark.parametrize("words", ["show user root", "show group root"])
def test_accounts_that_cannot_be_read(words: str) -> None:
    host = ScratchHost()
    host.accounts = Unreadable(host)
    outcome = outcome_of(words.split(), host)
    assert (outcome.status, outcome.output) == (
        1,
        b"cannot read the account files: (13) Permission denied\n",
    )
