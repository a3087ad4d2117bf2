"""What `metrics.listen` tells: the table of every metric of a broker, and the pages that it is on."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import NamedTuple

from conf.version import VERSION
from mesh.exposition import CONTENT_TYPE, Family, Histogram, Labels, Reading, Type, render
from net.http import Page, Pages
from roles.tally import Measured
from roles.vitals import (
    Phase,
    Vitals,
    most_descriptors,
    open_descriptors,
    processor_seconds,
    resident_bytes,
)
from wire.handshake import Peer

Value = int | float | Histogram | Mapping[str, int] | Mapping[tuple[str, str], int] | None


class Scrape(NamedTuple):
    """What metrics are read from."""

    broker: Measured
    vitals: Vitals


class Metric(NamedTuple):
    """One row: `read` gives the value or, where there are `labels`, the values by what these are."""

    name: str
    type: Type
    help: str
    read: Callable[[Scrape], Value]
    labels: tuple[str, ...] = ()


METRICS = (
    Metric(
        "cw_meshd_build_info",
        Type.GAUGE,
        "Versions of cw and of Python.",
        lambda _: {(VERSION, platform.python_version()): 1},
        ("version", "python"),
    ),
    Metric(
        "cw_meshd_ready",
        Type.GAUGE,
        "1 while new requests are taken: not before it listens, nor after SIGTERM.",
        lambda at: int(at.vitals.phase is Phase.READY),
    ),
    Metric(
        "cw_meshd_sessions",
        Type.GAUGE,
        "Agents and clients that are connected.",
        lambda at: {Peer.AGENT.value: len(at.broker.router.sessions), Peer.CLIENT.value: at.broker.clients},
        ("peer",),
    ),
    Metric(
        "cw_meshd_agents_joined_total",
        Type.COUNTER,
        "Sessions that agents have begun.",
        lambda at: at.broker.tally.joined,
    ),
    Metric(
        "cw_meshd_sessions_ended_total",
        Type.COUNTER,
        "Sessions that have ended, by why.",
        lambda at: {(peer.value, end.value): count for (peer, end), count in at.broker.hub.ended.items()},
        ("peer", "reason"),
    ),
    Metric(
        "cw_meshd_connections_unauthenticated",
        Type.GAUGE,
        "Connections that have not said who they are yet.",
        lambda at: at.broker.door.inside,
    ),
    Metric(
        "cw_meshd_connections_accepted_total",
        Type.COUNTER,
        "Connections let in at the door.",
        lambda at: at.broker.door.accepted,
    ),
    Metric(
        "cw_meshd_connections_refused_total",
        Type.COUNTER,
        "Connections turned away at the door (limits.unauthenticated).",
        lambda at: at.broker.door.refused,
    ),
    Metric(
        "cw_meshd_accept_pauses_total",
        Type.COUNTER,
        "Times that accepting paused because descriptors or memory ran out.",
        lambda at: at.broker.door.pauses,
    ),
    Metric(
        "cw_meshd_handshakes_total",
        Type.COUNTER,
        "Handshakes with the first message behind them, by result.",
        lambda at: at.broker.tally.handshakes,
        ("result",),
    ),
    Metric(
        "cw_meshd_authentication_failures_total",
        Type.COUNTER,
        "Users who were told that authentication failed, by why it did.",
        lambda at: at.broker.authority.failures,
        ("reason",),
    ),
    Metric(
        "cw_meshd_refusals_total",
        Type.COUNTER,
        "Peers that were refused, by the code that they were told.",
        lambda at: at.broker.tally.refusals,
        ("code",),
    ),
    Metric(
        "cw_meshd_requests_open",
        Type.GAUGE,
        "Requests on the wire.",
        lambda at: len(at.broker.router.requests),
    ),
    Metric(
        "cw_meshd_requests_total",
        Type.COUNTER,
        "Requests that have ended, by how, in the words of the audit log.",
        lambda at: at.broker.tally.requests,
        ("outcome",),
    ),
    Metric(
        "cw_meshd_request_duration_seconds",
        Type.HISTOGRAM,
        "From a command on the wire to its closed ledger.",
        lambda at: at.broker.tally.latency,
    ),
    Metric(
        "cw_meshd_answers_total",
        Type.COUNTER,
        "Nodes asked by requests that have ended, by how they answered.",
        lambda at: at.broker.tally.answers,
        ("outcome",),
    ),
    Metric(
        "cw_meshd_answers_dropped_total",
        Type.COUNTER,
        "Late, repeated and unknown answers of agents.",
        lambda at: at.broker.router.dropped,
    ),
    Metric(
        "cw_meshd_received_bytes_total",
        Type.COUNTER,
        "Bytes, sealed, received in sessions after their first message.",
        lambda at: at.broker.hub.received,
    ),
    Metric(
        "cw_meshd_sent_bytes_total",
        Type.COUNTER,
        "Bytes, sealed, sent in sessions after the handshake.",
        lambda at: at.broker.hub.sent,
    ),
    Metric(
        "cw_meshd_queued_bytes",
        Type.GAUGE,
        "Bytes that wait to be sent, in all queues (limits.queues).",
        lambda at: at.broker.hub.queued,
    ),
    Metric(
        "process_start_time_seconds",
        Type.GAUGE,
        "When the broker started, in seconds since 1970.",
        lambda at: at.vitals.since,
    ),
    Metric(
        "process_cpu_seconds_total",
        Type.COUNTER,
        "User and system time of the broker.",
        lambda _: processor_seconds(),
    ),
    Metric(
        "process_resident_memory_bytes",
        Type.GAUGE,
        "Memory of the broker that is in RAM.",
        lambda _: resident_bytes(),
    ),
    Metric(
        "process_open_fds",
        Type.GAUGE,
        "Descriptors that the broker has, where the kernel tells (Linux 6.2).",
        lambda _: open_descriptors(),
    ),
    Metric(
        "process_max_fds", Type.GAUGE, "Descriptors that the broker may have.", lambda _: most_descriptors()
    ),
)
"""Every row; dashboards go by these names. No label names a user or a node: there is no end of them."""


def families(measured: Measured, vitals: Vitals) -> Iterator[Family]:
    """All metrics as they are now."""
    scrape = Scrape(measured, vitals)
    for metric in METRICS:
        value = metric.read(scrape)
        yield Family(metric.name, metric.type, metric.help, _labelled(value, metric.labels))


def _labelled(value: Value, labels: tuple[str, ...]) -> Reading:
    if not isinstance(value, Mapping):
        return value
    readings: dict[Labels, int] = {}
    for key, count in value.items():
        words = (str(key),) if isinstance(key, str) else key
        readings[tuple(zip(labels, words, strict=True))] = count
    return readings


def pages(measure: Callable[[], Measured], vitals: Vitals) -> Pages:
    """What a broker answers over HTTP."""

    def metrics() -> Page:
        return Page(HTTPStatus.OK, render(families(measure(), vitals)), CONTENT_TYPE)

    def health() -> Page:
        """That this is made at all says it: the loop that serves every session turns."""
        return Page(HTTPStatus.OK, "ok\n")

    def readiness() -> Page:
        ready = vitals.phase is Phase.READY
        return Page(HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE, f"{vitals.phase}\n")

    return {"/metrics": metrics, "/healthz": health, "/readyz": readiness}
