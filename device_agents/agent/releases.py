"""Releases as they lie on the device: which one of a model is current, what is known of each, whether it is whole.

<root>/releases/<model>/<version>-<digest>/ holds a release's files and its state.json; `current` and `previous` beside
it are links to two of them. An app reads through `current`. `model/` in a release is a bundle as the agent loads it.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any, Dict, List, Optional

from .bundle import Refused as Refused
from .digest import sha256_of

FOLDER = "releases"
SUMS, SIGNATURE, STATE, FAILED = "SHA256SUMS", "signature.json", "state.json", "failed.json"
MANIFEST = "model/manifest.json"
"""What the agent loads the model by: a bundle's manifest, named by the bundle's digest."""
CURRENT, PREVIOUS = "current", "previous"
DIGITS = 12
"""Of the digest of SHA256SUMS, which names a release's content, in its folder's name."""
_LEFT_OUT = ("packages/", "model_card.", "sbom.", "provenance.")
"""What is for people and for building apps, and stays on the host."""
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")

State = Dict[str, Any]


def folder_of(root: str, model: str) -> str:
    """The folder of a model's releases. Raises Refused where the model's name can't be one."""
    if not _NAME.fullmatch(model) or model == "lock":
        raise Refused("no name for a folder: %r" % model)
    return os.path.join(root, FOLDER, model)


def name_of(version: str, digest: str) -> str:
    """What a release's folder is called. Raises Refused. digest: SHA-256 of its SHA256SUMS."""
    if not _NAME.fullmatch(version) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise Refused("no version and digest of a release: %r, %r" % (version, digest))
    return "%s-%s" % (version, digest[:DIGITS])


def listed(text: str) -> Dict[str, str]:
    """SHA256SUMS as {path: digest}. Raises Refused for a line, or a path, that no release has."""
    found = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        parts = match.group(2).split("/") if match else [""]
        if match is None or not match.group(2).isprintable() or any(part in ("", ".", "..") for part in parts):
            raise Refused("%s has a line that no release has: %r" % (SUMS, line[:200]))
        found[match.group(2)] = match.group(1)
    return found


def on_device(text: str, told: State) -> Dict[str, str]:
    """{path: digest} of a release's files that a device gets, but SHA256SUMS, whose text this is. Raises Refused.

    told: digests of what isn't listed there, where they are known: "signature" (signature.json), "bundle" (MANIFEST).
    """
    found = {path: digest for path, digest in listed(text).items() if not path.startswith(_LEFT_OUT)}
    for path, key in ((SIGNATURE, "signature"), (MANIFEST, "bundle")):
        if key in told:
            found[path] = told[key]
    return found


def pointed(folder: str, link: str) -> Optional[str]:
    """The name of the release that `current` or `previous` stands for; None where it stands for none that is there."""
    try:
        name = os.readlink(os.path.join(folder, link))
    except OSError:
        return None
    return name if _NAME.fullmatch(name) and os.path.isdir(os.path.join(folder, name)) else None


def read(path: str) -> State:
    """A JSON object; {} where there is none that can be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            found = json.loads(stream.read(65536))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def state_of(folder: str, name: str) -> State:
    """What is known of a release: "state" (staged, trial, good), "version", "digest", "signature", "bundle", "before",
    "when" and by whom ("who", "host"); {} where nothing is.
    """
    return read(os.path.join(folder, name, STATE))


def damaged(release: str, told: State) -> List[str]:
    """The files that are missing or not what the release's SHA256SUMS says; that itself, held against a digest, first.

    told: that "digest", and what on_device takes. What can't be read (a worn card) is damaged too.
    """
    try:
        if sha256_of(os.path.join(release, SUMS)) != told.get("digest"):
            return [SUMS]
        with open(os.path.join(release, SUMS), encoding="utf-8") as stream:
            sums = on_device(stream.read(), told)
    except (OSError, UnicodeDecodeError, Refused):
        return [SUMS]
    return [path for path, wanted in sorted(sums.items()) if not has(os.path.join(release, path), wanted)]


def has(path: str, digest: str) -> bool:
    """Whether a file can be read, and is that."""
    try:
        return sha256_of(path) == digest
    except OSError:
        return False


def models(root: str) -> List[str]:
    """The models that have releases here."""
    try:
        names = os.listdir(os.path.join(root, FOLDER))
    except FileNotFoundError:
        return []
    return sorted(name for name in names if _NAME.fullmatch(name) and os.path.isdir(os.path.join(root, FOLDER, name)))


def survey(root: str, check: bool = False) -> List[Dict[str, Any]]:
    """Every model's releases: {"model", "current", "previous", "failed": the last one that was rolled back or None,
    "releases": [{"name", "damaged": [paths] or None where it wasn't checked, and its state}]}. Raises OSError.
    """
    found = []
    for model in models(root):
        folder = os.path.join(root, FOLDER, model)
        releases = []
        for name in sorted(os.listdir(folder)):
            if not _NAME.fullmatch(name) or os.path.islink(os.path.join(folder, name)):
                continue
            if os.path.isdir(os.path.join(folder, name)):
                state = state_of(folder, name)
                wrong = damaged(os.path.join(folder, name), state) if check else None
                releases.append(dict(state, name=name, damaged=wrong))
        found.append(
            {
                "model": model,
                "current": pointed(folder, CURRENT),
                "previous": pointed(folder, PREVIOUS),
                "failed": read(os.path.join(folder, FAILED)) or None,
                "releases": releases,
            }
        )
    return found
