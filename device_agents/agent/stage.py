"""A release put together on the device out of what was sent there, file by file checked, beside the current one."""

from __future__ import annotations

import os
import posixpath
import shutil
from typing import Any, Dict, List, Tuple

from . import current, dsse, releases, trust
from .releases import CURRENT, MANIFEST, SIGNATURE, STATE, SUMS, Refused, State

_BUNDLE_SIGNATURE = "model/" + trust.SIGNATURE


def stage(root: str, model: str, asked: Dict[str, str], stamp: State) -> Dict[str, Any]:
    """The folder <root>/releases/<model>/<version>-<digest>/, made of files under <root>/data and <root>/bundles.

    asked: "version"; "digest", "signature": SHA-256 of the release's SHA256SUMS and signature.json; "bundle": digest of
    the bundle in `model/`. Returns {"name", "missing": paths that must be sent first, nothing was made then}. The
    folder appears by one rename, so it is whole or absent; of one that is there, damaged files are replaced, each by a
    rename, and so is a signature that this device doesn't trust. Raises Refused; OSError. To be called under the lock
    of the releases.
    """
    folder = releases.folder_of(root, model)
    name = releases.name_of(asked["version"], asked["digest"])
    release = os.path.join(folder, name)
    known = releases.state_of(folder, name)
    if known and not releases.damaged(release, asked) and _passes(check_signed, root, release):
        current.forget(_shelf(root, asked["digest"], SUMS))
        current.forget(_shelf(root, asked["signature"], SIGNATURE))
        return {"name": name, "missing": []}
    os.makedirs(folder, exist_ok=True)
    new = os.path.join(folder, current.NEW + name)
    shutil.rmtree(new, ignore_errors=True)
    try:
        wanted, missing = _filled(root, new, asked)
        if missing:
            return {"name": name, "missing": missing}
        check_signed(root, new)
        # What is current was found good once, also where its state was lost.
        state = "good" if releases.pointed(folder, CURRENT) == name else "staged"
        current.write(os.path.join(new, STATE), {**stamp, "state": state, **known, **asked})
        if os.path.isdir(release):
            _mend(new, release)
        else:
            os.rename(new, release)
        current.sync(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    for path, digest in wanted.items():
        current.forget(_shelf(root, digest, path))  # they have another name now
    return {"name": name, "missing": []}


def _filled(root: str, new: str, asked: Dict[str, str]) -> Tuple[Dict[str, str], List[str]]:
    """Puts all files of a release into `new`, each with its digest checked and written through.

    Returns ({path: digest} of all, the paths of those that aren't on this device).
    """
    bundle = os.path.join(root, "bundles", asked["bundle"])
    os.makedirs(os.path.join(new, "model"))
    if not _take([_shelf(root, asked["digest"], SUMS)], asked["digest"], os.path.join(new, SUMS)):
        return {}, [SUMS]
    wanted = releases.on_device(_read(os.path.join(new, SUMS)).decode("utf-8", "replace"), asked)
    missing = []
    for path, digest in sorted(wanted.items()):
        places = [_shelf(root, digest, path)]
        if path.startswith("model/"):
            places.append(os.path.join(bundle, posixpath.basename(path)))
        target = os.path.join(new, *path.split("/"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not _take(places, digest, target):
            missing.append(path)
    signed = os.path.join(bundle, trust.SIGNATURE)
    if os.path.isfile(signed):
        _copy(signed, os.path.join(new, _BUNDLE_SIGNATURE))
    if MANIFEST not in missing and not _passes(_check_bundle, root, new):
        missing.append(_BUNDLE_SIGNATURE)
    for place, _, _ in os.walk(new):
        current.sync(place)
    return dict(wanted, **{SUMS: asked["digest"]}), missing


def check_signed(root: str, release: str) -> None:
    """Where this device trusts keys: raises Refused unless they have signed the list of files, and the bundle too."""
    dsse.check(root, _read(os.path.join(release, SUMS)), _read(os.path.join(release, SIGNATURE)))
    _check_bundle(root, release)


def _check_bundle(root: str, release: str) -> None:
    trust.check(root, _read(os.path.join(release, MANIFEST)), os.path.join(release, _BUNDLE_SIGNATURE))


def _passes(check: Any, root: str, release: str) -> bool:
    try:
        check(root, release)
    except Refused:
        return False
    return True


def _shelf(root: str, digest: str, path: str) -> str:
    """Where the host puts a file that it sends (device_agents/farm/shelves.py)."""
    return os.path.join(root, "data", digest + posixpath.splitext(path)[1])


def _take(places: List[str], digest: str, target: str) -> bool:
    """Whether one of `places` has that content, which `target` has then too."""
    for place in places:
        if os.path.isfile(place):
            _copy(place, target)
            if releases.has(target, digest):
                current.sync(target)
                return True
            os.unlink(target)
    return False


def _copy(source: str, target: str) -> None:
    """As another name of the same file where the file system has such: a model takes its room once."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def _mend(new: str, release: str) -> None:
    """Replaces the files of a release that lies there by those of `new`."""
    for place, _, names in os.walk(new):
        there = os.path.join(release, os.path.relpath(place, new))
        os.makedirs(there, exist_ok=True)
        for name in names:
            os.replace(os.path.join(place, name), os.path.join(there, name))
        current.sync(there)
