"""The sample dashboard asks for what a broker tells, and leaves nothing out."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from mesh.exposition import Type
from net.hub import End
from roles.metrics import METRICS
from tests.conftest import CHECKOUT

BOARD: dict[str, Any] = json.loads((CHECKOUT / "conf" / "grafana" / "meshd.json").read_text())
NAME = re.compile(r"\b(?:cw_meshd|process)_[a-z_]+")
SELECTOR = re.compile(rf"({NAME.pattern})\{{([^}}]*)\}}")
PARTS = ("_bucket", "_sum", "_count")
SERIES = {
    name: metric
    for metric in METRICS
    for name in (
        [f"{metric.name}{part}" for part in PARTS] if metric.type is Type.HISTOGRAM else [metric.name]
    )
}


def queries() -> Iterator[tuple[str, str]]:
    """Title and expression of each."""
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("title", "expression"), list(queries()))
def test_a_query_asks_for_what_there_is(title: str, expression: str) -> None:
    names = NAME.findall(expression)
    assert names
    assert names == [name for name, _ in SELECTOR.findall(expression)]
    for name, selector in SELECTOR.findall(expression):
        metric = SERIES[name]
        labels = set(re.findall(r"([a-z]+)=", selector)) - {"instance"}
        assert labels <= set(metric.labels)
        rated = f"rate({name}" in expression
        assert rated == (metric.type is not Type.GAUGE), "a counter is looked at by how fast it rises"
    grouped = re.search(r"sum by \(([^)]*)\)", expression)
    if grouped:
        known = {"le", "instance"}.union(*(SERIES[name].labels for name in names))
        assert set(grouped[1].split(", ")) <= known


def test_every_metric_is_shown() -> None:
    asked = {SERIES[name].name for _, expression in queries() for name in NAME.findall(expression)}
    (instances,) = (one["definition"] for one in BOARD["templating"]["list"] if one["name"] == "instance")
    asked |= set(NAME.findall(instances))
    assert asked == {metric.name for metric in METRICS}


def test_what_words_a_query_singles_out_are_told_by_a_broker() -> None:
    reasons = {end.value for end in End}
    for _, expression in queries():
        for words in re.findall(r'reason=~"([^"]*)"', expression):
            assert set(words.split("|")) <= reasons


def test_panels_have_numbers_and_places_of_their_own() -> None:
    panels = BOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert all(0 <= x < 24 for x, _ in cells)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels)
