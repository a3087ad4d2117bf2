"""Daemons that cannot do their job do not start, and say why in one line; --test says the same beforehand."""

import re
import socket
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cw import main
from tests.e2e.harness import NO_PASSWORDS, Finished, Site

Run = Callable[..., Finished]

HERE = ('broker.listen=["127.0.0.1:0"]', NO_PASSWORDS)


@pytest.fixture(scope="module")
def site(cw: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that nothing runs in, with broken files beside its good ones."""
    with Site(tmp_path_factory.mktemp("refusals"), cw) as site:
        broken = site.directory / "broken"
        broken.mkdir()
        for name, text in FILES.items():
            (broken / name).write_text(text)
            (broken / name).chmod(0o600)
        (broken / "open.key").write_bytes((site.home / "broker.key").read_bytes())
        (broken / "open.key").chmod(0o640)
        (broken / "binary").write_bytes(b"\xff\xfe\0")
        (broken / "directory").mkdir(0o700)
        (broken / "public.key").write_bytes((site.home / "broker.key.pub").read_bytes())
        (broken / "public.key").chmod(0o600)
        (broken / "state").mkdir()
        (broken / "state" / "uuid").write_text("not one\n")
        for loose in ("loose.trust", "loose.acl", "loose.toml"):
            (broken / loose).write_text("")
            (broken / loose).chmod(0o666)
        (broken / "world").mkdir()
        (broken / "world").chmod(0o777)
        (broken / "world" / "trust").write_text("")
        (broken / "loop").symlink_to("loop")
        for name, files in COMMANDS.items():
            (broken / name).mkdir(0o755)
            for file, text in files.items():
                (broken / name / file).write_text(text)
                (broken / name / file).chmod(0o666 if name == "loose" else 0o644)
        yield site


FILES = {
    "garbage.key": "hello\n",
    "garbage.trust": "xyz\n",
    "garbage.acl": "alow root ALL\n",
    "syntax.toml": "[broker\n",
    "unknown.toml": "[broker]\nlissten = 1\n",
    "section.toml": "[brooker]\n",
    "type.toml": "[limits]\nheartbeat = 'soon'\n",
}

GRAMMAR = '[[command]]\nusage = "x"\nsentence = "x"\neffect = "pure"\n'

COMMANDS = {
    "alone": {"x.toml": GRAMMAR},
    "no-grammar": {"x.pn": "fn mesh.x\n"},
    "worse": {"x.toml": GRAMMAR, "x.pn": 'fn mesh.x\n  fs.sha1 "/etc/passwd" %a\n'},
    "cw-word": {"x.toml": GRAMMAR.replace('"x"', '"init x"', 1), "x.pn": "fn mesh.x\n"},
    "cw-verb": {"x.toml": GRAMMAR.replace('"x"', '"show version"', 1), "x.pn": "fn mesh.x\n"},
    "twice": {
        f"{name}.{end}": text for name in "xy" for end, text in (("toml", GRAMMAR), ("pn", "fn mesh.x\n"))
    },
    "key": {"x.toml": GRAMMAR + 'regex = ".*"\n', "x.pn": "fn mesh.x\n"},
    "source": {"x.toml": GRAMMAR, "x.pn": "fn mesh.x\n  prnt 1\n"},
    "outside": {"x.toml": GRAMMAR, "x.pn": "#include /etc/x\nfn mesh.x\n"},
    "escape": {"x.toml": GRAMMAR.replace('"x"', '"\\u001b[2J"', 1), "x.pn": "fn mesh.x\n"},
    "loose": {"x.toml": GRAMMAR, "x.pn": "fn mesh.x\n"},
}
"""Directories of commands that are wrong, each in its way."""

NOTHING = "No such file or directory$"


def missing(key: str) -> str:
    """What is said of the file that a key names."""
    return rf"cannot read \S+/broken/nothing: {NOTHING[:-1]} \({key} names it\)$"


def unopened(name: str) -> str:
    """What is said of an audit log in no directory."""
    return rf"cannot open the audit log \S+/{name}: {NOTHING[:-1]} \(audit.file names it\)$"


REFUSED: list[tuple[str, str, str]] = [
    ("meshd", 'broker.key="broken/nothing"', rf"cannot read the key \S+/broken/nothing: {NOTHING}"),
    (
        "meshd",
        'broker.key="broken/open.key"',
        r"\S+: others can read this private key \(mode 0640\): chmod 600",
    ),
    (
        "meshd",
        'broker.key="broken/garbage.key"',
        r"\S+garbage.key:1: expected %signing v1 or %encryption v1$",
    ),
    ("meshd", 'broker.key="broken/directory"', r"\S+/directory: expected a key file, "),
    ("meshd", 'broker.key="broken/public.key"', r"\S+: expected a private key, got only its public half$"),
    (
        "meshd",
        'broker.key="site/USER.key"',
        r"\S+: expected a broker's or an agent's key .* got a user's key",
    ),
    ("meshd", 'auth.trusted=""', r"No user could authenticate: set auth.pam_service, auth.trusted, or both"),
    ("meshd", 'auth.pam_service="cw-nothing"', r"/etc/pam.d/cw-nothing is missing, so passwords cannot be "),
    ("meshd", 'auth.trusted="broken/nothing"', missing("auth.trusted")),
    (
        "meshd",
        'auth.trusted="broken/directory"',
        r"cannot read \S+/broken/directory: Is a directory \(auth.trusted ",
    ),
    (
        "meshd",
        'auth.trusted="broken/loose.trust"',
        r"\S+: others can change it \(mode 0666\): chmod go-w /\S+$",
    ),
    (
        "meshd",
        'auth.agents="broken/world/trust"',
        r"\S+: others can replace it \(\S+/world has mode 0777\): ",
    ),
    ("meshd", 'acl.file="broken/loose.acl"', r"\S+: others can change it \(mode 0666\): chmod go-w /\S+$"),
    ("meshd", 'auth.trusted="broken/binary"', r"\S+/broken/binary: expected UTF-8 text, got other bytes$"),
    ("meshd", 'auth.trusted="broken/garbage.trust"', r"\S+garbage.trust:1: expected HEX NAME "),
    ("meshd", 'auth.agents="broken/nothing"', missing("auth.agents")),
    ("meshd", 'broker.commands="broken/nothing"', missing("broker.commands")),
    (
        "meshd",
        'broker.commands="broken/binary"',
        r"cannot read \S+/binary: Not a directory \(broker.commands ",
    ),
    (
        "meshd",
        'broker.commands="broken/world"',
        r"\S+/world: others can put files into it \(mode 0777\): chmod",
    ),
    *(
        ("meshd", f'broker.commands="broken/{name}"', rf"\S+/{name}/{sentence}")
        for name, sentence in (
            ("alone", r"x.toml: command 1: expected its module beside it, \S+/alone/x.pn$"),
            ("no-grammar", r"x.pn: expected its grammar, x.toml, or another module to include it$"),
            ("worse", r'x.toml: command 1: effect: expected "reads", which mesh.x may do, got "pure"$'),
            ("cw-word", r"x.toml: command 1: usage: expected another first word, since cw init is cw's own$"),
            ("cw-verb", r"x.toml: command 1: usage: .* words of 'show version', cw's own$"),
            ("twice", r"y.toml: command 1: usage: .* words of 'x' \(\S+/twice/x.toml: command 1\)$"),
            ("key", r"x.toml: command 1: expected one of usage, .*, got regex$"),
            ("source", r"x.pn:2: no instruction is called prnt: did you mean 'print'\?$"),
            ("outside", r"x.pn:1: expected: #include NAME "),
            ("escape", r'x.toml: command 1: usage: expected .*, got "\\u001b\[2J"$'),
            ("loose", r"x.pn: others can change it \(mode 0666\): chmod go-w \S+$"),
        )
    ),
    ("meshd", 'auth.agents="broken/garbage.trust"', r"\S+garbage.trust:1: expected HEX NAME "),
    ("meshd", 'acl.file="broken/garbage.acl"', r"\S+garbage.acl:1: expected allow or deny, got: alow$"),
    ("meshd", 'acl.file="broken/nothing"', missing("acl.file")),
    ("meshd", 'audit.file="broken/nothing/deep/x"', unopened("nothing/deep/x")),
    ("meshd", 'broker.listen=["*:1", "*:1"]', r"--set: broker.listen: expected .*, each once, .*, got \["),
    (
        "meshd",
        'broker.listen=["nowhere.invalid:0"]',
        r"cannot listen on nowhere.invalid:0: .* \(broker.listen names it\)$",
    ),
    ("meshd", "broker.listen=1", r"--set: broker.listen: expected a list of HOST:PORT, .*, got 1$"),
    (
        "meshd",
        "broker.lissten=1",
        r"--set: broker.lissten: expected one of .*, got lissten: did you mean 'listen'\?$",
    ),
    ("meshd", "limits.heartbeat=0", r"--set: limits.heartbeat: expected .*, got 0$"),
    ("meshd", "broker", r'--set: expected section.key=VALUE, got "?broker"?$'),
    ("cogd", 'agent.broker_key="broken/nothing"', rf"cannot read the key \S+/broken/nothing: {NOTHING}"),
    ("cogd", 'agent.broker_key="site/broker.key"', r"\S+broker.key: expected the public half of a key "),
    ("cogd", 'agent.broker_key="abc"', r"cannot read the key \S+/abc: "),
    (
        "cogd",
        'agent.key="broken/open.key"',
        r"\S+: others can read this private key \(mode 0640\): chmod 600",
    ),
    ("cogd", 'agent.key="broken/garbage.key"', r"\S+garbage.key:1: expected %signing v1 or %encryption v1$"),
    (
        "cogd",
        'agent.state_dir="broken/state"',
        r"\S+/state/uuid: expected a UUID in lower case, got: not one$",
    ),
    ("cogd", 'agent.fqdn="no name"', r'--set: agent.fqdn: expected a host name, .*, got "no name"$'),
    ("cogd", "agent.brokers=[]", r"--set: agent.brokers: expected a list of HOST:PORT, .*, got \[\]$"),
    ("cogd", 'agent.max_effect="all"', r'--set: agent.max_effect: expected one of "pure", .*, got "all"$'),
    ("cogd", 'acl.file="broken/garbage.acl"', r"\S+garbage.acl:1: expected allow or deny, got: alow$"),
    ("cogd", 'audit.file="broken/nothing/deep/x"', unopened("nothing/deep/x")),
    ("cogd", 'acl.file="broken/loose.acl"', r"\S+: others can change it \(mode 0666\): chmod go-w /\S+$"),
    (
        "cogd",
        'agent.state_dir="broken/binary"',
        r"\S+/binary/uuid: Not a directory \(agent.state_dir names it\)$",
    ),
    (
        "cogd",
        'agent.state_dir="broken/loop/state"',
        r"\S+/loop/state/uuid: Too many levels of .* \(agent.state_dir names it\)$",
    ),
]
"""Who, which setting, and what it says. Paths are relative to the site's directory; USER is its user."""


@pytest.fixture
def here(site: Site, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs cw in this process, in the site's directory: for what ends before it serves."""

    def run(*words: str) -> Finished:
        monkeypatch.chdir(site.directory)
        return Finished(main(list(words)), *capfd.readouterr())

    return run


def sentence_of(refused: Finished) -> str:
    """What a command says that ends with status 2: one line of standard error, without its newline."""
    assert (refused.status, refused.output) == (2, "")
    assert refused.errors.startswith("cw: ")
    assert refused.errors.count("\n") == 1
    return refused.errors.removeprefix("cw: ").removesuffix("\n")


def refusal(site: Site, *words: str) -> str:
    """What a process says that does not start."""
    return sentence_of(site.run(*words, status=2))


@pytest.mark.parametrize(("role", "setting", "sentence"), REFUSED, ids=[f"{r} {s}" for r, s, _ in REFUSED])
def test_a_daemon_that_cannot_work_does_not_start(
    site: Site, here: Run, role: str, setting: str, sentence: str
) -> None:
    words = [role, "-c", str(site.home / f"{role}.toml"), "--set", setting.replace("USER", site.user)]
    if role == "meshd":  # whatever this host has: a port, a PAM service
        words += [word for other in HERE if other.split("=")[0] not in setting for word in ("--set", other)]
    said = refusal(site, *words)
    assert re.match(sentence, said)
    assert sentence_of(here(*words, "--test")) == said


UNUSABLE = [
    ("meshd", "syntax.toml", r"\S+syntax.toml: expected TOML, got: "),
    (
        "meshd",
        "unknown.toml",
        r"\S+unknown.toml: broker.lissten: expected one of .*, got lissten: did you mean 'listen'\?$",
    ),
    (
        "meshd",
        "section.toml",
        r"\S+section.toml: brooker: expected one of .*, got \[brooker\]: did you mean 'broker'\?$",
    ),
    ("meshd", "type.toml", r"\S+type.toml: limits.heartbeat: expected .*, got \"soon\"$"),
    ("meshd", "loose.toml", r"\S+: others can change it \(mode 0666\): chmod go-w /\S+$"),
    ("cogd", "loose.toml", r"\S+: others can change it \(mode 0666\): chmod go-w /\S+$"),
    ("meshd", "nothing", rf"cannot read \S+/nothing: {NOTHING}"),
    ("meshd", "directory", r"cannot read \S+/directory: Is a directory$"),
    ("meshd", "binary", r"\S+/binary: expected "),
    ("cogd", "syntax.toml", r"\S+syntax.toml: expected TOML, got: "),
    ("cogd", "unknown.toml", r"\S+unknown.toml: broker: expected one of .*, got \[broker\]$"),
    ("cogd", "nothing", rf"cannot read \S+/nothing: {NOTHING}"),
]


@pytest.mark.parametrize(("role", "name", "sentence"), UNUSABLE)
def test_a_configuration_that_cannot_be_used(
    site: Site, here: Run, role: str, name: str, sentence: str
) -> None:
    words = [role, "-c", str(site.directory / "broken" / name)]
    said = refusal(site, *words)
    assert re.match(sentence, said)
    assert sentence_of(here(*words, "--show-config")) == said


def test_a_port_that_is_in_use(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        words = ["meshd", "-c", str(site.home / "meshd.toml"), "--set", f'broker.listen=["{address}"]']
        said = refusal(site, *words, "--set", NO_PASSWORDS)
        assert said == f"cannot listen on {address}: Address already in use (broker.listen names it)"


@pytest.mark.parametrize("role", ["meshd", "cogd"])
def test_what_is_good_is_said_to_be_good(site: Site, role: str) -> None:
    without = ["--set", NO_PASSWORDS] if role == "meshd" else []
    said = site.run(role, "-c", str(site.home / f"{role}.toml"), *without, "--test")
    assert said[1:] == (f"{role}: configuration, keys and permissions are good\n", "")


def test_testing_an_agent_makes_nothing(site: Site) -> None:
    fresh = site.directory / "fresh"
    fresh.mkdir()
    settings = [f'agent.key="{fresh}/agent.key"', f'agent.state_dir="{fresh}/state"']
    words = ["cogd", "-c", str(site.home / "cogd.toml"), *(w for s in settings for w in ("--set", s))]
    assert site.run(*words, "--test").status == 0
    assert list(fresh.iterdir()) == []


SETTINGS = {
    "meshd": ('broker.listen=["127.0.0.1:0"]', ("broker", "listen"), ["127.0.0.1:0"]),
    "cogd": ('agent.brokers=["127.0.0.1:1"]', ("agent", "brokers"), ["127.0.0.1:1"]),
}


@pytest.mark.parametrize("role", SETTINGS)
def test_the_configuration_shown_is_the_one_in_force(site: Site, role: str, tmp_path: Path) -> None:
    setting, (section, key), value = SETTINGS[role]
    configuration = str(site.home / f"{role}.toml")
    shown = site.run(role, "-c", configuration, "--set", setting, "--show-config").output
    effective = tomllib.loads(shown)
    assert effective[section][key] == value
    assert effective["log"] == {"level": "info", "format": "text"}
    origins = [line for line in shown.splitlines() if line.startswith("#")]
    for origin in ("--set", configuration, "default"):
        assert any(origin in line for line in origins), origin
    (tmp_path / "again.toml").write_text(shown)
    again = site.run(role, "-c", str(tmp_path / "again.toml"), "--show-config").output
    assert tomllib.loads(again) == effective


def test_an_agent_without_rules_says_that_it_denies_everything(site: Site) -> None:
    words = ["cogd", "-c", str(site.home / "cogd.toml"), "--set", 'acl.file="broken/nothing"', "--test"]
    said = site.run(*words).errors
    assert re.fullmatch(r"cogd: no access rules \(\S+/broken/nothing\): every command is denied\n", said)
