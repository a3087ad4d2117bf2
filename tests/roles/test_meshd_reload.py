"""What a broker reads or opens again while it runs, and what it makes of what it cannot use."""

import io
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from conf.dropped import Dropped
from conf.schema import Broker, MeshdAuth, MeshdConf
from mesh.command import GRAMMAR
from mesh.site import Site
from roles.audit import Audit, reopen
from roles.log import Log
from roles.meshd import LOOK, Files, look_for_changes

KEY = "ab" * 32


def test_an_audit_log_that_cannot_be_opened_again_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    said = io.StringIO()
    with Audit(tmp_path / "audit") as audit:
        (tmp_path / "audit").rename(tmp_path / "audit.1")
        (tmp_path / "audit").mkdir()
        reopen(audit, Log("meshd", stream=said))
        audit.write("still here")
    assert "still here" in (tmp_path / "audit.1").read_text()
    assert said.getvalue() == (
        f"meshd: cannot open the audit log {tmp_path}/audit: Is a directory (audit.file names it); "
        "the old one stays in use\n"
    )


def test_a_database_that_no_longer_parses_leaves_the_last_good_one_in_force(tmp_path: Path) -> None:
    said = io.StringIO()
    log = Log("meshd", stream=said)
    users = tmp_path / "users"
    users.write_text(f"{KEY} alice\n")
    files = Files(MeshdConf(auth=MeshdAuth(trusted=users, agents=None)))
    files.read()
    users.write_text(f"{KEY} alice\nnonsense\n")
    assert not files.refresh(log)
    assert files.users.value.names_of(KEY) == ("alice",)
    users.unlink()
    assert not files.refresh(log)
    assert not files.refresh(log)
    assert files.users.value.names_of(KEY) == ("alice",)
    assert said.getvalue().count("the last good one stays in force") == 2
    users.write_text("")
    assert files.refresh(log)
    assert files.users.value.names_of(KEY) == ()


GREETING = b'[[command]]\nusage = "hello"\nsentence = "greets"\neffect = "pure"\n'


async def test_commands_that_no_longer_make_sense_leave_the_last_good_ones_in_force(tmp_path: Path) -> None:
    said = io.StringIO()
    log = Log("meshd", stream=said)
    commands = tmp_path / "commands"
    commands.mkdir(0o755)
    files = Files(MeshdConf(broker=Broker(commands=commands), auth=MeshdAuth(trusted=None, agents=None)))

    def drop(name: str, text: bytes) -> None:
        (commands / name).write_bytes(text)
        (commands / name).chmod(0o644)

    def known() -> list[str]:
        return [verb.usage for verb in files.commands.value.grammar if verb.is_of_site]

    files.read()
    assert known() == []
    drop("hello.pn", b'fn mesh.hello\n  print "hello\\n"\n')
    drop("hello.toml", GREETING)
    await files.refresh_commands(log)
    assert known() == ["hello"]
    drop("hello.pn", b"fn mesh.hello\n  prnt 1\n")
    for _ in range(3):
        await files.refresh_commands(log)
    assert known() == ["hello"]
    assert not files.refresh(log)
    drop("hello.pn", b'fn mesh.hello\n  print "hello again\\n"\n')
    drop("hello.toml", GREETING.replace(b"hello", b"hello twice") + b'function = "mesh.hello"\n')
    await files.refresh_commands(log)
    assert known() == ["hello twice"]
    assert said.getvalue() == (
        f"meshd: {commands} was read again\n"
        f"meshd: {commands}/hello.pn:2: no instruction is called prnt: did you mean 'print'?; "
        "the last good one stays in force\n"
        f"meshd: {commands} was read again\n"
    )


async def test_a_host_without_a_thread_left_keeps_the_commands_that_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_thread(*_: object, **_settings: object) -> object:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("trio.to_thread.run_sync", no_thread)
    said = io.StringIO()
    files = Files(MeshdConf(broker=Broker(commands=tmp_path), auth=MeshdAuth(trusted=None, agents=None)))
    for _ in range(3):
        await files.refresh_commands(Log("meshd", stream=said))
    sentence = "could not be looked at: can't start new thread; the last good one stays in force"
    assert said.getvalue() == f"meshd: {tmp_path} {sentence}\n"


async def test_where_no_directory_is_named_none_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("trio.to_thread.run_sync")
    files = Files(MeshdConf(auth=MeshdAuth(trusted=None, agents=None)))
    await files.refresh_commands(Log("meshd", stream=io.StringIO()))
    assert files.commands.value.grammar is GRAMMAR


async def test_a_broker_that_stops_does_not_wait_for_commands_to_be_assembled(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()
    ended: list[bool] = []

    def slow(_files: Mapping[str, bytes], _directory: str) -> Site:
        begun.set()
        ended.append(go_on.wait(10))
        return Site()

    files = Files(MeshdConf(auth=MeshdAuth(trusted=None, agents=None)))
    files.commands = Dropped(tmp_path, (".pn",), slow, Site())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(files.refresh_commands, Log("meshd", stream=io.StringIO()))
        await trio.to_thread.run_sync(begun.wait)
        nursery.cancel_scope.cancel()
    assert not ended
    go_on.set()


class Busy(Files):
    """Files whose commands are assembled for ever."""

    async def refresh_commands(self, log: Log) -> None:
        await trio.sleep_forever()


async def test_keys_and_rules_do_not_wait_for_commands_to_be_assembled(autojump_clock: MockClock) -> None:
    files = Busy(MeshdConf(auth=MeshdAuth(trusted=None, agents=None)))
    looks: list[float] = []
    with trio.move_on_after(3.5 * LOOK):
        await look_for_changes(lambda: looks.append(trio.current_time()), files, Log("meshd"))
    assert len(looks) == 3
