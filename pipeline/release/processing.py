"""preprocessing.json: what an app does to a raw sample before the model file takes it, and to what comes out."""

from __future__ import annotations

from typing import Any

from edgewright.files import pretty_json
from pipeline.release.content import Content

SCHEMA = "edgewright-preprocessing/1"
FILE, LABELS = "preprocessing.json", "labels.txt"


def spec(content: Content) -> dict[str, Any]:
    """The content of preprocessing.json.

    inputs, outputs: as the bundle's manifest has them (name, dtype, shape; layout, scale and zero_point where the file
    has them; float = (integer - zero_point) * scale). preprocessing: the data set's own words, e.g. {"divide_by": 255,
    "mean": [0.286], "std": [0.353]}, by channel. postprocessing: activation "softmax" or null, decide "argmax" or
    null, labels "labels.txt" or null: of the first output.
    """
    manifest = content.bundle.manifest
    return {
        "schema": SCHEMA,
        "inputs": [tensor.model_dump(mode="json", exclude_none=True) for tensor in manifest.inputs],
        "preprocessing": dict(manifest.preprocessing),
        "outputs": [tensor.model_dump(mode="json", exclude_none=True) for tensor in manifest.outputs],
        "postprocessing": {
            "activation": "softmax" if content.classifies else None,
            "decide": "argmax" if content.classifies else None,
            "labels": LABELS if content.labels else None,
        },
    }


def written(content: Content) -> bytes:
    """preprocessing.json, byte for byte."""
    return pretty_json(spec(content))


def labels_file(labels: list[str]) -> bytes:
    """labels.txt: one a line, in the order of the outputs."""
    return "".join(f"{' '.join(label.split())}\n" for label in labels).encode()
