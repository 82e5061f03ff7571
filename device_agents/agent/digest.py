"""SHA-256 of files on the device."""

from __future__ import annotations

import hashlib


def sha256_of(path: str) -> str:
    """SHA-256 of a file in hexadecimal; raises OSError where it can't be read."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()
