"""Commands that show and change a node, as a user gives them to real agents.

One agent has mounts of its own: there, the tools of packages and services are scripts that keep what they are
told in files, and one file system is full. Nothing of this host changes.
"""

import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.accounts import account
from tests.e2e.harness import STUBBORN, Finished, Process, Site, audited, begun, state, until

MOUNTS = """
set -e
mount -t tmpfs tools /usr/local/sbin
mount -t tmpfs run /run
mkdir -p /run/systemd/system "$0/full"
mount -t tmpfs -o size=16k full "$0/full"
head -c 16384 /dev/zero > "$0/full/all"
cp "$0"/tools/* /usr/local/sbin
exec "$@"
"""

TOOLS = {
    "dpkg-query": """
for name; do :; done
test -f STATE/$name || { echo "dpkg-query: no packages found matching $name" >&2; exit 1; }
echo "installed $(cat STATE/$name)"
""",
    "apt-cache": """
for name; do :; done
case $name in hello|big|locked) printf '%s:\\n  Installed: (none)\\n  Candidate: 2.0-1\\n' $name;; esac
""",
    "apt-get": """
full='E: Write error - write (28: No space left on device)'
locked='E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 30657 (apt-get)
E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?'
for name; do verb=$verb\\ $name; done
case $verb in
*update) exit 0;;
*locked*) echo "$locked" >&2; exit 100;;
*remove*) rm STATE/$name; exit;;
esac
case $name in
big) echo x 2>/dev/null > FULL/archive || { echo $full >&2; exit 100; };;
*=*) echo ${name#*=} > STATE/${name%=*};;
*) echo 2.0-1 > STATE/$name;;
esac
""",
    "systemctl": """
for unit; do :; done
case $* in
*is-enabled*) cat STATE/boot.$unit 2>/dev/null || { echo not-found; exit 1; }
  grep -q enabled STATE/boot.$unit;;
*show*) test -f STATE/$unit && echo LoadState=loaded || echo LoadState=not-found
  echo ActiveState=$(cat STATE/$unit 2>/dev/null || echo inactive);;
*restart*) echo "Job for $unit failed." >&2; exit 1;;
*start*) echo active > STATE/$unit;;
*stop*) echo inactive > STATE/$unit;;
*enable*) echo enabled > STATE/boot.$unit;;
*disable*) echo disabled > STATE/boot.$unit;;
esac
""",
}


class Node:
    """The agent with mounts of its own; its answers without the name."""

    def __init__(self, site: Site, user: str) -> None:
        self.site = site
        self.place = (site.directory / "place").resolve()
        self.rules = (
            f'allow {site.user} ALL\nallow {site.user} "exec --shell *" as {user}\n'
            f'allow {site.user} "exec -- cat /etc/shadow" as {user}\n'
            f'allow {site.user} "exec -- id" as no-such-user\n'
            f'allow {site.user} "file /etc/shadow get" as {user}\n'
        )
        tools, state = self.place / "tools", self.place / "state"
        tools.mkdir(parents=True)
        state.mkdir()
        for name, text in TOOLS.items():
            script = text.replace("STATE", str(state)).replace("FULL", str(self.place / "full"))
            (tools / name).write_text(f"#!/bin/sh{script}")
            (tools / name).chmod(0o755)
        (state / "nginx.service").write_text("inactive\n")
        (state / "boot.nginx.service").write_text("enabled\n")
        plain = site.cw
        site.cw = ("unshare", "-m", "sh", "-c", MOUNTS, str(self.place), *plain)
        site.agent("web01", {"role": "web"}, self.rules)
        site.cw = plain

    def asked(self, *words: str) -> Finished:
        """A command to its end; its exit status must be what its answer says."""
        return self.answered(self.site.start_asking(*words))

    def answered(self, process: Process) -> Finished:
        """The same of one that has begun."""
        finished = process.finished()
        answer = finished.output.removeprefix("web01.example.com ")
        status, _, output = answer.partition("\n" if answer.split("\n")[0].isdigit() else " ")
        assert finished.status == (1 if int(status) else 0), finished
        lines = [line.removeprefix("    ") for line in output.splitlines()]
        return Finished(int(status), "\n".join(lines), finished.errors)


@pytest.fixture(scope="module")
def node(cw: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with account() as user, Site(tmp_path_factory.mktemp("acting"), cw) as site:
        site.broker()
        yield Node(site, user.name)


STORY = [
    ("package hello version", 1, "not installed: hello (available: 2.0-1)"),
    ("show package hello", 1, "not installed: hello (available: 2.0-1)"),
    ("package hello latest", 0, "2.0-1"),
    ("package hello install 1.0", 0, "1.0"),
    ("show package hello", 0, "latest=2.0-1\nname=hello\nversion=1.0"),
    ("package hello install", 0, "2.0-1"),
    ("package hello version", 0, "2.0-1"),
    ("package hello remove", 0, ""),
    ("package hello remove", 0, ""),
    ("package recache", 0, ""),
    ("package nosuch install", 1, "unknown package: nosuch"),
    ("show package nosuch", 1, "unknown package: nosuch"),
    ("package big install", 1, "cannot install big: Write error - write (28: No space left on device)"),
    ("package a/b version", 2, "not a package: 'a/b' (expected: NAME or NAME:ARCHITECTURE)"),
    ("service nginx status", 1, "stopped"),
    ("show service nginx.service", 0, "boot=enabled\nname=nginx\nstate=stopped"),
    ("service nginx.service start", 0, ""),
    ("service nginx status", 0, "running"),
    ("service nginx restart", 1, "cannot restart nginx: Job for nginx.service failed."),
    ("service nginx disable", 0, ""),
    ("service nginx stop", 0, ""),
    ("show service nginx", 0, "boot=disabled\nname=nginx\nstate=stopped"),
    ("service nginx enable", 0, ""),
    ("service nosuch start", 1, "unknown service: nosuch"),
    ("show service nosuch", 1, "unknown service: nosuch"),
]


def test_packages_and_services(node: Node) -> None:
    locked = node.site.start_asking("package", "locked", "install", "-t", "120")  # half a minute passes
    for words, status, output in STORY:
        answer = node.asked(*words.split())
        assert (answer.status, answer.output) == (status, output), words
    lock = "Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 30657 (apt-get)"
    held = f"the package manager is locked by another program: {lock}"
    assert node.answered(locked)[:2] == (1, held)


def test_files(node: Node) -> None:
    text = "one\ntwo $(x)\n"
    file, link, way = node.place / "file", node.place / "link", node.place / "way"
    file.write_text(text)
    file.chmod(0o604)
    os.utime(file, (1, 1_600_000_000))
    link.symlink_to(file)
    way.symlink_to(node.place)
    shown = f"gid=0\nmode=0604\nmtime=1600000000\npath={file}\nsize=13\nuid=0"
    assert node.asked("show", "file", str(file)) == (0, shown, "1 answered: 1 ok\n")
    assert node.asked("file", str(file), "sha1").output == hashlib.sha1(text.encode()).hexdigest()
    assert node.asked("file", str(file), "get").output == text.rstrip()
    for path, why in (
        (link, f"not a regular file: {link} (symbolic link)"),
        (way / "file", f"not followed: {way}/file leads through a symbolic link"),
        (node.place, f"not a regular file: {node.place} (directory)"),
        (node.place / "nothing", f"no such file: {node.place}/nothing"),
    ):
        for words in (("show", "file", str(path)), ("file", str(path), "get")):
            assert node.asked(*words)[:2] == (1, why)


def test_accounts(node: Node) -> None:
    assert "home=/root\n" in node.asked("show", "user", "root").output
    assert node.asked("show", "group", "root").output == "gid=0\nmembers=\nname=root"
    assert node.asked("show", "user", "no-such-user")[:2] == (1, "no such user: no-such-user")
    assert node.asked("show", "group", "no-such-group")[:2] == (1, "no such group: no-such-group")


def test_programs(node: Node) -> None:
    printed = node.asked("exec", "--", "printf", "<%s>", "a  b", "$(id)", "-w", "*", "")
    assert (printed.status, printed.output) == (0, "<a  b><$(id)><-w><*><>")
    assert node.asked("exec", "--", "no-such-program")[:2] == (127, "program not found: no-such-program")
    refused = "cannot run /etc/passwd: (13) Permission denied"
    assert node.asked("exec", "--", "/etc/passwd")[:2] == (126, refused)
    failed = node.asked("exec", "--stderr", "--", "ls", "/no-such-directory")
    assert (failed.status, failed.output) == (2, "")
    assert "web01.example.com: ls: cannot access '/no-such-directory': No such file" in failed.errors
    assert "ls: cannot access" not in node.asked("exec", "--", "ls", "/no-such-directory").errors
    both = ("exec", "--", "sh", "-c", "echo out; echo err >&2")
    assert node.asked(*both) == (0, "out", "1 answered: 1 ok\n")
    assert node.asked("exec", "--stderr", *both[1:]) == (
        0,
        "out",
        "web01.example.com: err\n1 answered: 1 ok\n",
    )
    full = node.asked("exec", "--stderr", "--", "cp", "/etc/passwd", str(node.place / "full" / "x"))
    assert full.status == 1
    assert "No space left on device" in full.errors


def test_a_shell_only_where_it_is_asked_for_and_as_the_user_of_the_rule(node: Node) -> None:
    user = node.rules.split(" as ")[1].split("\n")[0]
    shown = node.asked("exec", "--shell", "id -un | tr a-z A-Z; echo $((6*7)); exit 3", "-q")
    assert shown == (3, f"{user.upper()}\n42", "")
    denied = node.asked("exec", "--stderr", "--", "cat", "/etc/shadow")
    assert (denied.status, denied.output) == (1, "")
    assert "cat: /etc/shadow: Permission denied" in denied.errors
    assert node.asked("exec", "--", "id", "-un").output == "root"
    refused = "cannot read /etc/shadow: (13) Permission denied"
    assert node.asked("file", "/etc/shadow", "get")[:2] == (1, refused)
    unknown = "cannot run as no-such-user: no such user here"
    assert node.asked("exec", "--", "id")[:2] == (125, unknown)
    entries = audited(node.site.directory / "web01" / "cogd.audit")
    assert [one["run_as"] for one in entries if "run_as" in one] == [user, user, user, "no-such-user"]


@pytest.mark.parametrize("end", ["gone", "told"])
def test_a_client_that_leaves_stops_nothing_that_executes(node: Node, end: str) -> None:
    """`told`: at its timeout the client says BYE. Ctrl-C is another thing: that cancels."""
    fifo, done = node.place / f"{end}.fifo", node.place / f"{end}.done"
    os.mkfifo(fifo)
    script = f"read x < {fifo} && echo $x > {done}"
    words = ("exec", "--", "sh", "-c", script)
    client = node.site.start_asking(*(("-t", "0.5") if end == "told" else ()), *words)
    begun(node.site, "web01", f'exec -- sh -c "{script}"')
    if end == "gone":
        client.signal(signal.SIGKILL)
    assert client.finished().status == (-signal.SIGKILL if end == "gone" else 5)
    fifo.write_text("yes\n")
    until(lambda: done.exists() and done.read_text() == "yes\n", "done")


def stubborn(notes: Path) -> tuple[str, ...]:
    """A command that will not end, and writes its processes there."""
    notes.touch()
    return ("exec", "--", sys.executable, "-ISc", STUBBORN, str(notes))


def ended(notes: Path) -> int:
    """Wait until those who have written there have ended; how many that were."""
    pids = [int(pid) for pid in notes.read_text().split()]
    until(lambda: all(state(pid) in ("", "Z") for pid in pids), "ended")
    return len(pids)


def test_nothing_survives_ctrl_c(node: Node) -> None:
    notes = node.place / "interrupted"
    client = node.site.start_asking("-t", "120", *stubborn(notes))
    until(lambda: notes.read_text().count("\n") == 2, "noted")
    client.signal(signal.SIGINT)
    finished = client.finished()
    assert finished.status == 130
    assert finished.output.startswith("web01.example.com 125 fault: cancelled at ")
    assert ended(notes) == 2


def test_nothing_survives_the_run_time(node: Node) -> None:
    """With more time on each try, until it has come so far that there is all of it to be ended."""
    for seconds in (1, 4, 16):
        notes = node.place / f"overrun-{seconds}"
        answer = node.asked("-t", "120", "--run-time", str(seconds), *stubborn(notes))
        assert answer[:2] == (124, "killed: run time")
        if ended(notes) == 2:
            return
    raise AssertionError("it was never whole")


def test_what_waited_longer_than_its_user_did_is_not_run(cw: tuple[str, ...], tmp_path: Path) -> None:
    with Site(tmp_path, cw) as site:
        site.broker()
        site.agent("web01", None, None, "limits.concurrent=1")
        go, done = tmp_path / "go", tmp_path / "done"
        line = f"until test -e {go}; do sleep 0.01; done"
        first = site.start_asking("exec", "--shell", line)
        begun(site, "web01", f'exec --shell "{line}"')
        late = site.ask("exec", "-t", "0.5", "--", "touch", str(done), status=5)
        assert (late.output, late.errors) == ("web01.example.com - silent\n", "0 answered; 1 silent\n")
        go.touch()
        assert first.finished().status == 0
        audit = tmp_path / "web01" / "cogd.audit"
        until(lambda: audited(audit)[-1]["event"] == "expired", "expired")
        assert site.ask("exec", "--", "test", "-e", str(done), status=1).output == "web01.example.com 1\n"


def test_what_the_node_does_not_allow(cw: tuple[str, ...], tmp_path: Path) -> None:
    with Site(tmp_path, cw) as site:
        site.broker()
        site.agent("web01")
        site.agent("web02", {}, f"allow {site.user} ALL effect reads\n")
        site.agent("web03", {}, None, 'agent.max_effect="reads"')
        assert (
            site.ask("show", "user", "root", "-w", "sys.fqdn=/0[23]/").errors
            == "2 answered: 2 ok; 1 opted out\n"
        )
        for words in (("exec", "--", "true"), ("package", "x", "install"), ("service", "x", "stop")):
            asked = site.ask(*words[:1], "-w", "sys.fqdn=/0[23]/", *words[1:], status=1)
            name = f"{words[0]} {words[1] if words[0] == 'exec' else words[2]}"
            assert asked.output == (
                f"web03.example.com 126 {name} executes: more than agent.max_effect = 'reads' allows here\n"
            )
            assert asked.errors == "1 answered: 1 failed; 1 opted out; 1 denied\n"
        acls = site.ask("show", "acls", "-w", "sys.fqdn=web02.example.com")
        assert acls.output == f"web02.example.com 0 allow {site.user} ALL effect reads\n"
