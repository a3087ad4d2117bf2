"""`cw localsys` with real apt and dpkg, in a Debian of the test's own, on packages made here."""

import re
from pathlib import Path

import pytest

from host.systems.tools import LOCKED, Answer
from tests.host.debian_root import Debian, architecture, failed, view
from tests.host.repository import Package, publish

HELLO = "cw-test-hello"
CONF = "etc/cw-test-hello.conf"


def hello(version: str) -> Package:
    """A package with a configuration file that is another one in each version."""
    files = {"usr/share/cw-test-hello/version": version, CONF: f"version = {version}\n"}
    return Package(HELLO, version, files, conffiles=(CONF,))


PACKAGES = (
    hello("1.0"),
    hello("1.1"),
    Package("cw-test-native", "2:1-1", fields={"Architecture": architecture()}),
    Package("cw-test-provider", "1", fields={"Provides": "cw-test-virtual"}),
    Package("cw-test-broken", "1", scripts={"postinst": "exit 3"}),
    Package(
        "cw-test-asks", "1", scripts={"postinst": 'read -r answer || answer=none; echo "$answer" >/answer'}
    ),
    Package("cw-test-needy", "1", fields={"Depends": "cw-test-nowhere"}),
)


@pytest.fixture
def debian(tmp_path: Path, cw_file: Path) -> Debian:
    debian = view(tmp_path, cw_file)
    publish(debian.upper / "srv" / "packages", *PACKAGES)
    debian.write("/etc/apt/sources.list", "deb [trusted=yes] file:/srv/packages ./\n")
    assert debian.cw("pkg-recache") == (0, "", "")
    return debian


def test_a_package_comes_goes_up_and_down_and_leaves(debian: Debian) -> None:
    assert debian.cw("identify") == (0, "packages apt\nservices systemd\n", "")
    for words, answer in (
        (("pkg-version", HELLO), (1, "", "")),
        (("pkg-latest", HELLO), (0, "1.1\n", "")),
        (("pkg-install", HELLO, "1.0"), (0, "1.0\n", "")),
        (("pkg-version", HELLO), (0, "1.0\n", "")),
        (("pkg-latest", HELLO), (0, "1.1\n", "")),
        (("pkg-install", HELLO), (0, "1.1\n", "")),
        (("pkg-install", HELLO), (0, "1.1\n", "")),
        (("pkg-install", HELLO, "1.0"), (0, "1.0\n", "")),
        (("pkg-remove", HELLO), (0, "", "")),
        (("pkg-version", HELLO), (1, "", "")),  # although its configuration is left
        (("pkg-remove", HELLO), (0, "", "")),
    ):
        assert debian.cw(*words) == answer, words


def test_nobody_is_asked_and_a_changed_configuration_file_stays(debian: Debian) -> None:
    assert debian.cw("pkg-install", HELLO, "1.0").status == 0
    debian.write(CONF, "mine = yes\n")
    assert debian.cw("pkg-install", HELLO) == (0, "1.1\n", "")
    assert debian.run("cat", f"/{CONF}").output == "mine = yes\n"
    assert debian.cw("pkg-install", "cw-test-asks") == (0, "1\n", "")
    assert debian.run("cat", "/answer").output == "none\n"


def test_an_architecture_and_an_epoch(debian: Debian) -> None:
    name = f"cw-test-native:{architecture()}"
    assert debian.cw("pkg-latest", name) == (0, "2:1-1\n", "")
    assert debian.cw("pkg-install", name, "2:1-1") == (0, "2:1-1\n", "")
    assert debian.cw("pkg-version", name) == (0, "2:1-1\n", "")
    assert debian.cw("pkg-version", "cw-test-native") == (0, "2:1-1\n", "")
    assert debian.cw("pkg-remove", name) == (0, "", "")


def test_a_name_is_that_of_one_package_or_of_none(debian: Debian) -> None:
    assert debian.cw("pkg-install", HELLO).status == 0
    for name in (
        "cw-test-nosuch",
        "cw-test-virtual",  # only provided
        "cw-test-hell.",  # for apt-get a pattern,
        "cw-test-hello-",  # to remove,
        "cw-test-hello+",  # to install
    ):
        assert debian.cw("pkg-version", name) == (1, "", "")
        assert debian.cw("pkg-install", name) == failed(f"unknown package: {name}")
        assert debian.cw("pkg-remove", name) == (0, "", "")
    assert debian.cw("pkg-latest", "cw-test-nosuch") == failed("unknown package: cw-test-nosuch")
    assert debian.cw("pkg-version", HELLO) == (0, "1.1\n", "")


def test_why_it_failed_is_one_sentence(debian: Debian) -> None:
    assert debian.run("apt-get", "-qq", "-y", "install", f"{HELLO}=1.0").status == 0
    assert debian.run("apt-mark", "hold", HELLO).status == 0
    for words, answer in (
        (
            ("pkg-install", HELLO, "7"),
            failed(f"cannot install {HELLO}: Version '7' for '{HELLO}' was not found"),
        ),
        (
            ("pkg-install", "cw-test-needy"),
            failed(
                "cannot install cw-test-needy:",
                "cw-test-needy : Depends: cw-test-nowhere but it is not installable",
            ),
        ),
        (
            ("pkg-remove", HELLO),
            failed(
                f"cannot remove {HELLO}:",
                "Held packages were changed and -y was used without --allow-change-held-packages.",
            ),
        ),
        (
            ("pkg-install", "cw-test-broken"),
            failed(
                "cannot install cw-test-broken: error processing package cw-test-broken (--configure):",
                "installed cw-test-broken package post-installation script subprocess",
                "returned error exit status 3",
            ),
        ),
    ):
        assert debian.cw(*words) == answer, words
    assert debian.cw("pkg-version", "cw-test-broken") == (1, "", "")  # unpacked is not installed


def test_a_full_disk_is_named(debian: Debian) -> None:
    full = "mkdir -p /usr/share/cw-test-hello; mount -t tmpfs -o nr_inodes=1 none /usr/share/cw-test-hello"
    ended = debian.run("sh", "-c", f"{full}; exec /usr/local/bin/cw localsys pkg-install {HELLO}")
    assert ended.status == 1
    assert ended.errors.startswith(f"cw: cannot install {HELLO}: error processing archive ")
    assert ended.errors.endswith("No space left on device\n")


HOLDER = """
import fcntl, os, sys
file = open("/var/lib/dpkg/lock-frontend", "w")
fcntl.lockf(file, fcntl.LOCK_EX)
sys.exit(os.spawnvp(os.P_WAIT, sys.argv[1], sys.argv[1:]))
"""
"""Has dpkg's lock while another program runs."""


def test_what_apt_says_of_a_lock_is_taken_for_one(debian: Debian) -> None:
    """What is done then, in half a minute, is tested with this recorded (test_systems_packages.py)."""
    said = debian.run("python3", "-c", HOLDER, "apt-get", "-q", "-y", "install", HELLO)
    answer = Answer(*said)
    assert said.status == 100
    assert LOCKED.search(answer.errors)
    assert re.fullmatch(
        r"Could not get lock /var/lib/dpkg/lock-frontend\. It is held by process \d+ \(python3\)",
        answer.complaint,
    )


def test_a_repository_that_is_away_is_a_failure(debian: Debian) -> None:
    debian.write("/etc/apt/sources.list", "deb [trusted=yes] file:/srv/nowhere ./\n")
    ended = debian.cw("pkg-recache")
    assert ended.status == 1
    assert ended.errors.startswith("cw: cannot read the repositories: ")
    assert "/srv/nowhere" in ended.errors
    assert ended.errors.count("\n") == 1
