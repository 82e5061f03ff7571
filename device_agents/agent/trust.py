"""Whose bundles this device takes: once it was told whose keys it trusts, none that none of them has signed.

<root>/trust/keys has a key a line: "ed25519 KEY COMMENT", KEY being the 32 bytes in base64. Whoever can log in as this
user can change it, and the agent too: it guards against a bundle that was changed in a store, on another host or on its
way, not against the device's owner.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from typing import Dict, List, Optional, Tuple

from . import ed25519
from .bundle import Refused
from .digest import sha256_of

FOLDER = "trust"
FILE = "keys"
SIGNATURE = "bundle.sig"
SCHEMA = "edgewright-signature/1"
SIGNED = b"edgewright-bundle/1\n"
"""What stands before the manifest where it is signed: no signature of anything else is one of a bundle."""
CANARIES = (
    "5103bbc1ed8088a7fe0b0c9592cb9c801e7fd1a4112e176f025e1e43afdbe7ad",
    "b229967edba94d33ae0900ea5aa22263d707cb5b85da2de60ef10657974b6bca",
)
"""The canary model's files (farm/canary), which never change: as good as this agent, of which they are a part."""
REFUSED = "BundleNotTrusted"
"""With this the message of a refusal begins."""
_MOST_BYTES = 65536

Key = Tuple[bytes, str]


class BundleNotTrusted(Refused):
    """The device trusts keys, and none of them has signed the bundle; str() says why that is so."""


def parsed(text: str) -> Key:
    """(the 32 bytes, comment) of a public key's line. Raises ValueError, which says what is wrong with it."""
    words = text.split()
    if len(words) < 2 or words[0] != "ed25519":
        raise ValueError('a key is a line of the form "ed25519 KEY COMMENT"')
    public = base64.b64decode(words[1], validate=True)
    if not ed25519.usable(public):
        raise ValueError("that is no Ed25519 public key of 32 bytes, or one that proves nothing")
    return public, " ".join(words[2:])


def line(key: Key) -> str:
    """A key as a file has it."""
    return ("ed25519 %s %s" % (base64.b64encode(key[0]).decode(), key[1])).rstrip()


def keyid(public: bytes) -> str:
    """The name of a key: SHA-256 of its 32 bytes in hexadecimal."""
    return hashlib.sha256(public).hexdigest()


def keys(root: str) -> Optional[Dict[str, Key]]:
    """The trusted keys by their keyids; None where this device was never told any, and takes every bundle.

    Raises BundleNotTrusted where the file is there and can't be relied on: nothing is taken then.
    """
    path = _path(root)
    try:
        with open(path, encoding="utf-8") as stream:
            if os.fstat(stream.fileno()).st_mode & 0o022:
                raise ValueError("others than its owner can write it")
            lines = [text for text in stream.read(_MOST_BYTES).splitlines() if text.strip()]
        found = [parsed(text) for text in lines]
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and not os.path.islink(path):
            return None
        raise BundleNotTrusted(
            "the keys that this device trusts can't be read: %s: %s (next: ./inv devices.setup NAME --trust-no-key, "
            "then --trust-key FILE again)" % (path, error)
        ) from error
    return {keyid(public): (public, comment) for public, comment in found}


def add(root: str, text: str) -> None:
    """Trusts one key more. Raises ValueError, BundleNotTrusted where the file is damaged, OSError."""
    known = keys(root) or {}
    public, comment = parsed(text)
    known[keyid(public)] = (public, comment)
    _write(root, [line(key) for key in known.values()])


def forget(root: str) -> None:
    """Trusts no key any longer, and takes every bundle again. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_path(root))


def judge(trusted: Dict[str, Key], manifest: bytes, signature: Optional[bytes]) -> None:
    """Raises BundleNotTrusted unless `signature`, the content of a bundle.sig, is a trusted key's of that manifest."""
    if signature is None:
        raise BundleNotTrusted("it has no signature")
    try:
        found = json.loads(signature[:_MOST_BYTES].decode())
        if found["schema"] != SCHEMA:
            raise ValueError("its schema is not %s" % SCHEMA)
        named, data = str(found["keyid"]), base64.b64decode(found["signature"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleNotTrusted("its signature can't be read: %s" % error) from error
    if named not in trusted:
        raise BundleNotTrusted("the key that signed it, %s, is none of those that are trusted" % named[:16])
    if not ed25519.verify(trusted[named][0], SIGNED + manifest, data):
        raise BundleNotTrusted("its signature is not that of its manifest: one of the two was changed")


def check(root: str, manifest: bytes, signature: str) -> None:
    """Where this device trusts keys: raises BundleNotTrusted unless the file `signature` is one of theirs."""
    trusted = keys(root)
    if trusted is None:
        return
    try:
        with open(signature, "rb") as stream:
            content = stream.read(_MOST_BYTES)  # type: Optional[bytes]
    except FileNotFoundError:
        content = None
    except OSError as error:
        raise BundleNotTrusted("its signature can't be read: %s" % error) from error
    try:
        judge(trusted, manifest, content)
    except BundleNotTrusted as refused:
        raise BundleNotTrusted(
            "this device takes no bundle that none of its trusted keys has signed: %s (next: sign it with one of them, "
            "or ./inv devices.setup NAME --trust-key FILE with the key of who did)" % refused
        ) from None


def check_model(root: str, model: str) -> None:
    """Before a model file is loaded: its bundle's signature, and that it is the file which was signed.

    model: a bundle's model file, with manifest.json and bundle.sig beside it. Raises BundleNotTrusted, OSError.
    """
    if keys(root) is None:
        return
    digest = sha256_of(model)
    if digest in CANARIES:
        return
    folder, name = os.path.split(model)
    with open(os.path.join(folder, "manifest.json"), "rb") as stream:
        manifest = stream.read()
    check(root, manifest, os.path.join(folder, SIGNATURE))
    listed = json.loads(manifest.decode())
    if (listed["file"], listed["sha256"]) != (name, digest):
        raise BundleNotTrusted("the model file is not the one that was signed: %s" % model)


def _path(root: str) -> str:
    return os.path.join(root, FOLDER, FILE)


def _write(root: str, lines: List[str]) -> None:
    """Whole or not at all: half a file of keys would shut the device."""
    path = _path(root)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = path + ".part"
    try:
        with open(temporary, "w", encoding="utf-8") as stream:
            stream.write("".join(one + "\n" for one in lines))
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
