"""Signing keys: made once, opened only where they are guarded; each thing that can be wrong with one has its name."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from edgewright.errors import BadArgument
from pipeline.release import keys
from pipeline.release.keys import (
    KeyExists,
    KeyMissing,
    KeyUnprotected,
    NoPassphrase,
    PublicKey,
    SigningKey,
    WrongKind,
    WrongPassphrase,
    key_path,
    public_path,
    trusted_keys,
)

NO_TERMINAL: dict[str, str] = {}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "release.key"


def test_key_that_was_made_opens_and_signs(path: Path) -> None:
    made = SigningKey.generate(path, b"", "ada@bench")
    assert path.stat().st_mode & 0o777 == 0o600
    opened = SigningKey.load(path, NO_TERMINAL)
    assert (opened.keyid, opened.comment) == (made.keyid, "ada@bench")
    assert opened.sign(b"data") == made.sign(b"data")
    (public,) = PublicKey.read(public_path(path))
    assert public == made.public_key
    assert public.verify(b"data", made.sign(b"data"))
    assert not public.verify(b"date", made.sign(b"data"))
    assert not public.verify(b"data", b"short")


def test_key_is_made_private_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        SigningKey.generate(path, b"")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_two_keys_are_never_the_same(tmp_path: Path) -> None:
    one, other = (SigningKey.generate(tmp_path / name, b"") for name in ("a.key", "b.key"))
    assert one.keyid != other.keyid


@pytest.mark.parametrize("there", ["release.key", "release.pub"])
def test_key_is_never_written_over_another_file(path: Path, there: str) -> None:
    path.parent.mkdir()
    path.with_name(there).symlink_to("nowhere")
    with pytest.raises(KeyExists, match="lost for good") as refused:
        SigningKey.generate(path, b"")
    assert "--out FILE" in refused.value.remedy
    assert [one.name for one in path.parent.iterdir()] == [there]


def test_pass_phrase_opens_and_a_wrong_one_does_not(path: Path) -> None:
    made = SigningKey.generate(path, b"open sesame")
    assert b"ENCRYPTED" in path.read_bytes()
    assert SigningKey.load(path, {keys.PASSPHRASE: "open sesame"}).keyid == made.keyid
    for wrong in ("open", ""):
        with pytest.raises(WrongPassphrase) as refused:
            SigningKey.load(path, {keys.PASSPHRASE: wrong})
        assert keys.PASSPHRASE in refused.value.remedy


def test_pass_phrase_that_nobody_can_type_is_asked_for_by_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SigningKey.generate(path, b"open sesame")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(NoPassphrase) as refused:
        SigningKey.load(path, NO_TERMINAL)
    assert keys.PASSPHRASE in refused.value.remedy


def test_pass_phrase_is_asked_on_a_terminal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = SigningKey.generate(path, b"open sesame")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: "open sesame")
    assert SigningKey.load(path, NO_TERMINAL).keyid == made.keyid


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_key_that_others_can_read_is_refused_unless_it_has_a_pass_phrase(tmp_path: Path, mode: int) -> None:
    bare, guarded = tmp_path / "bare.key", tmp_path / "guarded.key"
    SigningKey.generate(bare, b"")
    SigningKey.generate(guarded, b"open sesame")
    for one in (bare, guarded):
        one.chmod(mode)
    with pytest.raises(KeyUnprotected, match=f"mode 0{mode:o}") as refused:
        SigningKey.load(bare, NO_TERMINAL)
    assert refused.value.remedy.startswith(f"chmod 600 {bare}")
    SigningKey.load(guarded, {keys.PASSPHRASE: "open sesame"})


def test_key_of_somebody_else_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SigningKey.generate(path, b"")
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(KeyUnprotected, match="somebody else's"):
        SigningKey.load(path, NO_TERMINAL)


def test_key_that_is_not_there_says_how_to_make_one(path: Path) -> None:
    with pytest.raises(KeyMissing) as refused:
        SigningKey.load(path, NO_TERMINAL)
    assert refused.value.remedy.startswith("./inv release.key")
    path.mkdir(parents=True)
    with pytest.raises(KeyMissing):
        SigningKey.load(path, NO_TERMINAL)


def _pem(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize("kind", ["EC", "RSA"])
def test_key_of_another_kind_is_refused_by_its_kind(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "other.key"
    private = ec.generate_private_key(ec.SECP256R1()) if kind == "EC" else rsa.generate_private_key(65537, 2048)
    path.write_bytes(_pem(private))
    path.chmod(0o600)
    with pytest.raises(WrongKind, match=f"another kind .*{kind}"):
        SigningKey.load(path, NO_TERMINAL)


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "not.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(WrongKind, match="no private key"):
        SigningKey.load(path, NO_TERMINAL)


def test_key_of_openssl_is_taken(tmp_path: Path) -> None:
    """PKCS#8 is what other tools write too."""
    path = tmp_path / "openssl.key"
    made = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(path)], check=False)
    assert made.returncode == 0
    path.chmod(0o600)
    assert len(SigningKey.load(path, NO_TERMINAL).sign(b"data")) == 64


def test_key_file_is_the_given_one_else_the_environments_else_the_default() -> None:
    assert key_path("a.key", {keys.KEY: "b.key"}) == Path("a.key")
    assert key_path(None, {keys.KEY: "b.key"}) == Path("b.key")
    assert key_path(None, {}) == Path("~/.config/edgewright/release.key").expanduser()
    assert public_path(Path("a/release.key")) == Path("a/release.pub")


def test_public_keys_are_read_line_by_line(tmp_path: Path) -> None:
    lines = [SigningKey.generate(tmp_path / f"{name}.key", b"", name).public_key.line for name in ("ada", "bob")]
    both = tmp_path / "both"
    both.write_text(f"# ours\n{lines[0]}\n\n  {lines[1]}  \n")
    assert [key.comment for key in trusted_keys(str(both))] == ["ada", "bob"]
    assert [key.comment for key in trusted_keys(None, {keys.KEY: str(tmp_path / "bob.key")})] == ["bob"]


@pytest.mark.parametrize(
    "content", ["", "# nothing\n", "ssh-ed25519 AAAA ada\n", "ed25519 !!!! ada\n", "ed25519 AAAA ada\n", "\xff"]
)
def test_file_of_no_public_key_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(WrongKind, match="no file of public keys"):
        PublicKey.read(path)
    with pytest.raises(KeyMissing):
        PublicKey.read(tmp_path / "none")


def test_private_key_given_as_a_public_one_is_refused(path: Path) -> None:
    SigningKey.generate(path, b"")
    with pytest.raises(WrongKind):
        PublicKey.read(path)


@pytest.mark.parametrize("preamble", ["", "Bag Attributes\n" + "    friendlyName: a key of ours, exported once\n" * 9])
def test_key_with_text_before_it_is_guarded_like_any(path: Path, preamble: str) -> None:
    """openssl writes attributes before a key; what guards it must not depend on where it begins."""
    for phrase in (b"", b"open sesame"):
        made = SigningKey.generate(path, phrase)
        path.write_bytes(preamble.encode() + path.read_bytes())
        path.chmod(0o644)
        if phrase:
            assert SigningKey.load(path, {keys.PASSPHRASE: "open sesame"}).keyid == made.keyid
        else:
            with pytest.raises(KeyUnprotected, match="mode 0644"):
                SigningKey.load(path, NO_TERMINAL)
        path.unlink()
        public_path(path).unlink()


def test_pass_phrase_that_is_no_text_opens_what_it_locked(path: Path) -> None:
    made = SigningKey.generate(path, b"\xff\xfe")
    assert SigningKey.load(path, {keys.PASSPHRASE: os.fsdecode(b"\xff\xfe")}).keyid == made.keyid


def test_pass_phrase_that_is_too_long_is_refused_and_leaves_nothing(path: Path) -> None:
    with pytest.raises(WrongPassphrase, match="1023") as refused:
        SigningKey.generate(path, b"a" * 1100)
    assert "shorter" in refused.value.remedy
    assert not path.parent.exists()


def test_key_whose_public_half_cannot_be_written_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(place: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(keys, "write_atomically", full)
        with pytest.raises(KeyMissing, match="No space left"):
            SigningKey.generate(path, b"")
    assert list(path.parent.iterdir()) == []
    SigningKey.generate(path, b"")


def test_comment_is_plain_text_and_the_keys_own(path: Path, tmp_path: Path) -> None:
    made = SigningKey.generate(path, b"", "ada\x1b[31m@\nbench")
    assert made.comment == "ada [31m@ bench"
    assert "\x1b" not in public_path(path).read_text()
    other = SigningKey.generate(tmp_path / "other.key", b"", "bob")
    public_path(path).write_text(f"{other.public_key.line}\n")
    assert SigningKey.load(path, NO_TERMINAL).comment == ""


def test_home_of_nobody_has_no_key_and_no_traceback() -> None:
    with pytest.raises(BadArgument):
        keys.load_key("~nobody-of-that-name/release.key", NO_TERMINAL)
    with pytest.raises(BadArgument):
        trusted_keys("~nobody-of-that-name/release.pub", NO_TERMINAL)


def test_line_that_is_no_key_is_named_by_its_number(path: Path) -> None:
    made = SigningKey.generate(path, b"")
    trusted = path.with_name("trusted")
    trusted.write_text(f"# ours\n\n{made.public_key.line}\njunk\n")
    with pytest.raises(WrongKind, match="line 4: a key is a line of the form"):
        PublicKey.read(trusted)
