"""The envelope and the bundle's signature: as their formats say, the same every time, and broken by any change."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from device_agents.agent import trust
from pipeline.release import keys
from pipeline.release.keys import KeyMissing, SigningKey
from pipeline.release.signing import (
    PAYLOAD_TYPE,
    BadEnvelope,
    bundle_signature,
    envelope,
    opened,
    pae,
    user_signer,
)
from tests.pipeline.release.made import signing_key

ADA, EVE = signing_key(b"ada"), signing_key(b"eve")
SUMS = f"{'0' * 64}  manifest.json\n".encode()


def test_what_is_signed_is_encoded_as_dsse_says() -> None:
    """The example of protocol.md."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_envelope_opens_with_the_key_that_made_it() -> None:
    made = envelope(SUMS, ADA)
    assert made == envelope(SUMS, ADA)
    assert opened(made, [EVE.public_key, ADA.public_key]) == (SUMS, ADA.public_key)
    told = json.loads(made)
    assert told["payloadType"] == PAYLOAD_TYPE
    assert told["signatures"][0]["keyid"] == ADA.keyid
    assert ADA.public_key.verify(pae(PAYLOAD_TYPE, SUMS), base64.b64decode(told["signatures"][0]["sig"]))


def test_envelope_of_another_key_says_which() -> None:
    with pytest.raises(BadEnvelope, match=f"not trusted here .{EVE.keyid[:16]}"):
        opened(envelope(SUMS, EVE), [ADA.public_key])
    with pytest.raises(BadEnvelope, match="not trusted"):
        opened(envelope(SUMS, EVE), [])


def test_every_bit_of_an_envelope_counts() -> None:
    """Also those of the parts that are signed by nobody: keyid, spelling, white space."""
    made = envelope(SUMS, ADA)
    for place in range(len(made)):
        changed = bytearray(made)
        changed[place] ^= 1 << place % 8
        with pytest.raises(BadEnvelope):
            opened(bytes(changed), [ADA.public_key])


def _changed(**changes: Any) -> bytes:
    return json.dumps(json.loads(envelope(SUMS, ADA)) | changes, sort_keys=True, indent=2).encode() + b"\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no DSSE"),
        (b"[]", "no DSSE"),
        (b"[" * 100_000, "no DSSE"),
        (_changed(signatures=[]), "nobody"),
        (_changed(signatures=[3]), "no DSSE"),
        (_changed(payload="!"), "no DSSE"),
        (_changed(payloadType="text/plain"), "another type"),
        (_changed(payload=base64.b64encode(b"other").decode()), "was changed"),
        (_changed(more=1), "not spelt"),
        (envelope(SUMS, ADA) + b" ", "not spelt"),
        (envelope(SUMS, ADA).replace(b"\n", b""), "not spelt"),
    ],
)
def test_envelope_that_is_none_says_why(content: bytes, why: str) -> None:
    with pytest.raises(BadEnvelope, match=why):
        opened(content, [ADA.public_key])


def test_payload_of_one_signed_thing_is_no_signature_of_another() -> None:
    """A bundle's signature never passes for a list's, nor the other way round."""
    assert pae(PAYLOAD_TYPE, SUMS) != trust.SIGNED + SUMS
    told = json.loads(bundle_signature(SUMS, ADA))
    with pytest.raises(BadEnvelope, match="was changed"):
        opened(_changed(signatures=[{"keyid": ADA.keyid, "sig": told["signature"]}]), [ADA.public_key])


def test_bundle_signature_is_what_a_device_judges_by() -> None:
    made = bundle_signature(b"{}", ADA)
    trust.judge({ADA.keyid: (ADA.public, "")}, b"{}", made)
    with pytest.raises(trust.BundleNotTrusted):
        trust.judge({ADA.keyid: (ADA.public, "")}, b"[]", made)


def test_user_without_a_key_signs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv(keys.KEY, raising=False)
    assert user_signer()(b"{}") is None


def test_user_whose_key_is_named_and_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(keys.KEY, str(tmp_path / "gone.key"))
    sign = user_signer()  # nothing is opened before a device wants it
    with pytest.raises(KeyMissing):
        sign(b"{}")


def test_users_key_signs_bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = SigningKey.generate(tmp_path / "mine.key", b"")
    monkeypatch.setenv(keys.KEY, str(tmp_path / "mine.key"))
    sign = user_signer()
    assert sign(b"{}") == bundle_signature(b"{}", made)
    (tmp_path / "mine.key").unlink()
    assert sign(b"[]") == bundle_signature(b"[]", made)  # opened once
