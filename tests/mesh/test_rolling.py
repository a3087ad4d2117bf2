"""Nodes in turns: shares, batches, draws and when it is enough."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.messages import Identity
from mesh.printing import Tally
from mesh.rolling import Share, Turns, drawn, in_order, share


def nodes(count: int) -> list[Identity]:
    return [
        Identity(f"web{number}.example.com", f"3f2b8c1e-0000-4000-8000-{number:012}")
        for number in range(1, count + 1)
    ]


@pytest.mark.parametrize(
    ("text", "least", "expected"),
    [
        ("1", 1, Share(1)),
        ("0", 0, Share(0)),
        ("999999", 1, Share(999_999)),
        ("25%", 1, Share(25, True)),
        ("100%", 1, Share(100, True)),
        ("0%", 0, Share(0, True)),
    ],
)
def test_a_share(text: str, least: int, expected: Share) -> None:
    assert share(text, least) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    "text", ["", "0", "0%", "-1", "+1", "1.5", "101%", "%", "1 %", "1%%", "٣", "1000000", "a"]
)
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(ValueError, match=r"^a number of nodes or N%, from 1 on$"):
        share(text, 1)


@pytest.mark.parametrize(
    ("turns", "sizes"),
    [
        (Turns(), [10]),
        (Turns(canary=1), [1, 9]),
        (Turns(canary=10), [10]),
        (Turns(canary=11), [10]),
        (Turns(batch=Share(4)), [4, 4, 2]),
        (Turns(batch=Share(99)), [10]),
        (Turns(batch=Share(25, True)), [2, 2, 2, 2, 2]),
        (Turns(batch=Share(1, True)), [1] * 10),
        (Turns(canary=3, batch=Share(50, True)), [3, 5, 2]),
    ],
)
def test_batches(turns: Turns, sizes: list[int]) -> None:
    assert [len(batch) for batch in turns.batches(nodes(10))] == sizes


shares = st.builds(Share, st.integers(1, 100), st.booleans())


@given(st.integers(0, 300), st.integers(0, 50), st.none() | shares)
def test_every_node_is_in_one_batch(count: int, canary: int, batch: Share | None) -> None:
    those = nodes(count)
    batches = Turns(canary, batch).batches(those)
    assert [node for one in batches for node in one] == those
    assert all(batches)


@pytest.mark.parametrize(
    ("failures", "tally", "expected"),
    [
        (Share(0), Tally(ok=9), False),
        (Share(0), Tally(failed=1), True),
        (Share(0), Tally(lost=1), True),
        (Share(0), Tally(silent=1), True),
        (Share(0), Tally(expired=1), True),
        (Share(0), Tally(optouts=5, denied=5), False),
        (Share(2), Tally(failed=1, lost=1), False),
        (Share(2), Tally(failed=1, lost=1, silent=1), True),
        (Share(10, True), Tally(failed=1), False),
        (Share(10, True), Tally(failed=2), True),
        (Share(9, True), Tally(failed=1), True),
        (Share(100, True), Tally(failed=10), False),
    ],
)
def test_when_too_many_have_failed(failures: Share, tally: Tally, expected: bool) -> None:
    assert Turns(failures=failures).too_many(tally, 10) is expected


def test_the_order_is_that_of_names() -> None:
    assert in_order(nodes(12)[::-1]) == nodes(12)


@given(st.integers(0, 60), st.integers(1, 60), st.text(max_size=8))
def test_the_same_seed_draws_the_same(count: int, limit: int, seed: str) -> None:
    those = nodes(count)
    chosen = drawn(those, limit, seed)
    assert len(chosen) == min(limit, count)
    assert chosen == [node for node in those if node in chosen]
    assert set(drawn(those[::-1], limit, seed)) == set(chosen)


@given(st.integers(2, 60), st.integers(1, 20), st.text(max_size=8), st.data())
def test_who_goes_changes_a_draw_by_no_more_than_themselves(
    count: int, limit: int, seed: str, data: st.DataObject
) -> None:
    those = nodes(count)
    gone = data.draw(st.sampled_from(those))
    before = set(drawn(those, limit, seed))
    after = set(drawn([node for node in those if node != gone], limit, seed))
    assert len(before - after - {gone}) == 0
    assert len(after - before) <= (gone in before)


def test_other_seeds_draw_others() -> None:
    assert len({frozenset(drawn(nodes(50), 5, str(seed))) for seed in range(20)}) > 15
