"""Contents of releases that can be run: tiny bundles with a real sample, the program that goes with them unpacked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from device_agents.bundle import Bundle, write_bundle
from pipeline.release import sample
from pipeline.release.content import Content
from pipeline.release.evidence import Evidence
from pipeline.release.packages import examples
from tests.device_agents import tiny, tiny_tflite

LABELS = ["a cat", 'a "dog"', "Äpfel\\birnen", "*/ nothing ${x}"]
PIXELS: dict[str, Any] = {"divide_by": 255, "subtract": 0.125, "mean": [0.286], "std": [0.353]}
TEMPLATES = examples.TEMPLATES


def onnx(folder: Path, **changes: Any) -> Content:
    """Of an ONNX classifier of grey pictures of 8 x 8, four classes. changes: of the manifest and of the content."""
    bundle = tiny.tiny_bundle(folder / "made")
    return _content(bundle, folder, tiny.evaluation(folder / "evaluation.npz", 8)[1], changes)


def tflite(folder: Path, kind: str = "float32", **changes: Any) -> Content:
    """Of a .tflite file: "float32" or "int8", colour pictures of 6 x 8, or "tokens", six numbers."""
    bundle = tiny_tflite.tflite_bundle(folder / "made", kind, "tiny")
    x = np.arange(6, dtype=np.int32)[None] if kind == "tokens" else tiny_tflite.images(8)
    told = {"preprocessing": {"tokenizer": "some", "padding": 0}} if kind == "tokens" else {}
    return _content(bundle, folder, x, {**told, **changes})


def _content(bundle: Bundle, folder: Path, x: Any, changes: Mapping[str, Any]) -> Content:
    fields = Content.__dataclass_fields__
    told = {"model": "tiny-net", "target": "some-board", "labels": LABELS, "preprocessing": PIXELS}
    told |= {key: value for key, value in changes.items() if key not in fields}
    bundle = write_bundle(folder / "bundle", bundle.model_file, bundle.manifest.model_copy(update=told))
    drawn = sample.of(bundle, x, np.zeros(len(x), np.int64), 1e-4)
    content = Content(bundle=bundle, version="1.2.0", sample=drawn, evidence=Evidence((), True), metric="top-1")
    return replace(content, **{key: value for key, value in changes.items() if key in fields})


def unpacked(content: Content, folder: Path) -> Path:
    """The example's files, as both packages hold them."""
    for name, data in examples.files(content, content.bundle.model_file).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.read_bytes())
    return folder


def run(
    folder: Path, *arguments: str | Path, python: str = sys.executable, path: Sequence[Path] = ()
) -> subprocess.CompletedProcess[str]:
    """run.py of an unpacked example. path: folders that its modules are looked for in first."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [python, str(folder / "run.py"), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
