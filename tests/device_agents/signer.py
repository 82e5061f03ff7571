"""Keys for the tests that sign: made of a name, so that they are the same every time."""

from __future__ import annotations

import base64
import hashlib
import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class Signer:
    """Somebody's Ed25519 key. line: its public half, as a file has it."""

    def __init__(self, name: bytes) -> None:
        self.name = name.decode()
        self.secret = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name).digest())
        self.public = self.secret.public_key().public_bytes_raw()
        self.keyid = hashlib.sha256(self.public).hexdigest()
        self.line = f"ed25519 {base64.b64encode(self.public).decode()} {self.name}"

    def signature(self, manifest: bytes) -> bytes:
        """A bundle.sig, written here once more by the words of docs/signing.md and not by the project's own writer."""
        signature = base64.b64encode(self.secret.sign(b"edgewright-bundle/1\n" + manifest)).decode()
        return json.dumps({"schema": "edgewright-signature/1", "keyid": self.keyid, "signature": signature}).encode()
