"""The packagers: one module each, and which of them a target's release gets."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from device_agents.bundle import Manifest
from pipeline.release.content import Content

Say = Callable[[str], None]

PACKAGERS = {
    "android": "pipeline.release.packages.android",
    "apple": "pipeline.release.packages.apple",
    "linux": "pipeline.release.packages.linux",
}
"""By name, the module; its `write(content, model_file, folder, say)` fills packages/<name>/ and returns notes."""

APPLE = ("ios", "ipados", "macos", "apple")


@dataclass(frozen=True)
class Packager:
    """write: fills a folder, returns notes for the manifest. ships: the bytes of the model file that goes out."""

    name: str
    write: Callable[[Content, Path, Path, Say], list[str]]
    ships: Callable[[Content], bytes]


def chosen(manifest: Manifest) -> str:
    """The packager for a bundle: by its format where that settles it, else by its target's name."""
    if manifest.target.startswith(APPLE):
        return "apple"
    if manifest.target.startswith("android") and manifest.format == "tflite":
        return "android"
    return "linux"


def packager(name: str) -> Packager:
    """The packager of that name, imported now."""
    module = importlib.import_module(PACKAGERS[name])
    return Packager(name, module.write, getattr(module, "ships", _as_it_is))


def _as_it_is(content: Content) -> bytes:
    return content.bundle.model_file.read_bytes()
