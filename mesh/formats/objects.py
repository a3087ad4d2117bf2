"""Answers as objects: --json and --jsonl (mesh.md "What the client prints"). Pure."""

from __future__ import annotations

import json
from base64 import b64encode

from mesh.printing import Answer, Stream


def members(answer: Answer) -> dict[str, str | int | float | bool | None]:
    """What an object says of an answer, in every form; its texts may have any character in them.

    Bytes that are no UTF-8 became U+FFFD; `output_base64` has those of the output as they were.
    """
    said: dict[str, str | int | float | bool | None] = {
        "uuid": answer.uuid,
        "fqdn": answer.fqdn,
        "outcome": answer.outcome,
        "status": answer.status,
        "output": answer.output.decode("utf-8", "replace"),
        "error_output": answer.error_output.decode("utf-8", "replace"),
        "truncated": answer.truncated,
        "duration": answer.duration,
    }
    if not _is_utf8(answer.output):
        said["output_base64"] = b64encode(answer.output).decode("ascii")
    return said


def json_object(answer: Answer) -> str:
    """One JSON object in ASCII on one line, without a newline; valid whatever bytes the node printed."""
    # DEL is the one byte that acts on a terminal and that JSON in ASCII leaves as it is.
    return json.dumps(members(answer)).replace("\x7f", "\\u007f")


def _is_utf8(output: bytes) -> bool:
    try:
        output.decode()
    except UnicodeDecodeError:
        return False
    return True


JSON = Stream(json_object, opening="[", between=",\n", closing="]\n", nothing="[]\n")
JSONL = Stream(lambda answer: f"{json_object(answer)}\n")
