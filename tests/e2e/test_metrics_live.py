"""A real broker's figures: they move when something happens, and probes are told the truth."""

import signal
import socket
from contextlib import ExitStack
from http.client import HTTPConnection

from mesh.exposition import Series, parse
from mesh.messages import Optin, Result
from tests.e2e.harness import PATIENCE, Process, Site, begun, spawner_of, stopped, until
from tests.e2e.raw import hung_up, nodes

METRICS = 'metrics.listen="127.0.0.1:0"'


def port_of(broker: Process) -> int:
    """Where the broker shows its figures."""
    return int(broker.wait_for(r"^meshd: metrics on http://127\.0\.0\.1:(\d+)/metrics$")[1])


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def figure(port: int, name: str, **labels: str) -> float:
    """One of them, without cw_meshd in front."""
    return parse(get(port, "/metrics")[1])[Series(f"cw_meshd_{name}", tuple(labels.items()))]


def test_figures_move_with_a_query_a_failed_authentication_and_a_lost_agent(site: Site) -> None:
    broker = site.broker(METRICS, "limits.heartbeat=600")
    port = port_of(broker)
    web01 = site.agents({"web01": {"role": "web"}, "web02": {"role": "web"}})["web01"]
    assert figure(port, "sessions", peer="agent") == 2
    assert site.ask("ping").status == 0
    site.ask("ping", "-u", "nobody", status=3)
    with stopped(spawner_of(web01)):
        client = site.start_asking("show", "user", "root")
        begun(site, "web01", "show user root")
        assert figure(port, "requests_open") == 1
        web01.signal(signal.SIGKILL)
        assert client.finished().status == 5
    until(lambda: figure(port, "sessions", peer="client") == 0, "heard that clients are gone")
    for name, value in {
        "requests_open": 0,
        "answers_dropped_total": 0,
        "agents_joined_total": 2,
        "request_duration_seconds_count": 2,
    }.items():
        assert figure(port, name) == value, name
    assert figure(port, "sessions", peer="agent") == 1
    assert figure(port, "sessions_ended_total", peer="agent", reason="closed by the other side") == 1
    assert figure(port, "requests_total", outcome="closed") == 2
    assert figure(port, "requests_total", outcome="refused") == 1
    assert figure(port, "authentication_failures_total", reason="key") == 1
    assert figure(port, "answers_total", outcome="result") == 3
    assert figure(port, "answers_total", outcome="lost") == 1
    assert figure(port, "handshakes_total", result="completed") == 5
    assert figure(port, "received_bytes_total") > 0
    shown = site.run(
        "meshd",
        "-c",
        str(site.home / "meshd.toml"),
        "--set",
        f'metrics.listen="127.0.0.1:{port}"',
        "--status",
    )
    rows = dict(line.split(maxsplit=1) for line in shown.output.splitlines())
    assert rows["broker"].endswith(", ready")
    assert rows["agents"] == "1 connected, 2 joined; ended: 1 closed by the other side"
    assert rows["requests"] == "0 open; ended: 2 closed, 1 refused"
    assert rows["answers"] == "3 result, 1 lost; 0 dropped"
    assert rows["failed"] == "logins   1 key"
    assert rows["latency"].startswith("p50 ")
    assert site.user not in get(port, "/metrics")[1]


def test_probes_are_told_that_a_broker_drains(site: Site) -> None:
    broker = site.broker(METRICS, 'auth.agent_trust="any"')
    port = port_of(broker)
    assert get(port, "/readyz") == (200, "ready\n")
    with nodes(site, 1) as (agent,):
        client = site.start_asking("ping")
        serial = agent.hear().serial
        broker.signal(signal.SIGTERM)
        broker.wait_for("^meshd: stopping: ")
        assert get(port, "/readyz") == (503, "draining\n")
        assert get(port, "/healthz") == (200, "ok\n")
        agent.say(Optin(), Result(0, b"pong\n", b"", False, 1), serial=serial)
        assert client.finished().status == 0
    ended = broker.finished()
    assert (ended.status, ended.errors.splitlines()[-1]) == (0, "meshd: stopped")


def test_who_holds_the_metrics_port_holds_nobody_else_up(site: Site) -> None:
    broker = site.broker(METRICS, "limits.unauthenticated=4")
    port = port_of(broker)
    site.agent("web01")
    with ExitStack() as held:
        silent = [
            held.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE)) for _ in range(60)
        ]
        assert hung_up(silent[-1]) == b""
        assert site.ask("ping").output == "web01.example.com 0 pong\n"
    until(lambda: "stopped" not in broker.log and readable(port), "let go of silent connections")
    assert figure(port, "connections_refused_total") == 0
    assert broker.log.count("too many connections read metrics") == 1


def readable(port: int) -> bool:
    try:
        return get(port, "/healthz")[0] == 200
    except ConnectionError:
        return False


def test_metrics_for_others_than_this_host_are_warned_of(site: Site) -> None:
    broker = site.broker('metrics.listen="*:0"')
    broker.wait_for(
        r"^meshd: whoever can reach \S+ can read metrics, and nothing asks who \(metrics.listen\)$"
    )


def test_a_port_for_metrics_that_is_taken_is_one_line(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        words = ["meshd", "-c", str(site.home / "meshd.toml"), "--set", f'metrics.listen="{address}"']
        words += ["--set", 'broker.listen=["127.0.0.1:0"]', "--set", 'auth.pam_service=""']
        refused = site.run(*words, status=2)
        assert refused.errors.splitlines()[-1] == (
            f"cw: cannot listen on {address}: Address already in use (metrics.listen names it)"
        )


def test_what_the_check_finds_wrong_with_metrics(site: Site) -> None:
    words = ["meshd", "-c", str(site.home / "meshd.toml"), "--test"]
    words += ["--set", 'auth.pam_service=""', "--set", 'metrics.listen="nowhere.invalid:1"']
    assert site.run(*words, status=2).errors.startswith("cw: cannot listen on nowhere.invalid:1: ")
