"""What may stand at the cursor, position by position."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cw
from conf.client import KEYS
from conf.schema import MeshdConf, keys_of
from host.systems.actions import ACTIONS
from roles import completing
from roles.completing import INERT, Candidate, Choice, Files, choice, parser_of
from roles.completion import for_bash, line_words, main
from roles.options import FORMS, ONLY, OPTIONS
from roles.seen import Known
from tests.conftest import CHECKOUT

COMMANDS = cw.commands()
NAMES = [name for option in OPTIONS for name in option.names]
FACTS = ("role", "sys.arch", "sys.fqdn")


@pytest.fixture(autouse=True)
def _seen(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = ("db01.example.com", "web01.example.com", "web02.example.com")
    monkeypatch.setattr("roles.seen.known", lambda: Known(FACTS, hosts, ((12, "ping"), (7, "show facts"))))
    monkeypatch.setattr(
        completing, "_accounts", lambda path: ["root", "www-data", path.removeprefix("/etc/")]
    )


def choices(words: list[str], current: str) -> list[Candidate]:
    """What may stand there, where that is no name of a file."""
    found = choice(words, current, COMMANDS)
    assert isinstance(found, list)
    return found


def words_of(found: Choice) -> list[str] | Files:
    return found if isinstance(found, Files) else [one.word for one in found]


PLACES: list[tuple[str, list[str] | Files]] = [
    ("", list(COMMANDS)),
    ("sho", ["show"]),
    ("x", []),
    ("nonsense ", []),
    ("-", [name for name in NAMES if name.startswith("-")]),
    ("-c ", Files.FILES),
    ("-c x pi", ["ping"]),
    ("ping ", []),
    ("ping -", NAMES),
    ("ping --", [name for name in NAMES if name.startswith("--")]),
    ("ping --js", ["--json", "--jsonl"]),
    ("ping --json -", NAMES),
    ("ping --json --fold ", []),
    ("show ", ["version", "facts", "fact", "acls", "package", "service", "file", "user", "group"]),
    ("show -q ver", ["version"]),
    ("show version ", []),
    ("show acls ", ["for"]),
    ("show acls for ", ["root", "www-data", "passwd"]),
    ("show acls for %", ["%root", "%www-data", "%group"]),
    ("show user ", ["root", "www-data", "passwd"]),
    ("show group g", ["group"]),
    ("show fact ", list(FACTS)),
    ("show fact role sys.", ["sys.arch", "sys.fqdn"]),
    ("show file /e", Files.FILES),
    ("show file /e -t ", []),
    ("package ", ["recache"]),
    ("package nginx ", ["install", "remove", "version", "latest"]),
    ("package nginx install ", []),
    ("service nginx re", ["restart", "reload"]),
    ("file ", Files.FILES),
    ("file -", NAMES),
    ("file /etc/motd ", ["sha1", "get"]),
    ("exec ", ["--", "--shell"]),
    ("exec --sh", ["--shell"]),
    ("exec -- ", Files.FILES),
    ("exec -- ls -", Files.FILES),
    ("exec --shell ", []),
    ("mesh se", ["service"]),
    ("mesh show ver", ["version"]),
    ("ping -w ", ["role=", "sys.arch=", "sys.fqdn="]),
    ("ping -qw r", ["role="]),
    ("ping --where=r", ["--where=role="]),
    ("ping -w sys.fqdn=web", ["sys.fqdn=web01.example.com", "sys.fqdn=web02.example.com"]),
    ("ping --where=sys.fqdn=d", ["--where=sys.fqdn=db01.example.com"]),
    ("ping -w role=", []),
    ("ping -w x -w -w ", []),
    ("ping --only ", list(ONLY)),
    ("ping --only=f", ["--only=failed"]),
    ("ping --set mesh.b", ["mesh.broker=", "mesh.broker_key="]),
    ("ping --set=", [f"--set={key.path}=" for key in KEYS]),
    ("ping -u w", ["www-data"]),
    ("ping -k ", Files.FILES),
    ("ping --config=", Files.FILES),
    ("ping -t ", []),
    ("ping --nonsense ", []),
    ("ping --nonsense=", []),
    ("meshd --s", ["--set", "--show-config", "--status"]),
    ("meshd --set ", [f"{key.path}=" for key in keys_of(MeshdConf)]),
    ("meshd --set=broker.l", ["--set=broker.listen="]),
    ("meshd -c ", Files.FILES),
    ("meshd x", []),
    ("cogd --set acl.", ["acl.file="]),
    ("fact --set acl.", ["acl.file="]),
    ("cert -t ", ["user", "agent", "broker"]),
    ("cert --type=a", ["--type=agent"]),
    ("cert -t user -i ", []),
    ("cert -t user -", ["-h", "--help", "--version", "-t", "--type", "-i", "--identity", "-f", "--file"]),
    ("init ", Files.DIRECTORIES),
    ("init site ", []),
    ("init --site ", Files.DIRECTORIES),
    ("trust a.pub ", Files.FILES),
    ("trust -- -", Files.FILES),
    ("pn ", Files.FILES),
    ("pn -I ", Files.DIRECTORIES),
    ("pn x.pn -", Files.FILES),
    ("localsys ", list(ACTIONS)),
    ("localsys identify ", []),
    ("demo --k", ["--keep"]),
    ("jobs -", ["-h", "--help", "--version"]),
    ("job ", ["12", "7"]),
    ("job 12 --diff ", ["12", "7"]),
    ("job 12 --fold --s", ["--set", "--sort", "--seed", "--stderr"]),
    ("job 12 --re", ["--rerun"]),
    ("job 12 --rerun ", ["failed", "missing", "all"]),
    ("job 12 7 ", []),
    ("job 12 --nonsense ", []),
    ("ping --seed x --li", ["--limit"]),
    ("ping --pause 3 --ba", ["--batch"]),
    ("completion ", ["bash", "zsh", "fish"]),
]


@pytest.mark.parametrize(("line", "expected"), PLACES)
def test_what_may_stand_there(line: str, expected: list[str] | Files) -> None:
    *words, current = line.split(" ")
    assert words_of(choice(words, current, COMMANDS)) == expected


def test_what_a_site_adds_is_completed_too(tmp_path: Path) -> None:
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands" / "disk.toml").write_text(
        '[[command]]\nusage = "disk free [DIRECTORY]"\nsentence = "prints what is free"\neffect = "reads"\n'
        'arguments = { DIRECTORY = "directory" }\n'
    )
    (tmp_path / "cw.toml").write_text('[mesh]\ncommands = "commands"\n')
    given = ["-c", str(tmp_path / "cw.toml")]
    found = choice([*given], "di", COMMANDS)
    assert words_of(found) == ["disk"]
    assert words_of(choice([*given, "disk"], "", COMMANDS)) == ["free"]
    assert words_of(choice([*given, "disk", "free"], "", COMMANDS)) is Files.FILES
    assert words_of(choice(["disk", *given], "", COMMANDS)) == ["free"]


def test_words_have_the_sentences_of_the_help() -> None:
    assert choice([], "pin", COMMANDS) == [("ping", cw.VERBS["ping"])]
    assert choice(["show"], "acls", COMMANDS) == [("acls", "prints the access rules in force")]
    assert ("--json", FORMS[0].sentence) in choices(["ping"], "--json")
    assert choice(["job"], "1", COMMANDS) == [("12", "ping")]
    assert choice(["meshd"], "--test", COMMANDS) == [
        ("--test", "check configuration, keys and permissions and exit")
    ]


@pytest.mark.parametrize("name", [name for name in cw.ROLES if name not in ("localsys", "job")])
def test_every_role_says_how_its_command_line_is_read(name: str) -> None:
    """`cw completion` and `cw man` read it from there."""
    parser = parser_of(name, cw.ROLES[name][0], COMMANDS)
    assert parser.prog == f"cw {name}"
    for option in parser.options().values():
        assert parser.told(option)
        assert "\n" not in parser.told(option)


def test_nothing_that_a_shell_minds_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = ("$(id)", "a b", "a;b", "a'b", "x\x1b", "ok")
    monkeypatch.setattr("roles.seen.known", lambda: Known(hostile, hostile))
    monkeypatch.setattr(completing, "_accounts", lambda _: list(hostile))
    for words, expected in (
        (["show", "fact"], "ok"),
        (["ping", "-w"], "ok="),
        (["show", "user"], "ok"),
    ):
        assert words_of(choice(words, "", COMMANDS)) == [expected]
    assert words_of(choice(["ping", "-w"], "sys.fqdn=", COMMANDS)) == ["sys.fqdn=ok"]


def test_without_records_there_are_the_facts_that_every_node_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roles.seen.known", Known)
    found = {one.word for one in choices(["ping", "-w"], "")}
    assert {"sys.fqdn=", "sys.uuid=", "sys.hostid=", "time.hour=", "cw.version="} <= found


@given(
    st.lists(
        st.sampled_from([*COMMANDS, *NAMES, "--", "-", "a=b", "fact", ""]) | st.text(max_size=4), max_size=5
    )
)
def test_any_line_has_an_answer(line: list[str]) -> None:
    words, current = line[:-1], "".join(line[-1:])
    found = choice(words, current, COMMANDS)
    if not isinstance(found, Files):
        assert all(INERT.fullmatch(one.word) and one.word.startswith(current) for one in found)
        assert not any(mark in one.sentence for one in found for mark in "\t\n")


LINES = [
    ("cw sho", ["cw", "sho"], ""),
    ("cw  show ", ["cw", "show", ""], ""),
    ("cw ping -w 'a b' -w 'sys.f", ["cw", "ping", "-w", "a b", "-w", "sys.f"], "'"),
    ('cw ping -w "sys', ["cw", "ping", "-w", "sys"], '"'),
    ("cw ping -w '", ["cw", "ping", "-w", ""], "'"),
    ("cw a\\ b\\", ["cw", "a b"], ""),
    ("cw 'a'\"b'c", ["cw", "ab'c"], '"'),
    ("cw $(id) `id` #", ["cw", "$(id)", "`id`", "#"], ""),
]


@pytest.mark.parametrize(("line", "words", "quote"), LINES)
def test_words_of_an_unfinished_line(line: str, words: list[str], quote: str) -> None:
    assert line_words(line) == (words, quote)


@given(st.text("ab '\"\\x$\n", max_size=12))
def test_any_text_has_words(text: str) -> None:
    words, quote = line_words(text)
    assert words
    assert quote in {"", "'", '"'}


FOR_BASH = [
    ("cw ping --only=f", "f", ["failed"]),
    ("cw ping --only=", "", ["ok", "failed", "lost", "optout"]),
    ("cw ping -w sys.fqdn=d", "d", ["db01.example.com"]),
    ("cw ping -w 'sys.fqdn=d", "'sys.fqdn=d", ["sys.fqdn=db01.example.com"]),
    ("cw ping -w sys.f", "sys.f", ["sys.fqdn="]),
    ("cw ping -w 'sys.f", "'sys.f", ["sys.fqdn=", "sys.fqdn=/"]),
    ("cw ping -w 'sys.", "'sys.", ["sys.arch=", "sys.fqdn="]),
    ("cw sh\\ow", "sh\\ow", []),
]


@pytest.mark.parametrize(("line", "word", "expected"), FOR_BASH)
def test_bash_gets_what_it_does_not_hold_for_finished(line: str, word: str, expected: list[str]) -> None:
    assert words_of(for_bash(line, word, COMMANDS)) == expected


def test_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--words", "bash", "sho", "cw sho"], COMMANDS) == 0
    assert capsys.readouterr().out == "show\n"
    assert main(["--words", "zsh", "cert", "-t", "u"], COMMANDS) == 0
    assert capsys.readouterr().out == "user\t\n"
    assert main(["--words", "fish", "show", "version", ""], COMMANDS) == 0
    assert main(["--words", "fish", "ping", "-k", ""], COMMANDS) == 10
    assert main(["--words", "bash", "", "cw init "], COMMANDS) == 11
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cw.main(["completion", shell]) == 0
    assert capsys.readouterr().out == (CHECKOUT / "roles" / "shells" / f"cw.{shell}").read_text()


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cw.main(["completion", "zhs"]) == 2
    assert cw.main(["completion"]) == 2
    assert capsys.readouterr().err == (
        "cw: SHELL: expected one of bash, zsh, fish, got 'zhs': did you mean 'zsh'?\n"
        "cw: the following arguments are required: SHELL (see cw completion --help)\n"
    )


SCRIPT = """
import sys
sys.path[:0] = sys.argv[1:2]
before = set(sys.modules)
import cw
assert cw.main(["completion", "--words", "zsh", *sys.argv[2:]]) == 0
import json, roles.lean
real = [name for name in set(sys.modules) - before if not isinstance(sys.modules[name], roles.lean.Postponed)]
print(json.dumps(real), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("words", "spared"),
    [
        (["sho"], {"argparse", "sqlite3", "attrs", "roles.client", "nacl", "trio"}),
        (["package", "nginx", "inst"], {"argparse", "sqlite3", "attrs", "roles.client", "nacl", "trio"}),
        (["ping", "-w", "sys."], {"argparse", "conf.client", "attrs", "roles.client", "nacl", "trio"}),
        (["meshd", "--te"], {"trio", "sqlite3"}),
        (["fact", "-"], {"trio", "sqlite3"}),
    ],
)
def test_a_key_press_imports_little(words: list[str], spared: set[str], tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(CHECKOUT), *words],
        env={"HOME": str(tmp_path)},
        capture_output=True,
        check=True,
    )
    assert ran.stdout
    assert not spared & set(json.loads(ran.stderr))
