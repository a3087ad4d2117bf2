"""Whole files: their digests, reading them into strings, writing strings to them.

Files are gone through in blocks, and the clock and the cancel flag looked at with each. Symbolic links are
followed where a file is read, unless pragma fs.links is off, and refused where one is written.
"""

from __future__ import annotations

from vm.host.files import BLOCK
from vm.machine import Machine
from vm.ops.build import INTO, PATH, TEXT
from vm.ops.fs_attempt import attempts, links, polled
from vm.ops.fs_changes import FILE_MODE


@attempts(PATH, INTO)
def sha1(machine: Machine, path: bytes) -> int:
    """SHA-1 of a file, in hexadecimal."""
    import hashlib  # here, since it loads OpenSSL: 3 MiB that an agent seldom needs

    digest = hashlib.sha1(usedforsecurity=False)
    with machine.host.files.contents(path, links(machine)) as file:
        for block in polled(machine, file.blocks):
            digest.update(block)
    return machine.keep(digest.hexdigest().encode())


@attempts(PATH, INTO)
def get(machine: Machine, path: bytes) -> int:
    """A file as a string, NULs and all. The heap is charged as blocks come: sizes need not be true."""
    blocks = []
    machine.remember(b"")
    with machine.host.files.contents(path, links(machine)) as file:
        for block in polled(machine, file.blocks):
            machine.remember(block)
            blocks.append(block)
    return machine.place(b"".join(blocks))


@attempts(PATH, TEXT)
def put(machine: Machine, path: bytes, text: bytes) -> None:
    """Make a string the contents of a file, all of it or none."""
    blocks = (text[begin : begin + BLOCK] for begin in range(0, len(text), BLOCK))
    machine.host.files.write(path, polled(machine, blocks), FILE_MODE & ~machine.umask)
