"""Trust and rules change while everything runs: what is revoked ends, what is listed begins, by itself."""

import os
import re
import shlex
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from auth.keys import read_public, read_secret
from mesh.messages import Cancel, Command, Error, Optin, Result, Welcome
from tests.accounts import account, group, join
from tests.e2e.harness import Process, Site
from tests.e2e.raw import Agent, agent_key
from wire.noise import key_pair

UUID = "3f2b8c1e-0000-4000-8000-000000000001"
PONG = "web01.example.com 0 pong\n"


def trust(site: Site, database: str, *words: str) -> None:
    """`cw trust` for one of the broker's databases."""
    site.run("trust", "-d", str(site.home / database), *words)


def public(path: Path) -> str:
    return read_public(path.with_name(f"{path.name}.pub")).public.hex()


@contextmanager
def read_again(process: Process, file: Path, hurry: bool = True) -> Iterator[None]:
    """What the block does to a file is in force behind it: SIGHUP said so, or else the change itself did."""
    line = f"{re.escape(str(file))} was read again$"
    times = len(re.findall(line, process.log, re.MULTILINE)) + 1
    yield
    if hurry:
        process.signal(signal.SIGHUP)
    process.wait_for(line, times)


@contextmanager
def complained_of(process: Process, complaint: str) -> Iterator[None]:
    """What the block does to a file is complained of, and nothing else comes of it."""
    times = len(re.findall(complaint, process.log)) + 1
    yield
    process.signal(signal.SIGHUP)
    process.wait_for(complaint, times)


HURRY = {"by SIGHUP": True, "by the change of the file": False}


# Agents that are not trusted, or not any more.


def make_stranger(site: Site, name: str) -> Path:
    """A configuration for an agent that has no key, and that the broker has never heard of."""
    directory = site.directory / name
    directory.mkdir()
    broker = (site.home / "broker.key.pub").resolve()
    (directory / "acl").write_text(f"allow {site.user} ALL\n")
    (directory / "cogd.toml").write_text(
        f'[agent]\nbroker_key = "{broker}"\nkey = "agent.key"\nstate_dir = "state"\n'
        f'fqdn = "{name}.example.com"\n[audit]\nfile = ""\n'
    )
    return directory


def test_an_agent_without_a_key_makes_one_and_waits_to_be_trusted(
    cw: tuple[str, ...], tmp_path: Path
) -> None:
    """The broker's log has the very command that accepts it; then it connects by itself."""
    with Site(tmp_path / "a site", cw) as site:  # a name that a shell would split
        broker = site.broker()
        directory = make_stranger(site, "new")
        agent = site.start_agent("new")
        made = agent.wait_for(
            r"^cogd: made a key, (.+); .*: cw trust -d \S+ ([0-9a-f]{64})=new\.example\.com$"
        )
        key = directory / "agent.key"
        assert made[1] == str(key)
        assert made[2] == public(key)
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert read_secret(key, "encryption").secret.hex() not in agent.log
        agent.wait_for(f"^cogd: waiting to be trusted by {site.address}: ")
        refused = broker.wait_for(r"^meshd: agent .*127\.0\.0\.1 refused: .*; to accept it: cw (trust .*)$")
        assert made[2] in refused[0]
        assert site.ask("ping", status=6).errors == "0 answered\n"
        site.run(*shlex.split(refused[1]))
        agent.wait_for(f"^cogd: connected to {site.address}$")
        assert site.ask("ping").output == "new.example.com 0 pong\n"
        assert broker.log.count("refused") == 1


def test_the_key_that_an_agent_has_made_stays(site: Site) -> None:
    site.broker()
    directory = make_stranger(site, "new")
    agent = site.start_agent("new")
    agent.wait_for("waiting to be trusted")
    before = (directory / "agent.key").read_bytes(), (directory / "agent.key.pub").read_bytes()
    agent.stop()
    again = site.start_agent("new")
    again.wait_for("waiting to be trusted")
    assert "made a key" not in again.log
    assert ((directory / "agent.key").read_bytes(), (directory / "agent.key.pub").read_bytes()) == before


@pytest.fixture(scope="module")
def waiting(cw: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Process]]:
    """A broker, and the files of an agent that nobody has started; no test changes anything here."""
    with Site(tmp_path_factory.mktemp("waiting"), cw) as site:
        site.add_agent("web01")
        yield site, site.broker()


def test_a_refused_key_is_logged_once_a_minute(waiting: tuple[Site, Process]) -> None:
    site, broker = waiting
    keys = [key_pair(os.urandom(32)) for _ in range(2)]
    for number in (0, 0, 0, 1):
        with Agent(site, keys[number], "web09.example.com", UUID) as agent:
            assert agent.welcome == Error("untrusted", "this broker does not know the agent's key yet")
            assert agent.hear_all() == []
    broker.wait_for(f"refused: .*{keys[1].public.hex()}")
    assert len(re.findall(f"refused: .*{keys[0].public.hex()}", broker.log)) == 1


def test_an_agent_that_names_itself_otherwise_than_listed(waiting: tuple[Site, Process]) -> None:
    site, broker = waiting
    agent = site.start_agent("web01", 'agent.fqdn="web02.example.com"')
    said = agent.wait_for(f"^cogd: (waiting to be trusted by|no session with) {site.address}: .*$")[0]
    assert "this key is listed as web01.example.com, not web02.example.com" in said
    logged = broker.wait_for("^meshd: agent .* refused: .*listed as web01.example.com.*$")[0]
    assert "web02.example.com" in logged
    assert "cw trust" not in logged  # that would make two names of one key
    assert site.ask("ping", status=6).errors == "0 answered\n"


def test_any_agent_where_the_site_wants_it_so(site: Site) -> None:
    """Names are unproven there; but a listed key and its name belong together."""
    site.add_agent("web01")
    site.broker('auth.agent_trust="any"')
    with Agent(site, key_pair(os.urandom(32)), "web09.example.com", UUID) as stranger:
        assert isinstance(stranger.welcome, Welcome)
    with Agent(site, agent_key(site, "web01"), "web02.example.com", UUID) as liar:
        assert isinstance(liar.welcome, Error)
    with Agent(site, key_pair(os.urandom(32)), "web01.example.com", UUID) as impostor:
        assert isinstance(impostor.welcome, Error)


@pytest.mark.parametrize("hurry", HURRY.values(), ids=HURRY)
def test_an_agent_whose_key_is_revoked(site: Site, hurry: bool) -> None:
    """Its session ends, it waits to be trusted again, and comes back by itself when it is."""
    broker = site.broker()
    agent = site.agent("web01")
    key = public(site.directory / "web01" / "agent.key")
    with read_again(broker, site.home / "agents", hurry):
        trust(site, "agents", "--revoke", f"{key}=web01.example.com")
    agent.wait_for(f"^cogd: lost {site.address}: ")
    assert site.ask("ping", status=6).errors == "0 answered\n"
    agent.wait_for(f"^cogd: waiting to be trusted by {site.address}: ")
    trust(site, "agents", f"{key}=web01.example.com")
    agent.wait_for(f"^cogd: connected to {site.address}$", times=2)
    assert site.ask("ping").output == PONG


def test_an_agent_that_is_listed_under_another_name(site: Site) -> None:
    """A session goes by the name that its key is listed for: it does not outlive the name."""
    broker = site.broker()
    agent = site.agent("web01")
    database = site.home / "agents"
    with read_again(broker, database):
        database.write_text(database.read_text().replace("web01.example.com", "web02.example.com"))
    agent.wait_for(f"^cogd: lost {site.address}: ")
    agent.wait_for("this key is listed as web02.example.com, not web01.example.com")


def opted_in(agent: Agent) -> int:
    """Have a node take part in the next command, and never answer it; the command's serial."""
    heard = agent.hear()
    assert isinstance(heard.message, Command)
    agent.say(Optin(), serial=heard.serial)
    return heard.serial


def test_what_a_revoked_agent_owes_is_lost(site: Site) -> None:
    broker = site.broker()
    site.add_agent("web01")
    with Agent(site, agent_key(site, "web01"), "web01.example.com", UUID) as agent:
        asking = site.start_asking("ping")
        opted_in(agent)
        with read_again(broker, site.home / "agents"):
            trust(
                site,
                "agents",
                "--revoke",
                f"{public(site.directory / 'web01' / 'agent.key')}=web01.example.com",
            )
        asked = asking.finished()
        assert [one.message for one in agent.hear_all()] == [
            Error("untrusted", "the agent's key was revoked")
        ]
    assert (asked.status, asked.output) == (5, "web01.example.com - lost\n")
    assert asked.errors == "0 answered; 1 lost\n"


# Users.


@pytest.mark.parametrize("hurry", HURRY.values(), ids=HURRY)
def test_a_user_whose_key_is_revoked(site: Site, hurry: bool) -> None:
    broker = site.broker()
    site.agent("web01")
    entry = f"{public(site.home / f'{site.user}.key')}={site.user}"
    assert site.ask("ping").output == PONG
    with read_again(broker, site.home / "trusted", hurry):
        trust(site, "trusted", "--revoke", entry)
    assert site.ask("ping", status=3).errors == "cw: authentication failed\n"
    trust(site, "trusted", entry)
    assert site.ask("ping").output == PONG


def test_what_a_revoked_key_has_asked_for_is_cancelled(site: Site) -> None:
    """The user hears it at once, and so do the nodes that are still at it."""
    broker = site.broker()
    site.add_agent("web01")
    with Agent(site, agent_key(site, "web01"), "web01.example.com", UUID) as agent:
        asking = site.start_asking("ping")
        serial = opted_in(agent)
        with read_again(broker, site.home / "trusted"):
            trust(site, "trusted", "--revoke", f"{public(site.home / f'{site.user}.key')}={site.user}")
        asked = asking.finished()
        heard = agent.hear()
        agent.say(Result(0, b"too late\n", b"", False, 0), serial=serial)
    assert (heard.serial, heard.message) == (serial, Cancel())
    assert (asked.status, asked.output) == (3, "")
    assert asked.errors.splitlines()[-1] == "cw: the key was revoked"
    assert "too late" not in asked.output


def test_groups_are_known_anew_after_sighup(site: Site) -> None:
    """They are remembered for a while; who has just joined one need not wait for it."""
    broker = site.broker("auth.groups_ttl=3600")
    with group() as ops, account() as alice:
        node = site.agent("web01", None, f"allow %{ops} ALL\n")
        key = site.directory / "alice.key"
        site.run("cert", "-t", "user", "-i", alice.name, "-f", str(key))
        trust(site, "trusted", f"{public(key)}={alice.name}")
        words = ["ping", "-u", alice.name, "-k", str(key)]
        assert site.ask(*words, status=3).errors == "0 answered; 1 denied\n"
        join(alice.name, ops)
        assert site.ask(*words, status=3).errors == "0 answered; 1 denied\n"
        with read_again(broker, site.home / "trusted"):
            os.utime(site.home / "trusted")
        assert site.ask(*words).output == PONG
    assert node.log.count("connected to") == 1


# Rules.


def put(file: Path, text: str) -> None:
    """Give a file another content in one step, as an editor would."""
    new = file.with_name(f"{file.name}.new")
    new.write_text(text)
    os.replace(new, file)


@pytest.mark.parametrize("hurry", HURRY.values(), ids=HURRY)
def test_rules_that_change(site: Site, hurry: bool) -> None:
    """At the node and at the broker, without a lost session."""
    rules = site.home / "broker.acl"
    rules.write_text("")
    broker = site.broker(f'acl.file="{rules}"')
    agent = site.agent("web01")
    own = site.directory / "web01" / "acl"
    assert site.ask("ping").output == PONG
    with read_again(agent, own, hurry):
        put(own, f'allow {site.user} "show *"\n')
    assert site.ask("ping", status=3).errors == "0 answered; 1 denied\n"
    assert site.ask("show", "version").output == "web01.example.com 0 0.1.0\n"
    with read_again(broker, rules, hurry):
        put(rules, f'deny {site.user} "show version"\n')
    assert site.ask("show", "version", status=3).errors == "cw: permission denied\n"
    with read_again(agent, own, hurry), read_again(broker, rules, hurry):
        put(own, f"allow {site.user} ALL\n")
        put(rules, "")
    assert site.ask("ping").output == PONG
    assert agent.log.count("connected to") == 1


def test_an_agent_without_rules_denies_everything_until_it_has_some(site: Site) -> None:
    site.broker()
    rules = site.add_agent("web01") / "acl"
    rules.unlink()
    agent = site.start_agent("web01")
    agent.wait_for(f"^cogd: no access rules \\({re.escape(str(rules))}\\): every command is denied$")
    agent.wait_for("^cogd: connected to ")
    assert site.ask("ping", status=3).errors == "0 answered; 1 denied\n"
    with read_again(agent, rules):
        put(rules, f"allow {site.user} ALL\n")
    assert site.ask("ping").output == PONG


# What no longer parses.


def broken(text: str) -> str:
    return f"{text}this is no line of such a file\n"


def no_utf8(text: str) -> str:
    return f"{text}\udcff\n"


DAMAGES: dict[str, Callable[[str], str]] = {"a line that is none": broken, "bytes that are no text": no_utf8}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_no_longer_parses_changes_nothing(site: Site, damage: Callable[[str], str]) -> None:
    """The last good databases and rules stay in force, which is logged; what is mended is read again."""
    rules = site.home / "broker.acl"
    rules.write_text(f'deny {site.user} "show acls"\n')
    broker = site.broker(f'acl.file="{rules}"')
    agent = site.agent("web01", None, f'allow {site.user} ALL\ndeny {site.user} "show facts"\n')
    own = site.directory / "web01" / "acl"
    for process, file in (
        (broker, site.home / "trusted"),
        (broker, site.home / "agents"),
        (broker, rules),
        (agent, own),
    ):
        good = file.read_text()
        complaint = re.escape(str(file)) + r".*: expected .*; the last good (one|rules) stays? in force"
        with complained_of(process, complaint):
            new = file.with_name("damaged")
            new.write_bytes(damage(good).encode(errors="surrogateescape"))
            os.replace(new, file)
        assert site.ask("ping").output == PONG
        assert site.ask("show", "facts", status=3).errors == "0 answered; 1 denied\n"
        assert site.ask("show", "acls", status=3).errors == "cw: permission denied\n"
        assert len(re.findall(complaint, process.log)) == 1
        with read_again(process, file):
            put(file, good)
    assert agent.log.count("connected to") == 1
    assert "was revoked" not in broker.log


def test_a_database_that_is_gone_leaves_the_last_good_one(site: Site) -> None:
    broker = site.broker()
    site.agent("web01")
    for name in ("trusted", "agents"):
        with complained_of(broker, f"cannot read {re.escape(str(site.home / name))}: No such file"):
            (site.home / name).unlink()
    assert site.ask("ping").output == PONG


def test_an_audit_log_that_cannot_be_opened_again(site: Site) -> None:
    """SIGHUP asks for it; the broker and the agent say so, and go on with the file they have."""
    logs = site.directory / "logs"
    logs.mkdir()
    broker = site.broker(f'audit.file="{logs / "meshd"}"')
    site.add_agent("web01")
    agent = site.start_agent("web01", f'audit.file="{logs / "cogd"}"')
    agent.wait_for("^cogd: connected to ")
    logs.rename(site.directory / "moved")
    logs.write_text("in the way\n")
    for process, name in ((broker, "meshd"), (agent, "cogd")):
        log = re.escape(str(logs / name))
        with complained_of(process, f"cannot open the audit log {log}: .*; the old one stays in use$"):
            pass
    assert site.ask("ping").output == PONG
    for name in ("meshd", "cogd"):
        assert '"ping"' in (site.directory / "moved" / name).read_text()
    logs.unlink()  # the daemons make the directory
    with read_again(broker, site.home / "trusted"):
        os.utime(site.home / "trusted")
    assert site.ask("ping").output == PONG
    assert '"ping"' in (logs / "meshd").read_text()


def test_a_daemon_that_is_told_to_reload_a_hundred_times(site: Site) -> None:
    """It serves meanwhile, and loses no session."""
    broker = site.broker()
    agent = site.agent("web01")
    for _ in range(100):
        broker.signal(signal.SIGHUP)
        agent.signal(signal.SIGHUP)
        os.utime(site.home / "agents")
    assert site.ask("ping").output == PONG
    assert agent.log.count("connected to") == 1
    assert agent.stop().status == 0
    assert broker.stop().status == 0
