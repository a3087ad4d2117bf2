"""Package managers that Debian has not: what they are told, and what is made of their answers.

The recordings of dnf, rpm and pacman were taken from the real ones.
"""

from pathlib import Path

import pytest

from errors import CwError
from host.systems.actions import Reply, perform
from host.systems.tools import Tools
from tests.host.played import Played, Turn

DONE = Reply(0)
NO = Reply(1)


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    return Played(tmp_path, monkeypatch)


def version(text: str) -> Reply:
    return Reply(0, (text,))


RPM = ["rpm", "-q", "--queryformat", "%{EVR}\\n", "--", "hello"]
NO_RPM = Turn(RPM, 1, "package hello is not installed\n")
RELEASE = "Unable to detect release version (use '--releasever' to specify release version)\n"


def rpm(evr: str) -> Turn:
    return Turn(RPM, 0, f"{evr}\n")


def repoquery(output: str, status: int = 0, errors: str = RELEASE) -> Turn:
    words = ["dnf", "-q", "repoquery", "--latest-limit=1", "--queryformat", "%{evr}\n", "hello"]
    return Turn(words, status, output, errors)


def test_dnf(played: Played) -> None:
    played.has("dnf", "yum", "rpm")
    for words, answer, turns in (
        ("pkg-version hello", NO, [NO_RPM]),
        ("pkg-version hello", version("2:1.1-1.el9"), [rpm("1.0-1.el9\n2:1.1-1.el9")]),
        ("pkg-latest hello", version("1.1-1"), [repoquery("1.1-1\n\n")]),
        ("pkg-latest hello", version("1.0-1"), [repoquery("\n"), rpm("1.0-1")]),
        ("pkg-latest hello", (1, "unknown package: hello"), [repoquery(""), NO_RPM]),
        (
            "pkg-latest hello",
            (1, "cannot ask for package hello: Failed to download metadata for repo 't'"),
            [repoquery("", 1, "Error: Failed to download metadata for repo 't'\n")],
        ),
        # A name alone would leave the older one as it is.
        (
            "pkg-install hello",
            version("1.1-1"),
            [repoquery("1.1-1\n"), Turn("dnf -q -y install hello-1.1-1"), rpm("1.1-1")],
        ),
        (
            "pkg-install hello 1.0",
            version("1.0-1"),
            [repoquery("1.1-1\n"), Turn("dnf -q -y install hello-1.0"), rpm("1.0-1")],
        ),
        (
            "pkg-install hello 9",
            (1, "cannot install hello: Unable to find a match: hello-9"),
            [
                repoquery("1.1-1\n"),
                Turn(
                    "dnf -q -y install hello-9", 1, "", f"{RELEASE}Error: Unable to find a match: hello-9\n"
                ),
                NO_RPM,
            ],
        ),
        ("pkg-remove hello", DONE, [rpm("1.1-1"), Turn("dnf -q -y remove hello"), NO_RPM]),
        ("pkg-remove hello", DONE, [NO_RPM]),
        ("pkg-recache", DONE, [Turn("dnf -q -y makecache --refresh")]),
    ):
        assert played.asks(words, *turns) == answer, words


def test_yum(played: Played) -> None:
    listed = "Installed Packages\nhello.x86_64    1.0-1.el7    @base\n"
    newer = "Available Packages\nhello.x86_64\n              1:1.1-1.el7\n              updates\n"
    played.has("yum", "rpm")
    for words, answer, turns in (
        ("pkg-latest hello", version("1.0-1.el7"), [Turn("yum -q list hello", 0, listed)]),
        ("pkg-latest hello", version("1:1.1-1.el7"), [Turn("yum -q list hello", 0, listed + newer)]),
        (
            "pkg-latest hello",
            (1, "unknown package: hello"),
            [Turn("yum -q list hello", 1, "", "Error: No matching Packages to list\n"), NO_RPM],
        ),
        (
            "pkg-install hello 1.0-1.el7",  # down: yum calls it a success that it did nothing
            version("1.0-1.el7"),
            [
                Turn("yum -q list hello", 0, newer),
                Turn("yum -q -y install hello-1.0-1.el7"),
                rpm("1:1.1-1.el7"),
                Turn("yum -q -y downgrade hello-1.0-1.el7"),
                rpm("1.0-1.el7"),
            ],
        ),
        ("pkg-remove hello", DONE, [rpm("1"), Turn("yum -q -y remove hello"), NO_RPM]),
        ("pkg-recache", DONE, [Turn("yum -q -y makecache")]),
    ):
        assert played.asks(words, *turns) == answer, words


def test_apk(played: Played) -> None:
    installed, latest = "apk info -e -v hello", "apk search --exact hello"
    played.has("apk")
    for words, answer, turns in (
        ("pkg-version hello", version("1.0-r0"), [Turn(installed, 0, "hello-1.0-r0\n")]),
        ("pkg-version hello", NO, [Turn(installed, 0, "hello-compat-2.0-r0\n")]),  # which provides it
        ("pkg-version hello", NO, [Turn(installed, 1)]),
        ("pkg-latest hello", version("1.1-r2"), [Turn(latest, 0, "hello-1.1-r2\n")]),
        ("pkg-latest hello", (1, "unknown package: hello"), [Turn(latest), Turn(installed, 1)]),
        (
            "pkg-install hello",
            version("1.1-r2"),
            [
                Turn(latest, 0, "hello-1.1-r2\n"),
                Turn("apk add --upgrade hello", 0, "(1/1) Upgrading hello (1.0-r0 -> 1.1-r2)\n"),
                Turn(installed, 0, "hello-1.1-r2\n"),
            ],
        ),
        (
            "pkg-install hello 1.0-r0",
            version("1.0-r0"),
            [
                Turn(latest, 0, "hello-1.1-r2\n"),
                Turn("apk add --upgrade hello=1.0-r0"),
                Turn(installed, 0, "hello-1.0-r0\n"),
            ],
        ),
        (
            "pkg-remove hello",
            (1, "hello is still installed, although apk ended well: OK: 9 MiB in 20 packages"),
            [
                Turn(installed, 0, "hello-1.0-r0\n"),
                Turn("apk del hello", 0, "World updated, but the following packages are not removed due to:\n"
                     "  hello: world\n\nOK: 9 MiB in 20 packages\n"),
                Turn(installed, 0, "hello-1.0-r0\n"),
            ],
        ),
        ("pkg-recache", DONE, [Turn("apk update")]),
    ):  # fmt: skip
        assert played.asks(words, *turns) == answer, words


def test_pacman(played: Played) -> None:
    absent = Turn("pacman -Q -- hello", 1, "", "error: package 'hello' was not found\n")
    latest = Turn(
        "pacman -Si -- hello",
        0,
        "Repository      : t\nName            : hello\nVersion         : 1.1-1\n"
        "Description     : Version : 9\n",
    )
    played.has("pacman")
    for words, answer, turns in (
        ("pkg-version hello", version("1:1.0-1"), [Turn("pacman -Q -- hello", 0, "hello 1:1.0-1\n")]),
        ("pkg-version hello", NO, [absent]),
        ("pkg-latest hello", version("1.1-1"), [latest]),
        (
            "pkg-latest hello",
            (1, "unknown package: hello"),
            [Turn("pacman -Si -- hello", 1, "", "error: package 'hello' was not found\n"), absent],
        ),
        (
            "pkg-install hello",
            version("1.1-1"),
            [
                latest,
                Turn("pacman -S --noconfirm --needed -- hello"),
                Turn("pacman -Q -- hello", 0, "hello 1.1-1\n"),
            ],
        ),
        (
            "pkg-install hello 1.0-1",
            (1, "cannot install hello: target not found: hello=1.0-1"),
            [
                latest,
                Turn("pacman -S --noconfirm --needed -- hello=1.0-1", 1, "",
                     "error: target not found: hello=1.0-1\n"),
                absent,
            ],
        ),
        (
            "pkg-remove hello",
            DONE,
            [
                Turn("pacman -Q -- hello", 0, "hello 1.1-1\n"),
                Turn("pacman -R --noconfirm -- hello"),
                absent,
            ],
        ),
        ("pkg-recache", DONE, [Turn("pacman -Sy --noconfirm")]),
    ):  # fmt: skip
        assert played.asks(words, *turns) == answer, words


def test_portage(played: Played) -> None:
    emerge = "emerge --ask=n --color=n --quiet"
    played.has("emerge", "portageq")
    for words, answer, turns in (
        ("pkg-version vim", NO, [Turn("portageq match / vim")]),
        (
            "pkg-version app-editors/vim",
            version("9.1.0652-r2"),
            [
                Turn(
                    "portageq match / app-editors/vim",
                    0,
                    "app-editors/vim-9.0.1\napp-editors/vim-9.1.0652-r2\n",
                )
            ],
        ),
        (
            "pkg-latest db",
            version("5.3.28_p1-r9"),
            [Turn("portageq best_visible / db", 0, "sys-libs/db-5.3.28_p1-r9\n")],
        ),
        (
            "pkg-latest nosuch",
            (1, "unknown package: nosuch"),
            [Turn("portageq best_visible / nosuch", 1, "\n"), Turn("portageq match / nosuch")],
        ),
        (
            "pkg-install vim",
            version("9.1"),
            [
                Turn("portageq best_visible / vim", 0, "app-editors/vim-9.1\n"),
                Turn(f"{emerge} --update vim"),
                Turn("portageq match / vim", 0, "app-editors/vim-9.1\n"),
            ],
        ),
        (
            "pkg-install vim 9.0-r1",
            version("9.0-r1"),
            [
                Turn("portageq best_visible / vim", 0, "app-editors/vim-9.1\n"),
                Turn(f"{emerge} --noreplace =vim-9.0-r1"),
                Turn("portageq match / vim", 0, "app-editors/vim-9.0-r1\n"),
            ],
        ),
        (
            "pkg-remove vim",
            DONE,
            [
                Turn("portageq match / vim", 0, "app-editors/vim-9.1\n"),
                Turn(f"{emerge} --depclean vim"),
                Turn("portageq match / vim"),
            ],
        ),
        ("pkg-recache", DONE, [Turn(f"{emerge} --sync")]),
    ):
        assert played.asks(words, *turns) == answer, words


LOCKED = {
    "apt-get": "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 30657 (apt-get)\n"
    "E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), "
    "is another process using it?\n",
    "pacman": "error: failed to init transaction (unable to lock database)\n"
    "error: could not lock database: File exists\n",
    "apk": "ERROR: Unable to lock database: Resource temporarily unavailable\n"
    "ERROR: Failed to open apk database: Resource temporarily unavailable\n",
}


@pytest.mark.parametrize("manager", LOCKED)
def test_a_lock_is_waited_for(manager: str, played: Played) -> None:
    recache = {
        "apt-get": "apt-get -q -o APT::Update::Error-Mode=any update",
        "pacman": "pacman -Sy --noconfirm",
        "apk": "apk update",
    }
    played.has(manager, "apt-cache", "dpkg-query")
    locked = Turn(recache[manager], 100, "", LOCKED[manager])
    assert played.asks("pkg-recache", locked, locked, Turn(recache[manager])) == DONE
    played.records(locked)
    with pytest.raises(CwError) as refused:
        perform(Tools(str(played.root), patience=0.0), ["pkg-recache"])
    first = LOCKED[manager].splitlines()[0].partition(": ")[2]
    assert str(refused.value) == f"the package manager is locked by another program: {first}"
    assert refused.value.status == 1


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("ID=debian\n", "apt"),
        ("NAME=x\nID=ubuntu\nID_LIKE=debian\n", "apt"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf"),
        ("ID=arch\n", "pacman"),
        ("ID=alpine\n", "apk"),
        ("ID='gentoo'\n", "portage"),
        ("ID=other\n", "apt"),
        (None, "apt"),
    ],
)
def test_of_several_package_managers_the_systems_own(release: str | None, name: str, played: Played) -> None:
    played.has("apt-get", "apt-cache", "dpkg-query", "dnf", "rpm", "apk", "pacman", "emerge", "portageq")
    if release is not None:
        played.writes("/usr/lib/os-release", release)
    assert played.asks("identify") == Reply(126, (f"packages {name}", "services unknown"))
