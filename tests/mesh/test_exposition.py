"""Prometheus' text format: what is written can be read, by us and by Prometheus' own library."""

import math
from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from mesh.exposition import (
    ExpositionError,
    Family,
    Histogram,
    Labels,
    Reading,
    Series,
    Type,
    parse,
    quantile,
    render,
)

TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from('\\"\n{},= '), max_size=20)
Values = int | float | Mapping[Labels, int | float]
NUMBERS = st.integers(0, 2**53) | st.floats(0, allow_infinity=True)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)


def labelled(names: list[str]) -> st.SearchStrategy[dict[Labels, int | float]]:
    labels = st.tuples(*(TEXTS for _ in names)).map(lambda texts: tuple(zip(names, texts, strict=True)))
    return st.dictionaries(labels, NUMBERS, min_size=1, max_size=4)


READINGS: st.SearchStrategy[Values] = NUMBERS | st.lists(NAMES, min_size=1, max_size=3, unique=True).flatmap(
    labelled
)


@given(st.dictionaries(NAMES, st.tuples(READINGS, TEXTS), max_size=4))
def test_what_is_written_is_read_by_us_and_by_prometheus(metrics: dict[str, tuple[Values, str]]) -> None:
    text = render(
        Family(f"cw_{name}_seconds", Type.GAUGE, sentence, reading)
        for name, (reading, sentence) in metrics.items()
    )
    ours = parse(text)
    expected: dict[Series, float] = {}
    for name, (reading, _) in metrics.items():
        values = reading if isinstance(reading, Mapping) else {(): reading}
        expected |= {Series(f"cw_{name}_seconds", labels): value for labels, value in values.items()}
    assert ours == expected
    families = list(text_string_to_metric_families(text))
    assert {family.name: family.type for family in families} == {
        f"cw_{name}_seconds": "gauge" for name in metrics
    }
    theirs = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for f in families
        for sample in f.samples
    }
    assert theirs == {(name, frozenset(labels)): value for (name, labels), value in ours.items()}


def test_the_format_is_this() -> None:
    histogram = Histogram((0.5, 1.0))
    for value in (0.1, 0.5, 0.7, 3.0):
        histogram.observe(value)
    by_peer: Reading = {(("peer", "agent"),): 3, (("peer", 'a "b"\n\\'),): 0}
    assert render(
        [
            Family("sessions", Type.GAUGE, 'How many "sessions":\nall \\ of them.', by_peer),
            Family("late_total", Type.COUNTER, "Late.", 7),
            Family("unknown", Type.GAUGE, "Not told.", None),
            Family("took_seconds", Type.HISTOGRAM, "Time.", histogram),
        ]
    ).splitlines() == [
        r'# HELP sessions How many "sessions":\nall \\ of them.',
        "# TYPE sessions gauge",
        'sessions{peer="agent"} 3',
        r'sessions{peer="a \"b\"\n\\"} 0',
        "# HELP late_total Late.",
        "# TYPE late_total counter",
        "late_total 7",
        "# HELP took_seconds Time.",
        "# TYPE took_seconds histogram",
        'took_seconds_bucket{le="0.5"} 2',
        'took_seconds_bucket{le="1.0"} 3',
        'took_seconds_bucket{le="+Inf"} 4',
        "took_seconds_sum 4.3",
        "took_seconds_count 4",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "<html>",
        "name",
        "name{} ",
        "name one",
        'name{a="b} 1',
        "name{a=1} 2",
        '{a="b"} 1',
        "a 1\nb c d",
        "a\0 1",
    ],
)
def test_anything_else_is_one_sentence(text: str) -> None:
    with pytest.raises(ExpositionError, match=r"^line [12]: expected a metric and its value, got '"):
        parse(text)


@given(st.text())
def test_no_text_is_more_than_an_error(text: str) -> None:
    with suppress(ExpositionError):
        parse(text)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50), st.floats(0, 1))
def test_a_quantile_is_in_the_bucket_of_the_value_that_it_stands_for(
    values: list[float], share: float
) -> None:
    histogram = Histogram((1.0, 10.0, 50.0))
    for value in values:
        histogram.observe(value)
    counted = [(float(series.labels[0][1]), count) for series, count in buckets(histogram)]
    found = quantile(share, counted)
    assert found is not None
    exact = sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
    bounds = (0.0, 1.0, 10.0, 50.0, math.inf)
    below, bound = next((a, b) for a, b in pairwise(bounds) if exact <= b)
    assert below <= found <= bound


def buckets(histogram: Histogram) -> list[tuple[Series, float]]:
    read = parse(render([Family("h", Type.HISTOGRAM, "H.", histogram)]))
    return [(series, value) for series, value in read.items() if series.name == "h_bucket"]


@pytest.mark.parametrize(
    ("share", "counts", "value"),
    [
        (0.5, [0, 0, 0], None),
        (0.5, [10, 10, 10], 0.5),
        (1.0, [10, 10, 10], 1.0),
        (0.5, [0, 10, 10], 1.5),
        (0.95, [0, 0, 1], math.inf),
        (0.0, [0, 4, 4], 1.0),
    ],
)
def test_within_a_bucket_values_are_taken_to_be_spread_evenly(
    share: float, counts: list[float], value: float | None
) -> None:
    assert quantile(share, list(zip((1.0, 2.0, math.inf), counts, strict=True))) == value


def test_no_buckets_no_quantile() -> None:
    assert quantile(0.5, []) is None
