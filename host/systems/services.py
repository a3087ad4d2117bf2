"""The service managers: how each is recognised, what it is told for each verb, how its answers are read."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable
from typing import NamedTuple

from host.systems.names import SERVICE, UNIT, Naming
from host.systems.tools import Failed, Tools

Argv = list[str]
State = Callable[[Tools, str], bool | None]
"""A question about one service; None: there is no such service."""


class Services(NamedTuple):
    """One service manager.

    `sign` is there while it is the one that runs; `tools` are there where it is installed. `offline` says
    that services can be started without it. `prepare` is run before a service is told anything.
    """

    name: str
    sign: str
    tools: tuple[str, ...]
    naming: Naming
    runs: State
    boots: State
    init: Callable[[str, str], Argv]
    enable: Callable[[str], list[Argv]]
    disable: Callable[[str], list[Argv]]
    offline: bool = False
    prepare: Callable[[Tools, str], None] = lambda _tools, _name: None


def _systemd(tools: Tools, name: str) -> dict[str, str]:
    """What systemd, which must be running, knows of a unit."""
    wanted = "--property=LoadState,ActiveState,NeedDaemonReload"
    answer = tools.ask(["systemctl", "show", wanted, "--", f"{name}.service"])
    if answer.status:
        raise Failed(f"cannot ask for service {name}: {answer.complaint}")
    return dict(line.split("=", 1) for line in answer.output.splitlines() if "=" in line)


def _systemd_runs(tools: Tools, name: str) -> bool | None:
    """The states for which `systemctl is-active` ends with 0; a unit may outlive its file."""
    unit = _systemd(tools, name)
    active = unit.get("ActiveState") in ("active", "reloading", "refreshing")
    return None if not active and unit.get("LoadState") == "not-found" else active


def _systemd_boots(tools: Tools, name: str) -> bool | None:
    """As `systemctl is-enabled` ends, which also works where systemd does not run."""
    answer = tools.ask(["systemctl", "is-enabled", "--", f"{name}.service"])
    state = answer.output.strip()
    if state == "not-found" or "No such file or directory" in answer.errors:
        return None
    if not state:
        raise Failed(f"cannot ask for service {name}: {answer.complaint}")
    return not answer.status


def _systemd_prepare(tools: Tools, name: str) -> None:
    """Have systemd read a unit file that has changed since it did."""
    if _systemd(tools, name).get("NeedDaemonReload") == "yes":
        tools.ask(["systemctl", "daemon-reload"])


def _openrc_runs(tools: Tools, name: str) -> bool | None:
    if tools.ask(["rc-service", "--exists", name]).status:
        return None
    return not tools.ask(["rc-service", name, "status"]).status


OPENRC_LEVELS = ("sysinit", "boot", "default")
"""The runlevels that a host goes through as it starts."""


def _openrc_boots(tools: Tools, name: str) -> bool | None:
    """Of the lines `NAME | LEVEL LEVEL…`, the one of this service."""
    if tools.ask(["rc-service", "--exists", name]).status:
        return None
    found = re.search(rf"^ *{re.escape(name)} \|(.*)$", tools.ask(["rc-update", "show"]).output, re.MULTILINE)
    return bool(found and not set(found[1].split()).isdisjoint(OPENRC_LEVELS))


def _script(tools: Tools, name: str) -> bool:
    return os.access(tools.place(f"/etc/init.d/{name}"), os.X_OK)


def _sysv_runs(tools: Tools, name: str) -> bool | None:
    return not tools.ask(["service", name, "status"]).status if _script(tools, name) else None


def _sysv_boots(tools: Tools, name: str) -> bool | None:
    """A link to start it in a runlevel that hosts boot into, or on the way there."""
    if not _script(tools, name):
        return None
    return bool(glob.glob(tools.place(f"/etc/rc[2345S].d/S[0-9][0-9]{name}")))


SERVICES = (
    Services(
        name="systemd",
        sign="/run/systemd/system",
        tools=("systemctl",),
        naming=UNIT,
        runs=_systemd_runs,
        boots=_systemd_boots,
        init=lambda name, verb: ["systemctl", "--no-ask-password", verb, "--", f"{name}.service"],
        enable=lambda name: [["systemctl", "--no-ask-password", "enable", "--", f"{name}.service"]],
        disable=lambda name: [["systemctl", "--no-ask-password", "disable", "--", f"{name}.service"]],
        prepare=_systemd_prepare,
    ),
    Services(
        name="openrc",
        sign="/run/openrc",
        tools=("rc-service", "rc-update"),
        naming=SERVICE,
        runs=_openrc_runs,
        boots=_openrc_boots,
        init=lambda name, verb: ["rc-service", name, verb],
        enable=lambda name: [["rc-update", "add", name, "default"]],
        disable=lambda name: [["rc-update", "del", name, *OPENRC_LEVELS]],
    ),
    Services(
        name="sysv",
        sign="/run/initctl",
        tools=("service", "update-rc.d"),
        naming=SERVICE,
        runs=_sysv_runs,
        boots=_sysv_boots,
        init=lambda name, verb: ["service", name, verb],
        # The first makes links where there are none, the second sets those that are.
        enable=lambda name: [["update-rc.d", name, "defaults"], ["update-rc.d", name, "enable"]],
        disable=lambda name: [["update-rc.d", name, "disable"]],
        offline=True,
    ),
    Services(
        name="sysv",
        sign="/run/initctl",
        tools=("service", "chkconfig"),
        naming=SERVICE,
        runs=_sysv_runs,
        boots=_sysv_boots,
        init=lambda name, verb: ["service", name, verb],
        enable=lambda name: [["chkconfig", "--add", name], ["chkconfig", name, "on"]],
        disable=lambda name: [["chkconfig", name, "off"]],
        offline=True,
    ),
)
"""Every service manager that is known; the first whose sign is there, else the first that is installed."""


def choose(tools: Tools) -> Services | None:
    """The service manager that runs; where none does, as in a chroot, the one that is installed."""
    found = [row for row in SERVICES if all(map(tools.has, row.tools))]
    found.sort(key=lambda row: not os.path.exists(tools.place(row.sign)))
    return found[0] if found else None
