"""How the sessions of a swarm behave: which opt out, die, stall or answer twice, and how late. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from mesh.messages import Optin, Optout, Result, encode


class Conduct(Enum):
    """What a session does with a COMMAND."""

    ANSWER = "answer"
    """OPTIN, and RESULT after the delay; both in one packet where there is none."""
    OPTOUT = "opt out"
    """OPTOUT at once, as filters are judged."""
    DIE = "die"
    """OPTIN, and after the delay the connection breaks; then it comes back, as agents do."""
    STALL = "stall"
    """Reads and writes nothing any more, heartbeats neither, until the broker gives it up."""
    TWICE = "answer twice"
    """Everything that ANSWER says, said twice."""


MISBEHAVIOURS = (Conduct.OPTOUT, Conduct.DIE, Conduct.STALL, Conduct.TWICE)


class Delay(NamedTuple):
    """Seconds before a RESULT: `draw` takes a source of numbers from 0 to 1 and gives one delay."""

    text: str
    draw: Callable[[Callable[[], float]], float]


def delay(text: str) -> Delay:
    """What a text says: `S` is always S seconds, `A-B` anything between, `exp:M` exponential with the mean M.

    Raises ValueError.
    """
    shape, colon, rest = text.rpartition(":")
    if colon:
        if shape != "exp":
            raise ValueError(text)
        mean = _seconds(rest)
        return Delay(text, lambda uniform: -mean * math.log(1 - uniform()))
    least_text, dash, most_text = text.partition("-")
    least = _seconds(least_text)
    most = _seconds(most_text) if dash else least
    if most < least:
        raise ValueError(text)
    return Delay(text, lambda uniform: least + (most - least) * uniform())


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 86400:
        raise ValueError(text)
    return seconds


AT_ONCE = delay("0")
"""No delay."""


class Behaviour(NamedTuple):
    """What a swarm does: bytes of a RESULT's output, its delay, the share (0 to 1) of each misbehaviour."""

    reply: int = len(b"pong\n")
    delay: Delay = AT_ONCE
    shares: tuple[float, ...] = (0.0,) * len(MISBEHAVIOURS)

    def conducts(self, count: int, seed: int = 0) -> list[Conduct]:
        """The conduct of each of `count` sessions: exact shares, spread at random, the same each time."""
        chosen = [
            conduct
            for conduct, share in zip(MISBEHAVIOURS, self.shares, strict=True)
            for _ in range(round(share * count))
        ][:count]
        chosen += [Conduct.ANSWER] * (count - len(chosen))
        random.Random(seed).shuffle(chosen)
        return chosen

    def said(self, serial: int) -> dict[Conduct, Said]:
        """What a session of each conduct says to the COMMAND of a serial, encoded."""
        optin = encode(Optin(), serial)
        result = encode(Result(0, output(self.reply), b"", False, 100), serial)
        return {
            Conduct.ANSWER: Said((optin,), (result,)),
            Conduct.OPTOUT: Said((encode(Optout(), serial),), ()),
            Conduct.DIE: Said((optin,), ()),
            Conduct.STALL: Said((), ()),
            Conduct.TWICE: Said((optin, optin), (result, result)),
        }


class Said(NamedTuple):
    """Messages that are sent at once, and those that follow after the delay."""

    first: tuple[bytes, ...]
    then: tuple[bytes, ...]


def output(size: int) -> bytes:
    """So many bytes of output."""
    return (b"pong\n" * (size // 5 + 1))[:size]
