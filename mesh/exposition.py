"""Measurements as text in Prometheus' exposition format 0.0.4, and back. Pure: reads no counter, no clock.

Written here because prometheus-client brings 6.6 MiB and 150 ms (its server, email, OpenSSL) into a broker,
and 1.1 µs a count where a plain integer does. Its parser is the other side in tests.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import accumulate
from typing import NamedTuple

from errors import CwError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class ExpositionError(CwError):
    """That is not Prometheus' text format."""


class Type(StrEnum):
    """What the value of a metric means; a counter never falls while its process lives."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Histogram:
    """How many values were at most each of `bounds`, which rise."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        """Of each bucket alone; the last is of what is above every bound."""
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


Labels = tuple[tuple[str, str], ...]
Reading = int | float | Histogram | Mapping[Labels, int | float] | None
"""The value of a metric, or its values by labels; None where there is no telling."""


class Family(NamedTuple):
    """A metric as it is read: `name` without the suffixes of a histogram's parts, `help` one sentence."""

    name: str
    type: Type
    help: str
    reading: Reading


class Series(NamedTuple):
    """What a value is the value of."""

    name: str
    labels: Labels = ()


def render(families: Iterable[Family]) -> str:
    """The text of a scrape. A family without a reading is left out."""
    return "".join(_lines(families))


def _lines(families: Iterable[Family]) -> Iterator[str]:
    for family in families:
        if family.reading is None:
            continue
        yield f"# HELP {family.name} {_escaped(family.help)}\n# TYPE {family.name} {family.type}\n"
        for (name, labels), value in _values(family.name, family.reading):
            pairs = ",".join(f'{label}="{_escaped(text, quote=True)}"' for label, text in labels)
            yield f"{name}{{{pairs}}} {value!r}\n" if pairs else f"{name} {value!r}\n"


def _values(name: str, reading: Reading) -> Iterator[tuple[Series, int | float]]:
    if isinstance(reading, Histogram):
        bounds = (*map(repr, reading.bounds), "+Inf")
        counts = tuple(accumulate(reading.counts))
        for bound, count in zip(bounds, counts, strict=True):
            yield Series(f"{name}_bucket", (("le", bound),)), count
        yield Series(f"{name}_sum"), reading.total
        yield Series(f"{name}_count"), counts[-1]
    elif isinstance(reading, Mapping):
        for labels, value in reading.items():
            yield Series(name, labels), value
    elif reading is not None:
        yield Series(name), reading


_ESCAPES = {"\\": "\\\\", "\n": "\\n", '"': '\\"'}
_UNESCAPED = {escape: plain for plain, escape in _ESCAPES.items()}


def _escaped(text: str, *, quote: bool = False) -> str:
    """A help, or with `quote` the value of a label."""
    return "".join(c if c == '"' and not quote else _ESCAPES.get(c, c) for c in text)


_PAIR = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*"'
_LINE = re.compile(rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{({_PAIR}(?:,{_PAIR})*)?,?\}})? (\S+)\Z")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


def parse(text: str) -> dict[Series, float]:
    """What `render` wrote. Raises ExpositionError for anything else but comments and empty lines."""
    values = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.startswith("#"):
            continue
        found = _LINE.match(line)
        try:
            if found is None:
                raise ValueError(line)
            value = float(found[3])
        except ValueError as error:
            raise ExpositionError(
                f"line {number}: expected a metric and its value, got {line[:80]!r}"
            ) from error
        labels = tuple((name, _plain(label)) for name, label in _LABEL.findall(found[2] or ""))
        values[Series(found[1], labels)] = value
    return values


def _plain(label: str) -> str:
    return re.sub(r"\\.", lambda escape: _UNESCAPED[escape[0]], label)


def quantile(share: float, buckets: Sequence[tuple[float, float]]) -> float | None:
    """The value that `share` of all values do not exceed, as far as buckets can tell; None of no values.

    `buckets` are (bound, how many were at most that), rising, the last bound infinite. Within a bucket values
    are taken to be spread evenly, as Prometheus' histogram_quantile() does; of what is above every finite
    bound nothing is known but that, so it is infinite.
    """
    if not buckets or not buckets[-1][1]:
        return None
    rank = share * buckets[-1][1]
    below, counted = 0.0, 0.0
    for bound, count in buckets:
        if count >= rank and count > counted:
            return (
                bound if bound == math.inf else below + (bound - below) * (rank - counted) / (count - counted)
            )
        below, counted = bound, count
    return below
