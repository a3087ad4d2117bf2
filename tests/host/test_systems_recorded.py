"""Package and service managers that are not Debian's: what they are told, and what is made of their answers.

Each is a program on the path that plays a recording: in this order, these words, this status, these outputs.
Those of dnf, rpm, pacman and OpenRC were taken from the real ones.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from errors import CwError
from host.systems.actions import Reply, perform
from host.systems.tools import Tools

PLAYER = """#!{python} -ISB
import os, sys
place, name = os.path.split(sys.argv[0])
turns = sorted(int(turn) for turn in os.listdir(place + "/turns"))
turn = f"{{place}}/turns/{{turns[0]}}" if turns else "/nonexistent"
def read(what):
    with open(f"{{turn}}/{{what}}") as file:
        return file.read()
if not turns or read("argv") != "\\n".join([name, *sys.argv[1:]]):
    sys.exit(f"not in the recording: {{[name, *sys.argv[1:]]}}")
sys.stdout.write(read("output"))
sys.stderr.write(read("errors"))
status = int(read("status"))
os.rename(turn, f"{{place}}/played/{{turns[0]}}")
sys.exit(status)
"""


class Turn(NamedTuple):
    """One call: the words it must have, one string split at blanks or a list, and what is answered."""

    argv: str | list[str]
    status: int = 0
    output: str = ""
    errors: str = ""

    @property
    def words(self) -> list[str]:
        return self.argv.split(" ") if isinstance(self.argv, str) else self.argv


class Played:
    """A host on which only some programs are."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = place / "root"
        self.path = place / "path"
        for directory in ("turns", "played"):
            (self.path / directory).mkdir(parents=True)
        self.recorded = 0
        monkeypatch.setenv("PATH", str(self.path))
        monkeypatch.setattr("host.systems.tools.SYSTEM_TOOLS", "/nonexistent")
        monkeypatch.setattr("host.systems.tools.LOCK_PAUSE", 0.0)

    def has(self, *programs: str) -> None:
        for program in programs:
            (self.path / program).write_text(PLAYER.format(python=sys.executable))
            (self.path / program).chmod(0o755)

    def writes(self, path: str, text: str = "", mode: int = 0o644) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def records(self, *turns: Turn) -> None:
        for turn in turns:
            self.recorded += 1
            place = self.path / "turns" / str(self.recorded)
            place.mkdir()
            (place / "argv").write_text("\n".join(turn.words))
            (place / "output").write_text(turn.output)
            (place / "errors").write_text(turn.errors)
            (place / "status").write_text(str(turn.status))

    def asks(self, words: str, *turns: Turn) -> Reply | tuple[int, str]:
        """Ask for an action, which must take all turns; its reply, or an error's status and sentence."""
        self.records(*turns)
        answer: Reply | tuple[int, str]
        try:
            answer = perform(Tools(str(self.root), patience=60.0), words.split(" "))
        except CwError as error:
            answer = error.status, str(error)
        assert not list((self.path / "turns").iterdir()), answer
        return answer


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    return Played(tmp_path, monkeypatch)


DONE = Reply(0)
NO = Reply(1)


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


SHOWN = """\
             bootlogs |      default
                nginx |{levels}
           nginx-test | boot
"""


def openrc(levels: str) -> Turn:
    return Turn("rc-update show", 0, SHOWN.format(levels=levels))


def test_openrc(played: Played) -> None:
    there, gone = Turn("rc-service --exists nginx"), Turn("rc-service --exists nginx", 1)
    played.has("rc-service", "rc-update")
    played.writes("/run/openrc/softlevel")
    for words, answer, turns in (
        ("svc-run-status nginx", Reply(1, ("stopped",)), [there, Turn("rc-service nginx status", 3)]),
        ("svc-run-status nginx", Reply(0, ("running",)), [there, Turn("rc-service nginx status")]),
        ("svc-run-status nginx", (1, "unknown service: nginx"), [gone]),
        ("svc-boot-status nginx", (1, "unknown service: nginx"), [gone]),
        ("svc-boot-status nginx", Reply(0, ("enabled",)), [there, openrc("      default   ")]),
        ("svc-boot-status nginx", Reply(1, ("disabled",)), [there, openrc("      shutdown   ")]),
        (
            "svc-init nginx reload",
            (1, "cannot reload nginx: nginx: unknown function `reload'"),
            [
                there,
                Turn("rc-service nginx status"),
                Turn("rc-service nginx reload", 1, "",
                     " \x1b[1m\x1b[31m*\x1b[m nginx: unknown function `reload'\x1b[K\n"),
            ],
        ),
        (
            "svc-init nginx.service start",
            DONE,
            [there, Turn("rc-service nginx status", 3), Turn("rc-service nginx start")],
        ),
        (
            "svc-enable nginx",
            DONE,
            [there, openrc(" "), Turn("rc-update add nginx default"), there, openrc(" default")],
        ),
        ("svc-enable nginx", DONE, [there, openrc(" default")]),
        (
            "svc-disable nginx",  # 1, because it was not in each of the levels
            DONE,
            [
                there,
                openrc(" default"),
                Turn("rc-update del nginx sysinit boot default", 1),
                there,
                openrc(""),
            ],
        ),
    ):  # fmt: skip
        assert played.asks(words, *turns) == answer, words


@pytest.mark.parametrize(
    ("tool", "enable", "disable"),
    [
        (
            "update-rc.d",
            ("update-rc.d nginx defaults", "update-rc.d nginx enable"),
            ("update-rc.d nginx disable",),
        ),
        ("chkconfig", ("chkconfig --add nginx", "chkconfig nginx on"), ("chkconfig nginx off",)),
    ],
)
def test_scripts_in_init_d(
    tool: str, enable: tuple[str, ...], disable: tuple[str, ...], played: Played
) -> None:
    played.has("service", tool)
    played.writes("/etc/init.d/nginx", mode=0o755)
    played.writes("/etc/init.d/README")
    status = Turn("service nginx status")
    assert played.asks("svc-run-status nginx", status) == Reply(0, ("running",))
    assert played.asks("svc-run-status nginx", status._replace(status=3)) == Reply(1, ("stopped",))
    assert played.asks("svc-run-status README") == (1, "unknown service: README")
    assert played.asks("svc-init nginx restart", status, Turn("service nginx restart")) == DONE
    refused = (1, "cannot enable nginx: no runlevels to modify")
    said = [Turn(words, 1, "no runlevels to modify\n") for words in enable]
    assert played.asks("svc-enable nginx", *said) == refused
    assert played.asks("svc-boot-status nginx") == Reply(1, ("disabled",))
    played.writes("/etc/rc3.d/S20nginx")
    assert played.asks("svc-boot-status nginx") == Reply(0, ("enabled",))
    assert played.asks("svc-disable nginx", *map(Turn, disable)) == (
        1,
        "cannot disable nginx: it is still enabled",
    )


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


@pytest.mark.parametrize(
    ("sign", "name"),
    [
        ("/run/systemd/system/x", "systemd"),
        ("/run/openrc/x", "openrc"),
        ("/run/initctl", "sysv"),
        ("/nothing", "systemd"),
    ],
)
def test_of_several_service_managers_the_one_that_runs(sign: str, name: str, played: Played) -> None:
    played.has("systemctl", "rc-service", "rc-update", "service", "update-rc.d", "apk")
    played.writes(sign)
    assert played.asks("identify") == Reply(0, ("packages apk", f"services {name}"))


def test_a_host_with_none_that_is_known(played: Played) -> None:
    assert played.asks("identify") == Reply(126, ("packages unknown", "services unknown"))
    packages = "this host has no package manager that is known here (apt, dnf, yum, apk, pacman, portage)"
    services = "this host has no service manager that is known here (systemd, openrc, sysv)"
    for words, sentence in (
        ("pkg-version x", packages), ("pkg-latest x", packages), ("pkg-install x", packages),
        ("pkg-remove x", packages), ("pkg-recache", packages), ("svc-run-status x", services),
        ("svc-boot-status x", services), ("svc-init x start", services), ("svc-enable x", services),
        ("svc-disable x", services),
    ):  # fmt: skip
        assert played.asks(words) == (126, sentence)
