"""The node that an agent speaks for."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from conf.load import load
from conf.schema import CogdConf
from conf.watched import Watched
from mesh import acl
from roles.cogd import first_rules
from roles.here import Here
from roles.identity import Identity
from roles.log import Log
from vm.opcodes import Effect
from wire.noise import key_pair

CONF = """
[agent]
max_effect = "reads"
[facts]
gatherers = "gatherers"
static = { "time.zone" = "here", role = "web" }
"""
IDENTITY = Identity(
    "web01.example.com", "6b0e1a5c-7f2d-4b8e-9a31-0c5d4e3f2a1b", key_pair(bytes(range(32))), bytes(32)
)


class Clock:
    """What time it is in roles/here.py."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0
        self.monotonic = lambda: 0.0

    def time(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("roles.here.time", made)
    return made


def here(directory: Path, log: StringIO) -> Here:
    conf = directory / "cogd.toml"
    conf.write_text(CONF)
    (directory / "acl").write_text("allow alice ALL\n")
    rules: Watched[tuple[acl.Rule, ...]] = Watched(directory / "acl", acl.parse, ())
    rules.refresh()
    return Here(load(CogdConf, conf, ()), IDENTITY, rules, Log("cogd", stream=log))


async def test_the_time_is_that_of_the_question(tmp_path: Path, clock: Clock) -> None:
    node = here(tmp_path, StringIO())
    await node.gather()
    first = node.facts()
    assert first["sys.fqdn"] == "web01.example.com"
    clock.seconds += 1
    for later in (node.facts(), node.node().facts()):
        assert int(later["time.second"]) == (int(first["time.second"]) + 1) % 60
        assert {name: value for name, value in later.items() if not name.startswith("time.")} == {
            name: value for name, value in first.items() if not name.startswith("time.")
        }


async def test_within_a_second_nothing_is_made_anew(tmp_path: Path, clock: Clock) -> None:
    node = here(tmp_path, StringIO())
    await node.gather()
    first = node.facts()
    clock.seconds += 0.5
    assert node.facts() is first


async def test_what_is_gathered_counts_at_once_and_before_the_clock(tmp_path: Path, clock: Clock) -> None:
    node = here(tmp_path, StringIO())
    await node.gather()
    assert (node.facts()["time.zone"], node.facts()["role"]) == ("here", "web")
    (tmp_path / "gatherers").mkdir(mode=0o755)
    (tmp_path / "gatherers" / "night").write_text("#!/bin/sh\necho time.hour=late\n")
    (tmp_path / "gatherers" / "night").chmod(0o755)
    await node.gather()
    assert node.facts()["time.hour"] == "late"


def test_what_commands_are_judged_by(tmp_path: Path, clock: Clock) -> None:
    node = here(tmp_path, StringIO()).node()
    rules: Any = acl.parse("allow alice ALL", "acl")
    assert (node.uuid, node.rules, node.max_effect) == (IDENTITY.uuid, (rules,), Effect.READS)


def test_changed_rules_are_noticed_and_bad_ones_change_nothing(tmp_path: Path, clock: Clock) -> None:
    log = StringIO()
    node = here(tmp_path, log)
    (tmp_path / "acl").write_text("deny bob ALL\n")
    node.look()
    assert node.acls() == ["deny bob ALL"]
    (tmp_path / "acl").write_text("permit everyone\n")
    for _ in range(3):
        node.look()
    assert node.acls() == ["deny bob ALL"]
    assert log.getvalue().count("the last good rules stay in force") == 1
    (tmp_path / "acl").unlink()
    for _ in range(3):
        node.look()
    assert node.acls() == ["deny bob ALL"]
    assert log.getvalue().count("the last good rules stay in force") == 2
    (tmp_path / "acl").write_text("")
    node.look()
    assert node.acls() == []


def test_rules_that_never_were_are_missed_once(tmp_path: Path, clock: Clock) -> None:
    log = StringIO()
    said = Log("cogd", stream=log)
    (tmp_path / "cogd.toml").write_text(CONF)
    conf = load(CogdConf, tmp_path / "cogd.toml", ())
    node = Here(conf, IDENTITY, first_rules(conf, said), said)
    node.look()
    assert log.getvalue() == f"cogd: no access rules ({tmp_path}/acl): every command is denied\n"
    (tmp_path / "acl").write_text("permit everyone\n")
    for _ in range(2):
        node.look()
    assert log.getvalue().count("; every command is denied\n") == 1
    (tmp_path / "acl").write_text("allow alice ALL\n")
    node.look()
    assert node.acls() == ["allow alice ALL"]
    assert log.getvalue().count("\n") == 3
