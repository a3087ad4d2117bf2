"""Fixtures of the tests that run the one file as its users do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Site, one_file

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def cw() -> tuple[str, ...]:
    """The words that run dist/cw, which is up to date."""
    return one_file(ROOT)


@pytest.fixture
def site(cw: tuple[str, ...], tmp_path: Path) -> Iterator[Site]:
    """A site of the test's own, with nothing running yet."""
    with Site(tmp_path, cw) as site:
        yield site
