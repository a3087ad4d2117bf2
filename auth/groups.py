"""The groups that this host knows a user in, looked up in worker threads and remembered for a while."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable

import trio

from errors import CwError

LIMIT = 10.0
"""Seconds that a lookup may take."""
THREADS = 16
"""Lookups at once; more wait."""
CAPACITY = 4096
"""Users remembered; when full, the one looked up longest ago is forgotten."""


class GroupsError(CwError):
    """The groups of the user could not be looked up."""


class UnknownUser(GroupsError):
    """This host does not know the user."""


def lookup(user: str) -> tuple[str, ...]:
    """The names of every group of a user, primary included, sorted; asks the name service, so it may block.

    Raises UnknownUser, and GroupsError for anything less than all of them: rules that deny a
    group must not be missed.
    """
    try:
        entry = pwd.getpwnam(user)
    except (KeyError, ValueError) as error:
        raise UnknownUser(f"this host does not know the user {user!r}") from error
    if entry.pw_name != user:
        raise UnknownUser(f"this host knows the user {user!r} as {entry.pw_name!r}")
    number = entry.pw_gid
    try:
        names = []
        for number in os.getgrouplist(user, entry.pw_gid):
            names.append(grp.getgrgid(number).gr_name)
    except KeyError as error:
        raise GroupsError(f"this host has no name for the group {number} of the user {user!r}") from error
    except OSError as error:
        raise GroupsError(f"the groups of {user!r} could not be looked up: {error.strerror}") from error
    return tuple(sorted(set(names)))


class Groups:
    """Lookups that are remembered `ttl` seconds of `clock`; failures are not remembered."""

    def __init__(
        self,
        ttl: float,
        clock: Callable[[], float],
        lookup: Callable[[str], tuple[str, ...]] = lookup,
        limit: float = LIMIT,
        capacity: int = CAPACITY,
    ) -> None:
        self._ttl = ttl
        self._clock = clock
        self._lookup = lookup
        self._limit = limit
        self._capacity = capacity
        self._threads = trio.CapacityLimiter(THREADS)
        self._known: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._generation = 0

    async def of(self, user: str) -> tuple[str, ...]:
        """The names of the user's groups. Raises GroupsError, also when the lookup takes too long."""
        until, names = self._known.get(user, (0.0, ()))
        if names and self._clock() < until:
            return names
        generation = self._generation
        with trio.move_on_after(self._limit) as scope:
            try:
                names = await trio.to_thread.run_sync(
                    self._lookup, user, abandon_on_cancel=True, limiter=self._threads
                )
            except RuntimeError as error:  # the host has no thread left (threading.Thread.start)
                raise GroupsError(f"the groups of {user!r} could not be looked up: {error}") from error
        if scope.cancelled_caught:
            raise GroupsError(f"the groups of {user!r} could not be looked up in {self._limit:g} seconds")
        if generation == self._generation:
            self._remember(user, names)
        return names

    def clear(self) -> None:
        """Forget everything, what is being looked up included."""
        self._generation += 1
        self._known.clear()

    def _remember(self, user: str, names: tuple[str, ...]) -> None:
        self._known.pop(user, None)
        if len(self._known) >= self._capacity:
            del self._known[next(iter(self._known))]
        self._known[user] = (self._clock() + self._ttl, names)
