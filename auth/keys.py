"""Key files: text that names its kind, its holder and its halves; private ones nobody else can read."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from conf.kinds import brief
from errors import CwError
from wire.primitives import SODIUM

SIGNING = "signing"
"""Ed25519: users."""
ENCRYPTION = "encryption"
"""X25519: brokers and agents."""

HOLDERS = {
    SIGNING: "a user's key (%signing v1)",
    ENCRYPTION: "a broker's or an agent's key (%encryption v1)",
}
"""Kinds of keys, as errors call them."""

MAX_FILE = 4096
"""Bytes of a key file at most."""

_HEX = re.compile(r"[0-9a-fA-F]{64}\Z")


class KeyFileError(CwError):
    """That is not a key file that can be used."""


class KeyExposed(KeyFileError):
    """Others can read a private key; the sentence ends in the command that mends it."""


class PublicKey(NamedTuple):
    """The public half of a key: `kind` is SIGNING or ENCRYPTION, `name` the holder's, `public` 32 bytes."""

    kind: str
    name: str
    public: bytes


class KeyFile(NamedTuple):
    """A whole key pair; `secret` is 32 bytes (Ed25519: the seed). Its text never shows the secret."""

    kind: str
    name: str
    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"<{self.kind} key {self.public.hex()} of {self.name}>"


def short(public: str) -> str:
    """A public key as logs name it: enough of its digits to find it in a trust database."""
    return public[:16]


def is_name(text: str) -> bool:
    """Whether the text can name a key's holder: 1 to 255 printable characters, no white space, no `#`."""
    return 0 < len(text) <= 255 and text.isprintable() and not set(text) & {" ", "#"}


def is_public(text: str) -> bool:
    """Whether the text is a public key in base 16."""
    return _HEX.match(text) is not None


def read_secret(path: Path, kind: str) -> KeyFile:
    """A key pair of that kind from its private file. Raises KeyFileError, also if others may read it."""
    text, mode = _read(path)
    key, secret = _parsed(path, text)
    if secret is None:
        private = f" ({path.with_suffix('')}?)" if path.suffix == ".pub" else ""
        raise KeyFileError(f"{path}: expected a private key{private}, got only its public half")
    if mode & 0o077:
        raise KeyExposed(f"{path}: others can read this private key (mode {mode:04o}): chmod 600 {path}")
    _insist(path, kind, key.kind)
    if public_of(kind, secret) != key.public:
        raise KeyFileError(f"{path}: the two halves are not of the same key")
    return KeyFile(*key, secret)


def read_public(path: Path) -> PublicKey:
    """The public half from a `.pub` file. Raises KeyFileError, also if a private half is in it."""
    key, secret = _parsed(path, _read(path)[0])
    if secret is not None:
        raise KeyFileError(f"{path}: expected the public half of a key ({path}.pub?), got a private key")
    return key


def write_pair(path: Path, kind: str, name: str, secret: bytes) -> KeyFile:
    """Make `path` (0600) and `path`.pub (0644) of 32 random bytes; overwrite nothing. Raises KeyFileError."""
    if not is_name(name):
        raise KeyFileError(f"expected the name of a key's holder, without white space, got {name[:80]!r}")
    key = KeyFile(kind, name, public_of(kind, secret), secret)
    public = public_path(path)
    text = f"%{kind} v1\nid {name}\npub {key.public.hex()}\n"
    _create(public, text, 0o644)
    try:
        _create(path, f"{text}sec {secret.hex()}\n", 0o600)
    except KeyFileError:
        public.unlink()
        raise
    return key


def public_path(path: Path) -> Path:
    """Where the public half of a key file is."""
    return path.with_name(path.name + ".pub")


def public_of(kind: str, secret: bytes) -> bytes:
    """The public half of a secret: Ed25519 (RFC 8032 §5.1.5) or X25519 (RFC 7748 §6.1)."""
    if kind != SIGNING:
        return SODIUM.public_of(secret)
    from nacl import bindings  # 10 ms that an agent can do without

    public: bytes = bindings.crypto_sign_seed_keypair(secret)[0]
    return public


def broker_key(text: str, base: Path) -> bytes:
    """The broker's public key as configured: 64 hex digits, or the path of a `.pub` (from `base`)."""
    if is_public(text):
        return bytes.fromhex(text)
    path = base / text
    key = read_public(path)
    _insist(path, ENCRYPTION, key.kind)
    return key.public


def _insist(path: Path, wanted: str, kind: str) -> None:
    if wanted != kind:
        raise KeyFileError(f"{path}: expected {HOLDERS[wanted]}, got {HOLDERS[kind]}")


def _read(path: Path) -> tuple[str, int]:
    """The file's text, and who may do what with it (the permission bits)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise KeyFileError(f"{path}: expected a key file, got something that is no regular file")
            raw = os.read(descriptor, MAX_FILE + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise KeyFileError(f"cannot read the key {brief(path)}: {error.strerror}") from error
    if len(raw) > MAX_FILE:
        raise KeyFileError(f"{path}: expected a key file, got more than {MAX_FILE} bytes")
    try:
        return raw.decode(), stat.S_IMODE(mode)
    except UnicodeDecodeError as error:
        raise KeyFileError(f"{path}: expected a key file, got other bytes") from error


def _parsed(path: Path, text: str) -> tuple[PublicKey, bytes | None]:
    lines = text.splitlines()
    kinds = {f"%{kind} v1": kind for kind in (SIGNING, ENCRYPTION)}
    if not lines or lines[0] not in kinds:
        raise KeyFileError(f"{path}:1: expected {' or '.join(kinds)}")
    kind = kinds[lines[0]]
    fields = dict(line.partition(" ")[::2] for line in lines[1:])
    if list(fields) not in (["id", "pub"], ["id", "pub", "sec"]) or len(fields) != len(lines) - 1:
        raise KeyFileError(f"{path}: expected the lines id, pub and, in a private key, sec")
    if not is_name(fields["id"]):
        raise KeyFileError(f"{path}:2: expected id NAME, without white space")
    for number, field in enumerate(("pub", "sec"), 3):
        if field in fields and not is_public(fields[field]):
            raise KeyFileError(f"{path}:{number}: expected {field} and 64 hex digits")
    secret = bytes.fromhex(fields["sec"]) if "sec" in fields else None
    return PublicKey(kind, fields["id"], bytes.fromhex(fields["pub"])), secret


def _create(path: Path, text: str, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode & 0o600)
    except OSError as error:
        raise KeyFileError(f"cannot make {brief(path)}: {error.strerror}") from error
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            os.fchmod(descriptor, mode)
            stream.write(text)
            stream.flush()
            os.fsync(descriptor)
    except OSError as error:
        path.unlink()
        raise KeyFileError(f"cannot write {path}: {error.strerror}") from error
