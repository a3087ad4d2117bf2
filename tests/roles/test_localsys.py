"""`cw localsys`: what it is asked with, what it prints, and how it ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import cw

SEE = "(see cw localsys --help)"
VERBS = "start, stop, restart, reload"
ACTIONS = (
    *("identify", "pkg-version", "pkg-latest", "pkg-install", "pkg-remove", "pkg-recache"),
    *("svc-run-status", "svc-boot-status", "svc-init", "svc-enable", "svc-disable"),
)

ROOT = Path(__file__).parents[2]

LOADED = """
import sys
sys.path.insert(0, sys.argv[1])
import cw, json
status = cw.main(["localsys", "identify"])
from roles.lean import Postponed
loaded = [name for name, module in sys.modules.items() if not isinstance(module, Postponed)]
print(json.dumps([status, sorted(loaded)]), file=sys.stderr)
"""


def localsys(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = cw.main(["localsys", *words])
    return status, *capsys.readouterr()


def test_the_help_fits_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["-h"], ["pkg-install", "--help"], ["identify", "-h"]):
        status, output, errors = localsys(capsys, *words)
        assert (status, errors) == (0, "")
        lines = output.splitlines()
        assert len(lines) <= 24
        assert max(map(len, lines)) <= 100
        assert "  pkg-install NAME [VERSION] " in output
        assert "$ cw localsys svc-init nginx reload" in output


def test_its_version_is_that_of_cw(capsys: pytest.CaptureFixture[str]) -> None:
    assert localsys(capsys, "--version")[1].startswith("cw ")


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ((), 2, "an action is missing (see cw localsys --help)"),
        (
            ("pkg-frobnicate", "x"),
            125,
            f"unknown action 'pkg-frobnicate' (expected one of: {', '.join(ACTIONS)})",
        ),
        (("pkg-instal", "x"), 125, "unknown action 'pkg-instal': did you mean 'pkg-install'?"),
        (("pkg-install",), 2, f"expected: cw localsys pkg-install NAME [VERSION] {SEE}"),
        (("pkg-install", "a", "1", "2"), 2, f"expected: cw localsys pkg-install NAME [VERSION] {SEE}"),
        (("pkg-version", "a", "b"), 2, f"expected: cw localsys pkg-version NAME {SEE}"),
        (("identify", "x"), 2, f"expected: cw localsys identify {SEE}"),
        (("svc-init", "x"), 2, f"expected: cw localsys svc-init NAME VERB {SEE}"),
        (("svc-init", "x", "--now"), 2, f"svc-init: expected one of {VERBS}, got '--now'"),
        (("pkg-version", "-x"), 2, "not a package: '-x' (expected: NAME or NAME:ARCHITECTURE)"),
        (("pkg-remove", "a\nb"), 2, "not a package: 'a\\nb' (expected: NAME or NAME:ARCHITECTURE)"),
        (
            ("pkg-install", "dpkg", "-1"),
            2,
            "not a version: '-1' (expected: letters, digits, . + ~ : ^ _ -)",
        ),
        (("svc-enable", "../x"), 2, None),
    ],
)  # fmt: skip
def test_what_it_refuses(
    words: tuple[str, ...], status: int, sentence: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    ended, output, errors = localsys(capsys, *words)
    assert (ended, output) == (status, "")
    if sentence:
        assert errors == f"cw: {sentence}\n"
    assert errors.count("\n") == 1


def test_what_this_host_has(capsys: pytest.CaptureFixture[str]) -> None:
    """Tests run on Debian."""
    assert localsys(capsys, "identify")[1].splitlines()[0] == "packages apt"
    asked = ["dpkg-query", "-W", "-f", "${Version}\n", "dpkg"]
    version = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert localsys(capsys, "pkg-version", "dpkg") == (0, version, "")
    assert localsys(capsys, "pkg-version", "cw-nosuch") == (1, "", "")


def test_it_starts_with_little() -> None:
    command = [sys.executable, "-ISB", "-c", LOADED, str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    _, loaded = json.loads(done.stderr)
    ours = {
        name for name in loaded if name.partition(".")[0] in {"roles", "host", "net", "vm", "mesh", "wire"}
    }
    assert ours == {
        "roles", "roles.lean", "roles.localsys", "host", "host.systems", "host.systems.actions",
        "host.systems.names", "host.systems.packages", "host.systems.services", "host.systems.tools",
    }  # fmt: skip
    assert not {"subprocess", "argparse", "shutil", "trio", "socket", "threading"} & set(loaded)
