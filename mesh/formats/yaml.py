"""--yaml: one sequence of the objects that --json has, readable by YAML 1.1 and 1.2. Pure."""

from __future__ import annotations

import json
import re

from mesh.formats.objects import members
from mesh.printing import Answer, Stream

_BEYOND = re.compile("[^\x00-\x7e]")


def item(answer: Answer) -> str:
    """One item of the sequence, in ASCII, a member a line; every text is in double quotes."""
    lines = [f"  {name}: {scalar(value)}\n" for name, value in members(answer).items()]
    return f"-{lines[0][1:]}{''.join(lines[1:])}"


def scalar(value: str | float | bool | None) -> str:
    """One value. JSON's escapes are YAML's too, but for characters that it writes as two halves."""
    match value:
        case str():
            quoted = json.dumps(value, ensure_ascii=False)
            return _BEYOND.sub(lambda found: f"\\U{ord(found[0]):08x}", quoted)
        case float():
            return f"{value:.6f}"  # YAML 1.1 takes 1e-06 for a text
    return json.dumps(value)


YAML = Stream(item, nothing="[]\n")
