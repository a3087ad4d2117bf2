"""The package managers: how each is recognised, what it is told for each verb, how its answers are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from host.systems.names import DEB, EBUILD, PACKAGE, Naming
from host.systems.tools import Answer, Tools

Argv = list[str]


class Query(NamedTuple):
    """A question about one package.

    `argv` makes the words for a name; `read` finds the version in what is printed for that name, "" for none;
    `none` is what is said, with another status than 0, where there is no such package.
    """

    argv: Callable[[str], Argv]
    read: Callable[[str, str], str]
    none: str = r"(?!)"

    def version(self, answer: Answer, name: str) -> str | None:
        """The version, "" for no such package; None where the question failed."""
        if answer.status and not re.search(self.none, answer.output + answer.errors):
            return None
        return self.read(answer.output, name) if not answer.status else ""


class Packages(NamedTuple):
    """One package manager.

    `tools` are the programs that it is known by, `families` what os-release calls its systems. `install`
    takes a name, the version asked for or "", and the latest one; `again` is tried where `install` left
    another version than the one asked for.
    """

    name: str
    tools: tuple[str, ...]
    families: tuple[str, ...]
    naming: Naming
    version: Query
    latest: Query
    install: Callable[[str, str, str], Argv]
    remove: Callable[[str], Argv]
    recache: Argv
    again: Callable[[str, str], Argv] | None = None
    environment: Mapping[str, str] = {}


def _first(output: str, _name: str) -> str:
    return next(iter(output.split()), "")


def _last(output: str, _name: str) -> str:
    return ["", *output.split()][-1]


def _second(output: str, _name: str) -> str:
    return [*output.split(), "", ""][1]


def _dpkg(output: str, _name: str) -> str:
    """Lines are STATE VERSION, one for each architecture; unpacked alone is not installed."""
    for line in output.splitlines():
        state, _, version = line.partition(" ")
        if state in ("installed", "triggers-awaited", "triggers-pending"):
            return version
    return ""


def _apt_policy(output: str, name: str) -> str:
    """It also answers for names that ours is a pattern of; a virtual package has no candidate."""
    found = re.search(
        rf"^{re.escape(name.partition(':')[0])}(?::\S+)?:\n(?:  .*\n)*?  Candidate: (.+)",
        output,
        re.MULTILINE,
    )
    return found[1] if found and found[1] != "(none)" else ""


def _yum_list(output: str, _name: str) -> str:
    """Under each heading NAME.ARCH VERSION REPOSITORY, wrapped where long; what is available comes last."""
    fields = re.sub(r"^(Installed|Available|Updated) Packages$", "", output, flags=re.MULTILINE).split()
    return fields[-2] if len(fields) > 2 else ""


def _apk(output: str, name: str) -> str:
    """The answer is NAME-VERSION, also for what only provides the name."""
    for word in output.split():
        if word.startswith(f"{name}-") and word[len(name) + 1].isdigit():
            return word[len(name) + 1 :]
    return ""


def _pacman_info(output: str, _name: str) -> str:
    found = re.search(r"^Version *: (\S+)", output, re.MULTILINE)
    return found[1] if found else ""


def _portage(output: str, _name: str) -> str:
    """CATEGORY/NAME-VERSION a line, the last is the newest (PMS §3.2)."""
    found = re.search(r"-(\d[0-9.]*[a-z]?(?:_[a-z]+\d*)*(?:-r\d+)?)\s*\Z", output)
    return found[1] if found else ""


_RPM = Query(lambda name: ["rpm", "-q", "--queryformat", "%{EVR}\\n", "--", name], _last, r"is not installed")

_APT_GET = [
    "apt-get", "-q", "-y",
    "-o", "Dpkg::Options::=--force-confdef",  # of a changed configuration file keep the host's own,
    "-o", "Dpkg::Options::=--force-confold",  # where the package does not say: nobody is there to be asked
]  # fmt: skip

_EMERGE = ["emerge", "--ask=n", "--color=n", "--quiet"]

PACKAGES = (
    Packages(
        name="apt",
        tools=("apt-get", "apt-cache", "dpkg-query"),
        families=("debian",),
        naming=DEB,
        version=Query(
            lambda name: ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}\\n", "--", name],
            _dpkg,
            r"no packages found matching",
        ),
        latest=Query(lambda name: ["apt-cache", "policy", "--", name], _apt_policy),
        install=lambda name, version, _: (
            [*_APT_GET, "install", "--allow-downgrades", "--", f"{name}={version}"]
            if version
            else [*_APT_GET, "install", "--", name]
        ),
        remove=lambda name: [*_APT_GET, "remove", "--", name],
        # Otherwise apt takes it for a success that nothing could be fetched.
        recache=["apt-get", "-q", "-o", "APT::Update::Error-Mode=any", "update"],
        environment={"DEBIAN_FRONTEND": "noninteractive", "APT_LISTCHANGES_FRONTEND": "none"},
    ),
    Packages(
        name="dnf",
        tools=("dnf", "rpm"),
        families=("fedora", "rhel"),
        naming=PACKAGE,
        version=_RPM,
        latest=Query(
            lambda name: ["dnf", "-q", "repoquery", "--latest-limit=1", "--queryformat", "%{evr}\n", name],
            _first,
        ),
        # A name alone leaves an older version as it is.
        install=lambda name, version, latest: ["dnf", "-q", "-y", "install", f"{name}-{version or latest}"],
        remove=lambda name: ["dnf", "-q", "-y", "remove", name],
        recache=["dnf", "-q", "-y", "makecache", "--refresh"],
    ),
    Packages(
        name="yum",
        tools=("yum", "rpm"),
        families=("fedora", "rhel"),
        naming=PACKAGE,
        version=_RPM,
        latest=Query(lambda name: ["yum", "-q", "list", name], _yum_list, r"No matching Packages"),
        install=lambda name, version, latest: ["yum", "-q", "-y", "install", f"{name}-{version or latest}"],
        again=lambda name, version: ["yum", "-q", "-y", "downgrade", f"{name}-{version}"],
        remove=lambda name: ["yum", "-q", "-y", "remove", name],
        recache=["yum", "-q", "-y", "makecache"],
    ),
    Packages(
        name="apk",
        tools=("apk",),
        families=("alpine",),
        naming=PACKAGE,
        version=Query(lambda name: ["apk", "info", "-e", "-v", name], _apk, r"\A\s*\Z"),
        latest=Query(lambda name: ["apk", "search", "--exact", name], _apk),
        install=lambda name, version, _: (
            ["apk", "add", "--upgrade", f"{name}={version}" if version else name]
        ),
        remove=lambda name: ["apk", "del", name],
        recache=["apk", "update"],
    ),
    Packages(
        name="pacman",
        tools=("pacman",),
        families=("arch",),
        naming=PACKAGE,
        version=Query(lambda name: ["pacman", "-Q", "--", name], _second, r"was not found"),
        latest=Query(lambda name: ["pacman", "-Si", "--", name], _pacman_info, r"was not found"),
        install=lambda name, version, _: (
            ["pacman", "-S", "--noconfirm", "--needed", "--", f"{name}={version}" if version else name]
        ),
        remove=lambda name: ["pacman", "-R", "--noconfirm", "--", name],
        recache=["pacman", "-Sy", "--noconfirm"],
    ),
    Packages(
        name="portage",
        tools=("emerge", "portageq"),
        families=("gentoo",),
        naming=EBUILD,
        version=Query(lambda name: ["portageq", "match", "/", name], _portage),
        latest=Query(lambda name: ["portageq", "best_visible", "/", name], _portage, r"\A\s*\Z"),
        install=lambda name, version, _: (
            [*_EMERGE, "--noreplace", f"={name}-{version}"] if version else [*_EMERGE, "--update", name]
        ),
        remove=lambda name: [*_EMERGE, "--depclean", name],
        recache=[*_EMERGE, "--sync"],
    ),
)
"""Every package manager that is known; where a host has several, see `choose`."""


def choose(tools: Tools) -> Packages | None:
    """The host's package manager; of several, the one of the system that os-release names."""
    found = [row for row in PACKAGES if all(map(tools.has, row.tools))]
    if len(found) > 1:
        system = _system(tools)
        found.sort(key=lambda row: system.isdisjoint(row.families))
    return found[0] if found else None


def _system(tools: Tools) -> set[str]:
    """What os-release says that this system is, and is like."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            with open(tools.place(path), encoding="utf-8", errors="replace") as file:
                lines = [line.rstrip().partition("=") for line in file]
        except OSError:
            continue
        return {
            word
            for name, _, value in lines
            if name in ("ID", "ID_LIKE")
            for word in value.strip("\"'").split()
        }
    return set()
