"""A small one file that a test commands, built as dist/cw is."""

from pathlib import Path

import pytest

from tests.conftest import CHECKOUT
from tests.house.probes import OBEDIENT
from tools.onefile.build import build


@pytest.fixture(scope="session")
def probe_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose cw obeys a test, with a package of its own beside the real dependencies."""
    checkout = tmp_path_factory.mktemp("probe")
    for name, text in {
        "cw.py": OBEDIENT,
        "errors.py": (CHECKOUT / "errors.py").read_text(),
        "wire/__init__.py": "",
        "wire/late.py": "VALUE = 'as it was'",
        "wire/broken.py": "def fail():\n    raise ValueError('on line two')\n",
        "wire/pn/sample.pn": "fn main\n",
        "wire/tests/test_late.py": "",
        "wire/late.pyi": "",
    }.items():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(text)
    return checkout


@pytest.fixture(scope="session")
def wheels(cw_file: Path) -> Path:
    """The wheels that dist/cw was made from."""
    assert cw_file.exists()
    return CHECKOUT / "build" / "wheels"


@pytest.fixture(scope="session")
def probe_file(probe_checkout: Path, wheels: Path) -> Path:
    """The one file of the obedient checkout. A test that changes it copies it first."""
    build(probe_checkout, wheels, probe_checkout / "cw")
    return probe_checkout / "cw"
