"""--xml: one document with the objects that --json has, well-formed for whatever bytes nodes print. Pure."""

from __future__ import annotations

from base64 import b64encode

from mesh.formats.objects import members
from mesh.printing import Answer, Stream

FORBIDDEN = frozenset({*range(0x20), 0xFFFE, 0xFFFF} - {0x09, 0x0A, 0x0D})
"""Code points that no XML 1.0 document can have in it (§2.2); surrogates are no text here."""

_ESCAPES = {
    **dict.fromkeys(FORBIDDEN, "\ufffd"),
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord('"'): "&quot;",
    0x0D: "&#13;",  # readers take it for a line feed otherwise (§2.11)
    0x7F: "&#127;",
}

ATTRIBUTES = ("uuid", "fqdn", "outcome", "status", "truncated", "duration")
"""Members that are attributes, left out where JSON says null; the others are elements in the answer's."""


def element(answer: Answer) -> str:
    """The element of an answer, in ASCII."""
    said = members(answer)
    if FORBIDDEN.intersection(map(ord, str(said["output"]))):
        said["output_base64"] = b64encode(answer.output).decode("ascii")
    attributes = "".join(f' {name}="{_text(said[name])}"' for name in ATTRIBUTES if said[name] is not None)
    elements = "".join(f"<{name}>{_text(said[name])}</{name}>" for name in said if name not in ATTRIBUTES)
    return f"<answer{attributes}>{elements}</answer>\n"


def _text(value: str | float | bool | None) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.6f}"
    return str(value).translate(_ESCAPES).encode("ascii", "xmlcharrefreplace").decode("ascii")


_OPENING, _CLOSING = '<?xml version="1.0" encoding="UTF-8"?>\n<answers>\n', "</answers>\n"

XML = Stream(element, opening=_OPENING, closing=_CLOSING, nothing=_OPENING + _CLOSING)
