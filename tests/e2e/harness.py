"""Whole meshes for tests: real processes of the one file, on loopback, all of them ended with the test."""

import contextlib
import fcntl
import io
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

from roles import init

PATIENCE = 60.0
"""Seconds after which something awaited has failed; far beyond what the busiest host needs."""

NO_PASSWORDS = 'auth.pam_service=""'

FLAGS = ("-ISB",)
"""What dist/cw's first line gives the interpreter."""


STUBBORN = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def note():
    with open(sys.argv[1], "a") as notes: notes.write(f"{os.getpid()}\\n")
note()
if not os.fork():
    os.setsid()
    if os.fork(): os._exit(0)
    note()
signal.pause()
"""
"""Ignores SIGTERM, and has started another that has left it, its group and its session."""


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for what nothing announces, such as the state of a process; fails as "never `what`"."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"never {what}"
        time.sleep(0.01)


def audited(log: Path) -> list[dict[str, Any]]:
    """The entries of an audit log that may be being written: a line without its end is none yet."""
    return [json.loads(line) for line in log.read_text().rpartition("\n")[0].splitlines()]


def state(pid: int) -> str:
    """The letter of a process's state (proc(5)); empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process stands still (SIGSTOP) for the `with` block; it may be killed meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: state(pid) == "T", f"stopped {pid}")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


class Finished(NamedTuple):
    """A command that has ended: its exit status, standard output and standard error."""

    status: int
    output: str
    errors: str

    @property
    def lines(self) -> list[str]:
        """Standard output, line by line and sorted: nodes answer in any order."""
        return sorted(self.output.splitlines())


class Process:
    """A running process whose standard error is read as it comes."""

    def __init__(self, name: str, words: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        self.name = name
        self._popen = subprocess.Popen(
            words,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = self._popen.pid
        self._news = threading.Condition()
        self._written = {"out": bytearray(), "err": bytearray()}
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(stream, key), daemon=True)
            for key, stream in (("out", self._popen.stdout), ("err", self._popen.stderr))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[bytes], key: str) -> None:
        with stream:
            while chunk := os.read(stream.fileno(), 65536):
                with self._news:
                    self._written[key] += chunk
                    self._news.notify_all()

    def _text(self, key: str) -> str:
        return self._written[key].decode(errors="replace")

    @property
    def log(self) -> str:
        """All that it has written to its standard error so far."""
        with self._news:
            return self._text("err")

    def wait_for(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Wait until its standard error has the pattern that many times; the last of these matches."""
        return self._wait_for("err", pattern, times)

    def wait_for_output(self, pattern: str, times: int = 1) -> re.Match[str]:
        """The same of its standard output."""
        return self._wait_for("out", pattern, times)

    def _wait_for(self, key: str, pattern: str, times: int) -> re.Match[str]:
        deadline = time.monotonic() + PATIENCE
        with self._news:
            while True:
                found = list(re.finditer(pattern, self._text(key), re.MULTILINE))
                if len(found) >= times:
                    return found[times - 1]
                remaining = deadline - time.monotonic()
                ended = not any(reader.is_alive() for reader in self._readers)
                if remaining <= 0 or (ended and self._popen.poll() is not None):
                    raise AssertionError(f"{self.name} never said {pattern!r}; it said:\n{self._text('err')}")
                self._news.wait(min(remaining, 0.5))  # the end of a process notifies nobody

    def type(self, text: str) -> None:
        """Give it this on its standard input; it may have ended without reading it."""
        assert self._popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._popen.stdin.write(text.encode())
            self._popen.stdin.flush()

    def signal(self, number: int) -> None:
        """Send it a signal, and to nobody else."""
        self._popen.send_signal(number)

    def finished(self) -> Finished:
        """Close its standard input and wait until it ends by itself."""
        assert self._popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._popen.stdin.close()
        status = self._popen.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return Finished(status, self._text("out"), self._text("err"))

    def stop(self) -> Finished:
        """Ask it to end, and wait until it has."""
        self.signal(signal.SIGTERM)
        return self.finished()

    def kill(self) -> None:
        """End it and all that it has started, at once; safe to call again."""
        if self._popen.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
        self.finished()


class Site:
    """A site in `directory`, made by `cw init`; its processes end with the `with` block.

    `cw` are the words that run cw, `host` and `port` the broker's, `user` who asks by default: the
    account that runs the tests.
    """

    def __init__(self, directory: Path, cw: Sequence[str]) -> None:
        self.directory = directory
        self.cw = tuple(cw)
        self.host = "127.0.0.1"
        self.port = 0
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.processes: list[Process] = []
        self.env = {"PATH": os.defpath, "HOME": str(directory / "home"), "LC_ALL": "C.UTF-8"}
        directory.mkdir(parents=True, exist_ok=True)
        _init(str(self.home), "--user", self.user)

    @property
    def home(self) -> Path:
        """Where the broker's and the client's files are."""
        return self.directory / "site"

    @property
    def address(self) -> str:
        """The broker's, for a client's `mesh.broker`."""
        return f"{self.host}:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:  # pytest shows this if the test has failed
            print(f"--- {process.name}\n{process.log}", end="")

    def start(self, name: str, *words: str) -> Process:
        """`cw` with these words as a process that goes on."""
        process = Process(name, [*self.cw, *words], self.env, self.directory)
        self.processes.append(process)
        return process

    def run(self, *words: str, given: str = "", status: int = 0) -> Finished:
        """`cw` with these words, to its end, which must be this exit status."""
        process = Process(words[0], [*self.cw, *words], self.env, self.directory)
        try:
            process.type(given)
            finished = process.finished()
        finally:
            process.kill()
        assert finished.status == status, finished
        return finished

    def broker(self, *settings: str) -> Process:
        """Start the broker, on a free port the first time and on the same later; returns once it listens.

        It takes no passwords unless `settings` say so, whatever services of PAM this host has.
        """
        listen = f'broker.listen=["{self.address}"]'
        words = ["meshd", "-c", str(self.home / "meshd.toml")]
        process = self.start("meshd", *words, *_set(listen, NO_PASSWORDS, *settings))
        self.port = int(process.wait_for(rf"^meshd: listening on {re.escape(self.host)}:(\d+)$")[1])
        return process

    def add_agent(self, name: str, facts: Mapping[str, str] | None = None, rules: str | None = None) -> Path:
        """Make the files of an agent; its directory. `rules` is its ACL file, `allow USER ALL` by default."""
        directory = self.directory / name
        _init("--agent", f"{name}.example.com", str(directory), "--site", str(self.home))
        if rules is not None:
            (directory / "acl").write_text(rules)
        with open(directory / "cogd.toml", "a") as stream:
            stream.write("\n[facts.static]\n")
            stream.writelines(f"'{fact}' = '{value}'\n" for fact, value in (facts or {}).items())
        return directory

    def start_agent(self, name: str, *settings: str) -> Process:
        """Start an agent whose files are there; returns at once."""
        brokers = f'agent.brokers=["{self.address}"]'
        words = ["cogd", "-c", str(self.directory / name / "cogd.toml")]
        return self.start(name, *words, *_set(brokers, *settings))

    def agent(
        self, name: str, facts: Mapping[str, str] | None = None, rules: str | None = None, *settings: str
    ) -> Process:
        """Make and start an agent; returns once it is connected."""
        self.add_agent(name, facts, rules)
        process = self.start_agent(name, *settings)
        process.wait_for(rf"^cogd: connected to {re.escape(self.address)}$")
        return process

    def agents(self, nodes: Mapping[str, Mapping[str, str]], rules: str | None = None) -> dict[str, Process]:
        """Make and start several, all at once; returns once all are connected."""
        for name, facts in nodes.items():
            self.add_agent(name, facts, rules)
        processes = {name: self.start_agent(name) for name in nodes}
        for process in processes.values():
            process.wait_for(rf"^cogd: connected to {re.escape(self.address)}$")
        return processes

    def asking(self, *words: str) -> tuple[str, ...]:
        """The words of a client's command with this site's configuration."""
        return ("-c", str(self.home / "cw.toml"), "--set", f'mesh.broker="{self.address}"', *words)

    def ask(self, *words: str, given: str = "", status: int = 0) -> Finished:
        """A client's command, to its end, which must be this exit status."""
        return self.run(*self.asking(*words), given=given, status=status)

    def start_asking(self, *words: str) -> Process:
        """A client's command that goes on."""
        return self.start(" ".join(words), *self.asking(*words))


def spawner_of(agent: Process) -> int:
    """The process that forks a child for each command that reads: stopped, such commands hang after OPTIN."""
    (child,) = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
    return int(child)


IN_A_CHILD = ("exec", "--", "echo", "role=web")
"""What agents run in a child of their spawner, so that it waits while that is stopped."""


def begun(site: Site, name: str, command: str) -> None:
    """Wait until an agent of the site has opted in to a command and begun it, as its audit log says."""
    audit = site.directory / name / "cogd.audit"

    def noted() -> bool:
        return any((entry["event"], entry["command"]) == ("ran", command) for entry in audited(audit))

    until(noted, f"began {command}")


def _init(*words: str) -> None:
    """`cw init` with these words in this process: its files are the same, and a process for each costs more
    than most tests.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        assert init.main(words) == 0


def _set(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def one_file(root: Path) -> tuple[str, ...]:
    """The words that run `dist/cw`, made anew by its own makefile if any of its sources is newer."""
    make = shutil.which("make")
    assert make is not None
    (root / "build").mkdir(exist_ok=True)
    lock = root / "build" / "tests.lock"
    with open(lock, "w") as held:  # tests run in several processes, which share the file
        fcntl.flock(held, fcntl.LOCK_EX)
        built = subprocess.run(
            [make, "-f", "zipapp.mk"], cwd=root, capture_output=True, text=True, check=False
        )
        assert built.returncode == 0, built.stderr
    return (sys.executable, *FLAGS, str(root / "dist" / "cw"))
