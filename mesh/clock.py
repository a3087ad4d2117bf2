"""What time it is at the broker, so that a command's age is measured on one clock. Pure: reads no clock."""

from __future__ import annotations

from collections import deque

SAMPLES = 8


class BrokerClock:
    """The broker's monotonic milliseconds, estimated from what it last said (protocol.md "A request" 6).

    A sample is always too small, by the time the message took to arrive; so the largest offset of the last
    eight is the best. Our own clock should go on in a suspended node (`CLOCK_BOOTTIME`), so that it sees how
    old a command has become in its sleep.
    """

    def __init__(self) -> None:
        self._offsets: deque[int] = deque(maxlen=SAMPLES)

    def sample(self, broker: int, own: int) -> None:
        """A message that said `broker` arrived at `own`; milliseconds, each of its own clock."""
        self._offsets.append(broker - own)

    def at(self, own: int) -> int:
        """The broker's milliseconds at our `own`. There must have been a sample: HELLO brings the first."""
        return own + max(self._offsets)
