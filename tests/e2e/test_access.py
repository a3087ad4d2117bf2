"""Who may do what: access rules of real users and groups, judged by a real agent and a real broker."""

import grp
import os
import pwd
import signal
from collections.abc import Iterator

import pytest

from auth.keys import KeyFile, read_secret
from mesh.messages import Done, Error, Ok, Optout, Request
from tests.accounts import account, group
from tests.e2e.harness import Process, Site
from tests.e2e.raw import Client, Heard, kinds, request

FACTS = {"role": "web", "long": "a" * 60 + "b"}


class Mesh:
    """A node and a broker whose rules a test sets; alice is in the group ops, bob in none but his own."""

    def __init__(self, site: Site, names: dict[str, str]) -> None:
        self.site = site
        self.names = names
        self.keys = {person: self._key(names[person]) for person in ("alice", "bob")}
        self._files = {"broker": site.home / "broker.acl", "node": site.directory / "node" / "acl"}
        self._files["broker"].write_text("")
        self.processes: dict[str, Process] = {
            "broker": site.broker(f'acl.file="{self._files["broker"]}"'),
            "node": site.agent("node", FACTS, ""),
        }
        self._rules = {"broker": "", "node": ""}

    def _key(self, user: str) -> KeyFile:
        path = self.site.directory / f"{user}.key"
        self.site.run("cert", "-t", "user", "-i", user, "-f", str(path))
        key = read_secret(path, "signing")
        self.site.run("trust", "-d", str(self.site.home / "trusted"), f"{key.public.hex()}={user}")
        return key

    def rule(self, node: str, broker: str = "") -> None:
        """Have these rules in force, names in {}."""
        for where, rules in (("node", node), ("broker", broker)):
            text = rules.format(**self.names)
            if text != self._rules[where]:
                self._put_in_force(where, text)

    def _put_in_force(self, where: str, text: str) -> None:
        process, file = self.processes[where], self._files[where]
        line = f"{file} was read again"
        times = process.log.count(line) + 1
        new = file.with_suffix(".new")
        new.write_text(text)
        os.replace(new, file)
        process.signal(signal.SIGHUP)
        process.wait_for(f"{line}$", times)
        self._rules[where] = text

    def hear(self, person: str, asked: Request) -> list[Heard]:
        """All that the broker says to this request."""
        with Client(self.site) as client:
            client.ask(asked._replace(user=self.names[person]), self.keys[person])
            return client.hear_all()

    def verdict(self, person: str, *words: str) -> str:
        """What became of a command."""
        heard = self.hear(person, request("", *words))
        if kinds(heard) == ["Ok", "Optin", "Result", "Done"]:
            return "allowed"
        if kinds(heard) == ["Ok", "Done"] and heard[1].message == done(denied=1):
            return "denied by the node"
        assert [one.message for one in heard] == [Error("denied", "permission denied")]
        return "denied by the broker"


def done(**counts: int) -> Done:
    return Done(**{**dict.fromkeys(Done._fields, 0), "sessions": 1, **counts})


@pytest.fixture(scope="module")
def mesh(cw: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with group() as ops, account(ops) as alice, account() as bob:
        names = {"alice": alice.name, "bob": bob.name, "ops": ops, "part": ops[:-1]}
        with Site(tmp_path_factory.mktemp("access"), cw) as site:
            yield Mesh(site, names)


ALLOWED, DENIED = "allowed", "denied by the node"

RULES = [
    # No match means denied.
    ("", "alice", "ping", DENIED),
    ("# allow ALL ALL\n\n   # allow {alice} ALL", "alice", "ping", DENIED),
    ("allow {bob} ALL", "alice", "ping", DENIED),
    ('allow {alice} "ping"', "alice", "show version", DENIED),
    # Whom a rule is about.
    ("allow {alice} ALL", "alice", "ping", ALLOWED),
    ("allow {alice} ALL # on call", "alice", "ping", ALLOWED),
    ("allow ALL ALL", "bob", "ping", ALLOWED),
    ("allow %{ops} ALL", "alice", "ping", ALLOWED),
    ("allow %{ops} ALL", "bob", "ping", DENIED),
    ("allow %{alice} ALL", "alice", "ping", ALLOWED),  # the primary group
    ("allow %{bob} ALL", "alice", "ping", DENIED),
    ("allow %{part} ALL", "alice", "ping", DENIED),  # groups match whole names
    ("allow %{ops}x ALL", "alice", "ping", DENIED),
    ("allow {ops} ALL", "alice", "ping", DENIED),  # a group is no user
    # Patterns: words, the last of which may be `*`, any words or none.
    ('allow ALL "show version"', "bob", "show version", ALLOWED),
    ('allow ALL "show"', "bob", "show version", DENIED),
    ('allow ALL "show fact"', "bob", "show fact role", DENIED),
    ('allow ALL "show fact role"', "bob", "show fact role", ALLOWED),
    ('allow ALL "show fact role"', "bob", "show fact role long", DENIED),
    ('allow ALL "show fact role"', "bob", "show fact roles", DENIED),
    ('allow ALL "show fact *"', "bob", "show fact role long", ALLOWED),
    ('allow ALL "show facts *"', "bob", "show facts", ALLOWED),
    ('allow ALL "*"', "bob", "show fact role", ALLOWED),
    ("allow ALL *", "bob", "ping", ALLOWED),
    ('allow ALL "  show   version "', "bob", "show version", ALLOWED),
    ('allow ALL "SHOW VERSION"', "bob", "show version", DENIED),
    # The order: the last that matches wins, `deny` and `final` stop the search.
    ("allow {alice} ALL\ndeny {alice} ALL", "alice", "ping", DENIED),
    ("deny {alice} ALL\nallow {alice} ALL", "alice", "ping", DENIED),
    ("allow {alice} ALL final\ndeny {alice} ALL", "alice", "ping", ALLOWED),
    ('allow {alice} "ping" final\ndeny ALL ALL', "alice", "show version", DENIED),
    ('deny {alice} "ping" final\nallow {alice} ALL', "alice", "ping", DENIED),
    ('deny {alice} "show facts"\nallow {alice} ALL', "alice", "ping", ALLOWED),
    ('deny {alice} "show facts"\nallow {alice} ALL', "alice", "show facts", DENIED),
    ("allow ALL ALL\ndeny %{ops} ALL", "alice", "ping", DENIED),
    ("allow ALL ALL\ndeny %{ops} ALL", "bob", "ping", ALLOWED),
    ("allow {alice} ALL\ndeny %{alice} ALL", "alice", "ping", DENIED),
    ("allow {alice} ALL final\ndeny %{ops} ALL", "alice", "ping", ALLOWED),
    ('allow ALL "ping"\nallow {alice} "show *"', "alice", "show version", ALLOWED),
]


@pytest.mark.parametrize(("rules", "person", "words", "verdict"), RULES)
def test_rules_of_the_node(mesh: Mesh, rules: str, person: str, words: str, verdict: str) -> None:
    mesh.rule(rules)
    assert mesh.verdict(person, *words.split()) == verdict


MALFORMED = [
    'allow ALL "show fact*"',
    'allow ALL "show * role"',
    "permit ALL ALL",
    "allow ALL ping",
    "allow ALL",
    "allow ALL ALL last",
]


@pytest.mark.parametrize("rules", MALFORMED)
def test_rules_that_are_none_are_never_in_force(mesh: Mesh, rules: str) -> None:
    """An agent does not start with them; one line says where they are."""
    site = mesh.site
    file = site.directory / "bad.acl"
    file.write_text(f"# bad\n{rules}\n")
    words = ["cogd", "-c", str(site.directory / "node" / "cogd.toml"), "--set", f'acl.file="{file}"']
    refused = site.run(*words, "--test", status=2)
    assert refused.errors.startswith(f"cw: {file}:2: expected ")
    assert refused.errors.count("\n") == 1


def test_the_groups_are_real(mesh: Mesh) -> None:
    """The table above means what it says: one group by membership, one only as the account's own."""
    alice = mesh.names["alice"]
    assert alice in grp.getgrnam(mesh.names["ops"]).gr_mem
    assert grp.getgrgid(pwd.getpwnam(alice).pw_gid).gr_name == alice
    assert alice not in grp.getgrnam(alice).gr_mem


BROKER = "denied by the broker"
LISTS = [
    # (broker's, node's, words, verdict of alice's command)
    ("", "allow {alice} ALL", "ping", ALLOWED),  # no match passes on
    ("allow {bob} ALL", "allow {alice} ALL", "ping", ALLOWED),
    ("allow {alice} ALL", "allow {alice} ALL", "ping", ALLOWED),
    ("allow {alice} ALL", "", "ping", DENIED),  # the broker cannot allow for the node
    ("allow {alice} ALL final", "deny {alice} ALL", "ping", DENIED),
    ("deny {alice} ALL", "allow {alice} ALL final", "ping", BROKER),  # nor the node for the broker
    ("deny %{ops} ALL", "allow {alice} ALL", "ping", BROKER),
    ("deny %{alice} ALL", "allow {alice} ALL", "ping", BROKER),
    ("deny %{bob} ALL", "allow {alice} ALL", "ping", ALLOWED),
    ('deny ALL "show facts *"', "allow ALL ALL", "show facts", BROKER),
    ('deny ALL "show facts *"', "allow ALL ALL", "show fact role", ALLOWED),
    ('allow {alice} "ping" final\ndeny ALL ALL', "allow ALL ALL", "ping", ALLOWED),
    ('allow {alice} "ping" final\ndeny ALL ALL', "allow ALL ALL", "show version", BROKER),
]


@pytest.mark.parametrize(("broker", "node", "words", "verdict"), LISTS)
def test_lists_are_judged_apart(mesh: Mesh, broker: str, node: str, words: str, verdict: str) -> None:
    mesh.rule(node, broker)
    assert mesh.verdict("alice", *words.split()) == verdict


def test_what_the_broker_denies_reaches_no_node(mesh: Mesh) -> None:
    mesh.rule("allow ALL ALL", 'deny {alice} "show acls"')
    user = mesh.names["alice"]
    key = mesh.site.directory / f"{user}.key"
    asked = mesh.site.ask("show", "acls", "-u", user, "-k", str(key), status=3)
    assert (asked.output, asked.errors) == ("", "cw: permission denied\n")
    assert (
        mesh.verdict("alice", "show", "facts") == ALLOWED
    )  # whatever came before would be in the log by now
    assert '"show acls"' not in (mesh.site.directory / "node" / "cogd.audit").read_text()


def asked_with(*filters: str, mode: str = "run", optouts: bool = False) -> Request:
    return request("", "ping", filters=filters)._replace(mode=mode, optouts=optouts)


QUESTIONS = {
    "no filter": asked_with(),
    "a filter that matches": asked_with("role=web"),
    "one that does not": asked_with("role=db"),
    "a fact that is not there": asked_with("nosuch=1"),
    "a pattern that never ends": asked_with("long=/(a+)+$/"),
    "opt-outs by name": asked_with("role=db", optouts=True),
    "a plan": asked_with("role=web", mode="plan"),
    "a plan that does not match": asked_with("role=db", mode="plan", optouts=True),
}


@pytest.mark.parametrize("asked", QUESTIONS.values(), ids=QUESTIONS)
def test_rules_come_before_everything_that_would_tell_of_the_node(mesh: Mesh, asked: Request) -> None:
    """Without rights there, whatever is asked is one more DENIED in the count, and never an opt-out."""
    mesh.rule("allow {bob} ALL")
    heard = mesh.hear("alice", asked)
    assert [one.message for one in heard] == [Ok(1), done(denied=1)]


def test_with_rights_an_opt_out_is_told(mesh: Mesh) -> None:
    """So that the test above can fail."""
    mesh.rule("allow {alice} ALL")
    heard = mesh.hear("alice", QUESTIONS["opt-outs by name"])
    assert [one.message for one in heard] == [Ok(1), Optout(), done(optouts=1)]
    assert heard[1].about is not None
    assert heard[1].about.fqdn == "node.example.com"


def test_a_user_whom_the_broker_s_host_does_not_know(mesh: Mesh) -> None:
    """A listed key is not enough: a user without groups is never made up."""
    site = mesh.site
    mesh.rule("allow ALL ALL")
    key = site.directory / "ghost.key"
    site.run("cert", "-t", "user", "-i", "ghost-of-nobody", "-f", str(key))
    public = read_secret(key, "signing").public.hex()
    site.run("trust", "-d", str(site.home / "trusted"), f"{public}=ghost-of-nobody")
    asked = site.ask("ping", "-u", "ghost-of-nobody", "-k", str(key), status=3)
    assert asked.errors == "cw: the groups of ghost-of-nobody could not be looked up\n"


NODES = {"web01": {"role": "web"}, "web02": {"role": "web"}}


def test_denied_nodes_are_named_where_the_broker_says_so(site: Site) -> None:
    """By default they are only counted (test_first_query.py); acl.name_denied tells which."""
    site.broker("acl.name_denied=true")
    site.agents({"web01": NODES["web01"]})
    site.agents({"web02": NODES["web02"]}, f'allow {site.user} "ping"\n')
    asked = site.ask("show", "version")
    assert asked.lines == ["web01.example.com 0 0.1.0", "web02.example.com - denied"]
    assert asked.errors == "1 answered: 1 ok; 1 denied\n"
    asked = site.ask("show", "version", "--jsonl", "-w", "sys.fqdn=web02.example.com", status=3)
    assert '"fqdn": "web02.example.com"' in asked.output
    assert '"outcome": "denied"' in asked.output
    assert '"status": null' in asked.output


def test_rules_decide_what_a_user_is_shown_of_many_nodes(site: Site) -> None:
    """The same query over nodes with rules of their own: those that allow answer, the others are a number."""
    site.broker()
    site.agents({"web01": {}})
    site.agents({"web02": {}}, "")
    site.agents({"web03": {}}, f"deny {site.user} ALL\n")
    asked = site.ask("ping", "--optouts")
    assert (asked.output, asked.errors) == ("web01.example.com 0 pong\n", "1 answered: 1 ok; 2 denied\n")
    asked = site.ask("ping", "--json", "-w", "sys.fqdn=/0[23]/", status=3)
    assert (asked.output, asked.errors) == ("[]\n", "0 answered; 1 opted out; 2 denied\n")
