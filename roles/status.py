"""`cw meshd --status`: asks a broker's `metrics.listen` and prints what it tells for people."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

from conf.addresses import WILDCARDS, Address, listening
from conf.kinds import ConfError
from conf.schema import MeshdConf
from errors import CwError
from mesh.exposition import ExpositionError, Series, parse, quantile
from net.http import DEADLINE

MOST = 1 << 20
"""Bytes of an answer at most."""
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
QUANTILES = (0.5, 0.95, 0.99)


class Unanswered(CwError):
    """No broker answers there."""

    status = 4


class NoBroker(Unanswered):
    """Something else answers there."""

    def __init__(self, address: Address) -> None:
        super().__init__(f"what answers at {address} is no broker of cw (metrics.listen names it)")


def status(conf: MeshdConf) -> int:
    """Ask, and print; the exit status. Raises ConfError where nothing can be asked, Unanswered where nobody
    answers.
    """
    address = asked(conf)
    try:
        figures = Figures(parse(fetched(address)))
        lines = list(table(figures, time.time()))
    except (ExpositionError, KeyError) as error:
        raise NoBroker(address) from error
    if not all(text.isprintable() for _, text in lines):
        raise NoBroker(address)
    sys.stdout.write("".join(f"{name:<16}{text}\n" for name, text in lines))
    return 0


def asked(conf: MeshdConf) -> Address:
    """Where the broker of that configuration answers. Raises ConfError."""
    if not conf.metrics.listen:
        raise ConfError("metrics.listen is not set, so there is nobody to ask: 127.0.0.1:9315 would do")
    host, port = listening(conf.metrics.listen)
    if port == 0:
        raise ConfError(f"metrics.listen is {conf.metrics.listen}: which port that is, the broker's log says")
    return Address(WILDCARDS.get(host, host), port)


def fetched(address: Address) -> str:
    """The text of /metrics. Raises Unanswered."""
    connection = HTTPConnection(*address, timeout=DEADLINE)
    try:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        text = response.read(MOST).decode("utf-8", "replace")
    except OSError as error:
        why = error.strerror or str(error)
        raise Unanswered(f"cannot ask the broker at {address}: {why} (metrics.listen names it)") from error
    except HTTPException as error:
        raise NoBroker(address) from error
    finally:
        connection.close()
    if response.status != HTTPStatus.OK:
        raise NoBroker(address)
    return text


class Figures:
    """What was told, by name. Raises KeyError for a name that every broker tells and that is not there."""

    def __init__(self, values: Mapping[Series, float]) -> None:
        self._values = values

    def one(self, name: str) -> float:
        """The value of a metric without labels."""
        return self._values[Series(name)]

    def by(self, name: str, label: str, **others: str) -> dict[str, float]:
        """The values of a metric by what one of its labels says, where the others say this."""
        found = {
            dict(series.labels)[label]: value
            for series, value in self._values.items()
            if series.name == name and others.items() <= dict(series.labels).items()
        }
        if not found:
            raise KeyError(name)
        return found

    def count(self, name: str) -> str:
        """The same of one that counts."""
        return f"{self.one(name):.0f}"

    def words(self, name: str, label: str, **others: str) -> str:
        """The values by that label as words, without zeros."""
        values = self.by(name, label, **others)
        return ", ".join(f"{value:.0f} {word}" for word, value in values.items() if value) or "none"


def table(figures: Figures, now: float) -> Iterator[tuple[str, str]]:
    """Names and texts, a row each; `now` in seconds since 1970."""
    one, count, by, words = figures.one, figures.count, figures.by, figures.words
    (version,) = by("cw_meshd_build_info", "version")
    serving = "ready" if one("cw_meshd_ready") else "takes no new requests"
    yield "broker", f"cw {version}, up {span(now - one('process_start_time_seconds'))}, {serving}"
    sessions = by("cw_meshd_sessions", "peer")
    ended = {peer: words("cw_meshd_sessions_ended_total", "reason", peer=peer) for peer in sessions}
    joined = count("cw_meshd_agents_joined_total")
    yield "agents", f"{sessions['agent']:.0f} connected, {joined} joined; ended: {ended['agent']}"
    yield "clients", f"{sessions['client']:.0f} connected; ended: {ended['client']}"
    inside = count("cw_meshd_connections_unauthenticated")
    accepted, refused = (
        count("cw_meshd_connections_accepted_total"),
        count("cw_meshd_connections_refused_total"),
    )
    pauses = count("cw_meshd_accept_pauses_total")
    yield "strangers", f"{inside} at the door, {accepted} let in, {refused} turned away, {pauses} pauses"
    yield "handshakes", words("cw_meshd_handshakes_total", "result")
    yield "failed logins", words("cw_meshd_authentication_failures_total", "reason")
    yield "refusals", words("cw_meshd_refusals_total", "code")
    outcomes = words("cw_meshd_requests_total", "outcome")
    yield "requests", f"{count('cw_meshd_requests_open')} open; ended: {outcomes}"
    yield "latency", latency(by("cw_meshd_request_duration_seconds_bucket", "le"))
    dropped = count("cw_meshd_answers_dropped_total")
    yield "answers", f"{words('cw_meshd_answers_total', 'outcome')}; {dropped} dropped"
    received, sent = size(one("cw_meshd_received_bytes_total")), size(one("cw_meshd_sent_bytes_total"))
    yield "bytes", f"{received} received, {sent} sent, {size(one('cw_meshd_queued_bytes'))} queued"
    yield "process", ", ".join(process(figures))


def process(figures: Figures) -> Iterator[str]:
    """What the broker costs its host, as far as the host tells."""
    yield f"{figures.one('process_cpu_seconds_total'):.1f} s of processor time"
    with suppress(KeyError):
        yield f"{size(figures.one('process_resident_memory_bytes'))} resident"
    most = figures.one("process_max_fds")
    with suppress(KeyError):
        yield f"{figures.one('process_open_fds'):.0f} of {most:.0f} descriptors"


def latency(counts: Mapping[str, float]) -> str:
    """Percentiles of a histogram's counts, by the bounds of its buckets."""
    buckets = sorted((float(bound), count) for bound, count in counts.items())
    values = [quantile(share, buckets) for share in QUANTILES]
    return (
        ", ".join(
            f"p{share * 100:.0f} {moment(value, buckets[-2][0])}"
            for share, value in zip(QUANTILES, values, strict=True)
            if value is not None
        )
        or "none"
    )


def moment(seconds: float, longest: float) -> str:
    """12 ms, 1.25 s; of what is longer than the longest bound nothing else is known."""
    if math.isinf(seconds):
        return f"over {longest:g} s"
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.0f} s" if seconds >= 100 else f"{seconds:.3g} s"


def span(seconds: float) -> str:
    """3 d 04:05:06; a clock that was set back since makes it nothing."""
    minutes, second = divmod(max(0, int(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days} d {hour:02}:{minute:02}:{second:02}" if days else f"{hour:02}:{minute:02}:{second:02}"


def size(count: float) -> str:
    """1023 B, 1.5 KiB."""
    power = min(max(int(count), 1).bit_length() - 1, 49) // 10
    return f"{count / 1024**power:.1f} {UNITS[power]}" if power else f"{count:.0f} B"
