"""What a child of the spawner does: one task from its channel, run in the machine, and its outcome back.

Agent and child are one program before and after a fork, so they agree on these bytes by construction; the
agent still believes no length and no text that a child sends.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from importlib import import_module
from typing import BinaryIO, NamedTuple

from errors import CwError
from host.local import Local
from host.usage import Excess
from mesh.admission import FAULT, Admit
from vm.faults import Limit
from vm.host import Host
from vm.machine import Limits, Outcome, run
from vm.verifier import verify

FRAME = struct.Struct("!BI")
"""From a child: what it is, and how many bytes of it follow."""
SENTENCE = 4096
"""Bytes of a line for the log."""

_PART = struct.Struct("!I")
_OUTCOME = struct.Struct("!I?II")
"""Status, truncated, bytes of output, bytes of error output; the fault is the rest."""


PROVISIONS = {
    "host.accounts": "LocalAccounts",
    "host.augeas": "LocalAugeas",
    "host.files": "LocalFiles",
    "host.programs": "LocalPrograms",
    "vm.host.remote": "NoMaster",
    "ctypes": "CDLL",
    "hashlib": "sha1",
    "subprocess": "Popen",
}
"""Modules that a command may need, and what of each: where they are, the user that it runs as may not be
able to read. What is postponed (roles/lean.py) comes when its attribute is wanted.
"""


class Frame(IntEnum):
    """What a child sends."""

    LINE = 1
    OUTCOME = 2


class Nonsense(CwError):
    """A child sent what no child sends."""


class NotThatUser(CwError):
    """The user that an access rule names cannot be become."""


class AgentGone(CwError):
    """The agent ended before it had said what there is to do."""


class Task(NamedTuple):
    """What a child needs to run a command: nothing else of the agent's is looked at after the fork."""

    image: bytes
    arguments: tuple[str, ...]
    limits: Limits
    facts: Mapping[str, str]
    acls: Sequence[str]
    run_as: str = ""
    """The user that it runs as; empty: whoever the agent is."""

    @classmethod
    def of(cls, admitted: Admit, limits: Limits, host: Host) -> Task:
        """The task of an admitted command, with the node as it is now."""
        return cls(admitted.image, admitted.arguments, limits, host.facts(), host.acls(), admitted.run_as)


def encode(task: Task) -> bytes:
    """A task as bytes: its image, then the rest, each behind its length."""
    rest = json.dumps([task.arguments, task.limits, dict(task.facts), list(task.acls), task.run_as]).encode()
    return b"".join(_PART.pack(len(part)) + part for part in (task.image, rest))


def decode_outcome(body: bytes) -> Outcome:
    """The body of an OUTCOME frame. Raises Nonsense."""
    try:
        status, truncated, output, error = _OUTCOME.unpack_from(body)
    except struct.error as short:
        raise Nonsense from short
    begin = _OUTCOME.size
    middle, end = begin + output, begin + output + error
    if end > len(body):
        raise Nonsense
    fault = body[end:].decode(errors="replace")
    return Outcome(status, body[begin:middle], body[middle:end], truncated, fault)


def decode_line(body: bytes) -> tuple[str, str]:
    """The body of a LINE frame: level and text. Raises Nonsense."""
    level, separator, text = body[:SENTENCE].partition(b"\0")
    if not separator:
        raise Nonsense
    return level.decode(errors="replace"), text.decode(errors="replace")


class _Here(Local):
    """The machine's host in a child: what the task says, and a log that goes to the agent."""

    def __init__(self, task: Task, channel: socket.socket) -> None:
        self._task = task
        self._channel = channel

    def facts(self) -> Mapping[str, str]:
        return self._task.facts

    def acls(self) -> Sequence[str]:
        return self._task.acls

    def log(self, level: str, text: str) -> None:
        line = f"{level}\0{text}".encode(errors="replace")[:SENTENCE]
        self._channel.sendall(FRAME.pack(Frame.LINE, len(line)) + line)


class _Told:
    """What the child has been told by signals."""

    def __init__(self) -> None:
        self._spawner = os.getsid(0)  # it leads our session; as our parent it may be gone before we look
        self._numbers: set[int] = set()
        for number in (signal.SIGTERM, *Excess):
            signal.signal(number, lambda number, _frame: self._numbers.add(number))

    def to_stop(self, limits: Limits) -> bool:
        """Whether the machine is to stop. Raises Limit if that is because of what runs below it."""
        if Excess.MEMORY in self._numbers:
            raise Limit("memory", limits.memory, " bytes")
        if Excess.PROCESSES in self._numbers:
            raise Limit("processes", limits.processes)
        return signal.SIGTERM in self._numbers or os.getppid() != self._spawner


def work(channel: socket.socket) -> None:
    """A child's life. SIGTERM stops the machine, which still tells its outcome; the spawner's death too.

    Where the agent is gone there is nobody to tell, and nothing to complain of: the agent's end is told by
    whoever ended it.
    """
    try:
        _carry_out(channel)
    except (AgentGone, BrokenPipeError, ConnectionResetError):
        return


def _carry_out(channel: socket.socket) -> None:
    told = _Told()
    task = _task(channel)
    try:
        if task.run_as:
            become(task.run_as)
    except NotThatUser as error:
        outcome = Outcome(FAULT, b"", f"{error}\n".encode(), False, str(error))
    else:
        outcome = run(
            verify(task.image),
            task.arguments,
            _Here(task, channel),
            task.limits,
            lambda: told.to_stop(task.limits),
        )
    fault = outcome.fault.encode(errors="replace")
    head = _OUTCOME.pack(outcome.status, outcome.truncated, len(outcome.output), len(outcome.error_output))
    body = head + outcome.output + outcome.error_output + fault
    channel.sendall(FRAME.pack(Frame.OUTCOME, len(body)) + body)
    channel.recv(1)  # until it was heard: who is left below us is found as long as we live


def become(name: str) -> None:
    """Make this process a user's, with every group that the databases give them, for good.

    Nothing that runs here can be anyone else then: the machine's runas.* are refused by the kernel. Raises
    NotThatUser.
    """
    import pwd

    for module, attribute in PROVISIONS.items():
        getattr(import_module(module), attribute)
    try:
        entry = pwd.getpwnam(name)
        if (entry.pw_uid, entry.pw_gid) == (os.geteuid(), os.getegid()) and os.geteuid():
            return  # who is not root may not even set their own groups
        os.initgroups(entry.pw_name, entry.pw_gid)
        os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
        os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    except (KeyError, ValueError) as error:
        raise NotThatUser(f"cannot run as {name}: no such user here") from error
    except OSError as error:
        raise NotThatUser(f"cannot run as {name}: {error.strerror}") from error


def _task(channel: socket.socket) -> Task:
    with channel.makefile("rb") as stream:
        image, rest = _part(stream), _part(stream)
    arguments, limits, facts, acls, run_as = json.loads(rest)
    return Task(image, tuple(arguments), Limits(*limits), facts, acls, run_as)


def _part(stream: BinaryIO) -> bytes:
    head = stream.read(_PART.size)
    if len(head) == _PART.size:
        (length,) = _PART.unpack(head)
        part = stream.read(length)
        if len(part) == length:
            return part
    raise AgentGone
