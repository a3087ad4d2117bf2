"""The primitives that Noise stands on: X25519, ChaCha20-Poly1305, BLAKE2s and HMAC; bytes in, bytes out.

PyNaCl's private `nacl._sodium` is called: three times as fast as its public `nacl.bindings`, and without
importing them. Where that name is gone, the public ones do the same. BLAKE2s comes from where hashlib takes
it, since importing hashlib loads OpenSSL.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from errors import CwError
from wire.errors import DecryptError, HandshakeError

try:
    from _blake2 import blake2s as _blake2s
except ImportError:
    from hashlib import blake2s as _blake2s

KEY_BYTES = 32
HASH_BYTES = 32
BLOCK_BYTES = 64
TAG_BYTES = 16
MAX_SEALED = 65535
"""The longest ciphertext, tag included (Noise §3)."""


class SodiumError(CwError):
    """The cryptographic library, libsodium, does not start on this host."""


class Sodium(NamedTuple):
    """What is taken from libsodium, the same whichever of PyNaCl's two faces it is called through.

    `seal(key, counter, associated, plaintext)` and `unseal(key, counter, associated, ciphertext)` are
    ChaCha20-Poly1305 with Noise's nonce (§12.3); `unseal` raises DecryptError. Keys must be KEY_BYTES long:
    that is the caller's to check. `agree(secret, public)` is X25519, `public_of(secret)` its public half.
    """

    seal: Callable[[bytes, int, bytes, bytes], bytes]
    unseal: Callable[[bytes, int, bytes, bytes], bytes]
    agree: Callable[[bytes, bytes], bytes]
    public_of: Callable[[bytes], bytes]


def through_private_names() -> Sodium:
    """By PyNaCl's own handle of libsodium; raises ImportError or AttributeError where it has other names."""
    from nacl._sodium import ffi, lib

    if lib.sodium_init() < 0:
        raise SodiumError
    encrypt = lib.crypto_aead_chacha20poly1305_ietf_encrypt
    decrypt = lib.crypto_aead_chacha20poly1305_ietf_decrypt
    multiply = lib.crypto_scalarmult
    multiply_base = lib.crypto_scalarmult_base
    null = ffi.NULL
    buffer = ffi.buffer
    allocate = ffi.new

    # The C functions let other threads run, so a buffer belongs to one call: taken out, put back after.
    idle: list[tuple[Any, Any]] = []

    def seal(key: bytes, counter: int, associated: bytes, plaintext: bytes) -> bytes:
        size = len(plaintext)
        if size > MAX_SEALED - TAG_BYTES:
            raise ValueError(f"a plaintext of {size} bytes does not fit one ciphertext")
        try:
            room = idle.pop()
        except IndexError:
            target = allocate("unsigned char[]", MAX_SEALED)
            room = (target, buffer(target))
        encrypt(
            room[0],
            null,
            plaintext,
            size,
            associated,
            len(associated),
            null,
            (counter << 32).to_bytes(12, "little"),
            key,
        )
        ciphertext: bytes = room[1][: size + TAG_BYTES]
        idle.append(room)
        return ciphertext

    def unseal(key: bytes, counter: int, associated: bytes, ciphertext: bytes) -> bytes:
        size = len(ciphertext)
        if not TAG_BYTES <= size <= MAX_SEALED:
            raise DecryptError
        try:
            room = idle.pop()
        except IndexError:
            target = allocate("unsigned char[]", MAX_SEALED)
            room = (target, buffer(target))
        failed = decrypt(
            room[0],
            null,
            null,
            ciphertext,
            size,
            associated,
            len(associated),
            (counter << 32).to_bytes(12, "little"),
            key,
        )
        plaintext: bytes = room[1][: size - TAG_BYTES]
        idle.append(room)
        if failed:
            raise DecryptError
        return plaintext

    def agree(secret: bytes, public: bytes) -> bytes:
        shared = allocate("unsigned char[]", KEY_BYTES)
        if multiply(shared, secret, public):
            raise _small_order()
        return _refuse_zero(buffer(shared)[:])

    def public_of(secret: bytes) -> bytes:
        public = allocate("unsigned char[]", KEY_BYTES)
        multiply_base(public, secret)
        whole: bytes = buffer(public)[:]
        return whole

    return Sodium(seal, unseal, agree, public_of)


def through_public_names() -> Sodium:
    """By PyNaCl's documented functions."""
    from nacl import bindings
    from nacl.exceptions import CryptoError

    def seal(key: bytes, counter: int, associated: bytes, plaintext: bytes) -> bytes:
        size = len(plaintext)
        if size > MAX_SEALED - TAG_BYTES:
            raise ValueError(f"a plaintext of {size} bytes does not fit one ciphertext")
        nonce = (counter << 32).to_bytes(12, "little")
        return bindings.crypto_aead_chacha20poly1305_ietf_encrypt(plaintext, associated, nonce, key)

    def unseal(key: bytes, counter: int, associated: bytes, ciphertext: bytes) -> bytes:
        if not TAG_BYTES <= len(ciphertext) <= MAX_SEALED:
            raise DecryptError
        nonce = (counter << 32).to_bytes(12, "little")
        try:
            return bindings.crypto_aead_chacha20poly1305_ietf_decrypt(ciphertext, associated, nonce, key)
        except CryptoError as error:
            raise DecryptError from error

    def agree(secret: bytes, public: bytes) -> bytes:
        try:
            return _refuse_zero(bindings.crypto_scalarmult(secret, public))
        except CryptoError as error:
            raise _small_order() from error

    return Sodium(seal, unseal, agree, bindings.crypto_scalarmult_base)


def _small_order() -> HandshakeError:
    return HandshakeError("the handshake failed: the peer's key is one that agrees on zero with every key")


def _refuse_zero(shared: bytes) -> bytes:
    if not any(shared):
        raise _small_order()
    return shared


def _sodium() -> Sodium:
    try:
        return through_private_names()
    except (ImportError, AttributeError):
        return through_public_names()


SODIUM = _sodium()


def blake2s(content: bytes) -> bytes:
    """BLAKE2s, 32 bytes, without a key (Noise §12.7)."""
    return _blake2s(content).digest()


_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


def hmac_blake2s(key: bytes, content: bytes) -> bytes:
    """HMAC (RFC 2104) over BLAKE2s, which is Noise's HMAC-HASH (§4.3); `key` has at most BLOCK_BYTES."""
    block = key.ljust(BLOCK_BYTES, b"\0")
    return blake2s(block.translate(_OUTER_PAD) + blake2s(block.translate(_INNER_PAD) + content))
