"""What the broker says of the process that checks passwords."""

import io
import socket

import trio

from net.spawner import ENDED, Spawner
from roles.log import Log
from roles.meshd import mourn


async def test_the_end_of_the_process_that_checks_passwords_is_logged_and_a_childs_is_not() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stream = io.StringIO()
    log = Log("meshd", "info", "text", stream)
    with ours, trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mourn, Spawner(0, ours), log)
            with theirs:
                theirs.send(ENDED.pack(1, -9))
                await trio.testing.wait_all_tasks_blocked()
                assert stream.getvalue() == ""
    assert stream.getvalue().startswith("meshd: the process that checks passwords died: ")
