"""What both audit logs keep of a day's work: who asked what and how it ended, and no secret, no output."""

import gzip
import json
import os
import re
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from auth.keys import read_secret
from mesh.messages import Command, Optin
from tests.accounts import Account, account, pam_service
from tests.conftest import CHECKOUT
from tests.e2e.harness import PATIENCE, Process, Site, until
from tests.e2e.raw import Agent, Client, agent_key, request, user_key

UUID = "3f2b8c1e-0000-4000-8000-000000000001"
USUAL_LOGS = "/var/log/clockwork/*.audit"
OUTPUT = "what only the answer says"
WRONG = "wr0ng-and-typed-by-hand"
Line = dict[str, Any]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class Mesh(NamedTuple):
    site: Site
    user: Account
    broker: Process
    nodes: dict[str, Process]


def lines(path: Path) -> list[Line]:
    """An audit log, each line of which is a JSON object that says when and what."""
    read = [json.loads(line) for line in path.read_text().splitlines()]
    for line in read:
        assert TIME.fullmatch(line["time"])
        assert list(line)[:2] == ["time", "event"]
    return read


def brokers(site: Site) -> list[Line]:
    return lines(site.home / "meshd.audit")


def nodes(site: Site, name: str) -> list[Line]:
    return lines(site.directory / name / "cogd.audit")


@pytest.fixture
def mesh(site: Site) -> Iterator[Mesh]:
    """Two nodes of which one allows only ping, a user with a password and one with a key."""
    with (
        account() as user,
        pam_service("auth required pam_unix.so nodelay", "account required pam_unix.so") as pam,
    ):
        broker = site.broker(f'auth.pam_service="{pam}"', 'log.level="debug"')
        rules = f"allow {user.name} ALL\nallow {site.user} ALL\n"
        agents = site.agents({"web01": {"role": "web", "secret": OUTPUT}}, rules)
        agents |= site.agents({"db01": {"role": "db"}}, f'allow ALL "ping"\ndeny {user.name} ALL\n')
        yield Mesh(site, user, broker, agents)


def chosen(line: Line, *names: str) -> Line:
    return {name: line[name] for name in names}


COUNTS = ("sessions", "results", "optouts", "denied", "expired", "lost", "silent")


def counts(line: Line) -> Line:
    """The final counts that are not zero."""
    return {name: line[name] for name in COUNTS if line[name]}


def test_the_broker_keeps_who_asked_from_where_and_how_it_ended(mesh: Mesh) -> None:
    site, user = mesh.site, mesh.user
    site.ask("show", "fact", "secret", "-w", "role=web")
    site.ask("show", "version", "-k0", "-u", user.name, given=f"{user.password}\n")
    asked, ended, other, last = brokers(site)
    key = user_key(site).public.hex()
    assert chosen(asked, "event", "user", "address", "command", "filters", "mode") == {
        "event": "request",
        "user": site.user,
        "address": "127.0.0.1",
        "command": "show fact secret",
        "filters": ["role=web"],
        "mode": "run",
    }
    assert re.fullmatch(f"key {key[:16]}(?!{key[16]}).*", asked["authenticated"])
    assert (ended["event"], ended["ended"]) == ("done", "closed")
    assert counts(ended) == {"sessions": 2, "results": 1, "denied": 1}
    assert {name: ended[name] for name in asked if name not in ("time", "event")}.items() <= ended.items()
    assert chosen(other, "event", "user", "authenticated", "command", "filters") == {
        "event": "request",
        "user": user.name,
        "authenticated": "password",
        "command": "show version",
        "filters": [],
    }
    assert counts(last) == {"sessions": 2, "results": 1, "denied": 1}


def test_the_broker_keeps_every_refusal(mesh: Mesh) -> None:
    """Of strangers, of what is no command or filter, of what its rules deny, of agents."""
    site, user = mesh.site, mesh.user
    site.run("cert", "-t", "user", "-i", "stranger", "-f", str(site.directory / "stranger.key"))
    stranger = site.directory / "stranger.key"
    site.ask("ping", "-k", str(stranger), status=3)
    site.ask("ping", "-k0", "-u", user.name, given=f"{WRONG}\n", status=3)
    site.ask("ping", "-k0", status=3)
    for words, filters in ((("frobnicate",), ()), (("ping",), ("role",))):
        with Client(site) as client:
            client.ask(request(site.user, *words, filters=filters), user_key(site))
            client.hear_all()
    with Agent(site, agent_key(site, "web01"), "web07.example.com", UUID) as liar:
        liar.hear_all()
    refused = brokers(site)
    assert [line["event"] for line in refused] == ["refused"] * 5 + ["agent refused"]
    assert [(line["user"], line["code"]) for line in refused[:5]] == [
        (site.user, "authentication"),
        (user.name, "authentication"),
        (site.user, "authentication"),
        (site.user, "unrecognised"),
        (site.user, "invalid"),
    ]
    assert {line["address"] for line in refused} == {"127.0.0.1"}
    assert all(line["why"] for line in refused[:5])
    assert [line["command"] for line in refused[:5]] == ["ping", "ping", "ping", "frobnicate", "ping"]
    assert refused[5]["fqdn"] == "web07.example.com"


def test_a_request_that_its_user_left_is_kept_as_such(site: Site) -> None:
    site.broker()
    site.add_agent("web01")
    with Agent(site, agent_key(site, "web01"), "web01.example.com", UUID) as agent:
        asking = site.start_asking("ping")
        heard = agent.hear()
        assert isinstance(heard.message, Command)
        agent.say(Optin(), serial=heard.serial)
        asking.kill()
        with Client(site) as client:  # the broker deals with one thing after another
            client.ask(request(site.user, "show", "version"), user_key(site))
            again = agent.hear()
            agent.close()
            client.hear_all()
    first, left, second, lost = brokers(site)
    assert [line["event"] for line in (first, left, second, lost)] == ["request", "done", "request", "done"]
    assert left["ended"].startswith("connection lost: ")
    assert left["serial"] == f"{heard.serial:016x}"
    assert lost["serial"] == f"{again.serial:016x}"
    assert counts(lost) == {"sessions": 1, "lost": 1}


def test_a_node_keeps_what_it_ran_and_denied_and_refused_for_whom(mesh: Mesh) -> None:
    site, user = mesh.site, mesh.user
    site.ask("show", "fact", "secret")
    site.ask("show", "fact", "nosuch", "-w", "role=web", status=1)
    site.ask("ping", "-k0", "-u", user.name, "-w", "role=db", given=f"{user.password}\n", status=3)
    site.ask("ping", "-w", "secret=/(.*)*(.*)*(.*)*z/", status=1)
    site.ask("ping", "-w", "role=nobody", status=6)
    ran, ended, failed, status, refused = nodes(site, "web01")
    common = ("user", "authenticated", "broker", "command", "filters")
    expected = {
        "user": site.user,
        "authenticated": "key",
        "broker": site.address,
        "command": "show fact secret",
        "filters": [],
    }
    assert (ran["event"], ended["event"]) == ("ran", "ended")
    assert chosen(ran, *common) == chosen(ended, *common) == expected
    assert ran["serial"] == ended["serial"]
    assert (ended["status"], ended["fault"]) == (0, "")
    assert (failed["event"], failed["command"]) == ("ran", "show fact nosuch")
    assert (status["event"], status["status"]) == ("ended", 1)
    assert chosen(refused, "event", "status", "sentence") == {
        "event": "refused",
        "status": 125,
        "sentence": "filter too slow",
    }
    denied = nodes(site, "db01")
    assert [(line["event"], line["user"]) for line in denied if line["event"] == "denied"] == [
        ("denied", site.user),
        ("denied", site.user),
        ("denied", user.name),
    ]
    assert [line["command"] for line in denied if line["event"] == "denied"] == [
        "show fact secret",
        "show fact nosuch",
        "ping",
    ]
    serials = {line["serial"] for line in nodes(site, "web01")} - {refused["serial"]}
    assert serials <= {line["serial"] for line in brokers(site) if line["event"] == "done"}


def test_no_secret_and_no_output_is_kept_anywhere(mesh: Mesh) -> None:
    """Not in the audit logs, nor in what the daemons log, however much they log."""
    site, user = mesh.site, mesh.user
    assert OUTPUT in site.ask("show", "fact", "secret", "-w", "role=web").output
    site.ask("ping", "-k0", "-u", user.name, given=f"{user.password}\n")
    site.ask("ping", "-k0", "-u", user.name, given=f"{WRONG}\n", status=3)
    site.ask("ping", "-k0", "-u", "nobody-of-that-name", given=f"{user.password}\n", status=3)
    files = [site.home / "meshd.audit", *(site.directory / name / "cogd.audit" for name in mesh.nodes)]
    kept = "".join(file.read_text() for file in files)
    kept += "".join(process.log for process in (mesh.broker, *mesh.nodes.values()))
    pairs = [(site.home / f"{site.user}.key", "signing"), (site.home / "broker.key", "encryption")]
    pairs += [(site.directory / name / "agent.key", "encryption") for name in mesh.nodes]
    halves = [read_secret(path, kind).secret.hex() for path, kind in pairs]
    for secret in (user.password, json.dumps(user.password)[1:-1], WRONG, OUTPUT, "pong", *halves):
        assert secret not in kept
    assert user.name in kept
    audited = "".join(file.read_text() for file in files)
    public = [read_secret(path, kind).public.hex() for path, kind in pairs]
    assert not [key for key in public if key in audited]  # their first digits tell which
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_words_that_would_make_lines_of_their_own(mesh: Mesh) -> None:
    """A line stays a line, and says what came, whatever it was."""
    site = mesh.site
    word = 'x\n{"time":"2000-01-01T00:00:00.000Z","event":"done","user":"root"}\u2028\x1b[2J"\\'
    before = len(brokers(site))
    for user in (site.user, "root\nmallory"):
        with Client(site) as client:
            client.ask(request(user, "show", "fact", word), user_key(site))
            client.hear_all()
    added = brokers(site)[before:]
    assert [line["event"] for line in added] == ["refused", "refused"]
    assert [line["user"] for line in added] == [site.user, "root\nmallory"]
    assert "\x1b" not in (site.home / "meshd.audit").read_text()
    assert "\x1b" not in mesh.broker.log
    assert "\nmallory" not in mesh.broker.log


def commands(log: Path) -> list[str]:
    return [line["command"] for line in lines(log)]


@pytest.mark.parametrize("role", ["meshd", "cogd"])
def test_a_log_that_is_moved_away_is_followed_until_sighup_and_no_longer(site: Site, role: str) -> None:
    broker, agent = site.broker(), site.agent("web01")
    process, log, watched = {
        "meshd": (broker, site.home / "meshd.audit", site.home / "trusted"),
        "cogd": (agent, site.directory / "web01/cogd.audit", site.directory / "web01/acl"),
    }[role]
    site.ask("ping")
    old = log.rename(log.with_suffix(".1"))
    site.ask("show", "version")
    os.utime(watched)
    process.signal(signal.SIGHUP)
    process.wait_for(f"{re.escape(str(watched))} was read again$")
    site.ask("show", "acls")
    assert commands(old) == ["ping", "ping", "show version", "show version"]
    assert commands(log) == ["show acls", "show acls"]


def test_logrotate_loses_no_line_of_what_is_asked_meanwhile(site: Site) -> None:
    """As conf/logrotate has it; systemctl is the test's own, since no unit is."""
    units = {"meshd.service": site.broker(), "cogd.service": site.agent("web01")}
    logs = [site.home / "meshd.audit", site.directory / "web01/cogd.audit"]
    cases = "".join(f"'reload {unit}') kill -HUP {process.pid};;\n" for unit, process in units.items())
    tools = site.directory / "tools"
    tools.mkdir()
    (tools / "systemctl").write_text(f'#!/bin/sh\ncase "$*" in\n{cases}esac\n')
    (tools / "systemctl").chmod(0o755)
    shipped = (CHECKOUT / "conf/logrotate/clockwork").read_text()
    assert shipped.count(USUAL_LOGS) == 1
    rotation = site.directory / "rotation"
    rotation.write_text(shipped.replace(USUAL_LOGS, " ".join(map(str, logs))))
    rotation.chmod(0o644)

    def rotate() -> None:
        words = ["logrotate", "-v", "-f", "-s", str(site.directory / "rotated"), str(rotation)]
        path = f"{tools}:{os.environ['PATH']}:/usr/sbin"
        ended = subprocess.run(
            words, env={"PATH": path}, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        assert ended.returncode == 0, ended.stderr
        for log in logs:
            until(log.exists, f"made {log} again")

    site.ask("ping")
    asking = [site.start_asking("ping") for _ in range(8)]
    for times in range(1, 4):
        rotate()
        asking.extend(site.start_asking("ping") for _ in range(2))
        site.ask(*(["show", "version"] * (times == 2) or ["ping"]))
    assert [process.finished().status for process in asking] == [0] * len(asking)
    for log, event in zip(logs, ("done", "ended"), strict=True):
        kept = [*log.parent.glob(f"{log.name}*")]
        assert len(kept) == 4
        texts = [gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes() for p in kept]
        entries = [json.loads(line) for text in texts for line in text.splitlines()]
        ended = [entry["serial"] for entry in entries if entry["event"] == event]
        assert len(ended) == len(set(ended)) == len(asking) + 4
        assert len(entries) == 2 * len(ended)


def test_cw_audit_finds_in_both_logs_what_happened(mesh: Mesh) -> None:
    site, user = mesh.site, mesh.user
    site.ask("show", "fact", "nosuch", "-w", "role=web", status=1)
    site.ask("ping", "-k0", "-u", user.name, given=f"{WRONG}\n", status=3)
    site.ask("ping")
    broker = str(site.home / "meshd.audit")
    files = [broker, *(str(site.directory / name / "cogd.audit") for name in mesh.nodes)]

    def told(*words: str) -> list[str]:
        """What is shown, each line without its time."""
        shown = site.run("audit", *files, *words)
        assert shown.errors == ""
        return [line.partition("  ")[2] for line in shown.output.splitlines()]

    me = f"{site.user} at 127.0.0.1"
    assert told("--user", user.name) == [
        f"{user.name} at 127.0.0.1  ping  refused: Authentication failure (PAM code 7)"
    ]
    assert told("--verb", "show fact", "--outcome", "denied") == [
        f"{me}  show fact nosuch -w role=web  1 answered, 1 denied",
        f"{site.user} on db01.example.com  show fact nosuch -w role=web  denied",
    ]
    (failed,) = told("--outcome", "failed", "--since", "1h", "--node", "web01.example.com")
    assert re.fullmatch(
        rf"{site.user} on web01.example.com  show fact nosuch -w role=web  failed: status 1, \d+\.\d+ s",
        failed,
    )
    assert told("--verb", "ping", "--outcome", "ok")[0].startswith(
        f"{site.user} on web01.example.com  ping  ok"
    )
    assert site.run("audit", *files, "--until", "1h", status=1).output == ""
    originals = "".join(Path(file).read_text() for file in files)
    assert site.run("audit", *files, "--json").output == originals
    assert site.run("audit", "-", "--json", given=originals).output == originals


def test_nothing_is_kept_where_none_is_wanted(site: Site) -> None:
    site.broker('audit.file=""')
    site.add_agent("web01")
    agent = site.start_agent("web01", 'audit.file=""')
    agent.wait_for("^cogd: connected to ")
    assert site.ask("ping").output == "web01.example.com 0 pong\n"
    assert not list(site.directory.rglob("*.audit"))
