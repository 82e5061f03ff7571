"""The bundle step: the file of whatever format under its own name, its tensors as the export read them from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_agents.bundle import Bundle as Read
from device_agents.bundle import Tensor, read_bundle
from pipeline.steps.bundle import Bundle, misaligned
from pipeline.steps.ort import Ort
from tests.pipeline.conftest import Built
from tests.pipeline.steps.by_hand import Made, run_step

NODE = "pruned+int8/bundle"


def _bundled(built: Built, folder: Path, parameters: Mapping[str, Any] | None = None, **inputs: Any) -> Read:
    asked = {**built.plan.nodes[NODE].parameters, **(parameters or {})}
    return read_bundle(run_step(Bundle, asked, {**built.inputs(NODE), **inputs}, folder, built.places).folder)


def test_bundle_names_the_file_and_its_tensors_as_they_are_in_it(built: Built, tmp_path: Path) -> None:
    bundle = _bundled(built, tmp_path)
    quantised = built.inputs(NODE)["model"]
    assert bundle.manifest.file == "model.onnx"
    assert bundle.model_file.read_bytes() == quantised.path("model.onnx").read_bytes()
    assert bundle.manifest.inputs == [Tensor(name="input", dtype="float32", shape=[1, 1, 8, 8])]
    assert bundle.manifest.outputs == [Tensor(name="output", dtype="float32", shape=[1, 10])]
    assert bundle.manifest.origin["check"]["parity"] == built.inputs(NODE)["check"].summary["parity"]
    assert bundle.manifest.origin["check"]["parity"]["samples"] == 64


def test_bundle_of_another_format_keeps_its_extension(built: Built, tmp_path: Path) -> None:
    data = {"data": built.plan.nodes["pruned/export"].parameters["data"]}
    made = run_step(Ort, data, {"model": built.inputs(NODE)["model"]}, tmp_path / "ort", built.places)
    bundle = _bundled(built, tmp_path / "bundle", {"format": "ort"}, model=made)
    assert (bundle.manifest.file, bundle.manifest.format) == ("model.ort", "ort")
    assert bundle.manifest.bytes == made.summary["bytes"]
    assert sorted(path.name for path in bundle.folder.iterdir()) == ["manifest.json", "model.ort"]


def test_bundle_passes_layout_and_scale_on(built: Built, tmp_path: Path) -> None:
    quantised = built.inputs(NODE)["model"]
    told = {
        "name": "x", "dtype": "int8", "shape": [1, 8, 8, 1], "layout": "channels-last", "scale": 0.5, "zero_point": -3
    }  # fmt: skip
    tensors = {**quantised.summary["tensors"], "inputs": [told]}
    model = replace(Made(quantised.path("model.onnx").parent, quantised.summary), summary={
        **quantised.summary, "tensors": tensors, "file": quantised.path("model.onnx").name,
    })  # fmt: skip
    assert _bundled(built, tmp_path, model=model).manifest.inputs == [Tensor.model_validate(told)]


@pytest.mark.parametrize(
    ("weights", "found"),
    [
        ({"a": [12, 3, 3, 3], "b": [16, 12, 1, 1], "head": [10, 16]}, ["a (12)"]),
        ({"a": [12, 3], "head": [10, 12, 1, 1]}, []),  # linear layers have no channels; the last is the classes
    ],
)
def test_misaligned_layers_are_named(weights: dict[str, list[int]], found: list[str]) -> None:
    assert misaligned(weights, 8) == found
