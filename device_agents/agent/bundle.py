"""Bundles as they lie on the device: nothing is loaded whose digest isn't the one that was asked for."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Tuple

from .digest import sha256_of


class Refused(Exception):
    """A bundle is missing, incomplete or not what its digest says; str() says which."""


def read_bundle(variant: Dict[str, Any]) -> Tuple[str, Dict[str, Any]]:
    """A variant's (model file, manifest), once both were checked against their digests; else Refused."""
    folder = variant["path"]
    manifest = os.path.join(folder, "manifest.json")
    try:
        found = sha256_of(manifest)
        if found != variant["digest"]:
            raise Refused("the bundle's manifest on the device is not the one that was sent: %s" % manifest)
        with open(manifest, encoding="utf-8") as stream:
            listed = json.load(stream)
        name = listed["file"]
        if os.path.basename(name) != name or name in ("", ".", ".."):
            raise Refused("the bundle's manifest names a file outside the bundle: %r" % name)
        path = os.path.join(folder, name)
        if sha256_of(path) != listed["sha256"]:
            raise Refused("the model file on the device is corrupted (its digest is not the manifest's): %s" % path)
    except OSError as error:
        raise Refused("the bundle can't be read on the device: %s" % error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise Refused("the bundle's manifest can't be understood: %s: %s" % (manifest, error)) from error
    return path, listed
