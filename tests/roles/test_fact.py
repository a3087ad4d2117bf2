"""`cw fact`, with a configuration of its own."""

from pathlib import Path

import pytest

from errors import CwError
from net.builtin import node_uuid
from roles.fact import main


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    gatherers = tmp_path / "gatherers"
    gatherers.mkdir(mode=0o755)
    (gatherers / "site").write_text("#!/bin/sh\necho site=north\necho role=gathered\n")
    (gatherers / "site").chmod(0o755)
    path = tmp_path / "cogd.toml"
    path.write_text(
        '[agent]\nfqdn = "web01.example.com"\nstate_dir = "state"\n'
        '[facts]\ngatherers = "gatherers"\nstatic = { role = "web", greeting = "gr\\u00fc\\u00df" }\n'
    )
    return path


def test_every_fact_sorted(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-c", str(conf)]) == 0
    output, errors = capsys.readouterr()
    lines = output.splitlines()
    names = [line.partition("=")[0] for line in lines]
    assert names == sorted(names)
    assert {"time.year", "time.second"} <= set(names)
    assert {"role=web", "site=north", "sys.fqdn=web01.example.com", "greeting=grüß"} <= set(lines)
    assert "sys.uuid" not in names
    assert errors == ""


def test_nothing_is_made_by_looking(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(conf.parent.rglob("*"))
    assert main(["-c", str(conf)]) == 0
    assert sorted(conf.parent.rglob("*")) == before
    known = node_uuid(conf.parent / "state")
    capsys.readouterr()
    assert main(["-c", str(conf), "sys.uuid"]) == 0
    assert capsys.readouterr() == (f"sys.uuid={known}\n", "")


def test_those_named(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sys.fqdn", "role", "sys.fqdn", "-c", str(conf)]) == 0
    assert capsys.readouterr() == ("role=web\nsys.fqdn=web01.example.com\n", "")


def test_an_unknown_one_is_status_1_and_the_others_are_printed(
    conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-c", str(conf), "nope", "role", "\x1b[2J"]) == 1
    assert capsys.readouterr() == ("role=web\n", "cw: unknown fact: nope\ncw: unknown fact: \\x1b[2J\n")


def test_an_override(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-c", str(conf), "--set", 'facts.gatherers=""', "site"]) == 1
    assert capsys.readouterr() == ("", "cw: unknown fact: site\n")


def test_a_gatherers_fault_is_told_and_the_rest_is_printed(
    conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (conf.parent / "gatherers" / "site").write_text("#!/bin/sh\nexit 3\n")
    assert main(["-c", str(conf), "role"]) == 0
    output, errors = capsys.readouterr()
    assert output == "role=web\n"
    assert errors == f"cw: gatherer {conf.parent}/gatherers/site: ended with status 3\n"


def test_without_a_readable_uuid_every_other_fact_is_printed(
    conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (conf.parent / "state").write_text("in the way")
    assert main(["-c", str(conf), "role"]) == 0
    output, errors = capsys.readouterr()
    assert output == "role=web\n"
    assert (
        errors == f"cw: no sys.uuid: {conf.parent}/state/uuid: Not a directory (agent.state_dir names it)\n"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--nonsense"], "unknown option --nonsense (see cw fact --help)"),
        (["-c", "/nowhere/cogd.toml"], "/nowhere/cogd.toml: "),
        (["--set", "facts.interval=0"], "facts.interval"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: list[str], sentence: str) -> None:
    with pytest.raises(CwError) as caught:
        main(arguments)
    assert sentence in str(caught.value)
    assert caught.value.status == 2


def test_help_fits_a_screen_and_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert caught.value.code == 0
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("  cw fact") for line in lines)
