"""What both audit logs keep of a day's work: who asked what and how it ended, and no secret, no output."""

import json
import os
import re
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from auth.keys import read_secret
from mesh.messages import Command, Optin
from tests.accounts import Account, account, pam_service
from tests.e2e.harness import Process, Site
from tests.e2e.raw import Agent, Client, agent_key, request, user_key

UUID = "3f2b8c1e-0000-4000-8000-000000000001"
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


def test_logs_are_moved_away_by_others(mesh: Mesh) -> None:
    """SIGHUP begins new ones; what was written before stays in the old."""
    site = mesh.site
    site.ask("ping")
    logs = [site.home / "meshd.audit", *(site.directory / name / "cogd.audit" for name in mesh.nodes)]
    old = [log.rename(log.with_suffix(".1")) for log in logs]
    for process, watched in zip(
        (mesh.broker, *mesh.nodes.values()),
        (site.home / "trusted", *(site.directory / name / "acl" for name in mesh.nodes)),
        strict=True,
    ):
        os.utime(watched)
        process.signal(signal.SIGHUP)
        process.wait_for(f"{re.escape(str(watched))} was read again$")
    site.ask("show", "version")
    for before, after in zip(old, logs, strict=True):
        assert {line["command"] for line in lines(before)} == {"ping"}
        assert {line["command"] for line in lines(after)} == {"show version"}


def test_nothing_is_kept_where_none_is_wanted(site: Site) -> None:
    site.broker('audit.file=""')
    site.add_agent("web01")
    agent = site.start_agent("web01", 'audit.file=""')
    agent.wait_for("^cogd: connected to ")
    assert site.ask("ping").output == "web01.example.com 0 pong\n"
    assert not list(site.directory.rglob("*.audit"))
