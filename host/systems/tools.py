"""Programs of this host run by their words: never by a shell, never with a question, always in English."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from errors import CwError

if TYPE_CHECKING:
    import subprocess

LOCK_WAIT = 30.0
"""Seconds that another program is given to let go of the package manager's lock."""

LOCK_PAUSE = 1.0
"""Seconds between two tries."""

SHOWN = 262_144
"""Bytes of a program's output, and of its error output, that are looked at: the last ones."""

SYSTEM_TOOLS = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where administrators' programs are: cron, and su without a dash, leave these out of PATH."""

ENVIRONMENT = {"LC_ALL": "C.UTF-8", "LANGUAGE": "", "NO_COLOR": "1", "EINFO_COLOR": "no"}
"""What every program is given besides what we have: the answers that we read are the untranslated ones."""

NOEXEC_SEAL = 0x0008
"""MFD_NOEXEC_SEAL: the one kind of memory file where vm.memfd_noexec is 2; unknown before Linux 6.3."""

_DECORATION = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|\r")

LOCKED = re.compile(
    r"could not get lock|unable to lock database|locked by another process|is another process using it",
    re.IGNORECASE,
)
"""How apt, dpkg, apk and pacman say that another program holds their lock; dnf and yum wait for it."""

_TELLING = (
    re.compile(r"^dpkg: (?P<what>error .+:)\n +(?P<why>.+)", re.MULTILINE),
    re.compile(r"^The following packages have unmet dependencies:\n +(?P<what>.+)", re.MULTILINE),
    re.compile(r"^(?: \* )?(?:E|[Ee]rror|ERROR): (?P<what>.+)", re.MULTILINE),
    re.compile(r"^(?P<what>(?:Failed to|Job for) .+)", re.MULTILINE),
)
"""Which lines tell why a program failed, the most telling first."""


class Failed(CwError):
    """The package or service manager could not do what it was asked."""

    status = 1


class Answer(NamedTuple):
    """What a program said: its exit status, negative for a signal, and the ends of its two outputs."""

    status: int
    output: str
    errors: str

    @property
    def complaint(self) -> str:
        """The one line that says best why it failed."""
        text = f"{self.output}\n{self.errors}"
        for telling in _TELLING:
            if found := telling.search(text):
                return " ".join(found.groups())
        said = [line for line in text.splitlines() if line.strip()]
        if said and self.status >= 0:
            return said[-1].strip().removeprefix("* ")
        return f"killed by signal {-self.status}" if self.status < 0 else f"exit status {self.status}"


class Tools:
    """The programs of a host.

    `root` is where its /etc and /run are; `patience` is how many seconds to wait for a lock.
    """

    def __init__(self, root: str = "/", patience: float = LOCK_WAIT) -> None:
        self._root = root
        self._patience = patience
        path = os.environ.get("PATH") or os.defpath
        self._environment = {**os.environ, **ENVIRONMENT, "PATH": f"{path}:{SYSTEM_TOOLS}"}

    def has(self, program: str) -> bool:
        """Whether there is such a program on the path."""
        return any(
            os.access(os.path.join(directory, program), os.X_OK)
            for directory in self._environment["PATH"].split(":")
        )

    def place(self, path: str) -> str:
        """An absolute path of the host's."""
        return os.path.join(self._root, path.lstrip("/"))

    def ask(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Answer:
        """Run a program, without input, until it ends. Raises Failed where it cannot be started."""
        import subprocess

        output, errors = _memory("output"), _memory("errors")
        try:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env={**self._environment, **(environment or {})},
                cwd="/",
                umask=0o022,  # what packages and services write is read by others
            )
            return Answer(_status(child), _text(output), _text(errors))
        except OSError as error:
            raise Failed(f"cannot run {argv[0]}: {error.strerror}") from error
        finally:
            os.close(output)
            os.close(errors)

    def change(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Answer:
        """Run a program that needs the package manager's lock; again while another has it, or Failed."""
        deadline = time.monotonic() + self._patience
        while True:
            answer = self.ask(argv, environment)
            if not answer.status or not LOCKED.search(answer.errors + answer.output):
                return answer
            if time.monotonic() >= deadline:
                raise Failed(f"the package manager is locked by another program: {answer.complaint}")
            time.sleep(min(LOCK_PAUSE, self._patience))


def _status(child: subprocess.Popen[bytes]) -> int:
    """The exit status of a program at its end.

    A terminal's Ctrl-C reaches it as it does us, and it knows how far it can stop: a package manager that is
    killed leaves packages half installed. The second one is for us.
    """
    try:
        return child.wait()
    except KeyboardInterrupt:
        child.wait()
        raise


def _memory(name: str) -> int:
    """A file in memory for an output: a pipe would end with us, and take a daemon that still has it along."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | NOEXEC_SEAL)
    except OSError:
        return os.memfd_create(name, flags)


def _text(output: int) -> str:
    """The end of what was written; to a daemon that still holds the file, it is full from now on."""
    import fcntl

    fcntl.fcntl(output, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
    size = os.fstat(output).st_size
    text = os.pread(output, SHOWN, max(0, size - SHOWN)).decode("utf-8", "backslashreplace")
    return _DECORATION.sub("", text)
