"""Releases' contents without a release: tiny bundles of .tflite files, with the words of a picture's pre-processing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from device_agents.bundle import Bundle, Manifest, write_bundle
from pipeline.release.content import Content, Sample
from pipeline.release.evidence import Evidence
from tests.device_agents import tiny_tflite

LABELS = ["a cat", 'a "dog"', "Äpfel\\birnen", "*/ nothing ${x} \\(y)"]
"""Names that a careless template would break on."""
PIXELS = {"divide_by": 255, "mean": [0.2, 0.5, 0.4], "std": [0.3, 0.25, 0.31]}


def content(folder: Path, kind: str = "float32", **changes: Any) -> Content:
    """Of one of tiny_tflite's files. changes: of the manifest; version and about of the content."""
    own = {key: changes.pop(key) for key in ("version", "about", "classifies") if key in changes}
    bundle = tiny_tflite.tflite_bundle(folder / "made", kind, "tiny")
    told: dict[str, Any] = {"model": "tiny-net", "target": "android", "labels": LABELS}
    told["preprocessing"] = {"tokens": 5, "padding": 0} if kind == "tokens" else PIXELS
    manifest = bundle.manifest.model_copy(update={**told, **changes})
    return of(write_bundle(folder / "bundle", bundle.model_file, manifest), **own)


def content_of(folder: Path, manifest: Manifest) -> Content:
    """Of a manifest alone; its model file is no model."""
    (folder / "none").write_bytes(b"no model")
    return of(write_bundle(folder / "bundle", folder / "none", manifest))


def of(bundle: Bundle, **changes: Any) -> Content:
    """A content of any bundle, measured by nobody."""
    sample = Sample(inputs={}, expected={}, label=None, tolerance=1e-4)
    told: dict[str, Any] = {"bundle": bundle, "version": "1.2.0", "sample": sample, "evidence": Evidence()}
    return Content(**told | {"metric": "top-1"} | changes)


def manifest(**changes: Any) -> Manifest:
    """Of a picture of 8 x 6 pixels and 3 channels, four classes."""
    base = {
        **{
            "schema": "edgewright-bundle/1",
            "name": "tiny",
            "model": "tiny-net",
            "target": "android",
            "format": "tflite",
        },
        **{"runtime": "litert", "precision": "float32", "file": "model.tflite", "sha256": "0" * 64, "bytes": 0},
        "inputs": [{"name": "input", "dtype": "float32", "shape": [1, 8, 6, 3], "layout": "channels-last"}],
        "outputs": [{"name": "output", "dtype": "float32", "shape": [1, 4]}],
        "labels": LABELS,
        "preprocessing": PIXELS,
    }
    return Manifest.model_validate(base | changes)
