"""The quantise step: the recipe's wishes reach the file, and how it came to be is told beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from pipeline.export.lean import leanest
from pipeline.quantization.refusal import AlreadyQuantised, BadCalibration
from pipeline.quantization.static import quantise_static
from pipeline.steps.checking import CheckFailed
from pipeline.steps.quantise import REPORT, Quantise
from tests.pipeline.conftest import Built
from tests.pipeline.steps.by_hand import Made, run_step


def _quantised(built: Built, folder: Path, **wishes: Any) -> Made:
    node = built.plan.nodes["int8/quantise"]
    inputs = wishes.pop("inputs", None) or built.inputs("int8/quantise")
    return run_step(Quantise, {**node.parameters, **wishes}, inputs, folder, built.places)


def test_the_report_lies_beside_the_model_and_in_the_summary(built: Built, tmp_path: Path) -> None:
    made = _quantised(built, tmp_path)
    report = json.loads(made.path(REPORT).read_text())
    assert report == made.summary["quantisation"]
    assert report["bounds"]["hold"] is True
    assert [one["name"] for one in report["layers"]][-1] == "head"
    assert f"{report['samples']} calibration samples" in made.summary["figure"]


def test_min_and_max_without_correction_is_the_plain_file(built: Built, tmp_path: Path) -> None:
    from pipeline import data
    from pipeline.steps.base import DataSpec

    made = _quantised(built, tmp_path, calibration="minmax", bias_correction=False, mixed=False)
    float_model = onnx.load_from_string(built.inputs("int8/quantise")["model"].path("named.onnx").read_bytes())
    x = data.load(DataSpec(name="digits"), built.places).calibration.first(512).x
    parameters = built.plan.nodes["int8/quantise"].parameters
    plain = quantise_static(float_model, x, *(parameters[key] for key in ("activations", "per_channel", "symmetric")))
    assert made.path("model.onnx").read_bytes() == leanest(plain)


def test_as_many_samples_are_used_as_are_asked(built: Built, tmp_path: Path) -> None:
    made = _quantised(built, tmp_path, samples=40)
    assert (made.summary["quantisation"]["samples"], made.summary["quantisation"]["held_out"]) == (40, 10)
    with pytest.raises(BadCalibration):
        _quantised(built, tmp_path / "none", samples=0)
    assert not list((tmp_path / "none" / "out").iterdir())


def test_bounds_that_cannot_hold_are_refused_unless_mixed_is_off(built: Built, tmp_path: Path) -> None:
    impossible = {"metric_drop": -1.0, "calibration": "minmax", "bias_correction": False}
    # As the check says it: it is this variant that is outside the bounds.
    with pytest.raises(CheckFailed, match="layers is INT8") as caught:
        _quantised(built, tmp_path / "mixed", **impossible)
    assert "worst layer: " in caught.value.where
    made = _quantised(built, tmp_path / "plain", mixed=False, **impossible)
    assert made.summary["quantisation"]["bounds"]["hold"] is False


def test_an_int8_file_is_not_quantised_again(built: Built, tmp_path: Path) -> None:
    with pytest.raises(AlreadyQuantised):
        _quantised(built, tmp_path, inputs={"model": built.artifact("int8/quantise")})
