"""What a release's key signs: the list of its digests, as a DSSE envelope, and the bundle, for devices that trust keys.

DSSE: https://github.com/secure-systems-lab/dsse (protocol.md, envelope.md).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from device_agents.agent.trust import SCHEMA, SIGNATURE, SIGNED
from edgewright.files import pretty_json
from pipeline.release import checksums
from pipeline.release.keys import PublicKey, SigningKey, key_path
from pipeline.release.places import is_there

SUMS, ENVELOPE = checksums.FILE, checksums.SIGNATURE
PAYLOAD_TYPE = "application/vnd.edgewright.sha256sums"
BUNDLE_SIGNATURE = SIGNATURE
"""bundle.sig: beside a bundle's manifest on host and device, and in a release."""
_MOST_SIGNATURES = 100


class BadEnvelope(ValueError):
    """Not a DSSE envelope, or one that none of the given keys has signed; str() says which."""


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding, which is what is signed: "DSSEv1 LEN TYPE LEN PAYLOAD", lengths in bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def envelope(sums: bytes, key: SigningKey) -> bytes:
    """signature.json over the bytes of SHA256SUMS."""
    signature = {"keyid": key.keyid, "sig": base64.b64encode(key.sign(pae(PAYLOAD_TYPE, sums))).decode()}
    return _written(sums, PAYLOAD_TYPE, [signature])


def _written(payload: bytes, kind: str, signatures: list[dict[str, str]]) -> bytes:
    return pretty_json({"payload": base64.b64encode(payload).decode(), "payloadType": kind, "signatures": signatures})


def opened(content: bytes, keys: Sequence[PublicKey]) -> tuple[bytes, PublicKey]:
    """(what was signed, the key of `keys` that has signed it). Raises BadEnvelope.

    Stricter than DSSE: the envelope must be spelt as `envelope` spells it, so that no bit of it can be changed unseen.
    """
    try:
        found = json.loads(content)
        payload, kind = base64.b64decode(found["payload"], validate=True), str(found["payloadType"])
        signatures = [
            (str(one.get("keyid", "")), base64.b64decode(one["sig"], validate=True))
            for one in found["signatures"][:_MOST_SIGNATURES]
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadEnvelope(f"it is no DSSE envelope ({type(error).__name__}: {error})") from error
    told = [{"keyid": keyid, "sig": base64.b64encode(signature).decode()} for keyid, signature in signatures]
    if content != _written(payload, kind, told):
        raise BadEnvelope("it is not spelt as a release's signature is")
    if kind != PAYLOAD_TYPE:
        raise BadEnvelope(f"it signs another type of thing: {kind}")
    trusted = {key.keyid: key for key in keys}
    known = [(trusted[keyid], signature) for keyid, signature in signatures if keyid in trusted]
    for key, signature in known:
        if key.verify(pae(kind, payload), signature):
            return payload, key
    if known:
        raise BadEnvelope("its signature is not that of what it holds: one of the two was changed")
    names = ", ".join(keyid[:16] for keyid, _ in signatures) or "nobody"
    raise BadEnvelope(f"it is signed by a key that is not trusted here ({names})")


def bundle_signature(manifest: bytes, key: SigningKey) -> bytes:
    """bundle.sig. manifest: the bundle manifest's canonical bytes (device_agents.bundle.Manifest.canonical)."""
    signature = base64.b64encode(key.sign(SIGNED + manifest)).decode()
    return pretty_json({"schema": SCHEMA, "keyid": key.keyid, "signature": signature})


def sign_release(folder: Path, key: SigningKey) -> None:
    """Writes signature.json beside a folder's SHA256SUMS. Raises OSError."""
    (folder / ENVELOPE).write_bytes(envelope((folder / SUMS).read_bytes(), key))


def user_signer(given: str | None = None) -> Callable[[bytes], bytes | None]:
    """Signs bundle manifests with the user's key, opened when the first one asks; None where the user has no key.

    What it returns goes to device_agents.farm.opening.open_any as `sign`. Raises, when called, what load_key raises.
    """
    loaded: list[SigningKey | None] = []

    def sign(manifest: bytes) -> bytes | None:
        if not loaded:
            path = key_path(given)
            chosen = given is not None or path != key_path(None, {})
            loaded.append(SigningKey.load(path) if chosen or is_there(path) else None)
        return bundle_signature(manifest, loaded[0]) if loaded[0] is not None else None

    return sign
