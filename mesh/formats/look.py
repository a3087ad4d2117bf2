"""What the reader's screen can show, and how what stands out is shown on it. Pure."""

from __future__ import annotations

from typing import NamedTuple

from mesh.printing import DENIED, EXPIRED, FAILED, LOST, MALFORMED, OPTOUT, SILENT

ODD = "odd"
"""The style of a value that most others do not have."""
ADDED, REMOVED = "added", "removed"

RED, GREEN, YELLOW, FAINT, BOLD_YELLOW = "31", "32", "33", "2", "1;33"

STYLES = {
    FAILED: RED,
    MALFORMED: RED,
    DENIED: YELLOW,
    EXPIRED: YELLOW,
    LOST: YELLOW,
    SILENT: YELLOW,
    OPTOUT: FAINT,
    ODD: BOLD_YELLOW,
    ADDED: GREEN,
    REMOVED: RED,
}
"""Parameters of SGR (ECMA-48 §8.3.117) for a style, outcomes among them; any other style is none."""


class Look(NamedTuple):
    """How answers are to be shown: in so many columns (None: no terminal), in colours, in order of names."""

    columns: int | None = None
    colours: bool = False
    sort: bool = False

    def paint(self, style: str, text: str) -> str:
        """The text in that style, where there are colours."""
        code = STYLES.get(style) if self.colours else None
        return f"\x1b[{code}m{text}\x1b[0m" if code else text
