"""Gatherers, as real processes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from net.gather import OUTPUT_LIMIT, every_fact, gather

NODE = "6b0e1a5c-7f2d-4b8e-9a31-0c5d4e3f2a1b"
AMPLE = 60.0
"""Seconds that no gatherer here comes near, however busy the host."""

Script = Callable[..., Path]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "gatherers"
    made.mkdir(mode=0o755)
    return made


@pytest.fixture
def script(directory: Path) -> Script:
    def write(name: str, body: str, mode: int = 0o755, first: str = "#!/bin/sh\n") -> Path:
        path = directory / name
        path.write_text(first + body + "\n")
        path.chmod(mode)
        return path

    return write


async def gathered(directory: Path | None, time_limit: float = AMPLE) -> tuple[dict[str, str], list[str]]:
    """The facts, and the complaints, each without the way to its gatherer."""
    complaints: list[str] = []
    facts = await gather(directory, time_limit, complaints.append)
    return facts, sorted(complaint.replace(f"{directory}/", "") for complaint in complaints)


async def test_facts_of_all_gatherers(directory: Path, script: Script) -> None:
    script("a", "echo a=1; echo both=a; echo; echo 'text= x y '")
    script("b", "echo b=2; echo both=b; echo to-nobody >&2")
    assert await gathered(directory) == ({"a": "1", "b": "2", "both": "b", "text": " x y "}, [])


async def test_the_later_by_name_wins_whoever_ends_first(
    directory: Path, script: Script, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    script("a", f"read x < {tmp_path}/fifo; echo both=a")
    script("b", f"echo both=b; echo go > {tmp_path}/fifo")
    assert await gathered(directory) == ({"both": "b"}, [])


@pytest.mark.parametrize("missing", ["", "nowhere"])
async def test_no_directory_no_facts(tmp_path: Path, missing: str) -> None:
    assert await gathered(tmp_path / missing if missing else None) == ({}, [])


async def test_what_is_no_executable_is_nothing(directory: Path, script: Script) -> None:
    script("README", "echo a=1", mode=0o644)
    script(".hidden", "echo b=1")
    (directory / "subdirectory").mkdir()
    os.mkfifo(directory / "fifo", 0o755)
    assert await gathered(directory) == ({}, [])


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("echo h=1; exit 3", "gatherer bad: ended with status 3"),
        ("echo oops >&2; echo really >&2; exit 1", r"gatherer bad: ended with status 1: oops\nreally"),
        ("printf '\\033[2J' >&2; exit 1", r"gatherer bad: ended with status 1: \x1b[2J"),
        ("kill -9 $$", "gatherer bad: ended with status -9"),
        ("printf 'h=\\377\\n'", "gatherer bad: expected UTF-8"),
        ("echo garbage", "gatherer bad: line 1: expected NAME=VALUE, got: garbage"),
        ("yes h=1", f"gatherer bad: killed: printed more than {OUTPUT_LIMIT} bytes"),
        ("yes >&2 & yes h=1", f"gatherer bad: killed: printed more than {OUTPUT_LIMIT} bytes"),
    ],
)
async def test_a_bad_one_is_logged_and_skipped(
    directory: Path, script: Script, body: str, complaint: str
) -> None:
    script("bad", body)
    script("good", "echo g=1")
    assert await gathered(directory) == ({"g": "1"}, [complaint])


async def test_good_lines_of_one_that_prints_garbage_too_count(directory: Path, script: Script) -> None:
    script("half", "echo a=1; echo 'b =2'; echo c=3")
    facts, complaints = await gathered(directory)
    assert facts == {"a": "1", "c": "3"}
    assert complaints == ["gatherer half: line 2: expected a fact name (letters, digits, _ . : -), got: b "]


async def test_error_output_without_end_hinders_nobody(directory: Path, script: Script) -> None:
    script("loud", "head -c 3000000 /dev/zero >&2; echo a=1")
    assert await gathered(directory) == ({"a": "1"}, [])


@pytest.mark.parametrize(
    ("first", "complaint"),
    [
        ("#!/nowhere/interpreter\n", "gatherer odd: No such file or directory"),
        ("", "gatherer odd: Exec format error"),
    ],
)
async def test_one_that_cannot_start(directory: Path, script: Script, first: str, complaint: str) -> None:
    script("odd", "echo a=1", first=first)
    assert await gathered(directory) == ({}, [complaint])


def let_others_write(path: Path) -> None:
    path.chmod(0o777)


def ended(pid: int) -> bool:
    """Whether a process is gone, or dead and only waits for init to notice."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


@pytest.mark.parametrize("ending", ["wait", "exit 0"], ids=["it hangs itself", "only its child hangs"])
async def test_one_that_hangs_is_killed_with_its_children(
    directory: Path, script: Script, tmp_path: Path, ending: str
) -> None:
    script("hang", f"sleep 1000 & echo $$ $! > {tmp_path}/pids; {ending}")
    assert await gathered(directory, time_limit=2) == ({}, ["gatherer hang: killed: not done within 2 s"])
    with trio.fail_after(30):
        for pid in (tmp_path / "pids").read_text().split():
            while not ended(int(pid)):
                await trio.lowlevel.checkpoint()


async def test_cancelled_while_they_run(directory: Path, script: Script, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "started")
    script("hang", f"echo $$ > {tmp_path}/started; exec sleep 1000")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gathered, directory)
        pid = int(await trio.to_thread.run_sync((tmp_path / "started").read_text))
        nursery.cancel_scope.cancel()
    assert ended(pid)


async def test_more_gatherers_than_run_at_once(directory: Path, script: Script) -> None:
    for number in range(12):
        script(f"g{number}", f"echo f{number}={number}")
    assert await gathered(directory) == ({f"f{number}": str(number) for number in range(12)}, [])


async def test_surroundings_of_a_gatherer(
    directory: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "x")
    script("a", 'echo "cwd=$PWD"; echo "secret=$SECRET"; echo "lang=$LC_ALL"; read x || echo input=none')
    facts, _ = await gathered(directory)
    assert facts == {"cwd": "/", "secret": "", "lang": "C.UTF-8", "input": "none"}


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
async def test_one_that_others_can_write_is_not_run(directory: Path, script: Script, mode: int) -> None:
    script("open", "echo a=1", mode=mode)
    complaint = f"gatherer open: expected that only its owner can write it, got mode {mode:04o}"
    assert await gathered(directory) == ({}, [complaint])


async def test_a_directory_that_others_can_write_is_not_used(directory: Path, script: Script) -> None:
    script("a", "echo a=1")
    let_others_write(directory)
    facts, complaints = await gathered(directory)
    assert facts == {}
    assert complaints == [f"gatherers {directory}: expected that only its owner can write it, got mode 0777"]


async def test_one_of_a_stranger_is_not_run(
    directory: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    script("a", "echo a=1")
    owner = os.stat(directory).st_uid
    if owner == 0:
        os.chown(directory / "a", 12345, -1)
        complaint = "gatherer a: expected root or the user of this process as its owner, got uid 12345"
    else:
        monkeypatch.setattr("os.geteuid", lambda: owner + 1)
        complaint = (
            f"gatherers {directory}: expected root or the user of this process as its owner, got uid {owner}"
        )
    assert await gathered(directory) == ({}, [complaint])


async def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    facts, complaints = await gathered(tmp_path / "file")
    assert (facts, complaints) == ({}, [f"gatherers {tmp_path}/file: Not a directory"])


async def test_a_host_without_a_thread_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_thread(*_: object, **__: object) -> object:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("trio.to_thread.run_sync", no_thread)
    complaints: list[str] = []
    facts = await every_fact("web01.example.com", NODE, "1.2.3", None, {}, AMPLE, complaints.append)
    assert facts["sys.uuid"] == NODE
    assert "sys.hostid" not in facts
    assert complaints == ["sys.hostid: can't start new thread"]


async def test_precedence_of_every_fact(directory: Path, script: Script) -> None:
    script("a", "echo sys.arch=gathered; echo role=gathered; echo site=gathered")
    complaints: list[str] = []
    static = {"role": "static", "odd": "a\x1bb"}
    facts = await every_fact("web01.example.com", NODE, "1.2.3", directory, static, AMPLE, complaints.append)
    assert facts["sys.fqdn"] == "web01.example.com"
    assert facts["sys.uuid"] == NODE
    assert facts["cw.version"] == "1.2.3"
    assert facts["sys.arch"] == "gathered"
    assert facts["site"] == "gathered"
    assert facts["role"] == "static"
    assert len(facts["sys.hostid"]) == 8
    assert "odd" not in facts
    assert complaints == [r"odd: expected a value without control characters, got: a\x1bb"]
