"""The estimate of the broker's clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.clock import SAMPLES, BrokerClock


@pytest.mark.parametrize(
    ("samples", "own", "expected"),
    [
        ([(1000, 500)], 500, 1000),
        ([(1000, 500)], 700, 1200),
        ([(1000, 500), (1100, 700)], 700, 1200),
        ([(1000, 600), (1100, 600)], 600, 1100),
        ([(5, 1_000_000)], 1_000_010, 15),
    ],
    ids=["as told", "time goes on", "a late one does not count", "a swifter one does", "behind ours"],
)
def test_estimate(samples: list[tuple[int, int]], own: int, expected: int) -> None:
    clock = BrokerClock()
    for broker, received in samples:
        clock.sample(broker, received)
    assert clock.at(own) == expected


def test_an_old_sample_is_forgotten_so_a_drifting_clock_is_followed() -> None:
    clock = BrokerClock()
    clock.sample(10_000, 0)
    for own in range(1, SAMPLES + 1):
        clock.sample(5_000 + own, own)
    assert clock.at(100) == 5_100


@given(
    offset=st.integers(-(10**12), 10**12),
    delays=st.lists(st.integers(0, 10_000), min_size=1, max_size=30),
)
def test_never_ahead_of_the_broker_and_off_by_the_least_delay(offset: int, delays: list[int]) -> None:
    clock = BrokerClock()
    own = 0
    for delay in delays:
        own += 10_000
        clock.sample(own - delay + offset, own)
    assert clock.at(own) == own + offset - min(delays[-SAMPLES:])
