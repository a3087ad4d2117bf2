"""dist/cw as its users start it, wherever they are and whatever their host is like."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from conf.version import VERSION
from tests.conftest import CHECKOUT
from tests.house.probes import started
from tools.onefile.build import build

ANSWER = f"cw {VERSION}\n"
LOAD_ALL = "import nacl.bindings, trio, cattrs, tomli_w, pam; print('loaded')"
PRIVATE_MOUNTS = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-euc"]
WITHOUT_MEMFD = [sys.executable, str(Path(__file__).with_name("without_memfd.py"))]


def run(
    *words: Path | str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The command's end; nothing on its standard input."""
    return subprocess.run(
        words,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def this_python(*words: Path | str) -> tuple[Path | str, ...]:
    """The words that start the one file by the Python that runs the tests."""
    return (sys.executable, "-ISB", *words)


def test_shebang_finds_python_and_nothing_else(cw_file: Path) -> None:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    ended = run(cw_file, "--version", env={"PATH": path})
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, ANSWER, "")


def test_hostile_environment_changes_nothing(cw_file: Path, tmp_path: Path) -> None:
    for module in ("os", "encodings", "zlib", "cw", "sitecustomize", "usercustomize", "runpy"):
        (tmp_path / f"{module}.py").write_text("print('hostile')\n")
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    hostile = {
        "PYTHONPATH": str(tmp_path),
        "PYTHONHOME": str(tmp_path),
        "PYTHONSTARTUP": str(tmp_path / "os.py"),
    }
    hostile |= {"PYTHONUSERBASE": str(tmp_path), "PYTHONINSPECT": "1", "HOME": str(tmp_path)}
    ended = run(cw_file, "--version", env={"PATH": path, **hostile}, cwd=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, ANSWER, "")


def test_relative_path_from_another_directory(probe_file: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    shutil.copy(probe_file, tmp_path / "cw")
    with started("../cw", env={}, cwd=tmp_path / "here") as probe:
        assert probe.tell("import os; os.chdir('/'); print(os.getcwd())") == "/"
        assert probe.tell(LOAD_ALL) == "loaded"


def test_link_of_a_command_is_the_command(cw_file: Path, tmp_path: Path) -> None:
    for name in ("cw-sho", "cw"):
        (tmp_path / name).symlink_to(cw_file)
    assert run(*this_python(tmp_path / "cw", "--version")).stdout == ANSWER
    ended = run(*this_python(tmp_path / "cw-sho", "version"))
    assert (ended.returncode, ended.stderr) == (2, "cw: unknown command 'sho': did you mean 'show'?\n")


def test_eight_at_once_without_files_in_memory(probe_file: Path, tmp_path: Path) -> None:
    script = f"""mount -t tmpfs tmpfs /var/cache; umask 0
        for i in 1 2 3 4 5 6 7 8; do echo "{LOAD_ALL}" | {" ".join(WITHOUT_MEMFD)} "$@" & done; wait
        ls /var/cache/clockwork"""
    ended = run(*PRIVATE_MOUNTS, script, "-", *this_python(probe_file), env={"PATH": os.environ["PATH"]})
    lines = ended.stdout.splitlines()
    assert (ended.stderr, lines[:8]) == ("", ["loaded"] * 8)
    assert len(lines) == 10, "one file for each shared object, and nothing left half-written"
    assert all(line.endswith(".so") for line in lines[8:])


def test_everything_is_read_only_and_home_is_unset(probe_file: Path, tmp_path: Path) -> None:
    script = """while read -r _ place _; do
            mount -o remount,bind,ro "$place" 2>/dev/null || :
        done </proc/self/mounts
        exec "$@" """
    with started(
        probe_file, *PRIVATE_MOUNTS, script, str(probe_file), env={"PATH": os.environ["PATH"]}
    ) as probe:
        assert probe.tell("import os; print(os.environ.get('HOME'))") == "None"
        assert probe.tell("open(sys.argv[0], 'a')").startswith("OSError [Errno 30] Read-only file system")
        assert probe.tell(LOAD_ALL) == "loaded"


def test_file_system_without_programs(probe_file: Path, tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o noexec tmpfs "$0"; cp "$1" "$0/cw"; shift; exec "$@"'
    mounted = tmp_path / "noexec"
    mounted.mkdir()
    with started(mounted / "cw", *PRIVATE_MOUNTS, script, str(mounted), str(probe_file)) as probe:
        assert probe.tell("import os; print(os.access(sys.argv[0], os.X_OK))") == "False"
        assert probe.tell(LOAD_ALL) == "loaded"


@pytest.mark.parametrize("change", ["rename", "remove"])
def test_running_process_keeps_the_file_it_began_with(
    probe_checkout: Path, probe_file: Path, wheels: Path, tmp_path: Path, change: str
) -> None:
    installed = tmp_path / "cw"
    shutil.copy(probe_file, installed)
    with started(installed) as probe:
        assert probe.tell("print('ready')") == "ready"
        if change == "rename":
            newer = tmp_path / "newer"
            shutil.copytree(probe_checkout, newer)
            (newer / "wire" / "late.py").write_text("VALUE = 'newer'")
            build(newer, wheels, installed)
            with started(installed) as other:
                assert other.tell("import wire.late; print(wire.late.VALUE)") == "newer"
        else:
            installed.unlink()
        assert probe.tell("import wire.late; print(wire.late.VALUE)") == "as it was"
        assert probe.tell(LOAD_ALL) == "loaded"


def test_dropped_privileges_do_not_hide_the_file(probe_file: Path, tmp_path: Path) -> None:
    shutil.copy(probe_file, tmp_path / "cw")
    (tmp_path / "cw").chmod(0o700)
    drop = "import os; os.geteuid() or (os.setgid(65534), os.setuid(65534)); print('ready')"
    with started(tmp_path / "cw") as probe:
        assert probe.tell(drop) == "ready"
        assert probe.tell("import wire.late, nacl._sodium; print(wire.late.VALUE)") == "as it was"


def test_refusal_of_both_memory_and_cache_is_one_sentence(probe_file: Path) -> None:
    script = 'mount -t tmpfs -o ro tmpfs /var/cache; exec "$@"'
    with started(probe_file, *PRIVATE_MOUNTS, script, "-", *WITHOUT_MEMFD) as probe:
        heard = probe.tell("import nacl._sodium")
    assert heard.startswith("CwError cannot load native/")
    assert "files in memory are refused (Operation not permitted), and so is /var/cache/clockwork/" in heard
    assert heard.endswith("(Read-only file system)")


@pytest.mark.parametrize("meddle", ["content", "mode", "link"])
def test_meddled_cache_is_refused(probe_file: Path, meddle: str) -> None:
    script = """mount -t tmpfs tmpfs /var/cache
        echo 'import nacl._sodium' | "$@"; cd /var/cache/clockwork
        for file in *; do case $0 in
            content) chmod 600 "$file"; echo >>"$file";;
            mode) chmod 666 "$file";;
            link) mv "$file" /var/cache/; ln -s "../$file" "$file";;
        esac; done
        exec "$@" """
    before = [*PRIVATE_MOUNTS, script, meddle, *WITHOUT_MEMFD]
    with started(probe_file, *before) as probe:
        assert probe.tell("import nacl._sodium").startswith("CwError cannot load native/")


def test_another_processor_is_one_sentence(cw_file: Path) -> None:
    other = {"x86_64": "i686", "aarch64": "armv8l"}[os.uname().machine]
    ended = run("setarch", "linux32", *this_python(cw_file, "--version"))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"cw: this file was built for {os.uname().machine}, not for {other}\n"


def pretending(cw_file: Path, pretence: str) -> subprocess.CompletedProcess[str]:
    """Run the one file in a Python that says something else of itself."""
    program = (
        f"import sys, runpy; {pretence}; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    return run(sys.executable, "-ISBc", program, cw_file, "--version")


def test_pretending_nothing_runs(cw_file: Path) -> None:
    assert pretending(cw_file, "pass").stdout == ANSWER


@pytest.mark.parametrize(
    ("pretence", "sentence"),
    [
        ("sys.version_info = (3, 10, 9, 'final', 0)", "needs Python 3.11 or later; {} is Python 3.10"),
        ("sys.version_info = (2, 7, 18, 'final', 0)", "needs Python 3.11 or later; {} is Python 2.7"),
        ("sys.implementation.cache_tag = 'pypy311'", "this file was not built for {}, which is pypy311"),
        (
            "sys.implementation.cache_tag = 'cpython-399'",
            "this file was not built for {}, which is cpython-399",
        ),
        ("sys.implementation.cache_tag = None", "this file was not built for {}, which is None"),
        ("sys.abiflags = 't'", f"this file was not built for {{}}, which is {sys.implementation.cache_tag}t"),
    ],
)
def test_another_python_is_one_sentence(cw_file: Path, pretence: str, sentence: str) -> None:
    ended = pretending(cw_file, pretence)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"cw: {sentence.format(sys.executable)}\n"


def test_a_file_replaced_while_it_starts_is_one_sentence(cw_file: Path, tmp_path: Path) -> None:
    """The directory that was read is not that of the file that is there now."""
    damaged = tmp_path / "cw"
    contents = bytearray(cw_file.read_bytes())
    with zipfile.ZipFile(cw_file) as archive:
        for member in archive.infolist():
            if member.filename.endswith("/boot.pyc"):
                contents[member.header_offset : member.header_offset + 4] = b"else"
    damaged.write_bytes(contents)
    ended = run(*this_python(damaged, "--version"))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"cw: {damaged} is damaged, or was replaced in this very moment: start it again\n"


def test_start_is_text_that_every_python_can_read() -> None:
    text = (CHECKOUT / "tools" / "onefile" / "start.py").read_bytes()
    assert text.isascii()
    assert not [
        word for word in (b'f"', b"f'", b"->", b":=", b"nonlocal", b"async ", b"match ") if word in text
    ]


def test_version_imports_next_to_nothing(cw_file: Path) -> None:
    bare = run(sys.executable, "-ISB", "-Ximporttime", "-c", "import collections.abc, runpy, zlib")
    ended = run(sys.executable, "-ISB", "-Ximporttime", cw_file, "--version")
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    imported -= {line.rpartition("|")[2].strip() for line in bare.stderr.splitlines()}
    assert imported <= {"errno", "cw", "conf", "conf.version", "errors", "zlib"}
