from hypothesis import given
from hypothesis import strategies as st

from auth.throttle import Throttle


def test_a_user_is_refused_at_an_address_after_too_many_failures() -> None:
    throttle = Throttle(failures=3, window=60)
    assert [throttle.admits("alice", "192.0.2.1", now) for now in (0.0, 1.0, 2.0, 3.0, 61.9)] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert throttle.admits("alice", "192.0.2.2", 3.0)
    assert throttle.admits("bob", "192.0.2.1", 3.0)


def test_refusals_do_not_make_the_wait_longer() -> None:
    throttle = Throttle(failures=1, window=60)
    assert throttle.admits("alice", "192.0.2.1", 0.0)
    assert not throttle.admits("alice", "192.0.2.1", 59.9)
    assert throttle.admits("alice", "192.0.2.1", 60.0)
    assert not throttle.admits("alice", "192.0.2.1", 60.1)


def test_success_forgives() -> None:
    throttle = Throttle(failures=2, window=60)
    throttle.admits("alice", "192.0.2.1", 0.0)
    throttle.admits("alice", "192.0.2.1", 0.0)
    throttle.succeeded("alice", "192.0.2.1")
    assert throttle.admits("alice", "192.0.2.1", 0.0)
    throttle.succeeded("nobody", "192.0.2.1")


def test_many_names_do_not_wash_out_who_is_refused() -> None:
    throttle = Throttle(failures=3, window=60, capacity=10)
    for _ in range(3):
        throttle.admits("alice", "192.0.2.1", 0.0)
    for number in range(1000):
        assert throttle.admits(f"user{number}", "192.0.2.1", 1.0 + number / 1000)
    assert not throttle.admits("alice", "192.0.2.1", 5.0)


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("xyz"), st.floats(0, 100))),
    st.integers(1, 5),
)
def test_the_table_is_bounded_and_nobody_tries_more_often_than_allowed(
    tries: list[tuple[str, str, float]], capacity: int
) -> None:
    throttle = Throttle(failures=2, window=1000, capacity=capacity)
    for user, address, wait in tries:
        throttle.admits(user, address, wait)
        assert len(throttle) <= capacity
