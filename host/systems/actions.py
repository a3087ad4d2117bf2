"""What `cw localsys` can be asked: one row an action, done by whichever managers this host has."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from errors import CwError, meant
from host.systems import packages, services
from host.systems.names import VERSION, service_of
from host.systems.tools import Answer, Failed, Tools

YES, NO = 0, 1

INIT_VERBS = ("start", "stop", "restart", "reload")


class UsageError(CwError):
    """The command line makes no sense."""


class UnknownAction(CwError):
    """There is no such action."""

    status = 125


class UnknownSystem(CwError):
    """The host has no manager that is known here."""

    status = 126


class Reply(NamedTuple):
    """The exit status, and the lines that are printed."""

    status: int
    lines: tuple[str, ...] = ()


class Action(NamedTuple):
    """One action: the words that it takes, in brackets those that may be left out, and what it does."""

    words: str
    sentence: str
    do: Callable[..., Reply]


def perform(tools: Tools, words: Sequence[str]) -> Reply:
    """Do what the words say, the first of which is an action. Raises CwError."""
    name, *arguments = words
    action = ACTIONS.get(name)
    if action is None:
        hint = meant(name, ACTIONS) or f" (expected one of: {', '.join(ACTIONS)})"
        raise UnknownAction(f"unknown action {name[:40]!r}{hint}")
    most = len(action.words.split())
    if not most - action.words.count("[") <= len(arguments) <= most:
        raise UsageError(
            f"expected: cw localsys {f'{name} {action.words}'.rstrip()} (see cw localsys --help)"
        )
    return action.do(tools, *arguments)


def _packages(tools: Tools) -> packages.Packages:
    row = packages.choose(tools)
    if row is None:
        known = ", ".join(row.name for row in packages.PACKAGES)
        raise UnknownSystem(f"this host has no package manager that is known here ({known})")
    return row


def _services(tools: Tools) -> services.Services:
    row = services.choose(tools)
    if row is None:
        known = ", ".join(dict.fromkeys(row.name for row in services.SERVICES))
        raise UnknownSystem(f"this host has no service manager that is known here ({known})")
    return row


def _identify(tools: Tools) -> Reply:
    """Which managers this host has; a line for each, also where one is not known."""
    found = {"packages": packages.choose(tools), "services": services.choose(tools)}
    lines = tuple(f"{what} {row.name if row else 'unknown'}" for what, row in found.items())
    return Reply(YES if all(found.values()) else UnknownSystem.status, lines)


def _asked(tools: Tools, query: packages.Query, name: str) -> str:
    """The version that a query finds, "" for none."""
    answer = tools.ask(query.argv(name))
    version = query.version(answer, name)
    if version is None:
        raise Failed(f"cannot ask for package {name}: {answer.complaint}")
    return version


def _latest(tools: Tools, row: packages.Packages, name: str) -> str:
    """The version that would be installed now; of a package that no repository has, the one that is."""
    version = _asked(tools, row.latest, name) or _asked(tools, row.version, name)
    if not version:
        raise Failed(f"unknown package: {name}")
    return version


def _pkg_version(tools: Tools, name: str) -> Reply:
    row = _packages(tools)
    version = _asked(tools, row.version, row.naming.checked(name))
    return Reply(YES, (version,)) if version else Reply(NO)


def _pkg_latest(tools: Tools, name: str) -> Reply:
    row = _packages(tools)
    return Reply(YES, (_latest(tools, row, row.naming.checked(name)),))


def _pkg_install(tools: Tools, name: str, version: str = "") -> Reply:
    """Install, upgrade or downgrade exactly this name: as such, tools also take patterns and groups."""
    row = _packages(tools)
    row.naming.checked(name)
    if version:
        VERSION.checked(version)
    latest = _latest(tools, row, name)
    answer = tools.change(row.install(name, version, latest), row.environment)
    installed = _asked(tools, row.version, name)
    if row.again and version and not answer.status and not _same(version, installed):
        answer = tools.change(row.again(name, version), row.environment)
        installed = _asked(tools, row.version, name)
    if answer.status:
        raise Failed(f"cannot install {name}: {answer.complaint}")
    if not installed:
        raise Failed(f"{name} is not installed, although {row.name} ended well: {answer.complaint}")
    if version and not _same(version, installed):
        raise Failed(f"{name} is at {installed}, not at {version}: {answer.complaint}")
    return Reply(YES, (installed,))


def _same(version: str, installed: str) -> bool:
    """Is this the version asked for? An epoch in front and a release behind may be left out."""
    return re.fullmatch(rf"(\d+:)?{re.escape(version)}(-.*)?", installed) is not None


def _pkg_remove(tools: Tools, name: str) -> Reply:
    row = _packages(tools)
    if not _asked(tools, row.version, row.naming.checked(name)):
        return Reply(YES)
    answer = tools.change(row.remove(name), row.environment)
    if answer.status:
        raise Failed(f"cannot remove {name}: {answer.complaint}")
    if _asked(tools, row.version, name):
        raise Failed(f"{name} is still installed, although {row.name} ended well: {answer.complaint}")
    return Reply(YES)


def _pkg_recache(tools: Tools) -> Reply:
    row = _packages(tools)
    answer = tools.change(row.recache, row.environment)
    if answer.status:
        raise Failed(f"cannot read the repositories: {answer.complaint}")
    return Reply(YES)


def _service(tools: Tools, word: str) -> tuple[services.Services, str]:
    """The service manager, and the name of a service as it knows it."""
    row = _services(tools)
    return row, row.naming.checked(service_of(word))


def _running(tools: Tools, row: services.Services, name: str) -> bool:
    """Whether a service runs. Raises Failed where the manager does not, or there is no such service."""
    if not row.offline and not os.path.exists(tools.place(row.sign)):
        raise Failed(f"{row.name} does not run here")
    return _known(row.runs(tools, name), name)


def _known(state: bool | None, name: str) -> bool:
    if state is None:
        raise Failed(f"unknown service: {name}")
    return state


def _svc_run_status(tools: Tools, word: str) -> Reply:
    row, name = _service(tools, word)
    return Reply(YES, ("running",)) if _running(tools, row, name) else Reply(NO, ("stopped",))


def _svc_boot_status(tools: Tools, word: str) -> Reply:
    row, name = _service(tools, word)
    boots = _known(row.boots(tools, name), name)
    return Reply(YES, ("enabled",)) if boots else Reply(NO, ("disabled",))


def _svc_init(tools: Tools, word: str, verb: str) -> Reply:
    if verb not in INIT_VERBS:
        raise UsageError(f"svc-init: expected one of {', '.join(INIT_VERBS)}, got {verb[:40]!r}")
    row, name = _service(tools, word)
    _running(tools, row, name)
    row.prepare(tools, name)
    answer = tools.ask(row.init(name, verb))
    if answer.status:
        raise Failed(f"cannot {verb} {name}: {answer.complaint}")
    return Reply(YES)


def _svc_enable(tools: Tools, word: str) -> Reply:
    return _set_boot(tools, word, True)


def _svc_disable(tools: Tools, word: str) -> Reply:
    return _set_boot(tools, word, False)


def _set_boot(tools: Tools, word: str, wanted: bool) -> Reply:
    """Have a service start with the host, or not. What counts is how it is afterwards: statuses differ."""
    row, name = _service(tools, word)
    if _known(row.boots(tools, name), name) is wanted:
        return Reply(YES)
    answer = Answer(0, "", "")
    for argv in (row.enable if wanted else row.disable)(name):
        answer = tools.ask(argv)
    if _known(row.boots(tools, name), name) is not wanted:
        why = answer.complaint if answer.status else f"it is still {'disabled' if wanted else 'enabled'}"
        raise Failed(f"cannot {'enable' if wanted else 'disable'} {name}: {why}")
    return Reply(YES)


ACTIONS = {
    "identify": Action("", "the package manager and the service manager", _identify),
    "pkg-version": Action("NAME", "the version installed; 1 and nothing if none is", _pkg_version),
    "pkg-latest": Action("NAME", "the version that would be installed now", _pkg_latest),
    "pkg-install": Action("NAME [VERSION]", "install it, or go to the latest or that version", _pkg_install),
    "pkg-remove": Action("NAME", "remove it, if it is installed", _pkg_remove),
    "pkg-recache": Action("", "read anew what the repositories have", _pkg_recache),
    "svc-run-status": Action("NAME", "0 and running, or 1 and stopped", _svc_run_status),
    "svc-boot-status": Action("NAME", "0 and enabled, or 1 and disabled", _svc_boot_status),
    "svc-init": Action("NAME VERB", f"VERB is {', '.join(INIT_VERBS)}", _svc_init),
    "svc-enable": Action("NAME", "start it with the host from now on", _svc_enable),
    "svc-disable": Action("NAME", "do not", _svc_disable),
}
"""Every action; the help is written from it."""
