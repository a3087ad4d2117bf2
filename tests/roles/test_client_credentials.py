"""Who asks, and how that is shown: the user's name, the key, the password."""

import io
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from auth.keys import ENCRYPTION, SIGNING, KeyFileError, write_pair
from mesh.messages import NoAuth, PasswordAuth
from roles.credentials import PasswordUnusable, chosen_key, method, password, user_name

SEED = bytes(range(32))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "alice.key"
    write_pair(path, SIGNING, "alice", SEED)
    return path


def test_the_name_asked_for_comes_first() -> None:
    assert user_name("alice", "bob") == "alice"
    assert user_name(None, "bob") == "bob"


def test_else_it_is_the_account_s_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    monkeypatch.setenv("USER", "mallory")
    monkeypatch.setenv("LOGNAME", "mallory")
    assert user_name(None, "") == pwd.getpwuid(os.getuid()).pw_name


def test_the_configured_key_is_used_if_it_is_there(key_file: Path, tmp_path: Path) -> None:
    key = chosen_key(None, key_file)
    assert key is not None
    assert key.name == "alice"
    assert chosen_key(None, tmp_path / "none") is None
    assert chosen_key(None, None) is None


def test_the_key_asked_for_comes_first_and_must_be_there(key_file: Path, tmp_path: Path) -> None:
    assert chosen_key(str(key_file), tmp_path / "none") is not None
    with pytest.raises(KeyFileError, match="No such file"):
        chosen_key(str(tmp_path / "none"), key_file)


def test_no_key_means_no_key(key_file: Path) -> None:
    assert chosen_key("0", key_file) is None


def test_a_key_that_others_can_read_is_refused_not_passed_over(key_file: Path) -> None:
    key_file.chmod(0o640)
    with pytest.raises(KeyFileError, match="others can read this private key"):
        chosen_key(None, key_file)


def test_the_method_is_told_with_its_reason(key_file: Path, tmp_path: Path) -> None:
    def told(asked: str | None, configured: Path | None) -> str:
        return method(asked, configured, chosen_key(asked, configured))

    none = tmp_path / "none"
    assert told(str(key_file), none) == told(None, key_file) == f"the key {key_file}"
    assert told("0", key_file) == "a password (-k0: no key)"
    assert told(None, none) == f"a password ({none} is not there)"
    assert told(None, None) == "a password (no key is configured)"


def test_an_agent_s_key_does_not_sign(tmp_path: Path) -> None:
    write_pair(tmp_path / "agent.key", ENCRYPTION, "web01", SEED)
    with pytest.raises(KeyFileError):
        chosen_key(str(tmp_path / "agent.key"), None)


def piped(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))


LINES = [
    (b"secret\nmore\n", PasswordAuth("secret")),
    (b"no newline", PasswordAuth("no newline")),
    (b" spaces \r\n", PasswordAuth(" spaces \r")),
    ("pässwörd\n".encode(), PasswordAuth("pässwörd")),
    (b"\n", PasswordAuth("")),
    (b"", NoAuth()),
    (b"x" * 4096 + b"\n", PasswordAuth("x" * 4096)),
]


@pytest.mark.parametrize(("text", "auth"), LINES)
def test_a_password_is_one_line_of_standard_input(
    monkeypatch: pytest.MonkeyPatch, text: bytes, auth: object
) -> None:
    piped(monkeypatch, text)
    assert password() == auth


@pytest.mark.parametrize("text", [b"\xff\n", b"x" * 4097 + b"\n", b"x" * 100_000])
def test_a_password_that_cannot_be_sent(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    piped(monkeypatch, text)
    with pytest.raises(PasswordUnusable) as caught:
        password()
    assert caught.value.status == 2
    assert "xx" not in str(caught.value)


class Terminal:
    """A terminal with a process on it that asks for a password, and prints what it got, in hexadecimal."""

    SCRIPT = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); from roles.credentials import password; "
        "os.open(os.ttyname(0), os.O_RDWR); "  # a session's first process so makes it the session's terminal
        "print(repr(getattr(password(), 'password', None)).encode().hex())"
    )

    def __init__(self) -> None:
        root = str(Path(__file__).parents[2])
        self._side, theirs = pty.openpty()
        words = [sys.executable, "-B", "-c", self.SCRIPT, root]
        self._process = subprocess.Popen(
            words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self._seen = b""

    def type(self, text: bytes) -> None:
        os.write(self._side, text)

    def until(self, text: bytes) -> bytes:
        """All that the terminal has shown, once this is among it or the process is gone."""
        while text not in self._seen:
            try:
                shown = os.read(self._side, 4096)
            except OSError:  # EIO: nobody is left on the other side
                break
            self._seen += shown
        return self._seen

    def close(self) -> None:
        os.close(self._side)
        self._process.wait()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


def test_on_a_terminal_it_is_asked_for_and_not_echoed(terminal: Terminal) -> None:
    assert terminal.until(b"Password: ") == b"Password: "
    terminal.type(b"s3cret word\n")
    told = repr("s3cret word").encode().hex().encode()
    shown = terminal.until(told)
    assert told in shown
    assert b"s3cret" not in shown


def test_end_of_file_on_a_terminal_is_no_password(terminal: Terminal) -> None:
    terminal.until(b"Password: ")
    terminal.type(b"\x04")
    assert repr(None).encode().hex().encode() in terminal.until(b"\n\r")
