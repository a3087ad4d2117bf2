"""`cw localsys` with real systemd: in a Debian that boots for this test, and in one that has not."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.host.debian_root import Debian, Ended, control_groups, failed, view

BOOTED_WITHIN = 120.0
"""Seconds, on the busiest of hosts."""

UNITS = {
    "cw-sleep": "[Service]\nExecStart=sleep infinity\nExecReload=touch /run/reloaded\n"
    "[Install]\nWantedBy=multi-user.target\n",
    "cw-at@": "[Service]\nExecStart=sleep infinity\n",
    "cw-fail": "[Service]\nType=oneshot\nExecStart=false\n",
}

SCRIPT = """#!/bin/sh
case $1 in
    start) touch /up ;;
    stop) rm -f /up ;;
    status) test -e /up ;;
    *) exit 3 ;;
esac
"""

MANY = (
    (("identify",), (0, "packages apt\nservices systemd\n", "")),
    (("svc-run-status", "cw-sleep"), (1, "stopped\n", "")),
    (("svc-init", "cw-sleep", "reload"), failed(
        "cannot reload cw-sleep:", "cw-sleep.service is not active, cannot reload.",
    )),
    (("svc-init", "cw-sleep", "start"), (0, "", "")),
    (("svc-init", "cw-sleep", "start"), (0, "", "")),
    (("svc-run-status", "cw-sleep"), (0, "running\n", "")),
    (("svc-run-status", "cw-sleep.service"), (0, "running\n", "")),
    (("svc-init", "cw-sleep", "reload"), (0, "", "")),
    (("svc-init", "cw-sleep", "restart"), (0, "", "")),
    (("svc-boot-status", "cw-sleep"), (1, "disabled\n", "")),
    (("svc-enable", "cw-sleep.service"), (0, "", "")),
    (("svc-enable", "cw-sleep"), (0, "", "")),
    (("svc-boot-status", "cw-sleep"), (0, "enabled\n", "")),
    (("svc-disable", "cw-sleep"), (0, "", "")),
    (("svc-boot-status", "cw-sleep"), (1, "disabled\n", "")),
    (("svc-run-status", "cw-sleep"), (0, "running\n", "")),
    (("svc-init", "cw-sleep", "stop"), (0, "", "")),
    (("svc-run-status", "cw-sleep"), (1, "stopped\n", "")),
    (("svc-init", "cw-at@one", "start"), (0, "", "")),
    (("svc-run-status", "cw-at@one"), (0, "running\n", "")),
    (("svc-run-status", "cw-at@two"), (1, "stopped\n", "")),
    (("svc-init", "cw-at@one", "reload"), failed(
        "cannot reload cw-at@one: Failed to reload cw-at@one.service:",
        "Job type reload is not applicable for unit cw-at@one.service.",
    )),
    (("svc-init", "cw-fail", "start"), failed(
        "cannot start cw-fail: Job for cw-fail.service",
        "failed because the control process exited with error code.",
    )),
    (("svc-run-status", "cw-fail"), (1, "stopped\n", "")),
    (("svc-boot-status", "cw-at@one"), (0, "enabled\n", "")),  # static: other units may start it
    (("svc-enable", "cw-at@one"), (0, "", "")),
    (("svc-disable", "cw-at@one"), failed("cannot disable cw-at@one: it is still enabled")),
    (("svc-run-status", "cw-masked"), (1, "stopped\n", "")),
    (("svc-boot-status", "cw-masked"), (1, "disabled\n", "")),
    (("svc-enable", "cw-masked"), failed(
        "cannot enable cw-masked: Failed to enable unit:",
        "Unit file /etc/systemd/system/cw-masked.service is masked.",
    )),
    (("svc-run-status", "nosuch"), failed("unknown service: nosuch")),
    (("svc-boot-status", "nosuch"), failed("unknown service: nosuch")),
    (("svc-init", "nosuch", "start"), failed("unknown service: nosuch")),
    (("svc-enable", "nosuch"), failed("unknown service: nosuch")),
)  # fmt: skip
"""What is asked, one after the other, and what is answered."""


@contextmanager
def booted(debian: Debian) -> Iterator[list[str]]:
    """Boot it; the words that make a command run inside."""
    address = str(debian.place / "notify")
    name = f"cw-test-{os.getpid()}"
    console = debian.place / "console"
    told: dict[str, str] = {}
    with (
        control_groups(name) as groups,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        console.open("wb") as output,
    ):
        manager.bind(address)
        manager.settimeout(BOOTED_WITHIN)
        nspawn = subprocess.Popen(
            debian.booting(groups, "--notify-ready=yes", "--console=pipe", f"--machine={name}"),
            env={**os.environ, "NOTIFY_SOCKET": address},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            while told.get("READY") != "1":
                told |= dict(line.split("=", 1) for line in manager.recv(4096).decode().splitlines())
            yield ["nsenter", "--target", told["X_NSPAWN_LEADER_PID"], "--all", "--"]
        except TimeoutError as error:
            raise AssertionError(console.read_text(errors="replace")) from error
        finally:
            # Nothing in there is to be kept; where its first process is not known, it dies with nspawn.
            with suppress(ProcessLookupError):
                os.kill(int(told.get("X_NSPAWN_LEADER_PID", nspawn.pid)), signal.SIGKILL)
            nspawn.wait()
            shutil.rmtree(f"/run/systemd/nspawn/propagate/{name}", ignore_errors=True)


@pytest.fixture
def debian(tmp_path: Path, cw_file: Path) -> Debian:
    debian = view(tmp_path, cw_file)
    for name, text in UNITS.items():
        debian.write(f"/etc/systemd/system/{name}.service", text)
    (debian.upper / "etc/systemd/system/cw-masked.service").symlink_to("/dev/null")
    return debian


def test_services_of_a_booted_host(debian: Debian) -> None:
    with booted(debian) as inside:

        def run(*argv: str) -> Ended:
            done = subprocess.run([*inside, *argv], capture_output=True, text=True, check=False)
            return Ended(done.returncode, done.stdout, done.stderr)

        def cw(*words: str) -> Ended:
            return run("/usr/local/bin/cw", "localsys", *words)

        for words, answer in MANY:
            assert cw(*words) == answer, words
        assert run("test", "-e", "/run/reloaded").status == 0

        unit = "/etc/systemd/system/cw-sleep.service"
        assert run("sed", "-i", "s/infinity/86400/", unit).status == 0
        assert cw("svc-init", "cw-sleep", "start") == (0, "", "")  # as the file says now
        assert "sleep 86400" in run("systemctl", "show", "-P", "ExecStart", "cw-sleep").output


def test_where_systemd_does_not_run_services_can_still_be_enabled(debian: Debian) -> None:
    for words, answer in (
        (("identify",), (0, "packages apt\nservices systemd\n", "")),
        (("svc-boot-status", "cw-sleep"), (1, "disabled\n", "")),
        (("svc-enable", "cw-sleep"), (0, "", "")),
        (("svc-boot-status", "cw-sleep"), (0, "enabled\n", "")),
        (("svc-disable", "cw-sleep"), (0, "", "")),
        (("svc-boot-status", "cw-sleep"), (1, "disabled\n", "")),
        (("svc-boot-status", "nosuch"), failed("unknown service: nosuch")),
        (("svc-run-status", "cw-sleep"), failed("systemd does not run here")),
        (("svc-init", "cw-sleep", "start"), failed("systemd does not run here")),
    ):
        assert debian.cw(*words) == answer, words


def test_without_systemd_the_scripts_in_init_d_are_services(debian: Debian) -> None:
    debian.write("/etc/init.d/cw-script", SCRIPT, 0o755)
    assert debian.run("rm", "/usr/bin/systemctl").status == 0
    for words, answer in (
        (("identify",), (0, "packages apt\nservices sysv\n", "")),
        (("svc-run-status", "cw-script"), (1, "stopped\n", "")),
        (("svc-init", "cw-script", "start"), (0, "", "")),
        (("svc-run-status", "cw-script"), (0, "running\n", "")),
        (("svc-init", "cw-script", "stop"), (0, "", "")),
        (("svc-init", "cw-script", "reload"), failed("cannot reload cw-script: exit status 3")),
        (("svc-run-status", "README"), failed("unknown service: README")),
        (("svc-init", "nosuch", "start"), failed("unknown service: nosuch")),
    ):
        assert debian.cw(*words) == answer, words
