"""The bodies of the tasks release.key and release.verify."""

from __future__ import annotations

import getpass
import json
import os
import sys

from edgewright.errors import BadArgument
from pipeline.release.places import typed
from pipeline.table import plain


def make_key(out: str | None, comment: str) -> None:
    """Makes a signing key and says where its two halves lie. Raises KeyExists, KeyMissing, WrongPassphrase,
    BadArgument."""
    from pipeline.release.keys import SigningKey, key_path, public_path, refuse_existing

    path = key_path(out)
    refuse_existing(path)  # before anybody types a pass phrase twice
    passphrase = _new_passphrase()
    made = SigningKey.generate(path, passphrase, comment or _me())
    print(f"  private    {path}" + ("" if passphrase else "  (no pass phrase: its mode, 0600, is all that guards it)"))
    print(f"  public     {public_path(path)}")
    print(f"  keyid      {made.keyid}")
    print("  keep the private one where you keep such things: without it no later release is signed by the same key")


def verify(folder: str, trust: str | None, device: str | None, as_json: bool) -> bool:
    """Says what is wrong with a release folder; whether nothing is. trust: a file of public keys; device: a name in
    farm.toml, where the sample is tried too. Raises EdgewrightError."""
    from pipeline.release.keys import trusted_keys
    from pipeline.release.verify import verify as verified

    place, keys = typed(folder), trusted_keys(trust)
    told: list[str] = []
    if device is None:
        findings = verified(place, keys, say=told.append)
    else:
        from pipeline.reach import open_named

        _, opened = open_named(device)
        with opened:
            findings = verified(place, keys, opened, told.append)
    if as_json:
        shown = [{"file": one.file, "problem": one.problem} for one in findings]
        whole = {"schema": "edgewright-verify/1", "ok": not findings, "said": told, "findings": shown}
        print(json.dumps(whole, indent=2))
        return not findings
    for line in told:
        print(f"  {plain(line)}")
    for finding in findings:
        print(f"  {plain(finding)}")
    print(f"  {plain(folder)}: " + (f"NOT as it was signed: {len(findings)} found" if findings else "verified"))
    return not findings


def _new_passphrase() -> bytes:
    """EDGEWRIGHT_KEY_PASSPHRASE, else typed twice on a terminal; b"" for none, as where nobody is there to type."""
    from pipeline.release.keys import PASSPHRASE

    if (given := os.environ.get(PASSPHRASE)) is not None:
        return os.fsencode(given)
    if not sys.stdin.isatty():
        return b""
    try:
        first, again = getpass.getpass("  pass phrase (empty: none): "), getpass.getpass("  the same again: ")
    except EOFError:
        raise BadArgument("No pass phrase was typed.", where="pass phrase", remedy=f"set {PASSPHRASE}") from None
    if first != again:
        raise BadArgument("The two differ.", where="pass phrase", remedy="./inv release.key")
    return first.encode()


def _me() -> str:
    import socket

    from edgewright.places import user_name

    return f"{user_name()}@{socket.gethostname()}"
