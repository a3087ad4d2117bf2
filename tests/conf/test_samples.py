"""The files that users copy say what the code does."""

import configparser
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from conf import client
from conf.kinds import Key
from conf.load import load
from conf.schema import CogdConf, Conf, MeshdConf, keys_of
from conf.text import sample

SAMPLES = Path(client.__file__).parent
DAEMONS: list[type[Conf]] = [MeshdConf, CogdConf]
ALL = [(schema.FILE.name, schema.TITLE, keys_of(schema)) for schema in DAEMONS]
ALL.append((client.FILE.name, client.TITLE, client.KEYS))


@pytest.mark.parametrize(("name", "title", "keys"), ALL)
def test_a_sample_has_every_key_with_its_sentence_and_default(
    name: str, title: str, keys: tuple[Key, ...]
) -> None:
    assert (SAMPLES / name).read_text() == sample(title, keys)


@pytest.mark.parametrize("schema", DAEMONS)
def test_a_sample_with_its_comments_taken_off_is_the_default(schema: type[Conf], tmp_path: Path) -> None:
    names = {key.name for key in keys_of(schema)}
    lines = []
    for line in (SAMPLES / schema.FILE.name).read_text().splitlines():
        bare = line.removeprefix("# ")
        lines.append(bare if bare.partition(" = ")[0] in names else line)
    (tmp_path / "commented").write_text("\n".join(lines))
    (tmp_path / "empty").write_text("")
    uncommented = load(schema, tmp_path / "commented")
    assert uncommented == load(schema, tmp_path / "empty")
    assert "default" not in {uncommented.origins[key.path] for key in keys_of(schema)}


@pytest.mark.parametrize("key", [key for _, _, keys in ALL for key in keys], ids=lambda key: key.path)
def test_every_sentence_is_one(key: Key) -> None:
    assert key.sentence.endswith(".")
    assert key.sentence[0].isupper()
    assert len(key.sentence) <= 90


@pytest.mark.parametrize("role", ["meshd", "cogd"])
def test_a_unit_runs_its_daemon(role: str) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # the documented way to keep case
    unit.read(SAMPLES / "systemd" / f"{role}.service")
    assert unit["Service"]["ExecStart"] == f"/usr/local/bin/cw {role}"
    assert unit["Service"]["Type"] == "notify"
    assert unit["Install"]["WantedBy"] == "multi-user.target"


def test_the_agents_unit_lets_what_runs_end_and_a_command_that_takes_all_memory_alone() -> None:
    lines = (SAMPLES / "systemd" / "cogd.service").read_text().splitlines()
    (stop,) = [int(line.partition("=")[2]) for line in lines if line.startswith("TimeoutStopSec=")]
    assert CogdConf().limits.run_time < stop
    assert "OOMPolicy=continue" in lines


def test_the_agents_unit_leaves_the_bound_of_processes_to_the_agent() -> None:
    """The usual one, 15 % of what a host can have, is below ours on a small one: nobody would exceed ours."""
    assert "TasksMax=infinity" in (SAMPLES / "systemd" / "cogd.service").read_text().splitlines()


WRITTEN = {
    "LogsDirectory": ("/var/log", (MeshdConf().audit.file, CogdConf().audit.file)),
    "StateDirectory": ("/var/lib", (CogdConf().agent.state_dir / "uuid",)),
}


@pytest.mark.parametrize(
    ("role", "setting"), [("meshd", "LogsDirectory"), *(("cogd", name) for name in WRITTEN)]
)
def test_a_unit_gives_its_daemon_the_directories_that_it_writes_to(role: str, setting: str) -> None:
    """Beyond these a fenced unit may find everything read-only, /etc first of all."""
    top, files = WRITTEN[setting]
    lines = (SAMPLES / "systemd" / f"{role}.service").read_text().splitlines()
    assert f"{setting}=clockwork" in lines
    assert {str(file.parent) for file in files if file is not None} == {f"{top}/clockwork"}


def test_logs_that_daemons_keep_unless_told_otherwise_are_moved_away() -> None:
    """What else logrotate makes of the file is seen where it is run (tests/e2e/test_audit_live.py)."""
    text = (SAMPLES / "logrotate" / "clockwork").read_text()
    (pattern,) = re.findall(r"^(\S+) {$", text, re.MULTILINE)
    for conf in (MeshdConf(), CogdConf()):
        assert fnmatch(str(conf.audit.file), pattern)
