"""Commands in turns, confirmed, recorded and asked again, with real agents."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Process, Site, audited

NAMES = ["db1", "web1", "web2", "web3", "web10"]
ALL = [f"{name}.example.com" for name in NAMES]


@pytest.fixture(scope="module")
def site(cw: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("rollout"), cw) as site:
        site.broker()
        site.agents({name: {"role": name.rstrip("0123456789")} for name in NAMES})
        yield site


def seen_by(site: Site, name: str, word: str) -> list[str]:
    """What an agent has done with the commands that have this word in them."""
    return [
        entry["event"]
        for entry in audited(site.directory / name / "cogd.audit")
        if word in entry.get("command", "")
    ]


def test_in_turns(site: Site) -> None:
    ended = site.ask("exec", "--canary", "1", "--batch", "50%", "--pause", "0.001", "--", "echo", "turn")
    assert [line.split()[0] for line in ended.output.splitlines()[:1]] == ["db1.example.com"]
    assert ended.lines == sorted(f"{name} 0 turn" for name in ALL)
    assert ended.errors.splitlines() == [
        "cw: batch 1 of 3: 1 answered: 1 ok",
        "cw: batch 2 of 3: 2 answered: 2 ok",
        "cw: batch 3 of 3: 2 answered: 2 ok",
        "5 answered: 5 ok",
    ]


def test_a_canary_that_fails_saves_the_others(site: Site) -> None:
    ended = site.ask("exec", "--canary", "1", "--shell", "echo canary; exit 7", status=1)
    assert ended.output == "db1.example.com 7 canary\n"
    assert "stopped, 4 of 5 nodes not asked: 1 failed or missing, at most 0 may" in ended.errors
    assert seen_by(site, "db1", "canary") == ["ran", "ended"]
    assert seen_by(site, "web1", "canary") == []


def test_a_dry_run_runs_nothing(site: Site) -> None:
    ended = site.ask("exec", "--dry-run", "-w", "role=web", "--", "echo", "dry")
    assert ended.output.splitlines() == ALL[1:]
    assert ended.errors == "cw: 4 would take part; 1 opted out; exec -- echo dry: executes; nothing was run\n"
    assert seen_by(site, "web1", "dry") == []


def test_some_of_them(site: Site) -> None:
    words = ["exec", "--limit", "2", "--seed", "s", "--", "echo", "some"]
    first, second = site.ask(*words), site.ask(*words)
    assert first.lines == second.lines
    assert len(first.lines) == 2


def test_many_are_confirmed(site: Site) -> None:
    few = ["--set", "mesh.confirm_above=4"]
    ended = site.ask("exec", *few, "--", "echo", "many", status=2)
    assert (
        ended.errors
        == "cw: exec -- echo many would go to 5 nodes, more than mesh.confirm_above = 4: give --yes\n"
    )
    assert seen_by(site, "web1", "many") == []
    assert len(site.ask("exec", *few, "--yes", "--", "echo", "many").lines) == 5


def last_job(site: Site) -> str:
    """Its number."""
    return site.run("jobs").output.splitlines()[-1].split()[0]


def test_what_was_asked_can_be_seen_and_asked_again(site: Site, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    line = f"test -e {flag} || exit 3; echo there"
    site.ask("exec", "--shell", line, "-w", "role=web", status=1)
    first = last_job(site)
    shown = [json.loads(line) for line in site.run("job", first, "--jsonl").output.splitlines()]
    assert sorted((one["fqdn"], one["status"]) for one in shown) == sorted((name, 3) for name in ALL[1:])
    flag.touch()
    again = site.run("job", first, "--rerun", "failed", *site.asking())
    assert again.lines == sorted(f"{name} 0 there" for name in ALL[1:])
    second = last_job(site)
    compared = site.run("job", first, "--diff", second, status=1)
    assert compared.output == "web[1-3,10].example.com (4) 3 -> 0\n    +there\n"
    site.run("job", second, "--rerun", "failed", *site.asking(), status=6)


def test_a_node_that_is_gone_is_missing_and_comes_back(site: Site) -> None:
    gone = site.agent("late1", {"role": "late"})
    plan = site.ask("exec", "--dry-run", "-w", "role=late", "--", "echo", "late")
    assert plan.output == "late1.example.com\n"
    job = last_job(site)
    gone.stop()
    missing = site.run("job", job, "--rerun", "all", *site.asking(), status=5)
    assert missing.output == "late1.example.com - lost\n"
    again: Process = site.start_agent("late1")
    again.wait_for(r"^cogd: connected to ")
    lost = last_job(site)
    back = site.run("job", lost, "--rerun", "missing", *site.asking())
    assert back.output == "late1.example.com 0 late\n"
    again.stop()


def test_a_refusal_is_recorded_too(site: Site) -> None:
    site.ask("ping", "-u", "nobody", status=3)
    job = last_job(site)
    assert "exit status 3 (authentication failed)" in site.run("job", job).errors


def test_no_secret_is_recorded(site: Site) -> None:
    site.ask("ping", "-k0", given="s3cret-word\n", status=3)
    for path in (Path(site.env["HOME"]) / ".local/state/clockwork").iterdir():
        assert b"s3cret-word" not in path.read_bytes()
