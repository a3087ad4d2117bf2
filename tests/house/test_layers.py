"""The lint of layers: this checkout passes, and each planted wrong is found."""

from pathlib import Path

import pytest

from tests.conftest import CHECKOUT
from tools.layers import LEVELS, main, violations, violations_of


def test_this_checkout_is_in_order() -> None:
    assert violations(CHECKOUT) == []


def test_every_folder_of_the_product_has_a_level() -> None:
    folders = {path.parent.name for path in CHECKOUT.glob("*/__init__.py")}
    assert folders <= {name for names in LEVELS for name in names}


@pytest.mark.parametrize(
    ("file", "source", "sentence"),
    [
        ("mesh/x.py", "import roles.client", "mesh is not above roles"),
        ("mesh/x.py", "def f():\n    from net import hub", "mesh is not above net"),
        ("mesh/x.py", "if TYPE_CHECKING:\n    import policy", "mesh is not above policy"),
        ("net/x.py", "import auth.keys", "net is not above auth"),
        ("host/x.py", "import net.hub", "host is not above net"),
        ("wire/x.py", "from conf.version import VERSION", "wire is not above conf"),
        ("errors.py", "import cw", "errors is not above cw"),
        ("roles/x.py", "import cw", "roles is not above cw"),
        ("roles/x.py", "import tests.fakes", "tests is not part of the product"),
        ("vm/ops/x.py", "import trio.lowlevel", "vm is pure, trio.lowlevel is not"),
        ("conf/x.py", "from time import monotonic", "conf is pure, time.monotonic is not"),
        ("wire/x.py", "import os as o\no.urandom(4)", "wire is pure, os.urandom is not"),
        ("wire/x.py", "from os import urandom", "wire is pure, os.urandom is not"),
        (
            "mesh/x.py",
            "import datetime\ndatetime.datetime.now()",
            "mesh is pure, datetime.datetime.now is not",
        ),
        (
            "mesh/x.py",
            "from datetime import datetime\ndatetime.now()",
            "mesh is pure, datetime.datetime.now is not",
        ),
        ("wire/x.py", "import nacl.utils\nnacl.utils.random()", "wire is pure, nacl.utils.random is not"),
        ("wire/x.py", "import os.path, socket", "wire is pure, socket is not"),
        ("wire/x.py", "def", "not Python: invalid syntax"),
    ],
)
def test_planted_wrongs_are_found(file: str, source: str, sentence: str) -> None:
    assert sentence in {violation.sentence for violation in violations_of(file, source)}


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("cw.py", "import conf.version, errors, roles.client"),
        ("roles/x.py", "import trio, net.hub, auth.keys, mesh.router, wire.noise, time"),
        ("mesh/x.py", "import mesh.acl, wire.codec, vm.image, conf.version, errors, os, datetime"),
        ("mesh/x.py", "def f(time, random):\n    return time.monotonic() + random.random()"),
        ("wire/timetable.py", "import timetable"),
    ],
)
def test_what_is_allowed_is_allowed(file: str, source: str) -> None:
    assert list(violations_of(file, source)) == []


def test_what_is_found_is_printed_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mesh").mkdir()
    (tmp_path / "mesh" / "router.py").write_text('"""Rules."""\n\nimport trio\n')
    assert main(tmp_path) == 1
    assert capsys.readouterr().out.splitlines() == [
        "mesh/router.py:3: mesh is pure, trio is not",
        "imports point down: cw → roles → net | auth → host → mesh | policy → vm | wire | conf → errors",
    ]
    (tmp_path / "mesh" / "router.py").write_text('"""Rules."""\n')
    assert main(tmp_path) == 0
