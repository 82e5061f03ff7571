"""The key that signs a person's releases, and the keys that a person trusts: Ed25519 (RFC 8032).

A private key is a PKCS#8 PEM file, under a pass phrase or readable by its owner alone; a public key is one line,
"ed25519 KEY COMMENT", KEY being its 32 bytes in base64.
"""

from __future__ import annotations

import base64
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from device_agents.agent import trust
from device_agents.foreign import WORD, printable
from edgewright.errors import EdgewrightError
from edgewright.files import write_atomically
from pipeline.release.places import typed, write_private

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY = "EDGEWRIGHT_KEY"
PASSPHRASE = "EDGEWRIGHT_KEY_PASSPHRASE"
_DEFAULT = Path("~/.config/edgewright/release.key")
_MAKE = "./inv release.key   (makes one; --key FILE or EDGEWRIGHT_KEY=FILE names another)"
_PUBLIC = "name the .pub file that ./inv release.key writes beside a key"
_PRIVATE, _ENCRYPTED = b"PRIVATE KEY", b"ENCRYPTED PRIVATE KEY"


class KeyMissing(EdgewrightError):
    """There is no key file there, or it can't be read."""


class KeyUnprotected(EdgewrightError):
    """A private key without a pass phrase that others than its owner can read, or that is somebody else's."""


class NoPassphrase(EdgewrightError):
    """A key has a pass phrase, and nobody is there to ask for it."""


class WrongPassphrase(EdgewrightError):
    """The pass phrase does not open the key."""


class WrongKind(EdgewrightError):
    """A file that is no Ed25519 key, or no key at all."""


class KeyExists(EdgewrightError):
    """A key would be written over another file."""


@dataclass(frozen=True)
class PublicKey:
    """A key that signatures are checked with. public: its 32 bytes; comment: whose it is, as its line says."""

    public: bytes
    comment: str = ""

    @property
    def keyid(self) -> str:
        """SHA-256 of the 32 bytes in hexadecimal."""
        return trust.keyid(self.public)

    @property
    def line(self) -> str:
        """As a file has it."""
        return f"ed25519 {base64.b64encode(self.public).decode()} {self.comment}".rstrip()

    def verify(self, data: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's of `data`: by the library, and by the rules that devices go by."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        from device_agents.agent import ed25519

        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return ed25519.verify(self.public, data, signature)

    @classmethod
    def parse(cls, line: str) -> PublicKey:
        """A line. Raises ValueError."""
        return cls(*trust.parsed(line))

    @classmethod
    def _numbered(cls, number: int, line: str) -> PublicKey:
        try:
            return cls.parse(line)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error

    @classmethod
    def read(cls, path: Path) -> list[PublicKey]:
        """The keys of a file, one a line or more; "#" begins a comment. Raises KeyMissing, WrongKind."""
        try:
            lines = enumerate(map(str.strip, typed(path).read_bytes()[: 1 << 20].decode().splitlines()), 1)
            found = [cls._numbered(*one) for one in lines if one[1] and not one[1].startswith("#")]
            if not found:
                raise ValueError("there is no key in it")
        except OSError as error:
            raise KeyMissing(
                f"There is no public key to check with: {error.strerror or error}.", where=str(path), remedy=_PUBLIC
            ) from error
        except ValueError as error:
            raise WrongKind(f"That is no file of public keys: {error}.", where=str(path), remedy=_PUBLIC) from error
        return found


@dataclass(frozen=True)
class SigningKey:
    """A private key, opened. comment: whose it is, as its public line says."""

    private: Ed25519PrivateKey
    comment: str = ""

    @property
    def public(self) -> bytes:
        """The public key's 32 bytes."""
        return self.private.public_key().public_bytes_raw()

    @property
    def public_key(self) -> PublicKey:
        return PublicKey(self.public, self.comment)

    @property
    def keyid(self) -> str:
        """SHA-256 of the public key's 32 bytes in hexadecimal."""
        return trust.keyid(self.public)

    def sign(self, data: bytes) -> bytes:
        """The signature: 64 bytes, the same for the same data every time."""
        return self.private.sign(data)

    @classmethod
    def load(cls, path: Path, environment: Mapping[str, str] = os.environ) -> SigningKey:
        """Opens a key file; its pass phrase is EDGEWRIGHT_KEY_PASSPHRASE, else asked for on a terminal.

        Raises KeyMissing, KeyUnprotected, NoPassphrase, WrongPassphrase, WrongKind.
        """
        path = typed(path)
        data = _protected(path)
        passphrase = None if _bare(data) or _ENCRYPTED not in data else _passphrase(path, environment)
        opened = cls(_opened(data, passphrase, path))
        return cls(opened.private, _comment(path, opened.public))

    @classmethod
    def generate(cls, path: Path, passphrase: bytes, comment: str = "") -> SigningKey:
        """Makes a key, and writes it and its public line beside it (public_path); no pass phrase (b"") leaves the file
        to its mode alone. Raises KeyExists, WrongPassphrase, and KeyMissing where it can't be written."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        path = typed(path)
        refuse_existing(path)
        private = Ed25519PrivateKey.generate()
        guard = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        try:
            data = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, guard)
        except ValueError as error:
            raise WrongPassphrase(
                f"No key can be put under that pass phrase: {error}.", where=str(path), remedy="take a shorter one"
            ) from error
        made = cls(private, printable(" ".join(comment.split()), WORD))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_private(path, data)
            try:
                write_atomically(public_path(path), f"{made.public_key.line}\n".encode())
            except OSError:
                path.unlink()  # half a key would only be in the way of the next one
                raise
        except OSError as error:
            raise KeyMissing(
                f"The key can't be written: {error.strerror or error}.",
                where=str(path),
                remedy="name a file in a folder that you can write: ./inv release.key --out FILE",
            ) from error
        return made


def public_path(path: Path) -> Path:
    """Where the public line of a private key lies: release.key > release.pub."""
    return path.with_name(f"{path.name.removesuffix('.key')}.pub")


def refuse_existing(path: Path) -> None:
    """Raises KeyExists where either half of a key lies there."""
    for one in (path, public_path(path)):
        if os.path.lexists(one):
            raise KeyExists(
                "There is a file of that name already, and a key that is lost is lost for good.",
                where=str(one),
                remedy="name another file: ./inv release.key --out FILE",
            )


def key_path(given: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The private key's file: as given (--key), else EDGEWRIGHT_KEY, else ~/.config/edgewright/release.key."""
    return typed(given or environment.get(KEY) or _DEFAULT)


def load_key(given: str | None, environment: Mapping[str, str] = os.environ) -> SigningKey:
    """The key that signs. given: as --key names it, or None. Raises what SigningKey.load raises."""
    return SigningKey.load(key_path(given, environment), environment)


def trusted_keys(given: str | None, environment: Mapping[str, str] = os.environ) -> list[PublicKey]:
    """The keys to check signatures with: those of a file (--trust), else the user's own public key.

    Raises KeyMissing, WrongKind.
    """
    return PublicKey.read(Path(given) if given else public_path(key_path(None, environment)))


def _protected(path: Path) -> bytes:
    """A private key's file, once it is sure that only its owner, who is us, can read it or that it is encrypted."""
    try:
        with path.open("rb") as stream:
            found, data = os.fstat(stream.fileno()), stream.read(1 << 20)
    except OSError as error:
        raise KeyMissing(
            f"There is no key to sign with: {error.strerror or error}.", where=str(path), remedy=_MAKE
        ) from error
    if not _bare(data):
        return data
    if found.st_uid != os.geteuid():
        raise KeyUnprotected(
            "The key has no pass phrase, and its file is somebody else's.",
            where=str(path),
            remedy="./inv release.key   (makes one of your own)",
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise KeyUnprotected(
            f"The key has no pass phrase, and others can read its file (mode {stat.S_IMODE(found.st_mode):04o}).",
            where=str(path),
            remedy=f"chmod 600 {path}   (and make a new key if others may have read it)",
        )
    return data


def _bare(data: bytes) -> bool:
    """Whether a private key without a pass phrase is in it, whatever text stands before it: openssl writes some."""
    return _PRIVATE in data.replace(_ENCRYPTED, b"")


def _opened(data: bytes, passphrase: bytes | None, path: Path) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(data, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if passphrase is not None:
            raise WrongPassphrase(
                "The pass phrase does not open the key.",
                where=str(path),
                remedy=f"set {PASSPHRASE}, or leave it out to be asked",
            ) from error
        raise WrongKind("That file is no private key in PEM.", where=str(path), remedy=_MAKE) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise WrongKind(
            f"The key is of another kind ({type(key).__name__.strip('_')}): releases are signed with Ed25519.",
            where=str(path),
            remedy=_MAKE,
        )
    return key


def _passphrase(path: Path, environment: Mapping[str, str]) -> bytes:
    if (given := environment.get(PASSPHRASE)) is not None:
        return os.fsencode(given)
    if not sys.stdin.isatty():
        raise NoPassphrase(
            "The key has a pass phrase, and nobody is there to type it.", where=str(path), remedy=f"set {PASSPHRASE}"
        )
    from getpass import getpass

    try:
        return getpass(f"  pass phrase of {path}: ").encode()
    except EOFError:
        raise NoPassphrase("No pass phrase was typed.", where=str(path), remedy=f"set {PASSPHRASE}") from None


def _comment(path: Path, public: bytes) -> str:
    """Of the public line that lies beside the key, where one does and it is this key's."""
    try:
        return next((one.comment for one in PublicKey.read(public_path(path)) if one.public == public), "")
    except EdgewrightError:
        return ""
