from auth.refusals import CAPACITY, QUIET, Refusals


def test_a_key_is_news_once_a_minute() -> None:
    refusals = Refusals()
    times = (0.0, 1.0, QUIET - 0.1, QUIET, QUIET + 1)
    assert [refusals.is_news(b"a", now) for now in times] == [True, False, False, True, False]
    assert refusals.is_news(b"b", QUIET + 1)


def test_a_flood_of_keys_is_named_up_to_a_bound() -> None:
    refusals = Refusals()
    keys = [number.to_bytes(32, "big") for number in range(CAPACITY + 10)]
    assert sum(refusals.is_news(key, 1.0) for key in keys) == CAPACITY
    assert refusals.is_news(keys[-1], 1.0 + QUIET)
