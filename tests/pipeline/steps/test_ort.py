"""The ort step: the same model in onnxruntime's own format, which the check step runs like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.export.to_ort import to_ort
from pipeline.steps import ort
from pipeline.steps.check import Check
from pipeline.steps.checking import EXPECTED
from pipeline.steps.ort import Ort, OrtDisagrees
from tests.pipeline.conftest import Built
from tests.pipeline.steps.by_hand import Made, run_step

Convert = Callable[[str], Made]


@pytest.fixture
def convert(built: Built, tmp_path: Path) -> Convert:
    """Runs the step on what a node of the small recipe left."""

    def made(node: str) -> Made:
        folder = tmp_path / node.replace("/", "-")
        parameters = {"data": built.plan.nodes["trained/export"].parameters["data"]}
        return run_step(Ort, parameters, {"model": built.artifact(node)}, folder, built.places)

    return made


def test_ort_says_what_its_input_said_but_for_the_file_itself(convert: Convert, built: Built) -> None:
    before, made = built.artifact("int8/quantise").summary, convert("int8/quantise")
    assert sorted(path.name for path in made.folder.iterdir()) == ["model.ort", "named.onnx"]
    assert made.summary["file"] == "model.ort"
    assert made.summary["bytes"] == made.path("model.ort").stat().st_size
    assert made.summary["download"] < made.summary["bytes"]
    for key in ("tensors", "params", "macs", "shape", "dtype", "outputs", "zeros", "weighed"):
        assert made.summary[key] == before[key]


def test_check_of_ort_files_gives_the_figures_of_their_onnx(convert: Convert, built: Built, tmp_path: Path) -> None:
    node = "int8/check"
    inputs: dict[str, Any] = {
        **built.inputs(node), "float": convert("trained/export"), "quantised": convert("int8/quantise")
    }  # fmt: skip
    checked = run_step(Check, built.plan.nodes[node].parameters, inputs, tmp_path / "check", built.places)
    figures = built.artifact(node).summary
    for key in ("metric_int8", "agreement", "parity"):
        assert checked.summary[key] == figures[key]
    assert checked.summary["sqnr_db"] == pytest.approx(figures["sqnr_db"], abs=0.01)
    # Integers are the same to the bit in either format.
    assert (np.load(checked.path(EXPECTED)) == np.load(built.artifact(node).path(EXPECTED))).all()


def test_ort_that_gives_something_else_is_refused(
    convert: Convert, built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = built.artifact("pruned/export").path("model.onnx").read_bytes()
    monkeypatch.setattr(ort, "to_ort", lambda model: to_ort(other))
    with pytest.raises(OrtDisagrees, match=r"departs from its \.onnx by"):
        convert("trained/export")
    assert list((tmp_path / "trained-export" / "out").iterdir()) == []
