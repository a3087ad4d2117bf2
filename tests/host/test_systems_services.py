"""Service managers that Debian has not, and hosts with several managers or none.

The recordings of OpenRC were taken from the real one.
"""

from pathlib import Path

import pytest

from host.systems.actions import Reply
from tests.host.played import Played, Turn

DONE = Reply(0)


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    return Played(tmp_path, monkeypatch)


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
