"""What a process tells of itself, and that it does without what the host does not tell."""

import os
from pathlib import Path

import pytest

from roles import vitals


def test_memory_and_descriptors_are_those_of_this_process() -> None:
    told = vitals.resident_bytes()
    assert told is not None
    assert 1 << 20 < told < 64 << 30
    opened = vitals.open_descriptors()
    assert opened is None or 0 < opened <= vitals.most_descriptors()
    assert vitals.processor_seconds() > 0


def test_a_descriptor_more_is_one_more() -> None:
    before = vitals.open_descriptors()
    mine = os.open("/", os.O_RDONLY)
    try:
        assert vitals.open_descriptors() == (before and before + 1)
    finally:
        os.close(mine)


@pytest.mark.parametrize("place", ["/proc/none", "/proc"])
def test_what_the_host_does_not_tell_is_left_out(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "_DESCRIPTORS", place)  # of /proc itself, as of fd before Linux 6.2, it is 0
    monkeypatch.setattr(vitals, "_STATM", Path("/proc/none"))
    assert vitals.open_descriptors() is None
    assert vitals.resident_bytes() is None
