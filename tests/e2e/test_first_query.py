"""The main job, end to end: a user with a key asks, nodes that may and should answer do."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.harness import Site

NODES = {"web01": {"role": "web"}, "web02": {"role": "web"}, "db01": {"role": "db"}}


@pytest.fixture(scope="module")
def mesh(cw: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three nodes, of which one denies `show fact`; no test changes anything here."""
    with Site(tmp_path_factory.mktemp("mesh"), cw) as site:
        site.broker()
        site.agents({name: NODES[name] for name in ("web01", "web02")})
        rules = f'allow {site.user} ALL\ndeny {site.user} "show fact *"\n'
        site.agents({"db01": NODES["db01"]}, rules)
        yield site


def test_every_node_answers(mesh: Site) -> None:
    asked = mesh.ask("ping")
    assert asked.lines == [f"{name}.example.com 0 pong" for name in sorted(NODES)]
    assert asked.errors == "3 answered: 3 ok\n"


WAYS = [["mesh", "show", "version"], ["mesh", "show version"], ["show", "version"]]


@pytest.mark.parametrize("words", WAYS)
def test_a_command_can_be_written_in_three_ways(mesh: Site, words: list[str]) -> None:
    assert mesh.ask(*words).lines == [f"{name}.example.com 0 0.1.0" for name in sorted(NODES)]


def test_only_nodes_that_match_answer(mesh: Site) -> None:
    asked = mesh.ask("ping", "-w", "sys.fqdn=/^web/")
    assert asked.lines == ["web01.example.com 0 pong", "web02.example.com 0 pong"]
    assert asked.errors == "2 answered: 2 ok; 1 opted out\n"


def test_all_filters_must_match(mesh: Site) -> None:
    asked = mesh.ask("ping", "-w", "role=web", "-w", "sys.fqdn != web01.example.com")
    assert asked.lines == ["web02.example.com 0 pong"]


def test_nodes_that_do_not_match_are_named_on_request(mesh: Site) -> None:
    asked = mesh.ask("ping", "-w", "role=db", "--optouts")
    assert asked.lines == [
        "db01.example.com 0 pong",
        "web01.example.com - optout",
        "web02.example.com - optout",
    ]


def test_nobody_matches(mesh: Site) -> None:
    asked = mesh.ask("ping", "-w", "role=none", status=6)
    assert (asked.output, asked.errors) == ("", "0 answered; 3 opted out\n")


def test_nodes_that_deny_are_counted_and_not_named(mesh: Site) -> None:
    asked = mesh.ask("show", "fact", "role")
    assert asked.lines == ["web01.example.com 0 role=web", "web02.example.com 0 role=web"]
    assert asked.errors == "2 answered: 2 ok; 1 denied\n"


def test_everybody_denies(mesh: Site) -> None:
    asked = mesh.ask("show", "fact", "role", "-w", "role=db", status=3)
    assert (asked.output, asked.errors) == ("", "0 answered; 2 opted out; 1 denied\n")


def test_a_node_fails(mesh: Site) -> None:
    asked = mesh.ask("show", "fact", "nosuch", "-w", "sys.fqdn=web01.example.com", status=1)
    assert asked.output == "web01.example.com 1 unknown fact: nosuch\n"
    assert asked.errors.startswith("1 answered: 1 failed; 1 opted out")


def test_json(mesh: Site) -> None:
    answers = json.loads(mesh.ask("ping", "--json").output)
    assert sorted(answer["fqdn"] for answer in answers) == [f"{name}.example.com" for name in sorted(NODES)]
    for answer in answers:
        assert (answer["outcome"], answer["status"], answer["output"]) == ("ok", 0, "pong\n")
        assert 0 < answer["duration"] < 60


def test_json_of_nobody(mesh: Site) -> None:
    assert mesh.ask("ping", "--json", "-w", "role=none", status=6).output == "[]\n"


def test_json_lines(mesh: Site) -> None:
    lines = mesh.ask("ping", "--jsonl", "-q").lines
    assert sorted(json.loads(line)["fqdn"] for line in lines) == [f"{n}.example.com" for n in sorted(NODES)]


def test_quiet_means_no_summary(mesh: Site) -> None:
    assert mesh.ask("ping", "-q").errors == ""


def test_nothing_is_sent_on_request(mesh: Site) -> None:
    asked = mesh.ask("ping", "-n", "-w", "role=web")
    assert asked.output.startswith("nothing sent: ping -w role=web, asked of ")
    assert asked.errors == ""


REFUSED_HERE = [
    (["shwo", "version"], "cw: unrecognised command: shwo version: did you mean 'show'?\n"),
    (["show", "versoin"], "cw: unrecognised command: show versoin: did you mean 'version'?\n"),
    (["mesh", "frobnicate"], "cw: unrecognised command: frobnicate (expected one of: "),
    (["ping", "-w", "sys.fqdn"], "cw: filter "),
    (["ping", "-w", "sys.fqdn=/(/"], "cw: filter "),
    (["ping", "-k", "nosuch.key"], "cw: cannot read the key nosuch.key: No such file or directory"),
    (["ping", "--set", "mesh.brokre=1"], "cw: "),
]


@pytest.mark.parametrize(("words", "sentence"), REFUSED_HERE)
def test_what_the_client_refuses_itself(mesh: Site, words: list[str], sentence: str) -> None:
    asked = mesh.ask(*words, status=2)
    assert asked.output == ""
    assert asked.errors.startswith(sentence)
    assert asked.errors.count("\n") == 1


def test_a_key_that_is_not_listed(mesh: Site) -> None:
    stranger = mesh.directory / "stranger.key"
    mesh.run("cert", "-t", "user", "-i", mesh.user, "-f", str(stranger))
    asked = mesh.ask("ping", "-k", str(stranger), status=3)
    assert (asked.output, asked.errors) == ("", "cw: authentication failed\n")


def test_no_key_and_no_password(mesh: Site) -> None:
    asked = mesh.ask("ping", "-k0", status=3)
    assert (asked.output, asked.errors) == ("", "cw: authentication failed\n")


def test_another_broker_s_key(mesh: Site) -> None:
    asked = mesh.ask("ping", "--set", f'mesh.broker_key="{"ab" * 32}"', status=4)
    assert asked.errors.startswith(f"cw: {mesh.address} hung up during the handshake: it does not hold ")


def test_a_broker_that_is_not_there(site: Site) -> None:
    asked = site.run("-c", str(site.home / "cw.toml"), "--set", 'mesh.broker="127.0.0.1:1"', "ping", status=4)
    assert asked.errors == "cw: cannot reach the broker 127.0.0.1:1: Connection refused\n"
