import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from conf import client
from conf.document import NoConfiguration
from conf.kinds import ConfError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host and a home without configuration."""
    monkeypatch.setattr(client, "FILE", tmp_path / "etc/cw.toml")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "etc").mkdir()
    (tmp_path / "home/.clockwork").mkdir(parents=True)


def test_without_any_file_there_are_defaults(tmp_path: Path) -> None:
    conf = client.load()
    assert conf.broker == "127.0.0.1:2315"
    assert conf.broker_key == str(tmp_path / "etc/broker.key.pub")
    assert conf.username == ""
    assert conf.key == tmp_path / "home/.clockwork/mesh.key"
    assert conf.timeout == 40


def test_the_users_own_file_comes_after_the_systems(tmp_path: Path) -> None:
    (tmp_path / "etc/cw.toml").write_text('[mesh]\nbroker = "a:1"\nbroker_key = "b.pub"\ntimeout = 3\n')
    (tmp_path / "home/.clockwork/cw.toml").write_text('[mesh]\nbroker = "c:2"\nkey = "own.key"\n')
    conf = client.load(overrides=["mesh.timeout=4"])
    assert (conf.broker, conf.timeout) == ("c:2", 4)
    assert conf.broker_key == str(tmp_path / "etc/b.pub")
    assert conf.key == tmp_path / "home/.clockwork/own.key"
    assert conf.origins["mesh.broker"] == str(tmp_path / "home/.clockwork/cw.toml")
    assert conf.origins["mesh.timeout"] == "--set"


def test_a_file_that_is_named_is_read_alone(tmp_path: Path) -> None:
    (tmp_path / "etc/cw.toml").write_text("[mesh]\ntimeout = 3\n")
    (tmp_path / "other.toml").write_text('[mesh]\nkey = ""\n')
    conf = client.load(tmp_path / "other.toml")
    assert conf.timeout == 40
    assert conf.key is None
    assert conf.broker_key == str(tmp_path / "broker.key.pub")


def test_a_key_in_base_16_is_no_path(tmp_path: Path) -> None:
    (tmp_path / "etc/cw.toml").write_text(f'[mesh]\nbroker_key = "{"AB" * 32}"\n')
    assert client.load().broker_key == "ab" * 32


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[mesh]\nbroker = 1", r"mesh.broker: expected HOST:PORT, such as .*, got 1"),
        ("[mesh]\nbroker = '*:1'", r'mesh.broker: expected HOST:PORT, such as .*, got "\*:1"'),
        ("[mesh]\nbroke = 1", "mesh.broke: expected one of broker, .*, got broke: did you mean 'broker'\\?"),
        ("[mush]", r"mush: expected one of mesh, records, got \[mush\]: did you mean 'mesh'\?"),
        ("mesh = 1", r"mesh: expected a \[section\], got 1"),
        ("[mesh]\ntimeout = '1'", 'mesh.timeout: expected a number of seconds .*, got "1"'),
        ("[mesh]\nusername = 'a b'", 'mesh.username: expected a user name, or "", got "a b"'),
        ("=", "expected TOML, got: .*"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "etc/cw.toml").write_text(text)
    with pytest.raises(ConfError, match=rf"\A{tmp_path}/etc/cw.toml: {sentence}\Z"):
        client.load()


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfError, match=r"cannot read .*: No such file or directory"):
        client.load(tmp_path / "none")


def test_what_is_shown_loads_as_the_same_configuration(tmp_path: Path) -> None:
    conf = client.load(overrides=['mesh.username="alice"', "mesh.timeout=2.5"])
    shown = client.show(conf)
    sections = tomllib.loads(shown)
    assert {f"{section}.{name}" for section in sections for name in sections[section]} == {
        key.path for key in client.KEYS
    }
    (tmp_path / "again.toml").write_text(shown)
    assert client.load(tmp_path / "again.toml")[:-1] == conf[:-1]
    assert '# --set\nusername = "alice"' in shown


def test_loading_imports_nothing_slow() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from conf import client; client.load();"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    run = subprocess.run([sys.executable, "-ISBc", code], capture_output=True, text=True, check=True)
    slow = {
        "trio",
        "attr",
        "attrs",
        "cattrs",
        "argparse",
        "json",
        "dataclasses",
        "inspect",
        "asyncio",
        "logging",
    }
    assert not slow & set(run.stdout.split())


def test_a_home_that_cannot_be_looked_into_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.setenv("HOME", str(tmp_path / "loop"))
    with pytest.raises(
        ConfError, match=rf"\Acannot read {tmp_path}/loop/.clockwork/cw.toml: Too many levels"
    ):
        client.load()


def test_no_configuration_at_all_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(NoConfiguration) as caught:
        client.insist_on_file(client.load())
    assert str(caught.value) == (
        f"no configuration: looked for {tmp_path}/etc/cw.toml and ~/.clockwork/cw.toml "
        "(-c FILE takes another, cw init DIR makes a site)"
    )


@pytest.mark.parametrize("there", ["etc/cw.toml", "home/.clockwork/cw.toml", "etc/broker.key.pub", "--set"])
def test_any_of_these_is_a_configuration(there: str, tmp_path: Path) -> None:
    key = "ab" * 32
    if there != "--set":
        (tmp_path / there).write_text("")
    client.insist_on_file(client.load(overrides=[f'mesh.broker_key="{key}"'] if there == "--set" else []))
