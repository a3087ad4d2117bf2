"""What is in the one file, and what is not."""

import marshal
import platform
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT
from tests.house.probes import started
from tools.onefile.build import DATE, LICENCE, SHEBANG, build, module_of, stripped

TAG = f"python/{sys.implementation.cache_tag}/"


@pytest.fixture(scope="module")
def names(cw_file: Path) -> list[str]:
    with zipfile.ZipFile(cw_file) as archive:
        assert archive.testzip() is None
        return archive.namelist()


def test_every_module_of_ours_is_in_it_and_no_source(names: list[str]) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout.split()
    ours = {f"{TAG}{name}c" for name in tracked if name.partition("/")[0] not in {"bench", "tests", "tools"}}
    assert ours <= set(names)
    assert [name for name in names if name.endswith(".py")] == ["__main__.py"]


def test_what_lies_beside_code_is_in_it(names: list[str]) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "vm", "conf", "roles"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout.split()
    beside = {f"share/{name}" for name in tracked if not name.endswith(".py")}
    assert beside
    assert beside <= set(names)


def test_nothing_superfluous_is_in_it(names: list[str]) -> None:
    for what in (
        "/tests/",
        "/_tests/",
        "/testing/",
        ".pyi",
        "py.typed",
        "cffi/",
        "pycparser",
        "/pip/",
        "__pycache__",
        "~",
    ):
        assert not [name for name in names if what in name and not name.startswith("licenses/")], what
    assert not [name for name in names if name.startswith((TAG + "tests", TAG + "tools", TAG + "bench"))]


def test_licences_of_all_that_is_in_it(names: list[str], wheels: Path) -> None:
    packages = {wheel.name.split("-")[0] for wheel in wheels.glob("*.whl")} - {"pycparser"}
    assert packages == {name.split("/")[1].split("-")[0] for name in names if name.startswith("licenses/")}


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("trio-0.1.dist-info/licenses/LICENSE.MIT", True),
        ("msgpack-1.dist-info/COPYING", True),
        ("idna-3.dist-info/LICENSE.md", True),
        ("trio-0.1.dist-info/METADATA", False),
        ("trio/LICENSE", False),
    ],
)
def test_what_is_a_licence(name: str, licence: bool) -> None:
    assert bool(LICENCE.match(name)) is licence


def test_shared_objects_are_for_this_machine(names: list[str]) -> None:
    natives = [name for name in names if ".so" in name]
    assert sorted(module_of(name.split("/", 2)[2]) for name in natives) == ["_cffi_backend", "nacl._sodium"]
    assert {name.split("/")[1] for name in natives} == {platform.machine()}


def test_layout_is_the_same_each_time(
    probe_checkout: Path, probe_file: Path, wheels: Path, tmp_path: Path
) -> None:
    build(probe_checkout, wheels, tmp_path / "again")
    with zipfile.ZipFile(probe_file) as one, zipfile.ZipFile(tmp_path / "again") as other:
        members, again = one.infolist(), other.infolist()
    assert [(member.filename, member.header_offset) for member in members] == [
        (member.filename, member.header_offset) for member in again
    ]
    assert {(member.date_time, member.external_attr >> 16) for member in members} == {(DATE, 0o100644)}


def test_byte_code_is_never_checked_and_knows_no_place(probe_file: Path) -> None:
    with zipfile.ZipFile(probe_file) as archive:
        compiled = archive.read(TAG + "wire/late.pyc")
    assert struct.unpack_from("<I", compiled, 4) == (0b01,)
    assert marshal.loads(compiled[16:]).co_filename == "wire/late.py"


def test_file_is_a_program(cw_file: Path) -> None:
    assert cw_file.read_bytes().startswith(SHEBANG)
    assert cw_file.stat().st_mode & 0o777 == 0o755


def test_failed_build_leaves_the_old_file_and_nothing_else(tmp_path: Path, wheels: Path) -> None:
    (tmp_path / "cw.py").write_text("def\n")
    (tmp_path / "errors.py").write_text("")
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "cw").write_text("as it was")
    with pytest.raises(SyntaxError):
        build(tmp_path, wheels, tmp_path / "dist" / "cw")
    assert [path.name for path in (tmp_path / "dist").iterdir()] == ["cw"]
    assert (tmp_path / "dist" / "cw").read_text() == "as it was"


def test_only_shared_objects_are_stripped() -> None:
    with pytest.raises(ValueError, match="not a shared object"):
        stripped(b"\x7fELF\x01" + bytes(100))


def test_packages_find_what_lies_beside_them(probe_file: Path) -> None:
    here = "import wire, os; there = os.path.dirname(wire.__file__)"
    with started(probe_file) as probe:
        beside = f"{here}; print(wire.__spec__.loader.get_data(os.path.join(there, 'pn', 'sample.pn')))"
        assert probe.tell(beside) == "b'fn main\\n'"
        missing = f"{here}; wire.__spec__.loader.get_data(os.path.join(there, 'pn', 'none.pn'))"
        assert probe.tell(missing).startswith("FileNotFoundError")


def test_missing_module_is_an_import_error(probe_file: Path) -> None:
    with started(probe_file) as probe:
        assert probe.tell("import wire.never") == "ModuleNotFoundError No module named 'wire.never'"
        assert probe.tell("print([name for name in sys.path if 'site-packages' in name])") == "[]"


def test_traceback_names_the_module_and_the_line(probe_file: Path) -> None:
    with started(probe_file) as probe:
        fail = "try: wire.broken.fail()\nexcept ValueError as e: error = e"
        show = "print(traceback.extract_tb(error.__traceback__)[-1])"
        heard = probe.tell(f"import wire.broken, traceback; exec({fail!r}); {show}")
        assert heard == "<FrameSummary file wire/broken.py, line 2 in fail>"
