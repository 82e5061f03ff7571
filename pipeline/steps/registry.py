"""Finds a step by name: `tflite_export` is the class `TfliteExport` in pipeline/steps/tflite_export.py."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from pipeline.steps.base import Step

NAMES = (
    *("samples", "train", "prune", "sparsify", "rewind", "distil", "equalise", "qat"),
    *("export", "quantise", "reduce", "check", "ort"),
    *("tflite_export", "tflite_quantise", "tflite_check"),
    *("torch_export", "torch_check"),
    "bundle",
)


def step_class(name: str) -> type[Step[Any]]:
    """The step's class; importing it is light, what is heavy is imported when it runs."""
    module = importlib.import_module(f"pipeline.steps.{name}")
    found: type[Step[Any]] = getattr(module, "".join(word.capitalize() for word in name.split("_")))
    return found


def source_file(name: str) -> Path:
    """The step's source, for its fingerprint."""
    return Path(__file__).with_name(f"{name}.py")
