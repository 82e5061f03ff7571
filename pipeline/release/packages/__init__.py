"""The packagers: one module each, and which of them a target's release gets."""

from __future__ import annotations

import contextlib
import importlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from device_agents.bundle import Manifest
from pipeline.release.content import Content
from pipeline.release.packages.errors import NotPackaged

Say = Callable[[str], None]

PACKAGERS = {
    "android": "pipeline.release.packages.android",
    "apple": "pipeline.release.packages.apple",
    "linux": "pipeline.release.packages.linux",
}
"""By name, the module; its `write(content, model_file, folder, say)` fills packages/<name>/ and returns notes."""

APPLE = ("ios", "ipados", "macos", "apple")
PHONES = "benchmark_model"


@dataclass(frozen=True)
class Packager:
    """write: fills a folder, returns notes for the manifest; where no package can be made of the model, the folder is
    gone and the note says why. ships: the bytes of the model file that goes out."""

    name: str
    write: Callable[[Content, Path, Path, Say], list[str]]
    ships: Callable[[Content], bytes]


def chosen(manifest: Manifest) -> str:
    """The packager for a bundle: by its target's name, or by the runtime that only phones are measured in."""
    if manifest.target.startswith(APPLE):
        return "apple"
    if manifest.target.startswith("android") or manifest.runtime == PHONES:
        return "android"
    return "linux"


def packager(name: str) -> Packager:
    """The packager of that name, imported now."""
    module = importlib.import_module(PACKAGERS[name])
    ships = getattr(module, "ships", _as_it_is)

    def written(content: Content, model_file: Path, folder: Path, say: Say) -> list[str]:
        try:
            notes: list[str] = module.write(content, model_file, folder, say)
        except NotPackaged as error:
            # The model, its sample and its evidence are worth a release without it.
            shutil.rmtree(folder)
            with contextlib.suppress(OSError):
                folder.parent.rmdir()  # unless another packager's lies there
            say(f"warning: no package for {name}: {error.what}")
            return [f"no package for {name}: {error.what} ({error.remedy})"]
        return notes

    def shipped(content: Content) -> bytes:
        try:
            data: bytes = ships(content)
        except NotPackaged:
            return _as_it_is(content)
        return data

    return Packager(name, written, shipped)


def _as_it_is(content: Content) -> bytes:
    return content.bundle.model_file.read_bytes()
