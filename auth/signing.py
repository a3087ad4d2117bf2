"""Signatures of requests: a key speaks for one REQUEST on one connection (protocol.md "Authentication")."""

from __future__ import annotations

from auth.keys import SIGNING, KeyFile, KeyFileError
from mesh.messages import KeyAuth, Request, to_sign


def sign(request: Request, key: KeyFile, handshake_hash: bytes) -> Request:
    """The request with the signature in its KeyAuth, whose nonce the caller has filled.

    Raises KeyFileError if the key cannot sign or is not the one that the request names.
    """
    from nacl import bindings

    auth = request.auth
    if key.kind != SIGNING:
        raise KeyFileError(f"expected a user's signing key, got {key!r}")
    if not isinstance(auth, KeyAuth) or auth.public != key.public.hex():
        raise KeyFileError(f"the request is not one of the key {key.public.hex()}")
    signed: bytes = bindings.crypto_sign(to_sign(request, handshake_hash), key.secret + key.public)
    return request._replace(auth=auth._replace(signature=signed[: bindings.crypto_sign_BYTES]))


def verified(request: Request, handshake_hash: bytes) -> bool:
    """Whether the request carries a good signature of the key it names, made for this connection."""
    from nacl import bindings
    from nacl.exceptions import CryptoError

    auth = request.auth
    if not isinstance(auth, KeyAuth) or len(auth.signature) != bindings.crypto_sign_BYTES:
        return False
    try:
        public = bytes.fromhex(auth.public)
        if len(public) != bindings.crypto_sign_PUBLICKEYBYTES:
            return False
        bindings.crypto_sign_open(auth.signature + to_sign(request, handshake_hash), public)
    except (CryptoError, ValueError):
        return False
    return True
