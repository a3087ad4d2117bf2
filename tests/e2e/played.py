"""A real agent, of a broker that the test plays: it hears any COMMAND, and the test reads its answers."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mesh.messages import Cancel, Message, Optin, Ping, Pong, Result
from tests.e2e.harness import Site, audited, until
from tests.e2e.raw import NOW, Joined, Port, command
from vm.assembler import assemble

PONG = b"pong\n"
FOREIGN = "mesh/99"
"""A module that no agent has: so it does not insist on bytes of its own."""

TIRELESS = "limits.instructions=1000000000000"
"""For loops that are to end by something else."""


def image(*lines: str) -> bytes:
    return assemble("\n".join(("fn main", *lines, "")), "a test's", lambda _: None)


class Node:
    """A real agent, of a broker that the test plays; `session` is its present one."""

    def __init__(self, site: Site, name: str, *settings: str) -> None:
        self.user = site.user
        self.directory = site.add_agent(name, {"role": "web"}, f"allow {site.user} ALL\n")
        self.port = Port(site)
        self.process = site.start_agent(name, *settings)
        self.session = self.join()
        self._serials = itertools.count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.port.close()

    def join(self) -> Joined:
        """The agent's next session."""
        self.session = self.port.take()
        return self.session

    @property
    def next_serial(self) -> int:
        """A serial that rises."""
        return next(self._serials)

    def order(self, *words: str, **changes: Any) -> int:
        """Send a COMMAND with the next serial, which is returned."""
        serial = self.next_serial
        self.session.say(command(self.user, *words, **changes), serial=serial)
        return serial

    def begin(self, *words: str, **changes: Any) -> int:
        """The same, to its OPTIN."""
        serial = self.order(*words, **changes)
        assert self.session.hear() == (serial, Optin())
        return serial

    def result(self, serial: int) -> Result:
        """The next message, which must be the RESULT of that serial; its duration left out."""
        answered, result = self.session.hear()
        assert answered == serial
        assert isinstance(result, Result)
        return result._replace(duration=0)

    def answer(self, *words: str, **changes: Any) -> Message:
        """A COMMAND that is not carried out, to its answer."""
        serial = self.order(*words, **changes)
        answered, message = self.session.hear()
        assert answered == serial
        return message

    def run(self, *words: str, **changes: Any) -> Result:
        """A COMMAND that is carried out, to its RESULT."""
        return self.result(self.begin(*words, **changes))

    def refusal(self, *words: str, **changes: Any) -> str:
        """The sentence of the RESULT 126 with which a COMMAND must be answered."""
        answer = self.answer(*words, **changes)
        assert isinstance(answer, Result)
        assert (answer.status, answer.error_output, answer.truncated) == (126, b"", False)
        sentence = answer.output.decode()
        assert sentence.count("\n") == 1
        return sentence

    def cancel(self, serial: int) -> None:
        self.session.say(Cancel(), serial=serial)

    def beats(self, now: int = NOW) -> None:
        """A heartbeat is answered, before anything else comes."""
        self.session.say(Ping(now))
        assert self.session.hear() == (0, Pong(now))

    def audited(self, serial: int) -> list[str]:
        """What the audit log says of that serial, in order."""
        return [entry["event"] for entry in self.entries() if entry["serial"] == f"{serial:016x}"]

    def entries(self) -> list[dict[str, Any]]:
        return audited(self.directory / "cogd.audit")

    def works(self) -> None:
        """It carries out what comes next."""
        assert self.run("ping") == Result(0, PONG, b"", False, 0)


def running(node: Node, *words: str, **changes: Any) -> int:
    """The serial of a command that has begun to run."""
    serial = node.begin(*words, module=FOREIGN, **changes)
    until(lambda: node.audited(serial) == ["ran"], "begun")
    return serial


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pids: Sequence[int]) -> None:
    """Wait until none of these processes is left, not even as a zombie of anybody's but the system's."""
    until(lambda: not any(map(left, pids)), f"gone {pids}")


def left(pid: int) -> bool:
    try:
        letter, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return False
    return (letter, parent) != ("Z", "1")
