"""What a client prints of its nodes' answers (mesh.md "What the client prints"). Pure: text in, text out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from errors import CwError

OK = "ok"
FAILED = "failed"
MALFORMED = "malformed"
LOST = "lost"
SILENT = "silent"
EXPIRED = "expired"
DENIED = "denied"
OPTOUT = "optout"
UNASKED = "unasked"
"""Of a node whose turn did not come: such are in records alone."""


class Answer(NamedTuple):
    """How one node closed: `outcome` is one of the words above, as users read it.

    `status` is None unless the command ran there; `duration` is in seconds, None likewise.
    """

    uuid: str
    fqdn: str
    outcome: str
    status: int | None = None
    output: bytes = b""
    error_output: bytes = b""
    truncated: bool = False
    duration: float | None = None


# Output of nodes. Whatever a node prints must neither act on a terminal nor pass for another line.

ACTING = (
    *(code for code in range(0x20) if code != 0x09),  # C0 but tab
    *range(0x7F, 0xA0),  # DEL and C1: some terminals obey these as they obey ESC
    0x061C,  # Arabic letter mark: this and the other bidirectional controls reorder what is read
    *(0x200E, 0x200F),  # left-to-right and right-to-left marks
    *(0x2028, 0x2029),  # line and paragraph separator: end a line for some readers
    *range(0x202A, 0x202F),  # embeddings and overrides
    *range(0x2066, 0x206A),  # isolates
)
"""The code points that are never printed as they are."""

_SPELLED = {code: "".join(f"\\x{byte:02x}" for byte in chr(code).encode()) for code in ACTING}


def harmless(output: bytes) -> str:
    r"""The bytes as text: what acts on a terminal, and invalid UTF-8, byte by byte as \xNN (lower case)."""
    text = output.decode("utf-8", "backslashreplace")
    return text if text.isascii() and text.isprintable() else text.translate(_SPELLED)


def line(answer: Answer) -> str:
    """The LINE form, with its final newline: one line, or for longer output one and one more a line of it."""
    return block(head(answer.fqdn, answer), answer)


def head(who: str, answer: Answer) -> str:
    """What stands in front: who answers, and the status, or why there is none."""
    return f"{who} - {answer.outcome}" if answer.status is None else f"{who} {answer.status}"


def block(head: str, answer: Answer) -> str:
    """The output behind a head, or under it."""
    said = lines(answer)
    if len(said) > 1:
        return "".join([f"{head}\n", *(f"    {one}\n" for one in said)])
    return f"{head} {said[0]}\n" if said and said[0] else f"{head}\n"


def lines(answer: Answer) -> list[str]:
    """The output, line by line and harmless, one final newline dropped; one line more says if it was cut."""
    output = answer.output.removesuffix(b"\n")
    said = [harmless(one) for one in output.split(b"\n")] if output else []
    return [*said, f"[cut at {len(answer.output)} bytes]"] if answer.truncated else said


def timing(answer: Answer, seconds: float) -> str:
    """When the node answered after the request was sent, and how long it ran the command: one line."""
    said = "answered" if answer.status is not None else answer.outcome
    ran = "" if answer.duration is None else f", of which it ran {answer.duration:.3f} s"
    return f"cw: {answer.fqdn} {said} after {seconds:.3f} s{ran}\n"


def error_lines(answer: Answer) -> str:
    """What the node wrote to its error output, each line behind its name; empty if nothing."""
    output = answer.error_output.removesuffix(b"\n")
    if not output:
        return ""
    return "".join(f"{answer.fqdn}: {harmless(one)}\n" for one in output.split(b"\n"))


class Stream(NamedTuple):
    """A form that prints as answers arrive: `opening`, `one` of each, `between` in between, `closing`.

    `nothing` is the whole text where nobody answered.
    """

    one: Callable[[Answer], str]
    opening: str = ""
    between: str = ""
    closing: str = ""
    nothing: str = ""


LINE = Stream(line)


class Printer:
    """Writes answers in a form as they arrive."""

    def __init__(self, stream: Stream, write: Callable[[str], None]) -> None:
        self._stream = stream
        self._write = write
        self._begun = False

    def print(self, answers: Sequence[Answer]) -> None:
        """Print these, at once."""
        texts = []
        for answer in answers:
            texts.append(self._stream.between if self._begun else self._stream.opening)
            texts.append(self._stream.one(answer))
            self._begun = True
        self._write("".join(texts))

    def close(self) -> None:
        """Print what stands behind the last answer."""
        self._write(self._stream.closing if self._begun else self._stream.nothing)


# The end: what is counted, and what the counts mean to a script.


class Tally(NamedTuple):
    """How many nodes closed in which way; `failed` includes malformed answers.

    `took_part` says whether any node opted in: one that did may have run the command, whatever became of it.
    """

    ok: int = 0
    failed: int = 0
    optouts: int = 0
    denied: int = 0
    expired: int = 0
    lost: int = 0
    silent: int = 0
    took_part: bool = False

    @property
    def closed(self) -> int:
        """The number of nodes counted."""
        return sum(self[:7])

    @property
    def missing(self) -> int:
        """The number of nodes that the command went to, and no answer came from."""
        return self.expired + self.lost + self.silent

    def plus(self, other: Tally) -> Tally:
        """The counts of both."""
        counts = map(int.__add__, self[:7], other[:7])
        return Tally._make((*counts, self.took_part or other.took_part))


COUNTED = {
    OK: "ok",
    FAILED: "failed",
    MALFORMED: "failed",
    LOST: "lost",
    SILENT: "silent",
    EXPIRED: "expired",
    DENIED: "denied",
    OPTOUT: "optouts",
}
"""The field of a Tally that counts an outcome."""


def counted(tally: Tally, answer: Answer) -> Tally:
    """The tally with one more answer."""
    field = COUNTED[answer.outcome]
    took_part = tally.took_part or field in {"ok", "failed"}
    return tally._replace(**{field: getattr(tally, field) + 1, "took_part": took_part})


def summary(tally: Tally) -> str:
    """One line without a newline: `3 answered: 2 ok, 1 failed; 1 opted out`; zeros are left out."""
    results = ", ".join(f"{n} {word}" for n, word in ((tally.ok, "ok"), (tally.failed, "failed")) if n)
    answered = f"{tally.ok + tally.failed} answered" + (f": {results}" if results else "")
    return "; ".join([answered, *(f"{n} {word}" for n, word in _unanswered(tally) if n)])


def progress(tally: Tally, sessions: int, seconds: float) -> str:
    """How far a request to so many sessions is: `1,234 of 10,000 answered, 3 failed, 12 s`."""
    counts = ((tally.failed, "failed"), *_unanswered(tally))
    told = "".join(f", {n:,} {word}" for n, word in counts if n)
    return f"{tally.ok + tally.failed:,} of {sessions:,} answered{told}, {int(seconds)} s"


def _unanswered(tally: Tally) -> tuple[tuple[int, str], ...]:
    return (
        (tally.optouts, "opted out"),
        (tally.denied, "denied"),
        (tally.expired, "expired"),
        (tally.lost, "lost"),
        (tally.silent, "silent"),
    )


STATUSES: tuple[tuple[int, Callable[[Tally], bool]], ...] = (
    (3, lambda tally: tally.denied > 0 and not tally.took_part),
    (5, lambda tally: tally.missing > 0),
    (1, lambda tally: tally.failed > 0),
    (0, lambda tally: tally.ok > 0),
    (6, lambda _: True),
)
"""Exit statuses of a request that the broker carried out, in the order in which they are tried."""


def exit_status(tally: Tally) -> int:
    """The exit status that the counts stand for (mesh.md, the table of exit statuses)."""
    return next(status for status, applies in STATUSES if applies(tally))


class Refused(CwError):
    """The broker refused the request."""

    status = 3


class Unserved(CwError):
    """The broker could not serve the request."""

    status = 4


REFUSALS: dict[str, type[CwError]] = {
    "authentication": Refused,
    "denied": Refused,
    "unrecognised": Refused,
    "invalid": Refused,
    "untrusted": Refused,
    "version": Refused,
    "failed": Refused,
    "busy": Unserved,
    "closing": Unserved,
}
"""What each code of a broker's ERROR means to the client; any other code is a failure of the broker."""

UNSPECIFIC = "authentication failed"
"""All that users are told of a failed authentication (mesh.md "Who may ask")."""


def refusal(code: str, sentence: str) -> CwError:
    """The error that a broker's ERROR is to its user, in one harmless line."""
    kind = REFUSALS.get(code, Unserved)
    if code == "authentication":
        return kind(UNSPECIFIC)
    return kind(harmless(sentence.encode()) or f"{kind.__doc__} ({code})")
