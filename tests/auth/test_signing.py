import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.keys import ENCRYPTION, SIGNING, KeyFile, KeyFileError, public_of
from auth.signing import sign, verified
from mesh.messages import VERSION, KeyAuth, NoAuth, PasswordAuth, Request

HASH = bytes(range(32))


def key_of(seed: bytes, kind: str = SIGNING) -> KeyFile:
    return KeyFile(kind, "alice", public_of(kind, seed), seed)


ALICE, MALLORY = key_of(b"a" * 32), key_of(b"m" * 32)


def asked(key: KeyFile = ALICE) -> Request:
    return Request(
        version=VERSION,
        user="alice",
        auth=KeyAuth(key.public.hex(), b"n" * 32, b""),
        words=("show", "version"),
        filters=("role = web",),
        mode="run",
        targets=None,
        timeout=40_000,
        run_time=0,
        optouts=False,
    )


def test_a_signature_is_good_for_its_request_and_connection() -> None:
    signed = sign(asked(), ALICE, HASH)
    assert isinstance(signed.auth, KeyAuth)
    assert len(signed.auth.signature) == 64
    assert verified(signed, HASH)


def test_an_unsigned_request_is_not_verified() -> None:
    assert not verified(asked(), HASH)


@pytest.mark.parametrize("auth", [NoAuth(), PasswordAuth("x")])
def test_other_ways_to_authenticate_are_no_signature(auth: NoAuth | PasswordAuth) -> None:
    request = asked()._replace(auth=auth)
    assert not verified(request, HASH)
    with pytest.raises(KeyFileError):
        sign(request, ALICE, HASH)


@pytest.mark.parametrize(
    "change",
    [
        {"user": "bob"},
        {"words": ("show", "versions")},
        {"words": ("show version",)},
        {"filters": ()},
        {"mode": "plan"},
        {"targets": ("6d7a3c5e-9d53-4d0f-8f1e-1d7c1d3c0a11",)},
        {"timeout": 40_001},
        {"run_time": 1},
        {"optouts": True},
    ],
)
def test_any_changed_field_breaks_the_signature(change: dict[str, object]) -> None:
    signed = sign(asked(), ALICE, HASH)
    assert not verified(signed._replace(**change), HASH)  # type: ignore[arg-type]  # one field of any type


def test_a_signature_does_not_work_on_another_connection() -> None:
    signed = sign(asked(), ALICE, HASH)
    assert not verified(signed, HASH[::-1])


def test_a_signature_does_not_work_with_another_nonce_or_key() -> None:
    signed = sign(asked(), ALICE, HASH)
    assert isinstance(signed.auth, KeyAuth)
    for auth in (
        signed.auth._replace(nonce=b"o" * 32),
        signed.auth._replace(public=MALLORY.public.hex()),
        signed.auth._replace(public="00" * 32),
        signed.auth._replace(public="x"),
    ):
        assert not verified(signed._replace(auth=auth), HASH)


@given(st.integers(min_value=0, max_value=64 * 8 - 1))
def test_a_flipped_bit_breaks_the_signature(bit: int) -> None:
    signed = sign(asked(), ALICE, HASH)
    assert isinstance(signed.auth, KeyAuth)
    broken = bytearray(signed.auth.signature)
    broken[bit // 8] ^= 1 << bit % 8
    assert not verified(signed._replace(auth=signed.auth._replace(signature=bytes(broken))), HASH)


@pytest.mark.parametrize("signature", [b"", b"x", b"\0" * 64, b"\0" * 63, b"\0" * 65])
def test_what_is_no_signature_is_not_verified(signature: bytes) -> None:
    auth = KeyAuth(ALICE.public.hex(), b"n" * 32, signature)
    assert not verified(asked()._replace(auth=auth), HASH)


def test_a_key_signs_only_what_names_it_and_only_a_signing_key_does() -> None:
    with pytest.raises(KeyFileError, match="not one of the key"):
        sign(asked(MALLORY), ALICE, HASH)
    with pytest.raises(KeyFileError, match="expected a user's signing key"):
        sign(asked(), key_of(b"a" * 32, ENCRYPTION), HASH)
