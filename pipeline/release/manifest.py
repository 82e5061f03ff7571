"""manifest.json of a release: what it holds and what an app may rely on; docs/release.schema.json publishes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from device_agents.bundle import Manifest, Tensor
from edgewright.files import pretty_json, sha256_bytes
from pipeline.release.content import Content
from pipeline.release.errors import NoRelease
from pipeline.release.evidence import Figures

FILE = "manifest.json"
MODEL = "model"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelFile(_Strict):
    """The file that an app loads. bundle_sha256: of the same file as the bundle has it, without what a package adds."""

    path: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)
    bundle_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Signature(_Strict):
    """What an app gives and gets: a change here breaks apps, so it demands a new major version."""

    format: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    labels: list[str] | None
    preprocessing: dict[str, Any]


class Score(_Strict):
    """The model's metric, over the whole test part or, where none was taken of it, the check step's on validation.

    where: "device", a real one; "stand-in", a machine in its place; "host", the one that built or released the bundle.
    """

    name: str
    value: float
    samples: int
    where: Literal["device", "stand-in", "host"]
    part: Literal["test", "validation"] = "test"
    floor: float


class Package(_Strict):
    """Files for one kind of app, under packages/<name>/. notes: what a person should know of how they were made."""

    name: str
    files: list[str]
    notes: list[str]


class ReleaseManifest(_Strict):
    """A release. Nothing in it depends on when, where or by whom it was made. bundle: digest of the bundle's manifest;
    unmeasured: no valid report of a real device stands behind it."""

    schema_: Literal["edgewright-release/1"] = Field("edgewright-release/1", alias="schema")
    name: str
    model: str
    target: str
    version: str
    variant: str
    bundle: str = Field(pattern=r"^[0-9a-f]{64}$")
    model_file: ModelFile
    runtime: str
    precision: str
    signature: Signature
    params: int | None
    macs: int | None
    metric: Score | None
    unmeasured: bool
    devices: list[Figures]
    packages: list[Package]

    def written(self) -> bytes:
        """The file, byte for byte."""
        return pretty_json(self.model_dump(mode="json", by_alias=True))


def manifest_of(content: Content, shipped: bytes, packages: list[Package], floor: float) -> ReleaseManifest:
    """The manifest of a release. shipped: the model file as it goes out; floor: the recipe's."""
    bundle = content.bundle.manifest
    return ReleaseManifest(
        schema="edgewright-release/1",
        name=content.name,
        model=content.model,
        target=content.target,
        version=content.version,
        variant=bundle.name,
        bundle=content.bundle.digest,
        model_file=ModelFile(
            path=f"{MODEL}/{bundle.file}",
            sha256=sha256_bytes(shipped),
            bytes=len(shipped),
            bundle_sha256=bundle.sha256,
        ),
        runtime=bundle.runtime,
        precision=bundle.precision,
        signature=signature_of(bundle),
        params=bundle.params,
        macs=bundle.macs,
        metric=score(content, floor),
        unmeasured=content.evidence.unmeasured,
        devices=list(content.evidence.devices),
        packages=packages,
    )


def signature_of(bundle: Manifest) -> Signature:
    """What an app gives and gets."""
    return Signature(
        format=bundle.format,
        inputs=bundle.inputs,
        outputs=bundle.outputs,
        labels=bundle.labels,
        preprocessing=dict(bundle.preprocessing),
    )


def score(content: Content, floor: float) -> Score | None:
    """The metric from the best device that took it, else from this machine over the same samples, else from the check
    step; None where none did."""
    device = content.evidence.scored
    if device is not None and device.metric is not None:
        name, value, samples = device.metric
        where: Literal["device", "stand-in"] = "device" if device.worth == "valid" else "stand-in"
        return Score(name=name, value=value, samples=samples, where=where, floor=floor)
    if content.on_host is not None:
        value, samples = content.on_host
        return Score(name=content.metric, value=value, samples=samples, where="host", floor=floor)
    bundle = content.bundle.manifest
    check = bundle.origin.get("check") or {}
    checked = check.get(f"metric_{bundle.precision}", check.get("metric_float"))
    if checked is None:
        return None
    samples, rounded = int(check.get("samples") or 0), float(f"{checked:.6g}")
    return Score(name=content.metric, value=rounded, samples=samples, where="host", part="validation", floor=floor)


def read(folder: Path) -> ReleaseManifest:
    """A release folder's manifest; nothing else is checked (./inv release.verify does that). Raises NoRelease."""
    path = folder / FILE
    remedy = "name a release's folder: releases/MODEL-TARGET-VERSION"
    try:
        return ReleaseManifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise NoRelease(f"No release there: {error.strerror}", where=str(path), remedy=remedy) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise NoRelease(
            f"The release's manifest can't be read: {key}: {first['msg']}", where=str(path), remedy=remedy
        ) from error


def schema() -> bytes:
    """docs/release.schema.json."""
    published = ReleaseManifest.model_json_schema(by_alias=True)
    return pretty_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **published})
