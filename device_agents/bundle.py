"""What a device accepts: one model file and its manifest, named by the manifest's digest."""

from __future__ import annotations

import builtins
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from device_agents.errors import BundleError
from edgewright.files import canonical_json, sha256_bytes, sha256_file, whole_folder, write_atomically

MANIFEST = "manifest.json"
_REBUILD = "build it again: ./inv deploy (a damaged artifact: ./inv store verify)"


class Tensor(BaseModel):
    """One input or output of a model. shape, dtype: as the file has them; an axis that is left open is a name.

    layout: "channels-last" where samples come as [N, C, ...] and the file wants [N, ..., C]; else None. scale and
    zero_point of an integer input or output that stands for a float: float = (integer - zero_point) * scale.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    dtype: str
    shape: list[int | str]
    layout: Literal["channels-last"] | None = None
    scale: float | None = Field(None, gt=0)
    zero_point: int | None = None


class Manifest(BaseModel):
    """All that a device and an app need to know of a model. No clock in it: equal content has an equal digest.

    download: bytes of the model file packed, as it travels and as a package holds it (device_agents.packing); bundles
    of earlier versions say xz's, or nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Literal["edgewright-bundle/1"] = Field("edgewright-bundle/1", alias="schema")
    name: str
    model: str
    target: str
    format: str
    runtime: str
    precision: str
    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)
    inputs: list[Tensor]
    outputs: list[Tensor]
    labels: list[str] | None = None
    preprocessing: dict[str, Any] = Field(default_factory=dict)
    params: int | None = None
    macs: int | None = None
    download: int | None = Field(None, ge=0)
    misaligned: list[str] = Field(default_factory=list)
    origin: dict[str, Any] = Field(default_factory=dict)

    def canonical(self) -> builtins.bytes:
        """The manifest as it is written, byte for byte."""
        content = self.model_dump(mode="json", by_alias=True)
        # As earlier versions wrote it: their digests hold.
        if self.download is None:
            del content["download"]
        for tensor in [*content["inputs"], *content["outputs"]]:
            for key in ("layout", "scale", "zero_point"):
                if tensor[key] is None:
                    del tensor[key]
        return canonical_json(content)

    @property
    def digest(self) -> str:
        """SHA-256 of `canonical()`: the bundle's name."""
        return sha256_bytes(self.canonical())


@dataclass(frozen=True)
class Bundle:
    """A bundle folder whose digests were checked."""

    folder: Path
    manifest: Manifest

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def model_file(self) -> Path:
        return self.folder / self.manifest.file


def write_bundle(folder: Path, model_file: Path, manifest: Manifest) -> Bundle:
    """Makes `folder` out of a model file and its manifest, whole or not at all; an existing folder is replaced.

    The manifest's `sha256` and `bytes` are taken from the file. Raises OSError.
    """
    listed = manifest.model_copy(update={"sha256": sha256_file(model_file), "bytes": model_file.stat().st_size})
    with whole_folder(folder) as made:
        shutil.copyfile(model_file, made / listed.file)
        write_atomically(made / MANIFEST, listed.canonical())
    return Bundle(folder, listed)


def read_bundle(folder: Path) -> Bundle:
    """Reads and checks a bundle folder. Raises BundleError where anything isn't what the manifest says."""
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
        manifest = Manifest.model_validate_json(data)
    except OSError as error:
        raise BundleError(f"No bundle there: {error.strerror}", where=str(path), remedy=_REBUILD) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BundleError(
            f"The bundle's manifest can't be read: {key}: {first['msg']}", where=str(path), remedy=_REBUILD
        ) from error
    if data != manifest.canonical():
        # The device compares the file's digest with the bundle's name, so it must be the canonical spelling.
        raise BundleError("The bundle's manifest was changed by hand.", where=str(path), remedy=_REBUILD)
    bundle = Bundle(folder, manifest)
    try:
        found = sha256_file(bundle.model_file)
    except OSError as error:
        raise BundleError(
            f"The bundle has no model file: {error.strerror}", where=str(bundle.model_file), remedy=_REBUILD
        ) from error
    if found != manifest.sha256:
        raise BundleError(
            "The bundle is corrupted: its model file is not the one that the manifest names.",
            where=f"{bundle.model_file}: sha256 {found}, expected {manifest.sha256}",
            remedy=_REBUILD,
        )
    return bundle
