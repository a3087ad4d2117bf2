"""Commands of a site's own: asked of a real broker, and run by real agents that have never heard of them."""

import json
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import conf.client
from tests.e2e.harness import Process, Site, audited

SAMPLES = Path(conf.client.__file__).parent / "commands"

FILES = {
    "greet.pn": """
fn mesh.greet
  pop %c
  pop %a
  next:
    sub %c 1
    eq %c 0  jz done
    pop %a
    print "hello, %[a]s\\n"
    jmp next
  done: retv 0
""",
    "greet.toml": """
[[command]]
usage = "greet NAME…"
sentence = "says hello to all who are named"
effect = "pure"
arguments = { NAME = "text" }
""",
    "role.pn": """
#include shared
#include stdlib
fn show.role
  fact.get "role" %a
  call shared.answer
""",
    "role.toml": """
[[command]]
usage = "show role"
function = "show.role"
sentence = "prints what the node is for"
effect = "reads"
""",
    "shared.pn": 'fn shared.answer\n  print "it is %[a]s\\n"\n  retv 0\n',
    "say.pn": """
fn mesh.say
  pop %c
  pop %a
  add %c 1
  push "[%s]\\n"
  push "printf"
  exec.argv %c
  acc %d
  retv %d
""",
    "say.toml": """
[[command]]
usage = "say [TEXT…]"
sentence = "has printf say it"
effect = "executes"
arguments = { TEXT = "text" }
""",
}

ODD = ("a  b", "it's", '"q"', "$(id)", "*", "", "-n", "ü\n")
"""Words that a shell, a splitter or an option parser would spoil."""


class Mesh:
    """A broker with the site's commands, an agent that may do everything and one that may only read."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.commands = site.home / "commands"
        for name, text in FILES.items():
            self.drop(name, text)
        self.broker = site.broker()
        self.wide = self._agent("wide", "executes")
        self.narrow = self._agent("narrow", "reads")

    def _agent(self, name: str, most: str) -> Process:
        return self.site.agent(name, {"role": name}, None, f'agent.max_effect="{most}"')

    def drop(self, name: str, text: str) -> None:
        """Put a file into the directory, whole."""
        new = self.site.directory / name
        new.write_text(text)
        new.chmod(0o644)
        new.rename(self.commands / name)

    def rule(self, name: str, rules: str) -> None:
        """Have these rules in force on an agent, USER in them who asks."""
        agent = {"wide": self.wide, "narrow": self.narrow}[name]
        line = f"{self.site.directory / name / 'acl'} was read again"
        times = agent.log.count(line) + 1
        (self.site.directory / name / "acl").write_text(rules.replace("USER", self.site.user))
        agent.signal(signal.SIGHUP)
        agent.wait_for(f"{re.escape(line)}$", times)

    def ask(self, *words: str, status: int = 0) -> list[str]:
        """What the nodes answer, a line each, without the domain."""
        finished = self.site.ask("--sort", "-q", *words, status=status)
        assert finished.errors == ""
        return finished.output.replace(".example.com", "").splitlines()


@pytest.fixture(scope="module")
def mesh(cw: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with Site(tmp_path_factory.mktemp("commands"), cw) as site:
        yield Mesh(site)


def test_a_pure_one(mesh: Mesh) -> None:
    assert mesh.ask("greet", "you there") == ["narrow 0 hello, you there", "wide 0 hello, you there"]
    assert mesh.ask("mesh", 'greet "a  b"', "-w", "role=wide") == ["wide 0 hello, a  b"]


def test_one_that_reads_and_includes_others(mesh: Mesh) -> None:
    assert mesh.ask("show", "role") == ["narrow 0 it is narrow", "wide 0 it is wide"]


def test_one_that_executes_gets_its_words_as_they_are(mesh: Mesh) -> None:
    said = mesh.site.ask("say", "-w", "role=wide", "--json", "--", *ODD)
    assert json.loads(said.output)[0]["output"] == "".join(f"[{word}]\n" for word in ODD)
    ran = [entry for entry in audited(mesh.site.directory / "wide" / "cogd.audit") if entry["event"] == "ran"]
    assert ran[-1]["effect"] == "executes"
    assert re.fullmatch(r"site\.say/[0-9a-f]{8}", ran[-1]["module"])


def test_what_a_node_does_not_allow_at_all_is_refused_there(mesh: Mesh) -> None:
    narrow, wide = mesh.ask("say", "x", status=1)
    assert wide == "wide 0 [x]"
    assert re.fullmatch(
        r"narrow 126 say \(site\.say/[0-9a-f]{8}\) executes: "
        r"more than agent\.max_effect = 'reads' allows here",
        narrow,
    )


def test_the_first_word_is_a_subcommand(mesh: Mesh) -> None:
    where = mesh.site.asking()
    assert mesh.site.run("greet", "x", *where).lines == [
        "narrow.example.com 0 hello, x",
        "wide.example.com 0 hello, x",
    ]
    unknown = mesh.site.run("gret", "x", *where, status=2)
    assert unknown.errors == "cw: unknown command 'gret' (see cw --help)\n"
    elsewhere = mesh.site.run("greet", "x", *where, "--set", 'mesh.commands=""', status=2)
    assert elsewhere.errors == "cw: unknown command 'greet' (see cw --help)\n"


def test_the_help_has_them(mesh: Mesh) -> None:
    shown = mesh.site.ask("mesh", "--help").output.splitlines()
    assert "  of this site: greet NAME…; show role; say [TEXT…]" in shown
    shown = mesh.site.ask("greet", "--help").output.splitlines()
    assert shown[1:3] == [
        "  of this site:",
        "  greet NAME…                says hello to all who are named (effect: pure)",
    ]


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ("", ()),
        ("allow USER ALL", ("greet", "show role", "say")),
        ("allow USER ALL effect reads", ("greet", "show role")),
        ("allow USER ALL effect pure", ("greet",)),
        ('allow USER "greet *"', ("greet",)),
        ('allow USER ALL\ndeny USER "greet *"', ("show role", "say")),
        ('allow USER "say *" effect writes', ()),
        ('allow USER "show *"', ("show role",)),
    ],
)
def test_rules_see_words_and_effect(rules: str, allowed: tuple[str, ...], mesh: Mesh) -> None:
    mesh.rule("wide", rules)
    try:
        for words in ("greet x", "show role", "say x"):
            may = words.removesuffix(" x") in allowed
            said = mesh.ask(*words.split(), "-w", "role=wide", status=0 if may else 3)
            assert bool(said) is may
    finally:
        mesh.rule("wide", "allow USER ALL")


def test_a_denial_hides_whether_the_filters_match(mesh: Mesh) -> None:
    mesh.rule("wide", "allow USER ALL effect reads")
    try:
        for role in ("wide", "other"):
            finished = mesh.site.ask("say", "x", "-w", f"role={role}", status=3)
            assert finished.errors == "0 answered; 1 opted out; 1 denied\n"
    finally:
        mesh.rule("wide", "allow USER ALL")


def test_what_changes_is_in_force_and_what_breaks_is_not(mesh: Mesh) -> None:
    again = f"{re.escape(str(mesh.commands))} was read again$"
    before = mesh.broker.log.count(f"{mesh.commands} was read again")
    mesh.drop("greet.pn", FILES["greet.pn"].replace("hello", "good day"))
    mesh.broker.signal(signal.SIGHUP)
    mesh.broker.wait_for(again, before + 1)
    changed = ["wide 0 good day, x"]
    assert mesh.ask("greet", "x", "-w", "role=wide") == changed

    mesh.drop("greet.pn", "fn mesh.greet\n  prnt 1\n")
    mesh.broker.signal(signal.SIGHUP)
    mesh.broker.wait_for(r"/greet.pn:2: no instruction is called prnt: .*; the last good one stays in force$")
    assert mesh.ask("greet", "x", "-w", "role=wide") == changed

    mesh.drop("greet.pn", FILES["greet.pn"])
    mesh.broker.wait_for(again, before + 2)  # without being told
    assert mesh.ask("greet", "x", "-w", "role=wide") == ["wide 0 hello, x"]


def test_a_command_that_the_broker_does_not_know_is_refused_by_it(mesh: Mesh) -> None:
    """Its client's directory is another."""
    copy = mesh.site.directory / "copy"
    shutil.copytree(mesh.commands, copy)
    (copy / "late.toml").write_text('[[command]]\nusage = "late"\nsentence = "x"\neffect = "pure"\n')
    (copy / "late.toml").chmod(0o644)
    finished = mesh.site.ask("late", "--set", f'mesh.commands="{copy}"', status=3)
    known = "ping, show, package, service, file, exec, greet, say"
    assert finished.errors == f"cw: unrecognised command: late (expected one of: {known})\n"


def test_the_samples_work(mesh: Mesh) -> None:
    before = mesh.broker.log.count(f"{mesh.commands} was read again")
    for file in ("disk.pn", "disk.toml"):
        mesh.drop(file, (SAMPLES / file).read_text())
    mesh.broker.signal(signal.SIGHUP)
    mesh.broker.wait_for(f"{re.escape(str(mesh.commands))} was read again$", before + 1)
    for words in (("disk", "free"), ("disk", "free", "/"), ("disk", "inodes", "/")):
        said = mesh.ask(*words, "-w", "role=wide")
        assert said[0] == "wide 0"
        assert said[1].startswith("    Filesystem ")
        assert any(line.endswith(" /") for line in said[2:])
    (failed,) = mesh.ask("disk", "free", "/no such place", "-w", "role=wide", status=1)
    assert failed == "wide 1"
