"""Make the one file out of the checkout and the wheels that it depends on.

    python -IB tools/onefile/build.py CHECKOUT WHEELS FILE

The file has byte code for the Python that runs this and shared objects for this machine, for which the
wheels must be. It is written beside FILE and renamed to it, so whatever runs from FILE goes on running. The
same input gives the same layout: members in order, one date, one mode.
"""

import importlib.util
import marshal
import os
import platform
import re
import struct
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

SHEBANG = b"#!/usr/bin/env -S python3 -ISB\n"
"""Isolated, without site and its .pth code, without writing byte code: an agent is root."""

PACKAGES = ("auth", "conf", "host", "mesh", "net", "policy", "roles", "vm", "wire")
ONEFILE = Path(__file__).parent

LEFT_OUT = re.compile(
    r"^(cffi|pycparser|cattr|cattrs/preconf)/"  # what PyNaCl is built with; old names; other formats
    r"|(^|/)(_?tests?|testing|_tools|__pycache__)/"
    r"|^msgpack/_cmsgpack"  # the codec in Python is bounded in ways that the one in C is not
    r"|\.(pyi|typed|pyx|h|c)$"
    r"|^[^/]+\.(dist-info|data)/"
)
LICENCE = re.compile(
    r"^([^/]+)\.dist-info/(?:licenses/)?(.*(?:LICEN[CS]E|COPYING|NOTICE|AUTHORS)[^/]*)$", re.IGNORECASE
)

DATE = (1980, 1, 1, 0, 0, 0)


def from_wheels(wheels: Path) -> Iterator[tuple[str, str, bytes]]:
    """(kind, name, contents) of all that the dependencies bring; see `kind`, and "licence"."""
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith("/"):
                    continue
                if (licence := LICENCE.match(name)) and not licence[1].startswith("pycparser"):
                    yield "licence", f"{licence[1]}/{licence[2]}", archive.read(name)
                elif not LEFT_OUT.search(name):
                    yield kind(name), name, archive.read(name)


def from_checkout(checkout: Path) -> Iterator[tuple[str, str, bytes]]:
    """The same for what is ours: cw.py, errors.py and the packages, with whatever lies beside their code."""
    for single in ("cw.py", "errors.py"):
        yield "code", single, (checkout / single).read_bytes()
    for package in PACKAGES:
        for path in sorted((checkout / package).rglob("*")):
            name = path.relative_to(checkout).as_posix()
            if path.is_file() and not LEFT_OUT.search(name):
                yield kind(name), name, path.read_bytes()


def kind(name: str) -> str:
    """Code, a shared object, or a file beside code."""
    return {".py": "code", ".so": "native"}.get(name[-3:], "beside")


def compiled(name: str, source: bytes) -> bytes:
    """A .pyc that is never checked against its source (PEP 552), its file name relative to the archive."""
    code = compile(source, name, "exec", dont_inherit=True, optimize=0)
    header = importlib.util.MAGIC_NUMBER + struct.pack("<I", 0b01) + importlib.util.source_hash(source)
    return header + marshal.dumps(code)


def stripped(shared: bytes) -> bytes:
    """A shared object without what only debuggers read: no sections, nothing after the last segment."""
    if shared[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a shared object of a 64-bit little-endian machine")
    table = struct.unpack_from("<Q", shared, 32)[0]
    size, count = struct.unpack_from("<HH", shared, 54)
    segments = (struct.unpack_from("<IIQQQQ", shared, table + size * i) for i in range(count))
    end = max(offset + length for _, _, offset, _, _, length in segments)
    header = bytearray(shared[:64])
    struct.pack_into("<Q", header, 40, 0)  # e_shoff
    struct.pack_into("<HH", header, 60, 0, 0)  # e_shnum, e_shstrndx
    return bytes(header) + shared[64:end]


def module_of(name: str) -> str:
    """mesh/router.py → mesh.router, mesh/__init__.py → mesh, nacl/_sodium.abi3.so → nacl._sodium."""
    return name.split(".", 1)[0].removesuffix("/__init__").replace("/", ".")


class Layout:
    """The members as they are written, and the index of those that the importer reads."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.members: dict[str, tuple[int, int, bool]] = {}

    def add(self, name: str, contents: bytes, known_as: str | None = None, deflate: bool = True) -> None:
        """Write one member; `known_as` is its name in the index, if the importer has a use for it."""
        member = zipfile.ZipInfo(name, DATE)
        member.create_system = 3
        member.external_attr = 0o100644 << 16
        member.compress_type = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
        self.archive.writestr(member, contents, compresslevel=9)
        if known_as is not None:
            start = member.header_offset + len(member.FileHeader())
            self.members[known_as] = (start, member.compress_size, deflate)


def write(file: IO[bytes], checkout: Path, wheels: Path) -> None:
    """Write the one file's bytes."""
    tag, machine = f"{sys.implementation.cache_tag}{sys.abiflags}", platform.machine()
    modules: dict[str, str] = {}
    natives: dict[str, str] = {}
    file.write(SHEBANG)
    with zipfile.ZipFile(file, "w") as archive:
        layout = Layout(archive)
        layout.add("__main__.py", (ONEFILE / "start.py").read_bytes())
        for what, name, contents in sorted([*from_wheels(wheels), *from_checkout(checkout)]):
            match what:
                case "licence":
                    layout.add(f"licenses/{name}", contents)
                case "native":
                    natives[module_of(name)] = member = f"native/{machine}/{name}"
                    layout.add(member, stripped(contents), member, deflate=False)
                case "code":
                    modules[module_of(name)] = member = f"{name}c"
                    layout.add(f"python/{tag}/{member}", compiled(name, contents), member)
                case _:
                    layout.add(f"share/{name}", contents, name)
        boot = (ONEFILE / "boot.py").read_bytes()
        layout.add(f"python/{tag}/boot.pyc", compiled("tools/onefile/boot.py", boot))
        layout.add(f"python/{tag}/index", marshal.dumps((layout.members, modules, {machine: natives})))


def build(checkout: Path, wheels: Path, out: Path) -> None:
    """Put the one file there, whole or not at all."""
    unfinished = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with unfinished.open("w+b") as file:
            write(file, checkout, wheels)
        unfinished.chmod(0o755)
        unfinished.rename(out)
    finally:
        unfinished.unlink(missing_ok=True)


if __name__ == "__main__":
    build(*map(Path, sys.argv[1:]))
