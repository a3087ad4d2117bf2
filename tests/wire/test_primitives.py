import hashlib
import hmac
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import primitives
from wire.errors import DecryptError, HandshakeError
from wire.primitives import MAX_SEALED, TAG_BYTES, Sodium, through_private_names, through_public_names

BOTH = [
    pytest.param(through_private_names(), id="private"),
    pytest.param(through_public_names(), id="public"),
]
KEY = bytes(range(32))

# The u-coordinates of order 1, 2, 4 and 8, in every encoding (RFC 7748 §6.1 asks to refuse what they give).
SMALL_ORDER = [
    "00" * 32,
    "01" + "00" * 31,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ec" + "ff" * 30 + "7f",
    "ed" + "ff" * 30 + "7f",
    "ee" + "ff" * 30 + "7f",
]


def test_the_private_names_are_there_in_the_pinned_pynacl() -> None:
    assert primitives.SODIUM.seal.__qualname__.startswith(through_private_names.__name__)


@pytest.mark.parametrize("sodium", BOTH)
def test_x25519_gives_the_published_answer(sodium: Sodium) -> None:
    # RFC 7748 §6.1.
    bob = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    alices_public = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    assert sodium.public_of(bob).hex() == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    assert sodium.agree(bob, alices_public).hex() == shared


@pytest.mark.parametrize("sodium", BOTH)
@pytest.mark.parametrize("public", SMALL_ORDER)
def test_a_key_of_small_order_is_refused(sodium: Sodium, public: str) -> None:
    with pytest.raises(HandshakeError):
        sodium.agree(KEY, bytes.fromhex(public))


@given(
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=40),
    st.binary(max_size=300),
)
def test_both_faces_of_libsodium_agree(key: bytes, counter: int, associated: bytes, plaintext: bytes) -> None:
    private, public = through_private_names(), through_public_names()
    sealed = private.seal(key, counter, associated, plaintext)
    assert sealed == public.seal(key, counter, associated, plaintext)
    assert len(sealed) == len(plaintext) + TAG_BYTES
    assert private.unseal(key, counter, associated, sealed) == plaintext
    assert public.unseal(key, counter, associated, sealed) == plaintext


@pytest.mark.parametrize("sodium", BOTH)
def test_the_longest_ciphertext_and_no_longer(sodium: Sodium) -> None:
    longest = bytes(MAX_SEALED - TAG_BYTES)
    sealed = sodium.seal(KEY, 0, b"", longest)
    assert sodium.unseal(KEY, 0, b"", sealed) == longest
    with pytest.raises(ValueError, match="65520 bytes"):
        sodium.seal(KEY, 0, b"", longest + b"\0")
    with pytest.raises(DecryptError):
        sodium.unseal(KEY, 0, b"", sealed + b"\0")


@pytest.mark.parametrize("sodium", BOTH)
@pytest.mark.parametrize("size", range(TAG_BYTES))
def test_less_than_a_tag_does_not_decrypt(sodium: Sodium, size: int) -> None:
    with pytest.raises(DecryptError):
        sodium.unseal(KEY, 0, b"", bytes(size))


@pytest.mark.parametrize("sodium", BOTH)
def test_key_counter_associated_and_ciphertext_all_count(sodium: Sodium) -> None:
    sealed = sodium.seal(KEY, 7, b"with", b"plain")
    others = [
        (bytes(32), 7, b"with", sealed),
        (KEY, 8, b"with", sealed),
        (KEY, 7, b"without", sealed),
        (KEY, 7, b"", sealed),
        (KEY, 7, b"with", sealed[::-1]),
    ]
    for key, counter, associated, ciphertext in others:
        with pytest.raises(DecryptError):
            sodium.unseal(key, counter, associated, ciphertext)
    assert sodium.unseal(KEY, 7, b"with", sealed) == b"plain"


def test_threads_do_not_share_a_buffer() -> None:
    sodium = through_private_names()
    wrong = []

    def work(mark: int) -> None:
        content = bytes((mark,)) * 40_000
        if any(
            sodium.unseal(KEY, counter, b"", sodium.seal(KEY, counter, b"", content)) != content
            for counter in range(200)
        ):
            wrong.append(mark)

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@given(st.binary(max_size=200))
def test_blake2s_is_hashlibs(content: bytes) -> None:
    assert primitives.blake2s(content) == hashlib.blake2s(content).digest()


@given(st.binary(max_size=64), st.binary(max_size=200))
def test_hmac_is_the_standard_librarys(key: bytes, content: bytes) -> None:
    assert primitives.hmac_blake2s(key, content) == hmac.digest(key, content, hashlib.blake2s)
