"""The reduce step: smaller ONNX files without calibration, that load, answer nearly the same and pass the check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from pipeline.export.compare import run_file
from pipeline.export.drift import sqnr
from pipeline.quantization.refusal import AlreadyQuantised, NotQuantisable
from pipeline.steps.export import MODEL, NAMED
from pipeline.steps.reduce import Reduce, _counted, _runs
from tests.pipeline.conftest import Built
from tests.pipeline.steps.by_hand import Made, run_step


def _run(built: Built, precision: str, folder: Path, model: Any = None) -> Made:
    asked = {"data": built.plan.nodes["trained/train"].parameters["data"], "precision": precision}
    return run_step(Reduce, asked, {"model": model or built.artifact("trained/export")}, folder, built.places)


@pytest.mark.parametrize(("precision", "share", "least"), [("float16", 0.65, 60), ("dynamic", 1.0, 30)])
def test_file_is_smaller_and_near(built: Built, tmp_path: Path, precision: str, share: float, least: float) -> None:
    parent, made = built.artifact("trained/export"), _run(built, precision, tmp_path)
    assert made.summary["bytes"] == made.path(MODEL).stat().st_size < share * parent.summary["bytes"]
    assert made.summary["file"] == MODEL
    x = np.random.default_rng(0).random((16, *parent.summary["shape"][1:]), np.float32)
    outputs = [run_file(one.path(MODEL).read_bytes(), x) for one in (parent, made)]
    assert least < sqnr(*outputs) < 150


def test_summary_says_what_the_quantise_steps_does(built: Built, tmp_path: Path) -> None:
    made = _run(built, "float16", tmp_path)
    assert set(made.summary) >= {
        *("params", "macs", "shape", "dtype", "outputs", "file", "tensors", "bytes", "download", "zeros", "weighed"),
        "figure",
    }
    assert made.summary["tensors"] == built.artifact("trained/export").summary["tensors"]
    assert made.summary["weighed"] == built.artifact("trained/export").summary["weighed"]
    assert "FP16 weights" in made.summary["figure"]


def test_held_zeros_are_counted_in_whatever_type_they_are_stored(built: Built, tmp_path: Path) -> None:
    named = onnx.load_from_string(built.artifact("trained/export").path(NAMED).read_bytes())
    for tensor in named.graph.initializer:
        if len(tensor.dims) > 1:
            values = onnx.numpy_helper.to_array(tensor).copy()
            values.reshape(-1)[::2] = 0
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    zeros = _counted(named)[0]
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / NAMED).write_bytes(named.SerializeToString())
    model = Made(tmp_path / "model", built.artifact("trained/export").summary)
    for precision in ("dynamic", "float16"):
        assert _run(built, precision, tmp_path / precision, model).summary["zeros"] >= zeros


def test_quantised_file_is_refused(built: Built, tmp_path: Path) -> None:
    first = _run(built, "dynamic", tmp_path / "first")
    with pytest.raises(AlreadyQuantised) as caught:
        _run(built, "dynamic", tmp_path / "second", first)
    assert caught.value.remedy
    assert list((tmp_path / "second" / "out").iterdir()) == []


def test_file_that_does_not_run_is_refused_before_it_is_left(built: Built) -> None:
    with pytest.raises(NotQuantisable, match="can't run the file"):
        _runs(b"no model at all", np.zeros((1, 1, 8, 8), np.float32), "dynamic")
    file = built.artifact("trained/export").path(MODEL).read_bytes()
    with pytest.raises(NotQuantisable, match="no number"):
        _runs(file, np.full((1, 1, 8, 8), np.nan, np.float32), "dynamic")
