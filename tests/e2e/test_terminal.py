"""The client's three streams as users and scripts have them: a terminal, pipes that break, nothing at all."""

import contextlib
import os
import pty
import re
import select
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import NamedTuple, Self

import pytest

from mesh.messages import MAX_OUTPUT, Cancel, Command, Optin, Result
from tests.accounts import PASSWORD, Account, account, pam_service
from tests.e2e.harness import PATIENCE, Finished, Site
from tests.e2e.raw import Agent, nodes

PONG = "web01.example.com 0 pong\n"
ONE = "1 answered: 1 ok\n"
FAILED = "cw: authentication failed\n"
PROMPT = "Password: "
LONG = b"0123456789abcde\n" * (MAX_OUTPUT // 16)
"""Far more than a pipe takes."""


class Mesh(NamedTuple):
    """A broker that asks PAM, and one node; `alice` has a password, the site's own user a key."""

    site: Site
    alice: Account

    def with_password(self, *words: str) -> tuple[str, ...]:
        """The words of a client's command that asks for alice's password."""
        return self.site.asking("ping", "-k0", "-u", self.alice.name, *words)


@pytest.fixture(scope="module")
def mesh(cw: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """No test changes anything here."""
    quick = ("auth required pam_unix.so nodelay", "account required pam_unix.so")
    with (
        account() as alice,
        pam_service(*quick) as service,
        Site(tmp_path_factory.mktemp("terminal"), cw) as site,
    ):
        site.broker(f'auth.pam_service="{service}"', 'auth.agent_trust="any"', "limits.heartbeat=600")
        site.agent("web01", rules=f"allow {alice.name} ALL\nallow {site.user} ALL\n")
        yield Mesh(site, alice)


LEADER = r"""trap : INT; "$@" 3<&-; s=$?; exec >&-; printf '\036%d\036' $s >/dev/tty; read -r _ <&3"""
"""A shell that leads the terminal's session for as long as we read: a leader's end discards the unread.

Its last word is the status, between two \x1e.
"""
END = re.compile("\x1e([0-9]+)\x1e")
PROGRESS = re.compile(r"(\r[0-9,]+ of [0-9,]+ answered[ a-z0-9,]*\x1b\[K)+\r\x1b\[K")
"""All states of the line that says how far a request is, and how it is taken away."""


class Terminal:
    """cw on a terminal of its own, its standard input and, unless told otherwise, its output; no colours.

    The words `runner` run the words behind them.
    """

    def __init__(
        self, site: Site, words: Sequence[str], stdout: int | None = None, runner: Sequence[str] = ()
    ) -> None:
        self._ours, theirs = pty.openpty()
        release, self._release = os.pipe()
        self.said = ""
        leader = ["setsid", "-c", "bash", "-c", f"exec 3<&{release} {release}<&-; {LEADER}", "-"]
        self.process = subprocess.Popen(
            [*leader, *runner, *site.cw, *words],
            pass_fds=[release],
            stdin=theirs,
            stdout=theirs if stdout is None else stdout,
            stderr=theirs,
            env=site.env | {"NO_COLOR": "1"},
            cwd=site.directory,
        )
        os.close(theirs)
        os.close(release)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        os.close(self._ours)
        os.close(self._release)

    @property
    def echoes(self) -> bool:
        """Whether what is typed is shown."""
        return bool(termios.tcgetattr(self._ours)[3] & termios.ECHO)

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def shows(self, text: str) -> None:
        """Wait until it shows this."""
        self._read_until(re.compile(re.escape(text)))

    def ended(self) -> tuple[int, str]:
        """Its exit status and what it leaves on the screen, once it has ended by itself."""
        end = self._read_until(END)
        return int(end[1]), PROGRESS.sub("", self.said[: end.start()])

    def _read_until(self, wanted: re.Pattern[str]) -> re.Match[str]:
        deadline = time.monotonic() + PATIENCE
        while not (found := wanted.search(self.said)):
            ready, _, _ = select.select([self._ours], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"never shown {wanted.pattern!r}, but {self.said!r}"
            self.said += os.read(self._ours, 65536).decode().replace("\r\n", "\n")
        return found


# -- passwords at a terminal


def test_a_password_is_asked_for_without_echo(mesh: Mesh) -> None:
    with Terminal(mesh.site, mesh.with_password()) as terminal:
        terminal.shows(PROMPT)
        assert not terminal.echoes
        terminal.type(f"{PASSWORD}\n")
        status, said = terminal.ended()
    assert (status, said) == (0, f"{PROMPT}\n{PONG}{ONE}")


def test_a_wrong_password_is_not_shown_either(mesh: Mesh) -> None:
    with Terminal(mesh.site, mesh.with_password()) as terminal:
        terminal.shows(PROMPT)
        terminal.type("wrong horse\n")
        assert terminal.ended() == (3, f"{PROMPT}\n{FAILED}")


def test_the_question_is_not_part_of_the_output(mesh: Mesh) -> None:
    with Terminal(mesh.site, mesh.with_password(), stdout=subprocess.PIPE) as terminal:
        terminal.shows(PROMPT)
        terminal.type(f"{PASSWORD}\n")
        assert terminal.process.stdout is not None
        assert terminal.process.stdout.read().decode() == PONG
        assert terminal.ended() == (0, f"{PROMPT}\n{ONE}")


def test_ctrl_c_at_the_question_ends_it_and_the_echo_comes_back(mesh: Mesh) -> None:
    with Terminal(mesh.site, mesh.with_password()) as terminal:
        terminal.shows(PROMPT)
        terminal.type("right hor\x03")
        status, said = terminal.ended()
        assert status == 130
        assert said.strip() == PROMPT.strip()
        assert terminal.echoes


def test_ctrl_d_at_the_question_is_no_password(mesh: Mesh) -> None:
    with Terminal(mesh.site, mesh.with_password()) as terminal:
        terminal.shows(PROMPT)
        terminal.type("\x04")
        status, said = terminal.ended()
        assert status == 3
        assert said.endswith(FAILED)
        assert terminal.echoes


def test_nobody_is_asked_who_has_a_key_or_makes_a_mistake(mesh: Mesh) -> None:
    with Terminal(mesh.site, mesh.site.asking("ping")) as terminal:
        assert terminal.ended() == (0, PONG + ONE)
    with Terminal(mesh.site, mesh.with_password("-w", "role")) as terminal:
        status, said = terminal.ended()
    assert (status, PROMPT in said) == (2, False)


def commanded(node: Agent) -> int:
    """The serial of the COMMAND that a node must hear next."""
    heard = node.hear()
    assert isinstance(heard.message, Command)
    return heard.serial


@contextlib.contextmanager
def hanging(site: Site) -> Iterator[Agent]:
    """One node more, which says what the test says; the broker has noticed its end afterwards."""
    broker = site.processes[0]
    gone = r"^meshd: agent n1\.example\.com at 127\.0\.0\.1 is gone: "
    before = len(re.findall(gone, broker.log, re.MULTILINE))
    with nodes(site, 1) as (node,):
        yield node
    broker.wait_for(gone, before + 1)


def test_ctrl_c_typed_while_nodes_are_waited_for(mesh: Mesh) -> None:
    with hanging(mesh.site) as node, Terminal(mesh.site, mesh.site.asking("ping", "-t", "300")) as terminal:
        serial = commanded(node)
        node.say(Optin(), serial=serial)
        terminal.shows(PONG)
        terminal.type("\x03")
        assert node.hear()[:2] == (serial, Cancel())
        node.say(Result(125, b"\x1b[2Jhalf\n", b"", False, 0), serial=serial)
        status, said = terminal.ended()
    assert status == 130
    assert "n1.example.com 125 \\x1b[2Jhalf\n2 answered: 1 ok, 1 failed\n" in said
    assert "\x1b" not in said


def test_how_far_it_is_is_shown_until_it_is_over(mesh: Mesh) -> None:
    with hanging(mesh.site) as node, Terminal(mesh.site, mesh.site.asking("ping")) as terminal:
        serial = commanded(node)
        node.say(Optin(), serial=serial)
        terminal.shows("\r1 of 2 answered, ")
        node.say(Result(1, b"no\n", b"", False, 0), serial=serial)
        assert terminal.ended() == (1, f"{PONG}n1.example.com 1 no\n2 answered: 1 ok, 1 failed\n")
        assert PROGRESS.search(terminal.said)


def test_where_a_failure_may_be_explained(mesh: Mesh) -> None:
    with hanging(mesh.site) as node, Terminal(mesh.site, mesh.site.asking("ping")) as terminal:
        node.say(Optin(), Result(1, b"", b"why\n", False, 0), serial=commanded(node))
        said = terminal.ended()[1]
    assert said.endswith("cw: --stderr shows what a node that failed wrote to the error output\n")


UNSEEN: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "quiet": ((), ("-q",)),
    "no terminal": (("sh", "-c", 'exec "$@" 2>/dev/null', "sh"), ()),
    "in the background": (("bash", "-c", 'set -m; "$@" & wait %1', "-"), ()),
    "a terminal that can do nothing": (("env", "TERM=dumb", "NO_COLOR="), ()),
}


@pytest.mark.parametrize(("runner", "options"), UNSEEN.values(), ids=UNSEEN.keys())
def test_how_far_it_is_is_not_shown_where_nobody_could_see_it(
    mesh: Mesh, runner: Sequence[str], options: Sequence[str]
) -> None:
    with hanging(mesh.site) as node:
        words = mesh.site.asking("ping", "-t", "1", *options)
        with Terminal(mesh.site, words, runner=runner) as terminal:
            node.say(Optin(), serial=commanded(node))
            status, said = terminal.ended()
    assert (status, "\r" in said) == (5, False)
    assert said.startswith(f"{PONG}n1.example.com - silent\n")


SHOWN = {
    "": "web01.example.com 0 pong\n\x1b[31mn1.example.com 1\x1b[0m \\x1b[2J\n",
    "--json": None,
    "--fold": "\x1b[31mn1.example.com (1) 1\x1b[0m \\x1b[2J\nweb01.example.com (1) 0 pong\n",
    "--table": "NODE               STATUS  OUTPUT\n"
    "\x1b[31mn1.example.com\x1b[0m     \x1b[31m1\x1b[0m       \\x1b[2J\n"
    "web01.example.com  0       pong\n",
}


@pytest.mark.parametrize(("form", "shown"), SHOWN.items())
def test_what_went_wrong_is_coloured_on_a_terminal(mesh: Mesh, form: str, shown: str | None) -> None:
    with hanging(mesh.site) as node:
        words = mesh.site.asking("ping", "-q", *form.split())
        with Terminal(mesh.site, words, runner=["env", "NO_COLOR="]) as terminal:
            serial = commanded(node)
            if not form:
                terminal.shows(PONG)
            node.say(Optin(), Result(1, b"\x1b[2J\n", b"", False, 0), serial=serial)
            status, said = terminal.ended()
    assert status == 1
    assert "\x1b" not in said if shown is None else said == shown


# -- passwords from elsewhere


@pytest.mark.parametrize("given", [f"{PASSWORD}\n", PASSWORD, f"{PASSWORD}\nmore\n"])
def test_a_password_is_the_first_line_of_standard_input(mesh: Mesh, given: str) -> None:
    asked = mesh.site.run(*mesh.with_password(), given=given)
    assert (asked.output, asked.errors) == (PONG, ONE)


NOT_IT = [
    "",
    "\n",
    "\nmore\n",
    f" {PASSWORD}\n",
    f"{PASSWORD}\r\n",
    f"{PASSWORD}\0\n",
    f"{PASSWORD}\0more\n",
    "x" * 4096,
]


@pytest.mark.parametrize("given", NOT_IT, ids=range(len(NOT_IT)))
def test_what_is_nearly_the_password_is_not_it(mesh: Mesh, given: str) -> None:
    asked = mesh.site.run(*mesh.with_password(), given=given, status=3)
    assert (asked.output, asked.errors) == ("", FAILED)


UNUSABLE = [b"x" * 4097 + b"\n", b"\xff\n", b"x" * (1 << 20)]


@pytest.mark.parametrize("given", UNUSABLE, ids=["long", "no text", "very long"])
def test_what_cannot_be_a_password_is_refused_before_it_is_sent(mesh: Mesh, given: bytes) -> None:
    ended = subprocess.run(
        [*mesh.site.cw, *mesh.with_password()],
        input=given,
        env=mesh.site.env,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert ended.stderr == b"cw: The password is too long, or is not UTF-8.\n"


# -- outputs that break


def shell(site: Site, line: str, *words: str) -> Finished:
    """How a line of the shell ends in which `"$@"` is the client's command."""
    ended = subprocess.run(
        ["sh", "-c", line, "sh", *site.cw, *site.asking(*words)],
        stdin=subprocess.DEVNULL,
        env=site.env,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return Finished(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


FORMS = pytest.mark.parametrize("form", ["-t9", "--json", "--jsonl", "--xml", "--fold", "--sort"])
UNWRITABLE = "cw: cannot write: No space left on device\n"


@FORMS
def test_a_reader_that_has_enough_ends_it_quietly(mesh: Mesh, form: str) -> None:
    with hanging(mesh.site) as node:
        line = '{ "$@"; echo "status $?" >&2; } | head -c 5'
        words = ["sh", "-c", line, "sh", *mesh.site.cw, *mesh.site.asking("ping", form, "-w", "role!=x")]
        with subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=mesh.site.env
        ) as pipe:
            node.say(Optin(), Result(0, LONG, b"", False, 0), serial=commanded(node))
            output, errors = pipe.communicate(timeout=PATIENCE)
    assert len(output) == 5
    assert errors == b"status 141\n"


def test_a_reader_that_was_never_there(mesh: Mesh) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with open(write_end, "wb") as broken:
        ended = subprocess.run(
            [*mesh.site.cw, *mesh.site.asking("ping")],
            stdin=subprocess.DEVNULL,
            stdout=broken,
            stderr=subprocess.PIPE,
            env=mesh.site.env,
            timeout=PATIENCE,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_a_reader_that_takes_its_time_loses_nothing(mesh: Mesh) -> None:
    with hanging(mesh.site) as node:
        words = [*mesh.site.cw, *mesh.site.asking("ping", "-w", "role!=x")]
        with subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=mesh.site.env
        ) as slow:
            node.say(Optin(), Result(0, LONG, b"", False, 0), serial=commanded(node))
            asking = mesh.site.start_asking("ping")  # others are served meanwhile
            node.say(Optin(), Result(0, b"pong\n", b"", False, 0), serial=commanded(node))
            assert asking.finished().lines == ["n1.example.com 0 pong", PONG.strip()]
            assert slow.poll() is None
            output, errors = slow.communicate(timeout=PATIENCE)
    assert (slow.returncode, errors) == (0, b"1 answered: 1 ok; 1 opted out\n")
    assert output.count(b"0123456789abcde\n") == LONG.count(b"\n")


@FORMS
def test_a_full_disk_is_told_in_a_line(mesh: Mesh, form: str) -> None:
    ended = shell(mesh.site, '"$@" >/dev/full', "ping", form)
    assert ended == (74, "", UNWRITABLE)


CLOSED = {
    "output": ('"$@" >&-', 0, "", ONE),
    "errors": ('"$@" 2>&-', 0, PONG, ""),
    "input": ('"$@" <&-', 0, PONG, ONE),
    "all": ('"$@" <&- >&- 2>&-', 0, "", ""),
    "output, and there is nothing to say": ('"$@" -w role=none >&-', 6, "", "0 answered; 1 opted out\n"),
    "errors, which there are": ('"$@" -w role 2>&-', 2, "", ""),
}


@pytest.mark.parametrize(("line", "status", "output", "errors"), CLOSED.values(), ids=CLOSED.keys())
def test_streams_that_are_closed_get_nothing(
    mesh: Mesh, line: str, status: int, output: str, errors: str
) -> None:
    assert shell(mesh.site, line, "ping") == (status, output, errors)


def test_errors_that_cannot_be_told_change_nothing(mesh: Mesh) -> None:
    assert shell(mesh.site, '"$@" 2>/dev/full', "ping", "-v") == (0, PONG, "")
