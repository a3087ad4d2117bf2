import pytest

from wire.errors import RecordError
from wire.records import MAX_RECORD, frame, take


def test_a_record_is_its_length_and_itself() -> None:
    assert frame(b"") == b"\0\0"
    assert frame(b"abc") == b"\0\3abc"
    assert frame(bytes(MAX_RECORD)) == b"\xff\xff" + bytes(MAX_RECORD)
    with pytest.raises(RecordError, match="65536"):
        frame(bytes(MAX_RECORD + 1))


def test_a_record_is_taken_when_it_is_whole() -> None:
    assert [take(b"\0\3abc"[:size], 3) for size in range(5)] == [None] * 5
    assert take(b"\0\3abc", 3) == (b"abc", b"")
    assert take(b"\0\3abcde", 3) == (b"abc", b"de")


@pytest.mark.parametrize("announced", [0, 2, 4, 259, MAX_RECORD])
def test_another_length_is_refused_when_it_is_announced(announced: int) -> None:
    with pytest.raises(RecordError, match=f"{announced} bytes where 3 were due"):
        take(announced.to_bytes(2, "big"), 3)
