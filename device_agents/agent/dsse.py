"""The signature of a whole release, as a device that trusts keys checks it before it puts the release together.

signature.json is a DSSE envelope around the bytes of SHA256SUMS (https://github.com/secure-systems-lab/dsse).
"""

from __future__ import annotations

import base64
import json

from . import ed25519, trust
from .releases import Refused

PAYLOAD_TYPE = "application/vnd.edgewright.sha256sums"
_MOST_SIGNATURES = 100


def check(root: str, sums: bytes, envelope: bytes) -> None:
    """Where this device trusts keys: raises Refused unless one of them has signed these `sums`."""
    trusted = trust.keys(root)
    if trusted is None:
        return
    try:
        found = json.loads(envelope.decode())
        kind, payload = str(found["payloadType"]), base64.b64decode(found["payload"], validate=True)
        signatures = [
            (str(one["keyid"]), base64.b64decode(one["sig"], validate=True))
            for one in found["signatures"][:_MOST_SIGNATURES]
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refused("its signature can't be read: %s" % error) from error
    if kind != PAYLOAD_TYPE or payload != sums:
        raise Refused("its signature is one of something else")
    signed = b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(payload), payload)
    for keyid, signature in signatures:
        if keyid in trusted and ed25519.verify(trusted[keyid][0], signed, signature):
            return
    raise Refused("none of the keys that this device trusts has signed it")
