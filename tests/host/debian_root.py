"""A small Debian in a directory, made once, in which tests have real tools to themselves.

It comes from the mirror that this host has its own packages from. Each test sees it through an overlay of its
own, in namespaces that end with the command: the directory stays as it was made, and nothing stays mounted.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.conftest import CHECKOUT

INCLUDED = "systemd-sysv,python3-minimal"
"""Besides what every Debian has, and apt."""

RELEASE = Path("/etc/os-release")
SOURCES = Path("/etc/apt")

HIERARCHIES = (
    ("/sys/fs/cgroup", ""),
    ("/sys/fs/cgroup/unified", ""),
    ("/sys/fs/cgroup/systemd", "name=systemd"),
)
"""Where control groups are mounted, and what /proc/self/cgroup calls that hierarchy (cgroups(7))."""

CONFINED = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child")
"""A command whose processes and mounts all end with the process that starts it, however that ends."""

OVERLAY = """
set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
place=$2
shift 2
"""
INSIDE = """
mount -t proc proc "$place/root/proc"
exec chroot "$place/root" /usr/bin/env -i PATH=/usr/bin:/bin "$@"
"""


class Ended(NamedTuple):
    """How a command ended, and what it said."""

    status: int
    output: str
    errors: str


def failed(*parts: str) -> Ended:
    """How it ends with a sentence, in parts that are joined by a space."""
    return Ended(1, "", f"cw: {' '.join(parts)}\n")


class Debian(NamedTuple):
    """One test's view: what is below `upper` is laid over the directory, and takes what is written."""

    lower: Path
    place: Path

    @property
    def upper(self) -> Path:
        return self.place / "upper"

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """A file as this test is to see it; while nothing runs in there."""
        file = self.upper / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def run(self, *argv: str) -> Ended:
        """Run a command in there, without input, as root."""
        return self._ended([*CONFINED, *self._shell(INSIDE), *argv])

    def cw(self, *words: str) -> Ended:
        """Run `cw localsys` in there."""
        return self.run("/usr/local/bin/cw", "localsys", *words)

    def booting(self, groups: Sequence[Path], *options: str) -> list[str]:
        """The command that boots it, in control groups; it ends with the process that starts it."""
        enter = "".join(f"echo $$ >{group}/cgroup.procs\n" for group in groups)
        nspawn = 'exec systemd-nspawn -q -b --register=no --keep-unit -D "$place/root" "$@"'
        unshare = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount"]
        return [*unshare, *self._shell(enter + nspawn), *options]

    def _shell(self, then: str) -> list[str]:
        return ["sh", "-c", OVERLAY + then, "sh", str(self.lower), str(self.place)]

    @staticmethod
    def _ended(argv: Sequence[str]) -> Ended:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        return Ended(done.returncode, done.stdout, done.stderr)


def view(place: Path, cw_file: Path) -> Debian:
    """A view of its own for a test, with the one file installed."""
    for name in ("upper/usr/local/bin", "work", "root"):
        (place / name).mkdir(parents=True)
    shutil.copy(cw_file, place / "upper/usr/local/bin/cw")
    return Debian(made(), place)


def made() -> Path:
    """The directory, made now if it is not there."""
    name = _codename()
    target = CHECKOUT / "build" / f"root-{name}-{INCLUDED.replace(',', '-')}"
    with (CHECKOUT / "build" / "root.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            draft = target.with_suffix(".draft")
            shutil.rmtree(draft, ignore_errors=True)
            options = ["--mode=root", "--variant=apt", f"--include={INCLUDED}", "--dpkgopt=force-unsafe-io"]
            words = ["mmdebstrap", "--quiet", *options, name, str(draft), _mirror(name)]
            subprocess.run([*CONFINED, *words], check=True)
            draft.rename(target)
    return target


def _codename() -> str:
    """`bookworm`."""
    facts = dict(line.split("=", 1) for line in RELEASE.read_text().splitlines() if "=" in line)
    return facts["VERSION_CODENAME"].strip('"')


def _mirror(name: str) -> str:
    """The line of sources.list for this release that this host uses itself."""
    for address, suites, components in _entries():
        if name in suites and "main" in components:
            return f"deb {address} {name} main"
    raise AssertionError(f"no source of {name} main in {SOURCES}")


def _entries() -> Iterator[tuple[str, list[str], list[str]]]:
    """Address, suites and components of every source, in either format (sources.list(5))."""
    for file in [SOURCES / "sources.list", *sorted((SOURCES / "sources.list.d").glob("*.list"))]:
        for line in file.read_text().splitlines() if file.exists() else []:
            words = [word for word in line.split("]")[-1].split() if word != "deb"]
            if line.startswith("deb ") and len(words) > 2:
                yield words[0], [words[1]], words[2:]
    for file in sorted((SOURCES / "sources.list.d").glob("*.sources")):
        for stanza in file.read_text().split("\n\n"):
            fields = dict(line.split(":", 1) for line in stanza.splitlines() if line[:1].isalpha())
            if "deb" in fields.get("Types", "").split():
                yield fields["URIs"].split()[0], fields["Suites"].split(), fields["Components"].split()


def architecture() -> str:
    """What dpkg calls this kind of machine."""
    return subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    ).stdout.strip()


@contextmanager
def control_groups(name: str) -> Iterator[list[Path]]:
    """New control groups below our own, one in each hierarchy that systemd uses; removed with all in them."""
    ours = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    groups = [
        Path(mount + ours[hierarchy].rstrip("/"), name)
        for mount, hierarchy in HIERARCHIES
        if hierarchy in ours and Path(mount, "cgroup.procs").exists()
    ]
    for group in groups:
        group.mkdir()
    try:
        yield groups
    finally:
        for group in groups:
            for directory, _, _ in os.walk(group, topdown=False):
                os.rmdir(directory)


if __name__ == "__main__":
    made()
