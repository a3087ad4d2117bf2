"""`cw meshd --status`: what it prints of a broker's figures, and the one line where there are none."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conf.kinds import ConfError
from conf.schema import MeshdConf, MeshdMetrics
from mesh.exposition import Family, Histogram, Reading, parse, render
from roles import meshd, status
from roles.metrics import METRICS, Metric
from roles.status import Figures, Unanswered, asked, latency, moment, size, span, table

NOW = 1_800_000_000.0


def told_text(**readings: Reading) -> str:
    """What a broker tells that has done nothing yet but this; names without cw_meshd."""
    assumed: dict[str, Reading] = {
        "cw_meshd_build_info": {(("version", "1.2.3"), ("python", "3.11.2")): 1},
        "cw_meshd_sessions": {(("peer", "agent"),): 0, (("peer", "client"),): 0},
        "cw_meshd_sessions_ended_total": {
            (("peer", peer), ("reason", reason)): 0
            for peer in ("agent", "client")
            for reason in ("queue full", "silent")
        },
        "process_start_time_seconds": NOW - 5,
        "cw_meshd_request_duration_seconds": Histogram((0.1, 1.0)),
    }
    told = {
        name if name.startswith("process_") else f"cw_meshd_{name}": value for name, value in readings.items()
    }
    families = [
        Family(
            metric.name,
            metric.type,
            metric.help,
            told.get(metric.name, assumed.get(metric.name, labelled(metric.labels, {"word": 0}))),
        )
        for metric in METRICS
    ]
    return render(families)


def figures(**readings: Reading) -> Figures:
    return Figures(parse(told_text(**readings)))


def labelled(names: tuple[str, ...], values: dict[str, int]) -> Reading:
    if not names:
        return 0
    return {((names[0], word),): count for word, count in values.items()}


def rows(found: Figures) -> dict[str, str]:
    return dict(table(found, NOW))


def test_a_broker_that_has_just_been_started() -> None:
    assert rows(figures()) == {
        "broker": "cw 1.2.3, up 00:00:05, takes no new requests",
        "agents": "0 connected, 0 joined; ended: none",
        "clients": "0 connected; ended: none",
        "strangers": "0 at the door, 0 let in, 0 turned away, 0 pauses",
        "handshakes": "none",
        "failed logins": "none",
        "refusals": "none",
        "requests": "0 open; ended: none",
        "latency": "none",
        "answers": "none; 0 dropped",
        "bytes": "0 B received, 0 B sent, 0 B queued",
        "process": "0.0 s of processor time, 0 B resident, 0 of 0 descriptors",
    }


def test_a_broker_that_has_much_to_tell() -> None:
    took = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.05, 0.5, 7.0):
        took.observe(seconds)
    peers: Reading = {(("peer", "agent"),): 10_000, (("peer", "client"),): 3}
    ended: Reading = {
        (("peer", "agent"), ("reason", "silent")): 4,
        (("peer", "agent"), ("reason", "queue full")): 1,
        (("peer", "client"), ("reason", "silent")): 0,
    }
    found = rows(
        figures(
            ready=1,
            sessions=peers,
            agents_joined_total=10_005,
            sessions_ended_total=ended,
            requests_open=2,
            requests_total=labelled(("outcome",), {"closed": 7, "bye": 0, "refused": 1}),
            request_duration_seconds=took,
            answers_total=labelled(("outcome",), {"result": 9, "lost": 2, "silent": 0}),
            answers_dropped_total=6,
            sent_bytes_total=5 << 30,
            process_start_time_seconds=NOW - 3 * 86400 - 7384,
            process_resident_memory_bytes=None,
            process_open_fds=None,
        )
    )
    assert found["broker"] == "cw 1.2.3, up 3 d 02:03:04, ready"
    assert found["agents"] == "10000 connected, 10005 joined; ended: 4 silent, 1 queue full"
    assert found["clients"] == "3 connected; ended: none"
    assert found["requests"] == "2 open; ended: 7 closed, 1 refused"
    assert found["latency"] == "p50 100 ms, p95 over 1 s, p99 over 1 s"
    assert found["answers"] == "9 result, 2 lost; 6 dropped"
    assert found["bytes"] == "0 B received, 5.0 GiB sent, 0 B queued"
    assert found["process"] == "0.0 s of processor time"


@pytest.mark.parametrize("metric", METRICS[1:], ids=lambda metric: metric.name)
def test_every_figure_is_printed(metric: Metric) -> None:
    """But for the first, which is always 1: what it tells are its labels."""
    told = parse(told_text())
    names = {metric.name, f"{metric.name}_bucket"}
    more = {series: value + 7 if series.name in names else value for series, value in told.items()}
    assert rows(Figures(more)) != rows(Figures(told))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0024, "2.4 ms"),
        (0.9994, "999 ms"),
        (0.9995, "1 s"),
        (1.25, "1.25 s"),
        (3599.6, "3600 s"),
        (float("inf"), "over 60 s"),
    ],
)
def test_how_long_it_took(seconds: float, text: str) -> None:
    assert moment(seconds, 60.0) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5.0, "00:00:00"), (59.9, "00:00:59"), (3661, "01:01:01"), (86400, "1 d 00:00:00")]
)
def test_how_long_it_is_up(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (3 << 40, "3.0 TiB"),
        (1 << 60, "1048576.0 TiB"),
    ],
)
def test_how_much_it_is(count: int, text: str) -> None:
    assert size(count) == text


def test_no_histogram_has_no_percentiles() -> None:
    assert latency({"0.1": 0, "+Inf": 0}) == "none"


# -- whom it asks


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:9315", "127.0.0.1:9315"),
        ("*:9315", "127.0.0.1:9315"),
        ("0.0.0.0:9315", "127.0.0.1:9315"),
        ("[::]:9315", "[::1]:9315"),
        ("broker.example.com:1", "broker.example.com:1"),
    ],
)
def test_it_asks_where_the_broker_listens(listen: str, address: str) -> None:
    assert str(asked(MeshdConf(metrics=MeshdMetrics(listen=listen)))) == address


@pytest.mark.parametrize(
    ("listen", "sentence"),
    [
        ("", "metrics.listen is not set, so there is nobody to ask: 127.0.0.1:9315 would do"),
        ("127.0.0.1:0", "metrics.listen is 127.0.0.1:0: which port that is, the broker's log says"),
    ],
)
def test_where_nobody_can_be_asked_one_line_says_so(listen: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "meshd.toml").write_text(f'[metrics]\nlisten = "{listen}"\n')
    with pytest.raises(ConfError) as caught:
        meshd.main(["-c", str(tmp_path / "meshd.toml"), "--status"])
    assert (str(caught.value), caught.value.status) == (sentence, 2)


@contextmanager
def answering(reply: bytes | None) -> Iterator[str]:
    """HOST:PORT where one connection hears this; None: nothing, however long it waits."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                if reply is not None:
                    connection.sendall(reply)
                else:
                    connection.recv(1)

        server = threading.Thread(target=serve)
        server.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        server.join()


def http(body: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


NO_BROKER = "what answers at {} is no broker of cw (metrics.listen names it)"
CANNOT = "cannot ask the broker at {}: %s (metrics.listen names it)"
REPLIES: dict[str, tuple[bytes | None, str]] = {
    "nothing": (b"", CANNOT % "Remote end closed connection without response"),
    "silence": (None, CANNOT % "timed out"),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n", NO_BROKER),
    "half an answer": (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\ncw_", NO_BROKER),
    "another status": (http("no", "404 Not Found"), NO_BROKER),
    "a page": (http("<html>hello</html>"), NO_BROKER),
    "another's metrics": (http("go_goroutines 7\n"), NO_BROKER),
    "nothing to tell": (http(""), NO_BROKER),
    "what acts on a terminal": (
        http(told_text(build_info={(("version", "\x1b[31m"), ("python", "3")): 1})),
        NO_BROKER,
    ),
}


def test_a_broker_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(http(told_text(ready=1))) as address:
        assert status.status(MeshdConf(metrics=MeshdMetrics(listen=address))) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"broker          cw 1\.2\.3, up .+, ready", lines[0])
    assert lines[1] == "agents          0 connected, 0 joined; ended: none"


@pytest.mark.parametrize(("reply", "sentence"), REPLIES.values(), ids=REPLIES)
def test_what_is_no_broker_is_one_line(
    reply: bytes | None, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "DEADLINE", 0.05 if reply is None else 30.0)
    with answering(reply) as address:
        with pytest.raises(Unanswered) as caught:
            status.status(MeshdConf(metrics=MeshdMetrics(listen=address)))
        assert (str(caught.value), caught.value.status) == (sentence.format(address), 4)


def test_nobody_there_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(Unanswered) as caught:
        status.status(MeshdConf(metrics=MeshdMetrics(listen=address)))
    assert str(caught.value) == (CANNOT % "Connection refused").format(address)
