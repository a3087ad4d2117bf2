"""Who is judged: what passwords cost those who guess them."""

from __future__ import annotations

import pytest
import trio

from auth.groups import Groups
from auth.pam import Verdict
from auth.throttle import FAILURES
from auth.trust import Trust
from auth.trust import parse as parse_trust
from conf.dropped import Dropped
from conf.watched import Watched
from mesh import acl
from mesh.messages import VERSION, PasswordAuth, Request
from mesh.site import Site, checked
from roles.authority import Authority, Failure, Refused


class Refusing:
    """Takes one password; it has the time, too."""

    def __init__(self) -> None:
        self.asked = 0
        self.now = 0.0

    async def check(self, user: str, password: str) -> Verdict:
        self.asked += 1
        await trio.lowlevel.checkpoint()
        return Verdict(password == "right", "Authentication failure")


def authority(passwords: Refusing) -> Authority:
    users: Watched[Trust] = Watched(None, parse_trust, Trust())
    rules: Watched[tuple[acl.Rule, ...]] = Watched(None, acl.parse, ())
    groups = Groups(60, lambda: passwords.now, lambda _: ("staff",))
    commands = Dropped(None, (), checked, Site())
    return Authority(users, rules, commands, groups, passwords, lambda: passwords.now, lambda: None)


async def guess(judge: Authority, user: str, address: str, password: str = "wrong") -> str:
    """Why its authentication failed; empty if it did not."""
    request = Request(VERSION, user, PasswordAuth(password), ("ping",), (), "run", None, 40_000, 0, False)
    try:
        await judge.judge(request, bytes(32), address)
    except Refused as refused:
        return refused.why if str(refused) == "authentication failed" else str(refused)
    return ""


@pytest.mark.parametrize("addresses", ["192.0.2.1", "2001:db8::{:x}"])
async def test_guesses_are_limited_for_each_user_and_host(addresses: str) -> None:
    """However many addresses of its /64 the host uses; PAM is not even asked."""
    passwords = Refusing()
    judge = authority(passwords)
    for number in range(FAILURES):
        assert await guess(judge, "alice", addresses.format(number)) == "Authentication failure"
    assert "too many failures" in await guess(judge, "alice", addresses.format(99), "right")
    assert passwords.asked == FAILURES
    assert judge.failures[Failure.THROTTLED] == 1
    assert await guess(judge, "bob", addresses.format(99), "right") == ""
    assert await guess(judge, "alice", "2001:db8:0:1::1", "right") == ""
    assert await guess(judge, "alice", "192.0.2.2", "right") == ""
    passwords.now = 60
    assert await guess(judge, "alice", addresses.format(99), "right") == ""


async def test_a_right_password_begins_the_count_anew() -> None:
    judge = authority(Refusing())
    for _ in range(3):
        for number in range(FAILURES - 1):
            assert await guess(judge, "alice", f"2001:db8::{number:x}") == "Authentication failure"
        assert await guess(judge, "alice", "2001:db8::1", "right") == ""
