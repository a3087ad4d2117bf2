"""What programs do to the host from a child of the spawner, and that nothing stays of what is ended."""

import grp
import os
import pwd
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from roles import runner
from tests.accounts import account, group
from tests.roles.runners import AMPLE, STUBBORN, WORK, Holding, Place, holding, place, program

FAMILIES = """
pop %a pop %a pop %a
string "%[a]s/file" %b
string "%[a]s/copy" %c
fs.put %b "contents"
fs.copy %b %c
fs.get %c %d
fs.sha1 %c %e
sha1 %d %f
streq %e %f
jz +1
bail 1
fs.mode %b %g
print "%[d]s %[g]o %[e]s\\n"
fs.opendir %a %h
again: fs.readdir %h %i jnz listed
print "%[i]s\\n" jmp again
listed: fs.closedir %h
string "%[a]s/nothing" %b
fs.get %b %d
perror "nothing"
authdb.open
jnz missed
user.find "root"
jnz missed
user.get "home" %i
authdb.close
print "%[i]s\\n"
jmp found
missed: print "no users\\n"
found:
env.set "A" "of the machine's own"
exec "echo $A; echo not this" %j
acc %k
print "%[j]s %[k]d\\n"
push "a b; c" push "<%s>" push "printf" exec.argv 3
system "echo system >&2; exit 3"
retv 4
"""

FAMILIES_PRINT = """\
contents 644 4a756ca07e9487f482465a99e8286abc86ba4dc7
copy
file
/root
of the machine's own 0
<a b; c>"""


@pytest.mark.parametrize("of_file", [False, True], ids=["checkout", "one file"])
async def test_a_program_reaches_the_host(of_file: bool, cw_file: Path, tmp_path: Path) -> None:
    async with place(cw=cw_file if of_file else None) as here:
        outcome = await here.run(program(FAMILIES, str(tmp_path)))
    assert outcome.output.decode() == FAMILIES_PRINT
    assert outcome.error_output == b"nothing: (2) No such file or directory\nsystem\n"
    assert (outcome.status, outcome.fault) == (4, "")


async def test_localsys_is_the_same_cw_whatever_is_there_now(cw_file: Path, tmp_path: Path) -> None:
    installed, newer = tmp_path / "cw", tmp_path / "newer"
    shutil.copy(cw_file, installed)
    newer.write_text("this is no program\n")
    async with place(cw=installed) as here:
        first = await here.run(program('localsys "no-such-verb" %a acc %b retv %b'))
        newer.rename(installed)
        second = await here.run(program('localsys "no-such-verb" %a acc %b retv %b'))
    assert first.error_output.startswith(b"unknown action 'no-such-verb'")
    assert first.fault == ""
    assert second == first


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('again: exec "true" %a jmp again', "limit: children (2)"),
        ('again: fs.opendir "/" %a jmp again', "limit: directories (1)"),
    ],
)
async def test_limits_hold_there_too(body: str, fault: str) -> None:
    async with place() as here:
        outcome = await here.run(program(body), AMPLE._replace(children=2, directories=1))
    assert (outcome.status, outcome.fault) == (125, fault)


HURRIED = f"from host import programs; programs.GRACE = 0.02\n{WORK}"
SLOW = f"from host import programs; programs.GRACE = 1000.0\n{WORK}"


@pytest.fixture
def stubborn() -> Iterator[Holding]:
    with holding(STUBBORN) as stubborn:
        yield stubborn


async def stopped(here: Place, stubborn: Holding) -> None:
    await stubborn.began()
    here.stop.ask()


async def test_cancelling_ends_all_that_it_has_started(stubborn: Holding) -> None:
    async with place(HURRIED) as here:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stopped, here, stubborn)
            outcome = await here.run(stubborn.admitted)
        assert (outcome.status, outcome.fault, outcome.output) == (125, "cancelled", b"")
        await stubborn.is_gone()
        assert (await here.another().run(program("ret"))).status == 0


async def test_so_does_the_end_of_its_time(stubborn: Holding) -> None:
    async with place(HURRIED) as here:
        outcome = await here.run(stubborn.admitted, AMPLE._replace(seconds=0.5))
        assert (outcome.status, outcome.error_output) == (124, b"killed: run time\n")
        await stubborn.is_gone()


async def test_so_does_a_machine_that_cannot_end_them_itself(
    stubborn: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spawner kills it, and all below it."""
    monkeypatch.setattr(runner, "LAST_WORDS", 0.05)
    async with place(SLOW) as here:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stopped, here, stubborn)
            outcome = await here.run(stubborn.admitted)
        assert (outcome.status, outcome.fault) == (125, "cancelled")
        await stubborn.is_gone()


async def test_so_does_the_spawners_death(stubborn: Holding) -> None:
    async with place(HURRIED) as here:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.run, stubborn.admitted)
            await stubborn.began()
            here.spawner.kill()
        await stubborn.is_gone()


async def test_so_does_the_agents(stubborn: Holding) -> None:
    async with place(SLOW) as here:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.run, stubborn.admitted)
            await stubborn.began()
            here.control.shutdown(socket.SHUT_RDWR)
        await stubborn.is_gone()


async def test_what_a_program_left_behind_in_peace_lives_on(tmp_path: Path) -> None:
    body = 'exec "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!" %a print "%[a]s"'
    async with place() as here:
        daemon = int((await here.run(program(body))).output)
        here.stop.ask()
        os.kill(daemon, signal.SIGKILL)


IDENTITY = """
push "id" exec.argv 1
geteuid %a getegid %b print "%[a]d %[b]d\\n"
fs.get "/etc/shadow" %c perror "shadow"
fs.put "/etc/cw-test" "x" perror "etc"
runas.uid 0 exec "id -u" %c acc %d print "%[d]d\\n"
retv 0
"""


@pytest.mark.parametrize("of_file", [False, True], ids=["checkout", "one file"])
async def test_a_command_is_the_user_that_a_rule_names_and_nobody_else(of_file: bool, cw_file: Path) -> None:
    with group() as other, account(other) as user:
        entry = pwd.getpwnam(user.name)
        async with place(cw=cw_file if of_file else None) as here:
            outcome = await here.run(program(IDENTITY)._replace(run_as=user.name))
        own = f"{entry.pw_gid}({user.name})"
        more = f"{grp.getgrnam(other).gr_gid}({other})"
    groups = f"uid={entry.pw_uid}({user.name}) gid={own} groups={own},{more}"
    assert outcome.output.decode() == f"{groups}\n{entry.pw_uid} {entry.pw_gid}\n126\n"
    assert outcome.error_output.decode() == "shadow: (13) Permission denied\netc: (13) Permission denied\n"
    assert outcome.status == 0


async def test_a_user_whom_the_host_does_not_know() -> None:
    async with place() as here:
        outcome = await here.run(program('fs.put "/etc/cw-test" "x"')._replace(run_as="nobody-at-all"))
    sentence = "cannot run as nobody-at-all: no such user here"
    assert (outcome.status, outcome.fault) == (125, sentence)
    assert outcome.error_output.decode() == f"{sentence}\n"
