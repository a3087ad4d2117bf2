"""The inputs that fuzzing begins with, an input a line: sources as JSON strings, images in hexadecimal."""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).with_name("corpus")


def read(target: str) -> list[bytes]:
    """Those of a target."""
    path = FOLDER / f"{target}.txt"
    lines = path.read_text("ascii").splitlines() if path.exists() else []
    return [_decoded(target, line) for line in lines]


def write(target: str, inputs: list[bytes]) -> None:
    """Keep these, and no others."""
    lines = [_encoded(target, kept) + "\n" for kept in sorted(inputs, key=lambda kept: (len(kept), kept))]
    (FOLDER / f"{target}.txt").write_text("".join(lines), "ascii")


def _decoded(target: str, line: str) -> bytes:
    if target == "assembler":
        return str(json.loads(line)).encode(errors="surrogateescape")
    return bytes.fromhex(line)


def _encoded(target: str, kept: bytes) -> str:
    return json.dumps(kept.decode(errors="surrogateescape")) if target == "assembler" else kept.hex()
