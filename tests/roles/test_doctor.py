"""`cw doctor` over sites with something broken in each: what it says, how it ends, that nothing changes."""

import contextlib
import io
import os
import pwd
import re
import resource
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from auth import pam, services
from conf import client as client_conf
from conf.document import NoConfiguration
from conf.schema import CogdConf, MeshdConf
from mesh.printing import Refused, Tally
from roles import doctor, init
from roles.arguments import UsageError
from roles.doctor import client, files, wire

USER = pwd.getpwuid(os.getuid()).pw_name
LINE = re.compile(r"(ok  |warn|FAIL)  (\S+): (\S+): (.+)")
FREE = "connection"
"""What fails in every site here: no broker runs."""


class Site:
    """A site as `cw init` makes it, whose broker would listen on a port that nobody else takes meanwhile."""

    def __init__(self, home: Path, port: int) -> None:
        self.home = home
        with contextlib.redirect_stdout(io.StringIO()):
            init.main([str(home), "--listen", f"127.0.0.1:{port}", "--user", USER])
        self.port = port

    def set(self, role: str, key: str, value: str) -> None:
        """Give a key of a configuration another value, in TOML."""
        section, _, name = key.partition(".")
        path = self.home / f"{role}.toml"
        lines = [
            line
            for line in path.read_text().splitlines()
            if not line.startswith(f"{name} = ") or name == "file"
        ]
        if name == "file":
            lines = _without_file(lines, section)
        at = lines.index(f"[{section}]")
        path.write_text("\n".join([*lines[: at + 1], f"{name} = {value}", *lines[at + 1 :], ""]))

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        (self.home / name).write_text(text)
        (self.home / name).chmod(mode)

    def __truediv__(self, name: str) -> Path:
        return self.home / name


def _without_file(lines: list[str], section: str) -> list[str]:
    """Several sections have a key of that name."""
    kept, inside = [], ""
    for line in lines:
        inside = line[1:-1] if line.startswith("[") else inside
        if not (inside == section and line.startswith("file = ")):
            kept.append(line)
    return kept


class Told:
    """What the doctor said."""

    def __init__(self, status: int, output: str, errors: str) -> None:
        self.status = status
        self.errors = errors
        self.lines = output.splitlines()
        assert all(LINE.fullmatch(line) for line in self.lines), output

    def besides(self, *expected: str) -> list[str]:
        """What is not ok, but for checks called so."""
        return [
            line for line in self.lines if not line.startswith("ok") and line.split(": ")[1] not in expected
        ]


Run = Callable[..., Told]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the doctor in this process, on a host whose clock is kept."""
    monkeypatch.setattr(files, "synchronised", lambda: True)
    monkeypatch.setattr(wire, "PATIENCE", 0.2)

    def run(*paths: Path) -> Told:
        words = ["-c", *map(str, paths)] if paths else []
        return Told(doctor.main(words), *capfd.readouterr())

    return run


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with socket.socket() as taken:  # bound, so that nobody else is; not listening, so that it is refused
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        yield Site(tmp_path / "site", taken.getsockname()[1])


def all_of(site: Site) -> list[Path]:
    return [site / f"{role}.toml" for role in ("meshd", "cogd", "cw")]


def test_a_fresh_site_lacks_a_running_broker_and_nothing_else(site: Site, run: Run) -> None:
    before = _snapshot(site.home)
    told = run(*all_of(site))
    start = f"cw meshd -c {site.home}/meshd.toml"
    why = f"cannot reach the broker 127.0.0.1:{site.port}: Connection refused"
    refused = f"{why}; to mend it: start the broker: {start}"
    assert told.besides() == [f"FAIL  cogd: connection: {refused}", f"FAIL  cw: connection: {refused}"]
    assert told.status == 1
    assert told.errors == f"{len(told.lines)} checks: {len(told.lines) - 2} ok, 0 to look at, 2 failed\n"
    assert _snapshot(site.home) == before


def _snapshot(directory: Path) -> dict[Path, tuple[object, ...]]:
    found: dict[Path, tuple[object, ...]] = {}
    for path in (directory, *directory.rglob("*")):
        status = path.lstat()
        text = path.read_bytes() if path.is_file() else b""
        found[path] = (status.st_mode, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, text)
    return found


def test_a_broker_alone_is_well_without_running(site: Site, run: Run) -> None:
    told = run(site / "meshd.toml")
    assert (told.status, told.besides()) == (0, [])
    free = f"127.0.0.1:{site.port} is free: nothing listens there now"
    assert f"ok    meshd: broker.listen: {free}" in told.lines


Spoil = Callable[[Site], object]


def _dropped(site: Site, role: str, section: str, mode: int = 0o755, text: str = "hello") -> None:
    """A command of the site's own, or what is none."""
    directory = site / "commands"
    directory.mkdir(exist_ok=True)
    site.write("commands/a.toml", text)
    directory.chmod(mode)
    site.set(role, f"{section}.commands", '"commands"')


BROKEN: list[tuple[str, str, Spoil, str]] = [
    # What cannot be used as a configuration at all.
    ("syntax", "meshd", lambda s: s.write("meshd.toml", "[broker\n"),
     r"FAIL  meshd.toml: configuration: \S+: expected TOML, got: .*; to mend it: mend the file: .*"),
    ("absent", "cw", lambda s: (s / "cw.toml").unlink(),
     r"FAIL  cw.toml: configuration: cannot read \S+/cw.toml: No such file or directory; to mend it: .*"),
    ("others write the configuration", "cogd", lambda s: (s / "cogd.toml").chmod(0o666),
     r"FAIL  cogd.toml: configuration: (\S+): others can change it \(mode 0666\): chmod go-w \1"),
    ("a key that there is not", "meshd", lambda s: s.set("meshd", "broker.lissten", "1"),
     r"FAIL  meshd: configuration: \S+: broker.lissten: expected one of .*, listen, got lissten.*; .*"),
    ("a wrong type", "cogd", lambda s: s.set("cogd", "agent.brokers", "1"),
     r"FAIL  cogd: configuration: \S+: agent.brokers: expected a list of HOST:PORT, .*; to mend it: .*"),
    ("a wrong type for clients", "cw", lambda s: s.set("cw", "mesh.timeout", "'soon'"),
     r"FAIL  cw: configuration: \S+: mesh.timeout: expected a number of .*; to mend it: .*"),
    # Keys.
    ("no broker's key", "meshd", lambda s: (s / "broker.key").unlink(),
     (r"FAIL  meshd: broker.key: cannot read the key (\S+): No such file or directory; "
     r"to mend it: cw cert -t broker -i NAME -f \1")),
    ("a key that others read", "meshd", lambda s: (s / "broker.key").chmod(0o640),
     r"FAIL  meshd: broker.key: (\S+): others can read this private key \(mode 0640\): chmod 600 \1"),
    ("a directory that others write", "cogd", lambda s: s.home.chmod(0o777),
     r"FAIL  cogd.toml: configuration: \S+: others can replace it \((\S+) has mode 0777\): chmod o-w \1"),
    ("a user's key for a broker's", "meshd", lambda s: s.set("meshd", "broker.key", f'"{USER}.key"'),
     r"FAIL  meshd: broker.key: \S+: expected a broker's .* got a user's .*; to mend it: put .*"),
    ("garbage for a key", "cogd", lambda s: s.write("agent.key", "hello\n", 0o600),
     r"FAIL  cogd: agent.key: \S+:1: expected %signing v1 .*; to mend it: .*: cw cert -t agent .*"),
    ("no .pub", "meshd", lambda s: (s / "broker.key.pub").unlink(),
     (r"warn  meshd: broker.key: cannot read the key (\S+).pub: No such .*; to mend it: "
     r"grep -v '\^sec ' \1 > \1.pub")),
    ("another's .pub", "cogd", lambda s: shutil.copy(s / "broker.key.pub", s / "agent.key.pub"),
     r"FAIL  cogd: agent.key: (\S+).pub is of another key than \1; to mend it: grep -v '\^sec ' \1 > \1.pub"),
    ("a private half in .pub", "cogd", lambda s: shutil.copy(s / "agent.key", s / "agent.key.pub"),
     r"FAIL  cogd: agent.key: \S+: expected the public half of a key .*; to mend it: grep -v .*"),
    ("no agent's key yet", "cogd", lambda s: (s / "agent.key").unlink(),
     r"warn  cogd: agent.key: \S+ is not there yet; to mend it: start the agent: it makes one, .*"),
    ("no user's key", "cw", lambda s: (s / f"{USER}.key").unlink(),
     rf"warn  cw: mesh.key: (\S+) is not there, .*; to mend it: cw cert -t user -i {USER} -f \1, or cw .*"),
    ("no user's key wanted", "cw", lambda s: s.set("cw", "mesh.key", '""'),
     r"warn  cw: mesh.key: there is none, so that a password is asked for: .*; to mend it: cw ping tells"),
    ("no key of a broker", "cw", lambda s: s.set("cw", "mesh.broker_key", '"none.pub"'),
     r"FAIL  cw: mesh.broker_key: cannot read the key \S+/none.pub: No such .*; to mend it: copy .*"),
    ("a broker's private key", "cogd", lambda s: s.set("cogd", "agent.broker_key", '"broker.key"'),
     r"FAIL  cogd: agent.broker_key: \S+: expected the public half of a key .*; to mend it: copy .*"),
    # Who may do what.
    ("a database that is not there", "meshd", lambda s: (s / "trusted").unlink(),
     r"FAIL  meshd: auth.trusted: cannot read (\S+): No such .*; to mend it: cw trust -d \1 KEY.pub"),
    ("a database that does not parse", "meshd", lambda s: s.write("agents", "hello\n"),
     r"FAIL  meshd: auth.agents: (\S+):1: expected HEX NAME .*; to mend it: mend that line of \1"),
    ("a database that others write", "meshd", lambda s: (s / "agents").chmod(0o664),
     r"FAIL  meshd: auth.agents: (\S+): others can change it \(mode 0664\): chmod go-w \1"),
    ("no user", "meshd", lambda s: s.write("trusted", ""),
     (r"FAIL  meshd: users: nobody can ask: passwords are off, and (\S+) has no key; "
     r"to mend it: cw trust -d \1 KEY.pub")),
    ("no way to ask", "meshd", lambda s: s.set("meshd", "auth.trusted", '""'),
     r'FAIL  meshd: users: nobody can ask; to mend it: set auth.trusted = "trusted", or auth.pam_service'),
    ("users whom the host does not know", "meshd",
     lambda s: s.write("trusted", "".join(f"{number:064x} cw-nobody-{number}\n" for number in range(5))),
     (r"warn  meshd: users: this host does not know cw-nobody-0, cw-nobody-1, cw-nobody-2, …, so .*; "
     r"to mend it: useradd cw-nobody-0")),
    ("no agent", "meshd", lambda s: s.write("agents", "# none\n"),
     r"warn  meshd: agents: no agent can join: (\S+) has no key; to mend it: cw trust -d \1 HEX=FQDN, .*"),
    ("no way to join", "meshd", lambda s: s.set("meshd", "auth.agents", '""'),
     r"FAIL  meshd: agents: no agent can join: .*; to mend it: set auth.agents = \"agents\""),
    ("any agent", "meshd", lambda s: s.set("meshd", "auth.agent_trust", '"any"'),
     r"warn  meshd: agents: any agent may join, under any name; to mend it: auth.agent_trust = .*"),
    ("rules that are none", "meshd", lambda s: s.set("meshd", "acl.file", f'"{USER}.key.pub"'),
     r"FAIL  meshd: acl.file: (\S+):1: expected .*; to mend it: mend that line of \1"),
    ("no rules of an agent", "cogd", lambda s: (s / "acl").unlink(),
     r"FAIL  cogd: acl.file: cannot read (\S+): No such .*; to mend it: echo 'allow USER ALL' >> \1"),
    ("rules that allow nothing", "cogd", lambda s: s.write("acl", "deny ALL ALL\n"),
     r"FAIL  cogd: acl.file: (\S+) allows nothing, so .*; to mend it: echo 'allow USER ALL' >> \1"),
    ("no file for rules", "cogd", lambda s: s.set("cogd", "acl.file", '""'),
     r'FAIL  cogd: acl.file: there is none, so every command is denied; to mend it: set acl.file = "acl"'),
    ("a file of another's", "cogd", lambda s: os.chown(s / "acl", 54321, -1),
     r"warn  cogd: owners: (\S+)/acl belongs to uid 54321; to mend it: chown root \1/acl, unless .*"),
    # Commands that the site adds.
    ("no directory of commands", "meshd", lambda s: s.set("meshd", "broker.commands", '"none"'),
     r"FAIL  meshd: broker.commands: cannot read (\S+): No such .*; to mend it: mkdir \1"),
    ("a directory of commands that others write", "meshd", lambda s: _dropped(s, "meshd", "broker", 0o777),
     r"FAIL  meshd: broker.commands: (\S+): others can put files into it \(mode 0777\): chmod go-w \1"),
    ("commands that are none", "meshd", lambda s: _dropped(s, "meshd", "broker"),
     r"FAIL  meshd: broker.commands: \S+/a.toml: .*; to mend it: mend that file, or take it out .*"),
    ("commands that are none, of a client", "cw", lambda s: _dropped(s, "cw", "mesh"),
     r"FAIL  cw: mesh.commands: \S+/a.toml: .*; to mend it: mend that file, or take it out .*"),
    # Places.
    ("no service of PAM", "meshd", lambda s: s.set("meshd", "auth.pam_service", '"cw-none"'),
     (r"FAIL  meshd: auth.pam_service: /etc/pam.d/cw-none is missing, .*; "
     r"to mend it: cp conf/pam.d/clockwork /etc/pam.d/cw-none, or set auth.pam_service = \"\"")),
    ("a name to listen on", "meshd", lambda s: s.set("meshd", "broker.listen", '["nowhere.invalid:1"]'),
     r"FAIL  meshd: broker.listen: cannot listen on nowhere.invalid:1: .*; to mend it: set .*"),
    ("another's address", "meshd", lambda s: s.set("meshd", "broker.listen", '["[::1]:0", "240.0.0.1:9"]'),
     r"FAIL  meshd: broker.listen: cannot listen on 240.0.0.1:9: .*; to mend it: ip address shows .*"),
    ("metrics elsewhere", "meshd", lambda s: s.set("meshd", "metrics.listen", '"240.0.0.1:9"'),
     r"FAIL  meshd: metrics.listen: cannot listen on 240.0.0.1:9: .*; to mend it: ip address shows .*"),
    ("no place for the audit log", "meshd", lambda s: s.set("meshd", "audit.file", '"none/deep/audit"'),
     r"FAIL  meshd: audit.file: cannot open the audit log (\S+)/audit: No .*; to mend it: .*: mkdir -p \1"),
    ("a directory for an audit log", "cogd", lambda s: s.set("cogd", "audit.file", '"state"'),
     r"FAIL  cogd: audit.file: cannot open the audit log \S+/state: Is a directory .*; to mend it: .*"),
    ("a file for the directory of state", "cogd", lambda s: s.set("cogd", "agent.state_dir", '"acl"'),
     r"FAIL  cogd: agent.state_dir: \S+/acl: Not a directory .*; to mend it: .*"),
    ("a UUID that is none", "cogd", lambda s: s.write("state/uuid", "one\n"),
     r"FAIL  cogd: agent.state_dir: (\S+/uuid): expected a UUID .*; to mend it: mend or remove \1; .*"),
    ("gatherers that others write", "cogd", lambda s: (s / "gatherers").chmod(0o777),
     (r"warn  cogd: facts.gatherers: gatherers (\S+): expected that only its owner .*, got mode 0777, "
     r"and is not run; to mend it: chown -R root \1; chmod -R go-w \1")),
    ("a gatherer that others write", "cogd", lambda s: s.write("gatherers/a", "#!/bin/sh\n", 0o757),
     r"warn  cogd: facts.gatherers: gatherer \S+/a: expected that only its owner .*, and is not run; .*"),
    ("a gatherer that does not run", "cogd", lambda s: s.write("gatherers/a", "#!/bin/sh\n"),
     r"warn  cogd: facts.gatherers: (\S+/a) cannot be executed, .*; to mend it: chmod u\+x \1"),
    ("a clock that is behind", "cogd", lambda s: os.utime(s / "acl", (9e9, 9e9)),
     r"warn  cogd: clock: it is \S+, and (\S+)/acl was changed after that; to mend it: set the clock: .*"),
    # The way to the broker.
    ("a broker's name", "cogd", lambda s: s.set("cogd", "agent.brokers", '["nowhere.invalid:2315"]'),
     r"FAIL  cogd: name: nowhere.invalid is not found: .*; to mend it: see what getent hosts .*"),
    ("a client's broker", "cw", lambda s: s.set("cw", "mesh.broker", '"nowhere.invalid:2315"'),
     r"FAIL  cw: name: nowhere.invalid is not found: .*; to mend it: .*"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("role", "spoil", "line"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN]
)
def test_what_is_broken_is_told_with_its_cure(
    site: Site, run: Run, role: str, spoil: Spoil, line: str
) -> None:
    spoil(site)
    told = run(site / f"{role}.toml")
    (found,) = told.besides(*([] if ": connection: " in line else [FREE]))
    assert re.fullmatch(line, found), found
    failed = any(each.startswith("FAIL") for each in told.lines)
    assert told.status == int(failed)


BESIDE: list[tuple[str, Spoil, str]] = [
    ("another broker's key", lambda s: s.set("cogd", "agent.broker_key", f'"{"ab" * 32}"'),
     (r'FAIL  cogd: agent.broker_key: abab\S+ is not the key of the broker here, (\S+); '
     r'to mend it: set agent.broker_key = "[0-9a-f]{64}"')),
    ("another broker's key, of a client", lambda s: s.set("cw", "mesh.broker_key", f'"{"ab" * 32}"'),
     r"FAIL  cw: mesh.broker_key: abab\S+ is not the key of the broker here, .*"),
    ("a key that is not listed", lambda s: s.write("agents", f"{'ab' * 32} other\n"),
     (r"FAIL  cogd: trust: (\S+)/agents does not have this agent's key; "
     r"to mend it: cw trust -d \1/agents [0-9a-f]{64}=\S+")),
    ("a key that is listed for another", lambda s: s.set("cogd", "agent.fqdn", '"web07.example.com"'),
     (r'FAIL  cogd: trust: \S+ has this agent\'s key for (\S+), not for web07.example.com; '
     r'to mend it: set agent.fqdn = "\1"')),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "line"), [row[1:] for row in BESIDE], ids=[row[0] for row in BESIDE])
def test_agents_and_clients_are_compared_with_the_broker_beside_them(
    site: Site, run: Run, spoil: Spoil, line: str
) -> None:
    spoil(site)
    (found,) = run(*reversed(all_of(site))).besides(FREE)
    assert re.fullmatch(line, found), found


def test_commands_that_the_site_adds_are_counted(site: Site, run: Run) -> None:
    greeting = '[[command]]\nusage = "hello"\nsentence = "greets"\neffect = "pure"\n'
    _dropped(site, "meshd", "broker", text=greeting)
    site.write("commands/a.pn", 'fn mesh.hello\n  print "hello\\n"\n')
    site.set("cw", "mesh.commands", '"commands"')
    told = run(*all_of(site))
    assert told.besides(FREE) == []
    for key in ("meshd: broker.commands", "cw: mesh.commands"):
        assert f"ok    {key}: {site.home}/commands adds 1 command" in told.lines


def test_they_are_not_compared_with_a_broker_that_they_do_not_dial(site: Site, run: Run) -> None:
    site.set("cogd", "agent.broker_key", f'"{"ab" * 32}"')
    site.set("meshd", "broker.listen", '["127.0.0.1:1"]')
    told = run(*all_of(site))
    assert told.besides(FREE) == []
    assert not [line for line in told.lines if ": trust: " in line]


# -- what listens where a broker should


@contextlib.contextmanager
def listener(answer: Callable[[socket.socket], object]) -> Iterator[int]:
    """Something that does this with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def greet(connection: socket.socket) -> None:
    connection.recv(100)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n" + bytes(100))


def wait(connection: socket.socket) -> None:
    while connection.recv(100):
        continue


OTHERS = [
    (greet, "answers in another protocol, so it is no broker"),
    (wait, "says nothing for 0.2 seconds, so it is no broker, or one that hangs"),
    (
        lambda connection: connection.recv(100),
        "hangs up in the handshake: its key is not that of {}, or it is no broker",
    ),
]


@pytest.mark.parametrize(("answer", "sentence"), OTHERS, ids=["another protocol", "silence", "hanging up"])
def test_something_else_listens_where_the_broker_should(
    site: Site, run: Run, answer: Callable[[socket.socket], object], sentence: str
) -> None:
    with listener(answer) as port:
        for role, key in (("meshd", "broker.listen"), ("cogd", "agent.brokers"), ("cw", "mesh.broker")):
            address = f'"127.0.0.1:{port}"'
            site.set(role, key, address if role == "cw" else f"[{address}]")
        lines = run(*all_of(site)).besides()
        alone = run(site / "cw.toml").besides()
    held, agents, clients = lines
    look = rf"to mend it: see what it is: ss -ltnp 'sport = :{port}'"
    told = [
        re.escape(sentence.format(name)) for name in ("broker.key", "agent.broker_key", "mesh.broker_key")
    ]
    assert re.fullmatch(rf"FAIL  meshd: broker.listen: \S+ is held by something that {told[0]}; {look}", held)
    assert re.fullmatch(rf"FAIL  cogd: handshake: \S+ {told[1]}; {look}", agents)
    assert re.fullmatch(rf"FAIL  cw: handshake: \S+ {told[2]}; {look}", clients)
    (line,) = alone  # without the broker's files at hand, the key may be wrong as well
    assert re.search(
        r"compare mesh.broker_key, [0-9a-f]{64}, with the broker's broker.key.pub; .*: cw doctor$", line
    )


def test_metrics_that_something_else_tells(site: Site, run: Run) -> None:
    with listener(greet) as port:
        site.set("meshd", "metrics.listen", f'"127.0.0.1:{port}"')
        (line,) = run(site / "meshd.toml").besides()
    assert re.fullmatch(
        r"FAIL  meshd: metrics.listen: what answers at \S+ is no broker .*; to mend it: .*", line
    )


# -- what depends on the host


def test_a_host_without_descriptors(site: Site, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1024))
    told = run(site / "meshd.toml")
    (line,) = told.besides()
    assert line == (
        "warn  meshd: descriptors: 1024 descriptors here (ulimit -Hn), for 1 agent and 1024 strangers; "
        "to mend it: ulimit -n 2081; conf/systemd/meshd.service sets LimitNOFILE"
    )
    assert told.status == 0


def test_a_full_disk(site: Site, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=100, f_frsize=4096, f_flag=0))
    (line,) = run(site / "meshd.toml").besides()
    assert re.fullmatch(
        r"FAIL  meshd: audit.file: (\S+) is on a full disk, .*; to mend it: make room: df -h \1", line
    )


def test_a_host_whose_name_is_none(site: Site, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    site.set("cogd", "agent.fqdn", '""')
    monkeypatch.setattr(socket, "gethostname", lambda: "no name")
    (line,) = run(site / "cogd.toml").besides(FREE)
    assert re.fullmatch(
        r"FAIL  cogd: agent.fqdn: .* is no host name: .*; to mend it: set agent.fqdn = .*", line
    )


def test_a_clock_that_nothing_keeps(site: Site, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "synchronised", lambda: False)
    (line,) = run(site / "cogd.toml").besides(FREE)
    assert re.fullmatch(r"warn  cogd: clock: it is \S+, but nothing keeps it right; to mend it: .*", line)


def test_passwords(site: Site, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(services, "DIRECTORY", tmp_path)
    (tmp_path / "clockwork").write_text("auth required pam_deny.so\n")
    site.set("meshd", "auth.pam_service", '"clockwork"')
    monkeypatch.setattr(pam, "doubt", lambda: "passwords: hm")
    (line,) = run(site / "meshd.toml").besides()
    assert line.startswith(
        "warn  meshd: auth.pam_service: passwords: hm; to mend it: run the broker as root, or "
    )
    monkeypatch.setattr(pam, "doubt", lambda: "")
    assert run(site / "meshd.toml").besides() == []


def test_files_that_only_root_can_read(site: Site, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def refuse(path: Path, *words: int) -> int:
        if str(path).endswith("broker.key"):
            raise PermissionError(13, "Permission denied")
        return opened(path, *words)

    monkeypatch.setattr(os, "open", refuse)
    (line,) = run(site / "meshd.toml").besides()
    assert re.fullmatch(
        r"FAIL  meshd: broker.key: cannot read the key \S+: Permission denied; "
        r"to mend it: run cw doctor as root, or as the user whom it is for",
        line,
    )


# -- what a ping says

TALLIES = [
    (Tally(ok=3, optouts=1), "ok    cw: ping: 3 answered: 3 ok; 1 opted out"),
    (Tally(ok=3, denied=1), "ok    cw: ping: 3 answered: 3 ok; 1 denied"),
    (Tally(denied=2), "FAIL  cw: ping: 0 answered; 2 denied; to mend it: in the acl file of a node: allow "),
    (
        Tally(ok=3, silent=1),
        "warn  cw: ping: 3 answered: 3 ok; 1 silent; to mend it: cw ping names those nodes; ",
    ),
    (Tally(ok=3, failed=1), "warn  cw: ping: 4 answered: 3 ok, 1 failed; to mend it: cw ping names "),
    (Tally(), "warn  cw: ping: no node is connected to the broker; to mend it: cw cogd on a node; "),
]


@pytest.mark.parametrize(("tally", "line"), TALLIES)
def test_who_answered(site: Site, run: Run, monkeypatch: pytest.MonkeyPatch, tally: Tally, line: str) -> None:
    monkeypatch.setattr(client, "reached", lambda *_: True)
    monkeypatch.setattr(client, "asked", lambda *_: tally)
    told = run(site / "cw.toml")
    assert told.lines[-1].startswith(line)
    assert told.status == line.startswith("FAIL")


def test_a_broker_that_refuses_for_another_reason(
    site: Site, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Tally:
        raise Refused("permission denied")

    monkeypatch.setattr(client, "reached", lambda *_: True)
    monkeypatch.setattr(client, "asked", refuse)
    (line,) = run(site / "cw.toml").besides()
    assert line == (
        "FAIL  cw: ping: permission denied; to mend it: the broker's log says why; on its host: cw doctor"
    )


# -- which configurations


def test_what_is_configured_on_this_host(
    site: Site, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "etc"
    place.mkdir()
    monkeypatch.setattr(MeshdConf, "FILE", place / "meshd.toml")
    monkeypatch.setattr(CogdConf, "FILE", place / "cogd.toml")
    monkeypatch.setattr(client_conf, "FILE", place / "cw.toml")
    monkeypatch.setattr(client_conf, "OWN_FILE", str(tmp_path / "own/cw.toml"))
    monkeypatch.setattr("roles.doctor.client.FILE", place / "cw.toml")
    monkeypatch.setattr("roles.doctor.client.OWN_FILE", str(tmp_path / "own/cw.toml"))
    with pytest.raises(
        NoConfiguration, match=f"^no configuration: looked for {place}/meshd.toml and .*/own/cw.toml "
    ):
        run()
    shutil.copytree(site.home, tmp_path / "own")
    assert {line.split()[1] for line in run().lines} == {"cw:"}
    shutil.copy(site / "cogd.toml", place)
    assert {line.split()[1] for line in run().lines} == {"cogd:", "cw:"}
    (place / "cogd.toml").unlink()
    (place / "meshd.toml").symlink_to("meshd.toml")
    assert "FAIL  meshd: configuration: " in "\n".join(run().lines)


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("", "none"),
        ("[log]\n[limits]\n[acl]\n[audit]\n", "[log] [limits] [acl] [audit]"),
        ("[broker]\n[agent]\n", "[broker] [agent]"),
        ("[mesh]\n[auth]\n", "[mesh] [auth]"),
        ("".join(f"[x{number}]\n" for number in range(9)), "[x0] [x1] [x2] [x3] [x4] …"),
        ('["\\u001b[2J"]\n', "[\\u001b[2J]"),
    ],
)
def test_a_file_of_nobody_knows_whom(
    site: Site, run: Run, text: str, got: str, capfd: pytest.CaptureFixture[str]
) -> None:
    site.write("x.toml", text)
    with pytest.raises(UsageError) as caught:
        run(site / "meshd.toml", site / "x.toml")
    expected = (
        rf"{site.home}/x.toml: expected sections of meshd.toml, \[auth\] \[broker\] \[metrics\], "
        rf"or of cogd.toml, \[agent\] \[facts\], or of cw.toml, \[mesh\].*; got {re.escape(got)}"
    )
    assert re.fullmatch(expected, str(caught.value))
    assert capfd.readouterr().out == ""


def test_without_a_current_directory(
    site: Site, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    told = run(Path("meshd.toml"), *all_of(site))
    assert told.status == 1
    assert {line.split(": ")[1] for line in told.besides()} == {"configuration"}


def test_files_may_be_called_anything(site: Site, run: Run) -> None:
    for role in ("meshd", "cogd", "cw"):
        (site / f"{role}.toml").rename(site / f"a {role} \x1b")
    told = run(*(site / f"a {role} \x1b" for role in ("cw", "meshd", "cogd")))
    assert {line.split(": ")[1] for line in told.besides()} == {FREE}
    assert [line.split()[1] for line in told.lines if ": configuration: " in line] == [
        "meshd:",
        "cogd:",
        "cw:",
    ]
    assert f"cw meshd -c '{site.home}/a meshd \\x1b'" in "\n".join(told.lines)


# -- whatever the set-up

PLACES = {
    "meshd": ("broker.key", "auth.trusted", "auth.agents", "acl.file", "audit.file"),
    "cogd": ("agent.broker_key", "agent.key", "agent.state_dir", "acl.file", "audit.file", "facts.gatherers"),
    "cw": ("mesh.broker_key", "mesh.key"),
}
NASTY = (
    "none",
    "/dev/null",
    "/dev/zero",
    "loop",
    "loop/x",
    "acl/x",
    "directory",
    "bytes",
    "n" * 300,
    "n/" * 3000,
)


@pytest.mark.parametrize(("role", "key"), [(role, key) for role, keys in PLACES.items() for key in keys])
def test_whatever_is_in_its_place_each_check_is_a_line(site: Site, run: Run, role: str, key: str) -> None:
    (site / "loop").symlink_to("loop")
    (site / "directory").mkdir(0o700)
    (site / "bytes").write_bytes(bytes(range(256)))
    (site / "bytes").chmod(0o600)
    for path in NASTY:
        site.set(role, key, f'"{path}"')
        told = run(*all_of(site))
        assert told.status == 1
        assert len(told.lines) > 5


@pytest.mark.parametrize("key", ["00" * 32, "ff" * 32, "01" + "00" * 31])
def test_keys_that_are_no_points_of_the_curve(site: Site, run: Run, key: str) -> None:
    with listener(greet) as port:
        site.set("cw", "mesh.broker", f'"127.0.0.1:{port}"')
        site.set("cw", "mesh.broker_key", f'"{key}"')
        (line,) = run(site / "cw.toml").besides()
    assert line.startswith("FAIL  cw: handshake: ")


def test_help_fits_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        doctor.main(["--help"])
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 24
    assert "examples:" in text
