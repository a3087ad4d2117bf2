import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.kinds import ConfError
from conf.load import load, show
from conf.schema import CogdConf, Conf, MeshdConf, keys_of

ROLES = [MeshdConf, CogdConf]


def written(directory: Path, text: str) -> Path:
    path = directory / "role.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("schema", ROLES)
def test_an_empty_file_gives_the_defaults(schema: type[Conf], tmp_path: Path) -> None:
    conf = load(schema, written(tmp_path, ""))
    assert set(conf.origins.values()) == {"default"}
    for key in keys_of(schema):
        value = getattr(getattr(conf, key.section), key.name)
        assert value == key.kind.read(key.default, tmp_path)


def test_values_are_what_the_file_says(tmp_path: Path) -> None:
    conf = load(
        MeshdConf,
        written(
            tmp_path,
            """
            [broker]
            listen = ["*:2315", "[::1]:0"]
            key = "keys/broker"
            [auth]
            pam_service = ""
            trusted = "/etc/trusted"
            agents = ""
            groups_ttl = 0
            [acl]
            name_denied = true
            [metrics]
            listen = "[::1]:9315"
            [limits]
            handshake = 2.5
            message = 131072
            """,
        ),
    )
    assert conf.broker.listen == ("*:2315", "[::1]:0")
    assert conf.broker.key == tmp_path / "keys/broker"
    assert conf.auth.pam_service == ""
    assert conf.auth.trusted == Path("/etc/trusted")
    assert conf.auth.agents is None
    assert conf.auth.groups_ttl == 0
    assert conf.acl.name_denied is True
    assert conf.metrics.listen == "[::1]:9315"
    assert conf.limits.handshake == 2.5
    assert conf.limits.message == 131072
    assert conf.limits.heartbeat == 10
    assert conf.origins["broker.listen"] == str(tmp_path / "role.toml")
    assert conf.origins["broker.key"] == str(tmp_path / "role.toml")
    assert conf.origins["limits.stall"] == "default"


LISTEN = r'a list of HOST:PORT, each once, such as \["\*:2315"\] or \["\[::1\]:0"\]'
WRONG = [
    (MeshdConf, '[broker]\nlisten = "*:2315"', f'broker.listen: expected {LISTEN}, got "\\*:2315"'),
    (MeshdConf, "[broker]\nlisten = []", rf"broker.listen: expected {LISTEN}, got \[\]"),
    (MeshdConf, '[broker]\nlisten = ["*:1", 3]', rf'broker.listen: expected {LISTEN}, got \["\*:1", 3\]'),
    (MeshdConf, '[broker]\nlisten = ["*:1", "*:1"]', f"broker.listen: expected {LISTEN}, got .*"),
    (MeshdConf, '[broker]\nkey = ""', 'broker.key: expected the path of a file, got ""'),
    (MeshdConf, '[broker]\nkey = "a\\u0000b"', 'broker.key: expected the path of a file, got "a\\\\u0000b"'),
    (
        MeshdConf,
        "[metrics]\nlisten = []",
        r'metrics.listen: expected HOST:PORT, such as "127.0.0.1:9315", or "", got \[\]',
    ),
    (MeshdConf, '[metrics]\nlisten = "9315"', 'metrics.listen: expected HOST:PORT, .*, got "9315"'),
    (MeshdConf, '[acl]\nname_denied = "false"', 'acl.name_denied: expected true or false, got "false"'),
    (MeshdConf, "[acl]\nname_denied = 0", "acl.name_denied: expected true or false, got 0"),
    (
        MeshdConf,
        "[limits]\nunauthenticated = 1.9",
        "limits.unauthenticated: expected a whole number .*, got 1.9",
    ),
    (
        MeshdConf,
        "[limits]\nunauthenticated = true",
        "limits.unauthenticated: expected a whole number .*, got true",
    ),
    (
        MeshdConf,
        "[limits]\nmessage = 1048577",
        "limits.message: expected a whole number of bytes from 131072 to .*",
    ),
    (
        MeshdConf,
        "[limits]\nstall = true",
        "limits.stall: expected a number of seconds from 0.1 to 604800, got true",
    ),
    (MeshdConf, "[limits]\nstall = nan", "limits.stall: expected a number of seconds .*, got nan"),
    (MeshdConf, "[limits]\nstall = inf", "limits.stall: expected a number of seconds .*, got inf"),
    (MeshdConf, "[limits]\nstall = 0", "limits.stall: expected a number of seconds .*, got 0"),
    (
        MeshdConf,
        "[limits]\nstall = 1979-05-27",
        "limits.stall: expected a number of seconds .*, got 1979-05-27",
    ),
    (
        MeshdConf,
        '[auth]\npam_service = "../passwd"',
        'auth.pam_service: expected the name of a file in /etc/pam.d, or "", .*',
    ),
    (
        MeshdConf,
        '[auth]\nagent_trust = "all"',
        'auth.agent_trust: expected one of "listed", "any", got "all"',
    ),
    (
        MeshdConf,
        "[broker]\nlisen = 1",
        "broker.lisen: expected one of commands, key, listen, got lisen: did you mean 'listen'\\?",
    ),
    (
        MeshdConf,
        "[brokr]\nlisten = 1",
        r"brokr: expected one of acl, audit, auth, .*, got \[brokr\]: did you mean 'broker'\?",
    ),
    (MeshdConf, "[broker.listen]", rf"broker.listen: expected {LISTEN}, got \{{\}}"),
    (MeshdConf, "broker = 3", r"broker: expected a \[section\], got 3"),
    (MeshdConf, "[broker", "expected TOML, got: .*"),
    (MeshdConf, "a" * (1 << 20) + "bc", "expected at most 1048576 bytes of TOML, got more"),
    (MeshdConf, "x = " + "[" * 20_000, "expected TOML, got: .*"),
    (
        CogdConf,
        '[agent]\nbrokers = ["*:2315"]',
        r'agent.brokers: expected a list of HOST:PORT, each once, such as \["b.*, got .*',
    ),
    (CogdConf, '[agent]\nfqdn = "-x"', 'agent.fqdn: expected a host name, or "", got "-x"'),
    (
        CogdConf,
        "[agent]\nbroker_key = 1",
        "agent.broker_key: expected 64 hex digits or the path of a .pub, got 1",
    ),
    (CogdConf, "[facts.static]\nrole = 1", "facts.static: expected a table of facts, .*, got { role = 1 }"),
    (CogdConf, '[facts.static]\n"a b" = "x"', "facts.static: expected a table of facts, .*"),
    (CogdConf, '[facts.static]\nrole = "a\\nb"', "facts.static: expected a table of facts, .*"),
    (CogdConf, "[policy]", r"policy: expected one of acl, agent, audit, facts, limits, log, got \[policy\]"),
    (CogdConf, "origins = {}", r"origins: expected one of .*, got \[origins\]"),
]


@pytest.mark.parametrize(("schema", "text", "sentence"), WRONG)
def test_what_is_wrong_is_said_in_one_line(
    schema: type[Conf], text: str, sentence: str, tmp_path: Path
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfError) as caught:
        load(schema, path)
    assert re.fullmatch(f"{re.escape(str(path))}: {sentence}", str(caught.value))
    assert caught.value.status == 2
    assert str(caught.value).isprintable()


def test_a_file_that_is_not_there_is_an_error_only_if_named(tmp_path: Path) -> None:
    with pytest.raises(ConfError, match=r"cannot read .*/none.toml: No such file or directory"):
        load(MeshdConf, tmp_path / "none.toml")

    class Elsewhere(MeshdConf):
        FILE = tmp_path / "none.toml"

    assert load(Elsewhere).broker.key == tmp_path / "broker.key"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x00"])
def test_a_file_that_is_no_text_is_an_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "role.toml"
    path.write_bytes(content)
    with pytest.raises(ConfError, match="expected TOML, got: "):
        load(MeshdConf, path)


def test_set_overrides_one_key_and_the_last_wins(tmp_path: Path) -> None:
    path = written(tmp_path, '[log]\nlevel = "debug"\nformat = "json"\n')
    conf = load(CogdConf, path, ['log.level="error"', 'log.level = "warning"', 'facts.static={role="a=b"}'])
    assert (conf.log.level, conf.log.format) == ("warning", "json")
    assert conf.facts.static == {"role": "a=b"}
    assert (conf.origins["log.level"], conf.origins["log.format"]) == ("--set", str(path))


def test_paths_of_a_file_start_there_and_those_of_set_here(tmp_path: Path) -> None:
    conf = load(CogdConf, written(tmp_path, '[agent]\nkey = "k"\n'), ['acl.file="a"'])
    assert conf.agent.key == tmp_path / "k"
    assert conf.acl.file == Path.cwd() / "a"
    assert conf.agent.broker_key == str(tmp_path / "broker.key.pub")


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "log.level=debug",
            "log.level: expected a TOML value, got debug; text needs quotes: --set 'log.level=\"debug\"'",
        ),
        ("log.level=", "log.level: expected a TOML value, got nothing"),
        ('log.level="debug', 'log.level: expected a TOML value, got "debug'),
        ('log.level="debug"\nformat = "json"', "log.level: expected one TOML value, got .*"),
        ('log.level="x"', 'log.level: expected one of "debug", .*, got "x"'),
        ('log.level="warn"', "log.level: expected one of .*, got \"warn\": did you mean 'warning'\\?"),
        ("log.levle=1", "log.levle: expected one of format, level, got levle: did you mean 'level'\\?"),
        ("lag.level=1", r"lag: expected one of .*, got \[lag\]: did you mean 'log'\?"),
        ("log.level", 'expected section.key=VALUE, got "log.level"'),
        ("level=1", 'expected section.key=VALUE, got "level=1"'),
        ("a.b.c=1", 'expected section.key=VALUE, got "a.b.c=1"'),
        ("", 'expected section.key=VALUE, got ""'),
    ],
)
def test_a_wrong_set_is_said_in_one_line(override: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfError) as caught:
        load(MeshdConf, written(tmp_path, ""), [override])
    assert re.fullmatch(f"--set: {sentence}", str(caught.value))
    assert str(caught.value).isprintable()


@given(st.text(max_size=60))
def test_any_set_loads_or_is_a_configuration_error(text: str) -> None:
    for override in (text, f"log.level={text}", f"{text}=1"):
        sentence = ""
        try:
            load(CogdConf, None, [override])
        except ConfError as error:
            sentence = str(error)
        assert sentence.isprintable()


def test_show_says_where_each_value_came_from(tmp_path: Path) -> None:
    path = written(tmp_path, '[broker]\nkey = "k"\n')
    shown = show(load(MeshdConf, path, ["limits.stall=7"])).splitlines()
    assert shown[shown.index(f'key = "{tmp_path}/k"') - 1] == f"# {path}"
    assert shown[shown.index("stall = 7") - 1] == "# --set"
    assert shown[shown.index('listen = ["*:2315"]') - 1] == "# default"


@pytest.mark.parametrize("schema", ROLES)
def test_what_is_shown_loads_as_the_same_configuration(schema: type[Conf], tmp_path: Path) -> None:
    overrides = [
        'facts.static={role="we\\"b", "a:b"="c"}',
        "facts.interval=1.5",
        'agent.brokers=["a:1", "[::1]:2"]',
        f'agent.broker_key="{"Ab" * 32}"',
    ]
    conf = load(schema, written(tmp_path, ""), overrides if schema is CogdConf else ["limits.stall=0.5"])
    again = tmp_path / "elsewhere"
    again.mkdir()
    assert load(schema, written(again, show(conf))) == conf
    assert {f"{section}.{name}" for section, keys in tomllib.loads(show(conf)).items() for name in keys} == {
        key.path for key in keys_of(schema)
    }


def test_a_file_that_cannot_be_looked_for_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.setattr(CogdConf, "FILE", tmp_path / "loop/cogd.toml")
    with pytest.raises(
        ConfError, match=rf"\Acannot read {tmp_path}/loop/cogd.toml: Too many levels of \S+ links\Z"
    ):
        load(CogdConf)


def test_a_huge_name_is_cut(tmp_path: Path) -> None:
    with pytest.raises(ConfError, match=r"\Acannot read x{196} \.\.\.: File name too long\Z"):
        load(CogdConf, Path("x" * 5000))
