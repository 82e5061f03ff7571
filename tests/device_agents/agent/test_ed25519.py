"""The agent's Ed25519: the RFC's vectors, the library's word on everything else, and what both must refuse."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from device_agents.agent.ed25519 import usable, verify

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493

# RFC 8032, 7.1: TEST 1, 2, 3 and SHA(abc): secret key, message, signature.
RFC = {
    "empty": (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    "one byte": (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    "two bytes": (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
    "SHA(abc)": (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        hashlib.sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e030"
        "3dca179c138ac17ad9bef1177331a704",
    ),
}


def _public(secret: str) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret)).public_key().public_bytes_raw()


def _library(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@pytest.mark.parametrize("name", RFC)
def test_vectors_of_the_rfc_hold_and_no_neighbour_does(name: str) -> None:
    secret, text, shown = RFC[name]
    public, message, signature = _public(secret), bytes.fromhex(text), bytes.fromhex(shown)
    assert verify(public, message, signature)
    assert not verify(public, message + b"\0", signature)
    assert not verify(_public(RFC["empty" if name != "empty" else "one byte"][0]), message, signature)


SECRET = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = SECRET.public_key().public_bytes_raw()


@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=300))
@settings(max_examples=25, deadline=None)
def test_what_the_library_signs_is_verified(seed: bytes, message: bytes) -> None:
    secret = Ed25519PrivateKey.from_private_bytes(seed)
    assert verify(secret.public_key().public_bytes_raw(), message, secret.sign(message))


@given(bit=st.integers(0, 64 * 8 - 1))
@settings(max_examples=60, deadline=None)
def test_a_flipped_bit_of_the_signature_is_refused_as_by_the_library(bit: int) -> None:
    flipped = bytearray(SECRET.sign(b"message"))
    flipped[bit // 8] ^= 1 << bit % 8
    assert not verify(PUBLIC, b"message", bytes(flipped))
    assert not _library(PUBLIC, b"message", bytes(flipped))


@given(bit=st.integers(0, 32 * 8 - 1))
@settings(max_examples=30, deadline=None)
def test_a_flipped_bit_of_the_key_is_refused(bit: int) -> None:
    flipped = bytearray(PUBLIC)
    flipped[bit // 8] ^= 1 << bit % 8
    assert not verify(bytes(flipped), b"message", SECRET.sign(b"message"))


def test_a_second_signature_made_of_the_first_is_refused() -> None:
    """S + L is as good in the equation as S."""
    signature = SECRET.sign(b"message")
    scalar = int.from_bytes(signature[32:], "little") + L
    assert scalar < 2**256
    assert not verify(PUBLIC, b"message", signature[:32] + scalar.to_bytes(32, "little"))


@pytest.mark.parametrize("shown", [(1).to_bytes(32, "little"), (P + 1).to_bytes(32, "little")])
def test_an_r_that_is_spelt_otherwise_is_refused(shown: bytes) -> None:
    """Both spell the neutral point, for which S = k a: a verifier that decodes R takes the second one too."""
    expanded = bytearray(hashlib.sha512(bytes(range(32))).digest()[:32])
    expanded[0] &= 248
    expanded[31] = expanded[31] & 127 | 64
    hashed = int.from_bytes(hashlib.sha512(shown + PUBLIC + b"message").digest(), "little")
    scalar = hashed * int.from_bytes(expanded, "little") % L
    signature = shown + scalar.to_bytes(32, "little")
    canonical = shown[0] == 1
    assert verify(PUBLIC, b"message", signature) is canonical
    assert _library(PUBLIC, b"message", signature) is canonical


SMALL_ORDER = [
    (1).to_bytes(32, "little"),
    (P - 1).to_bytes(32, "little"),
    (0).to_bytes(32, "little"),
    (1 << 255).to_bytes(32, "little"),
    *(
        bytes.fromhex(text)
        for text in (
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        )
    ),
]


@pytest.mark.parametrize("public", SMALL_ORDER, ids=bytes.hex)
def test_keys_of_small_order_prove_nothing_and_are_refused(public: bytes) -> None:
    assert not usable(public)
    # Forged: with S = 0 and R of small order the equation holds for one message in eight, or for all.
    forged = (1).to_bytes(32, "little") + bytes(32)
    assert not any(verify(public, bytes([number]), forged) for number in range(32))


def test_that_forgery_would_hold_for_the_equation_alone() -> None:
    """So the test above can fail: the library checks no more than the equation."""
    forged = (1).to_bytes(32, "little") + bytes(32)
    assert _library(SMALL_ORDER[0], b"anything", forged)


@pytest.mark.parametrize(
    "public",
    [
        P.to_bytes(32, "little"),  # zero, and
        (P + 1).to_bytes(32, "little"),  # one, spelt with P more
        (1 | 1 << 255).to_bytes(32, "little"),  # x = 0 has no sign
        (P - 1 | 1 << 255).to_bytes(32, "little"),
        (2).to_bytes(32, "little"),  # no point of the curve
        b"",
        PUBLIC[:31],
        PUBLIC + b"\0",
    ],
    ids=bytes.hex,
)
def test_bytes_that_spell_no_key_are_refused(public: bytes) -> None:
    assert not usable(public)
    assert not verify(public, b"message", SECRET.sign(b"message"))


@pytest.mark.parametrize("length", [0, 32, 63, 65, 128])
def test_signature_of_another_length_is_refused(length: int) -> None:
    assert not verify(PUBLIC, b"message", (SECRET.sign(b"message") * 2)[:length])
