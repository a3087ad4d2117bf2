"""How programs of the host are run, with real ones."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.systems.names import DEB, EBUILD, PACKAGE, SERVICE, UNIT, VERSION, BadName, Naming, service_of
from host.systems.tools import SHOWN, Answer, Failed, Tools
from tests.conftest import CHECKOUT

NAMINGS = (PACKAGE, DEB, EBUILD, SERVICE, UNIT, VERSION)


def sh(script: str) -> Answer:
    return Tools().ask(["sh", "-c", script])


def test_a_program_is_asked_in_english_without_input_or_privacy() -> None:
    said = sh('echo "$LC_ALL $LANGUAGE"; read -r x || echo nothing; umask; pwd; exit 7')
    assert said == (7, "C.UTF-8 \nnothing\n0022\n/\n", "")


def test_administrators_programs_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("/bin:/usr/bin", ""):
        monkeypatch.setenv("PATH", path)
        assert Tools().has("dpkg-query")
        assert Tools().has("service")  # in /usr/sbin
        assert not Tools().has("nosuch")
        assert Tools().ask(["sh", "-c", "command -v service"]).status == 0


def test_a_word_is_one_word() -> None:
    word = "$(id); `id` 'x' \"y\" * \n\\"
    assert Tools().ask(["printf", "%s", word]).output == word


DAEMON = """
import os, sys
open(sys.argv[1]).read()
try:
    os.write(1, b"more")
except OSError as error:
    print(error.strerror, file=open(sys.argv[2], "w"))
"""


def test_a_daemon_that_keeps_its_output_is_not_waited_for_and_not_ended(tmp_path: Path) -> None:
    go, tell = tmp_path / "go", tmp_path / "tell"
    os.mkfifo(go)
    os.mkfifo(tell)
    start = [sys.executable, "-ISB", "-c", DAEMON, str(go), str(tell)]
    assert Tools().ask(["sh", "-c", '"$@" & echo started', "sh", *start]).output == "started\n"
    go.write_text("")  # now that nobody listens, it writes again
    assert tell.read_text() == "Operation not permitted\n"


ASKING = """
import sys
sys.path.insert(0, sys.argv[1])
from host.systems.tools import Tools
try:
    Tools().ask([sys.executable, *sys.argv[2:]])
except KeyboardInterrupt:
    print("interrupted")
"""
CAREFUL = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
open(sys.argv[1], "w").write("begun")
signal.sigwait({signal.SIGINT})
open(sys.argv[2]).read()
open(sys.argv[3], "w").write("tidied up")
"""


def test_a_program_that_ctrl_c_does_not_end_at_once_is_waited_for(tmp_path: Path) -> None:
    tell, go, end = tmp_path / "tell", tmp_path / "go", tmp_path / "end"
    os.mkfifo(tell)
    os.mkfifo(go)
    careful = ["-ISB", "-c", CAREFUL, *map(str, (tell, go, end))]
    asking = [sys.executable, "-ISB", "-c", ASKING, str(CHECKOUT), *careful]
    with subprocess.Popen(asking, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert tell.read_text() == "begun"
        os.killpg(process.pid, signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        go.write_text("")
        assert process.communicate(timeout=60)[0] == b"interrupted\n"
    assert end.read_text() == "tidied up"


def test_the_end_of_a_long_output_is_kept() -> None:
    said = sh("yes 0123456 | head -c 1000000; echo; echo end")
    assert len(said.output) == SHOWN
    assert said.output.endswith("\nend\n")


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(Failed, match=r"^cannot run nosuch: No such file or directory$"):
        Tools().ask(["nosuch"])


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("echo one; echo two", "two"),
        ("echo out; echo err >&2", "err"),
        ("exit 4", "exit status 4"),
        ("echo x; kill -9 $$", f"killed by signal {int(signal.SIGKILL)}"),
        ("printf '\\033[1m * \\033[31mfailed\\033[m\\r\\n'", "failed"),
        ("printf 'E: first\\nE: second\\n' >&2", "first"),
        ("printf '\\377\\n' >&2", "\\xff"),
        ("printf ' * ERROR: x failed\\nlater\\n' >&2", "x failed"),
    ],
)
def test_why_a_program_failed(script: str, complaint: str) -> None:
    assert sh(script).complaint == complaint


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize(
    "name",
    ["", "-x", "--help", "a b", "a\n", "a\0", "a*", "a?", "[a]", "$(id)", "a;b", "/etc/passwd",
     "../x", ".", "..", "a//b", "a/", "@group", "=a", "a=1", "a,b", "ä", "a" * 500, "'", '"', "a<1"],
)  # fmt: skip
def test_what_is_no_name(naming: Naming, name: str) -> None:
    with pytest.raises(BadName) as refused:
        naming.checked(name)
    assert str(refused.value).startswith(f"not a {naming.what}: ")
    assert refused.value.status == 2
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("naming", "name"),
    [
        (PACKAGE, "gtk+3.0"), (PACKAGE, "libstdc++6"), (PACKAGE, "glibc.i686"), (PACKAGE, "7zip"),
        (DEB, "libc6:amd64"), (EBUILD, "app-editors/vim"), (EBUILD, "vim"), (SERVICE, "rc.local"),
        (UNIT, "getty@tty1"), (UNIT, r"a@b\x2dc"), (UNIT, "dbus-org.freedesktop.resolve1"),
        (VERSION, "1:2.3~rc1+dfsg-4.el9_2^git"),
    ],
)  # fmt: skip
def test_what_is_a_name(naming: Naming, name: str) -> None:
    assert naming.checked(name) == name


@given(st.text())
def test_no_name_is_an_option_a_path_or_more_than_a_word(name: str) -> None:
    for naming in NAMINGS:
        try:
            naming.checked(name)
        except BadName:
            continue
        assert not name.startswith(("-", "/", "."))
        assert not any(character.isspace() or not character.isprintable() for character in name)


def test_a_service_loses_its_suffix() -> None:
    assert service_of("nginx.service") == service_of("nginx") == "nginx"
    assert service_of("x.socket") == "x.socket"


def test_root_is_where_the_host_is(tmp_path: Path) -> None:
    assert Tools(str(tmp_path)).place("/etc/x") == str(tmp_path / "etc" / "x")
