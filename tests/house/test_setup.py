"""What a fresh clone starts from: pinned packages, and a script that sees what the host lacks."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

PINNED = ("run.txt", "dev.txt")
PIN = re.compile(r"^([a-z0-9.-]+)==[^ ]+( \\\n    --hash=sha256:[0-9a-f]{64})+$", re.MULTILINE)


@pytest.mark.parametrize("file", PINNED)
def test_requirements_are_pins_with_hashes_and_nothing_else(file: str) -> None:
    text = (CHECKOUT / "requirements" / file).read_text()
    rest = re.sub(r"^ *#.*\n", "", PIN.sub("", text), flags=re.MULTILINE)
    assert rest.strip() == ""


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    run, dev = (
        {match[1] for match in PIN.finditer((CHECKOUT / "requirements" / file).read_text())}
        for file in PINNED
    )
    assert set(project["dependencies"]) <= run
    assert set(project["optional-dependencies"]["dev"]) <= dev
    assert run <= dev


def pins(file: str) -> set[str]:
    return {match[0] for match in PIN.finditer((CHECKOUT / "requirements" / file).read_text())}


def test_tests_run_with_what_is_shipped() -> None:
    assert pins("run.txt") <= pins("dev.txt")


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A PATH of its own that has what is needed, where nobody is root; a test takes things away.

    All but what is in /usr/sbin, where the look goes by itself.
    """
    tools = (
        "sh",
        "grep",
        "find",
        "unshare",
        "mmdebstrap",
        "systemd-nspawn",
        "zsh",
        "fish",
        "mandoc",
        "groff",
    )
    for name in tools:
        command(tmp_path, name, f'exec {found(name)} "$@"')
    command(tmp_path, "id", "echo 1000")
    command(tmp_path, "python3", "exit 0")
    return tmp_path


def found(name: str) -> str:
    """Where a command is on this host."""
    return subprocess.run(["which", name], capture_output=True, text=True, check=True).stdout.strip()


def command(host: Path, name: str, script: str) -> None:
    """Put a command on the host."""
    (host / name).write_text(f"#!{found('sh')}\n{script}\n")
    (host / name).chmod(0o755)


def look(host: Path, *wanted: str) -> tuple[int, str, str]:
    """(status, output, errors) of the look at what the host has."""
    words = [found("sh"), str(CHECKOUT / "tools" / "needs.sh"), *wanted]
    ended = subprocess.run(words, env={"PATH": str(host)}, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout, ended.stderr


def test_host_that_has_all_is_fine(host: Path) -> None:
    assert look(host) == look(host, "tests") == (0, "", "")


def test_what_only_tests_need_is_asked_for_only_by_them(host: Path) -> None:
    os.unlink(host / "unshare")
    assert look(host) == (0, "", "")
    assert look(host, "tests")[0] == 1


def test_the_demo_does_not_wait_for_what_tests_need() -> None:
    def steps(target: str) -> str:
        words = ["make", "--dry-run", "--always-make", target]
        calm = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        made = subprocess.run(words, cwd=CHECKOUT, env=calm, capture_output=True, text=True, check=True)
        return made.stdout

    assert re.search(r"needs\.sh$", steps("demo"), re.MULTILINE)
    assert "needs.sh tests" not in steps("demo")
    assert "needs.sh tests" in steps("check")


def test_what_is_missing_is_named_in_one_line(host: Path) -> None:
    os.unlink(host / "unshare")
    command(host, "python3", 'case "$2" in *venv*) exit 1;; esac')
    assert look(host, "tests") == (
        1,
        "",
        "missing on this host, please install (names as in Debian): python3-venv util-linux\n",
    )


def test_root_on_debian_installs_what_is_missing(host: Path) -> None:
    command(host, "id", "echo 0")
    os.unlink(host / "unshare")
    install = (
        f'case "$*" in *install*util-linux) echo >{host}/unshare; {found("chmod")} 755 {host}/unshare;; esac'
    )
    command(host, "apt-get", install)
    assert look(host, "tests") == (0, "installing: util-linux\n", "")


def test_an_install_that_does_not_help_is_told(host: Path) -> None:
    command(host, "id", "echo 0")
    os.unlink(host / "unshare")
    command(host, "apt-get", "exit 0")
    status, _, errors = look(host, "tests")
    assert status == 1
    assert errors == "missing on this host, please install (names as in Debian): util-linux\n"


def test_old_python_is_named(host: Path) -> None:
    command(host, "python3", 'case "$2" in *version_info*) exit 1;; esac')
    status, output, errors = look(host)
    assert (status, output) == (1, "")
    assert errors == "cw needs Python 3.11 or later, and python3 is older: make PYTHON=… names another\n"
