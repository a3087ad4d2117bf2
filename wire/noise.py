"""Noise, revision 34: IK and NK with 25519, ChaChaPoly and BLAKE2s. Pure: random bytes are arguments."""

from __future__ import annotations

from typing import NamedTuple, NoReturn

from wire.errors import HandshakeError, NonceExhausted, SessionDead, WireError
from wire.primitives import KEY_BYTES, SODIUM, TAG_BYTES, blake2s, hmac_blake2s

REKEY_EVERY = 65536
"""Messages of one direction between two changes of its key (protocol.md "Layers")."""

LAST_NONCE = 2**64 - 1
"""The nonce that Noise keeps for changing keys (§5.1)."""

_seal = SODIUM.seal
_unseal = SODIUM.unseal


class KeyPair(NamedTuple):
    """An X25519 key pair, 32 bytes each."""

    secret: bytes
    public: bytes


def key_pair(secret: bytes) -> KeyPair:
    """The pair of these 32 secret bytes; raises HandshakeError if they are not 32."""
    return KeyPair(secret, SODIUM.public_of(_key(secret)))


def _key(key: bytes) -> bytes:
    """`key`, which libsodium reads without asking for its length."""
    if len(key) != KEY_BYTES:
        raise HandshakeError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
    return key


class Cipher:
    """One direction's key and counter (Noise §5.1 "CipherState"), a new key after every REKEY_EVERY messages.

    After any error it refuses everything: SessionDead.
    """

    __slots__ = ("_counter", "_key")

    def __init__(self, key: bytes, counter: int = 0) -> None:
        self._key = _key(key)
        self._counter = counter

    def encrypt(self, plaintext: bytes, associated: bytes = b"") -> bytes:
        """Ciphertext, TAG_BYTES longer than `plaintext`; raises NonceExhausted, SessionDead."""
        counter = self._counter
        if counter >= LAST_NONCE:
            self._refuse()
        ciphertext = _seal(self._key, counter, associated, plaintext)
        self._counter = counter = counter + 1
        if not counter % REKEY_EVERY:
            self._rekey()
        return ciphertext

    def decrypt(self, ciphertext: bytes, associated: bytes = b"") -> bytes:
        """Plaintext; raises DecryptError, NonceExhausted, SessionDead."""
        counter = self._counter
        if counter >= LAST_NONCE:
            self._refuse()
        try:
            plaintext = _unseal(self._key, counter, associated, ciphertext)
        except WireError:
            self.kill()
            raise
        self._counter = counter = counter + 1
        if not counter % REKEY_EVERY:
            self._rekey()
        return plaintext

    def kill(self) -> None:
        """Forgets the key: whatever comes next is SessionDead."""
        self._key = b""
        self._counter = LAST_NONCE

    def _rekey(self) -> None:
        """Noise §4.2 "REKEY": the counter goes on."""
        self._key = _seal(self._key, LAST_NONCE, b"", bytes(KEY_BYTES))[:KEY_BYTES]

    def _refuse(self) -> NoReturn:
        raise NonceExhausted if self._key else SessionDead


class Pattern(NamedTuple):
    """A handshake: its Noise name and the tokens of each message, the initiator's first (§7)."""

    name: bytes
    messages: tuple[tuple[str, ...], ...]


# Both begin with the pre-message "<- s": the initiator knows the responder's key (Noise §7.5).
IK = Pattern(b"Noise_IK_25519_ChaChaPoly_BLAKE2s", (("e", "es", "s", "ss"), ("e", "ee", "se")))
NK = Pattern(b"Noise_NK_25519_ChaChaPoly_BLAKE2s", (("e", "es"), ("e", "ee")))

# Token → which key of its own and which of its peer's the initiator joins, and the responder (Noise §5.3).
_AGREEMENTS = {
    "ee": (("e", "e"), ("e", "e")),
    "es": (("e", "s"), ("s", "e")),
    "se": (("s", "e"), ("e", "s")),
    "ss": (("s", "s"), ("s", "s")),
}


class _Symmetric:
    """Noise §5.2 "SymmetricState": the hash of all that was said, and the key of all that was agreed."""

    __slots__ = ("chaining", "cipher", "hash")

    def __init__(self, name: bytes) -> None:
        # Our names are 33 bytes: one more than the hash, so never padded.
        self.hash = blake2s(name)
        self.chaining = self.hash
        self.cipher: Cipher | None = None

    def mix_hash(self, content: bytes) -> None:
        self.hash = blake2s(self.hash + content)

    def mix_key(self, agreed: bytes) -> None:
        self.chaining, key = self.derive(agreed)
        self.cipher = Cipher(key)

    def derive(self, agreed: bytes) -> tuple[bytes, bytes]:
        """Noise §4.3 "HKDF" with two outputs."""
        base = hmac_blake2s(self.chaining, agreed)
        first = hmac_blake2s(base, b"\1")
        return first, hmac_blake2s(base, first + b"\2")

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        ciphertext = self.cipher.encrypt(plaintext, self.hash) if self.cipher else plaintext
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        plaintext = self.cipher.decrypt(ciphertext, self.hash) if self.cipher else ciphertext
        self.mix_hash(ciphertext)
        return plaintext


class Handshake:
    """One run of a pattern (Noise §5.3 "HandshakeState"): write and read in turn, then split.

    After any error, and after `split`, it refuses everything: HandshakeError.
    """

    def __init__(
        self,
        pattern: Pattern,
        *,
        initiator: bool,
        prologue: bytes,
        ephemeral: bytes,
        static: KeyPair | None = None,
        remote_static: bytes | None = None,
    ) -> None:
        """`ephemeral` is 32 random bytes, never used before.

        The responder gives `static`; the initiator `remote_static`, and for IK its own `static` too.
        """
        self._pattern = pattern
        self._initiator = initiator
        self._own = {"e": key_pair(ephemeral)}
        self._theirs: dict[str, bytes] = {}
        if static is not None:
            self._own["s"] = static
        if remote_static is not None:
            self._theirs["s"] = _key(remote_static)
        self._turn = 0
        self._failed = False
        self._state = _Symmetric(pattern.name)
        self._state.mix_hash(prologue)
        responder_key = self._theirs.get("s") if initiator else self._own_key("s").public
        if responder_key is None:
            raise HandshakeError("the handshake needs the responder's public key")
        self._state.mix_hash(responder_key)

    @property
    def finished(self) -> bool:
        """Whether every message of the pattern was written or read."""
        return self._turn == len(self._pattern.messages)

    @property
    def hash(self) -> bytes:
        """The handshake hash, 32 bytes (Noise §11.2); of the session once `finished`."""
        return self._state.hash

    @property
    def remote_static(self) -> bytes | None:
        """The peer's static key, given or read."""
        return self._theirs.get("s")

    def write(self, payload: bytes = b"") -> bytes:
        """The next message, this side's; raises HandshakeError."""
        message = b""
        for token in self._begin(self._initiator):
            if token == "e":
                public = self._own_key("e").public
                self._state.mix_hash(public)
                message += public
            elif token == "s":
                message += self._state.encrypt_and_hash(self._own_key("s").public)
            else:
                self._agree(token)
        message += self._state.encrypt_and_hash(payload)
        self._end()
        return message

    def read(self, message: bytes) -> bytes:
        """The payload of the next message, the peer's; raises HandshakeError, DecryptError."""
        rest = message
        for token in self._begin(not self._initiator):
            if token == "e":
                public, rest = _cut(rest, KEY_BYTES)
                self._theirs["e"] = public
                self._state.mix_hash(public)
            elif token == "s":
                sealed, rest = _cut(rest, KEY_BYTES + TAG_BYTES)
                self._theirs["s"] = self._state.decrypt_and_hash(sealed)
            else:
                self._agree(token)
        payload = self._state.decrypt_and_hash(rest)
        self._end()
        return payload

    def split(self) -> tuple[Cipher, Cipher]:
        """Ciphers to send and to receive with, once finished (Noise §5.2 "Split"); raises HandshakeError."""
        if self._failed or not self.finished:
            raise HandshakeError
        self._failed = True
        keys = self._state.derive(b"")
        first, second = Cipher(keys[0]), Cipher(keys[1])
        return (first, second) if self._initiator else (second, first)

    def _begin(self, initiators_turn: bool) -> tuple[str, ...]:
        """Tokens of the message that is due; until `_end` the handshake counts as failed."""
        if self._failed or self.finished or initiators_turn != (self._turn % 2 == 0):
            self._failed = True
            raise HandshakeError
        self._failed = True
        return self._pattern.messages[self._turn]

    def _end(self) -> None:
        self._turn += 1
        self._failed = False

    def _agree(self, token: str) -> None:
        own, theirs = _AGREEMENTS[token][not self._initiator]
        self._state.mix_key(SODIUM.agree(self._own_key(own).secret, self._theirs[theirs]))

    def _own_key(self, letter: str) -> KeyPair:
        if letter not in self._own:
            raise HandshakeError("the handshake needs this side's static key")
        return self._own[letter]


def _cut(message: bytes, size: int) -> tuple[bytes, bytes]:
    if len(message) < size:
        raise HandshakeError
    return message[:size], message[size:]
