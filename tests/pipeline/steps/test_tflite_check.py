"""The TensorFlow Lite steps, run by hand over the small recipe's network: figures, what a bundle needs, what fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.bundle import Tensor
from edgewright.progress import Silent
from pipeline.steps.base import Input, Work
from pipeline.steps.checking import CheckFailed, NotSmaller
from pipeline.steps.tflite_check import TfliteCheck
from pipeline.steps.tflite_export import TfliteExport
from pipeline.steps.tflite_quantise import TfliteQuantise
from tests.pipeline.conftest import Built
from tests.pipeline.export import tflited

pytestmark = pytest.mark.slow


@dataclass
class Made:
    """An artifact of a step that was run by hand; `changed` figures take the place of its own."""

    folder: Path
    made: Mapping[str, Any]
    changed: dict[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> Mapping[str, Any]:
        return {**self.made, **self.changed}

    def path(self, name: str) -> Path:
        return self.folder / name


@dataclass
class Steps:
    """The exports of the trained and the pruned network, and the first in every precision."""

    built: Built
    base: Made
    pruned: Made
    quantised: dict[str, Made]

    def check(self, folder: Path, precision: str, variant: str = "trained", **changed: Input) -> dict[str, Any]:
        """Runs the check step as a plan would."""
        inputs: dict[str, Input] = {"network": self.built.inputs(f"{variant}/check")["network"], **changed}
        given = {**self.built.plan.nodes["trained/check"].parameters, "precision": precision}
        (folder / "out").mkdir(exist_ok=True)
        work = Work(folder / "out", folder, self.built.places, Silent())
        return TfliteCheck().run(inputs, TfliteCheck.Parameters.model_validate(given), work)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def steps(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Steps:
    tflited.installed()
    folder = tmp_path_factory.mktemp("steps")

    def run(kind: Any, name: str, model: Input, **parameters: Any) -> Made:
        (folder / name).mkdir()
        work = Work(folder / name, folder, built.places, Silent())
        return Made(folder / name, kind().run({"model": model}, kind.Parameters.model_validate(parameters), work))

    shared = dict(built.plan.nodes["trained/check"].parameters)
    both = {key: shared[key] for key in ("network", "data")}
    base, pruned = (
        run(TfliteExport, name, built.inputs(f"{name}/check")["network"], **both) for name in ("trained", "pruned")
    )
    options = {"data": shared["data"], "per_channel": True, "integer_io": False, "per_tensor_linear": False}
    quantised = {
        precision: run(TfliteQuantise, precision, base, precision=precision, **options)
        for precision in ("int8", "dynamic", "float16")
    }
    whole = run(TfliteQuantise, "whole", base, precision="int8", **{**options, "integer_io": True})
    return Steps(built, base, pruned, {**quantised, "whole": whole})


def test_export_says_all_that_a_bundle_and_a_check_need(steps: Steps) -> None:
    of_onnx = steps.built.artifact("trained/export").summary
    summary = steps.base.summary
    assert set(of_onnx) <= set(summary)
    for key in ("params", "macs", "shape", "dtype", "outputs", "weighed", "zeros"):
        assert summary[key] == of_onnx[key]
    assert summary["bytes"] == steps.base.path(summary["file"]).stat().st_size
    assert summary["operators"]["CONV_2D"] == 8
    assert Tensor.model_validate(summary["tensors"]["inputs"][0]).shape == [1, 8, 8, 1]


def test_quantised_file_is_told_of_in_the_same_words(steps: Steps) -> None:
    for name, made in steps.quantised.items():
        assert made.summary["bytes"] < 0.7 * steps.base.summary["bytes"], name
        assert made.summary["shape"] == [1, 1, 8, 8]
    inputs = steps.quantised["whole"].summary["tensors"]["inputs"]
    assert (inputs[0]["dtype"], Tensor.model_validate(inputs[0]).layout) == ("int8", "channels-last")


@pytest.mark.parametrize(("precision", "least"), [("int8", 20), ("dynamic", 30), ("float16", 60)])
def test_check_gives_the_figures_of_every_precision(steps: Steps, tmp_path: Path, precision: str, least: float) -> None:
    figures = steps.check(tmp_path, precision, float=steps.base, quantised=steps.quantised[precision])
    assert figures["float_difference"] < 1e-5
    assert figures["sqnr_db"] > least
    assert figures["metric_float"] == pytest.approx(figures["metric_torch"], abs=0.001)
    assert figures["parity"]["exact"] is (precision == "int8")
    assert (figures["parity"]["scale"] is not None) is (precision == "int8")
    assert np.load(tmp_path / "out" / "expected.npy").shape == (64, 10)


def test_check_of_integers_in_and_out_expects_what_the_float_form_gives(steps: Steps, tmp_path: Path) -> None:
    found = []
    for name in ("int8", "whole"):
        (tmp_path / name).mkdir()
        steps.check(tmp_path / name, "int8", float=steps.base, quantised=steps.quantised[name])
        found.append(np.load(tmp_path / name / "out" / "expected.npy"))
    assert (found[0] == found[1]).all()


def test_pruned_network_is_smaller_and_one_that_is_not_fails(steps: Steps, tmp_path: Path) -> None:
    assert steps.check(tmp_path, "float32", "pruned", float=steps.pruned, base=steps.base)["metric_float"] > 0.5
    same = Made(steps.base.folder, steps.base.made, {"macs": steps.pruned.summary["macs"]})
    with pytest.raises(NotSmaller, match="The pruned file has"):
        steps.check(tmp_path, "float32", "pruned", float=steps.pruned, base=same)


def _tampered(made: Made, layer: str, folder: Path) -> Made:
    data = tflited.tampered(made.path("named.tflite").read_bytes(), layer)
    folder.mkdir()
    for name in ("named.tflite", "model.tflite"):
        (folder / name).write_bytes(data)
    return Made(folder, made.made)


@pytest.mark.parametrize("layer", ["norm", "blocks.1.norm2", "head"])
def test_check_of_a_tampered_file_names_the_layer(steps: Steps, tmp_path: Path, layer: str) -> None:
    with pytest.raises(CheckFailed, match="float export departs from torch") as caught:
        steps.check(tmp_path, "float32", float=_tampered(steps.base, layer, tmp_path / "float"))
    assert caught.value.where.startswith(f"first layer that drifts: {layer} (")
    changed = _tampered(steps.quantised["int8"], layer, tmp_path / "int8")
    with pytest.raises(CheckFailed, match="INT8") as caught:
        steps.check(tmp_path, "int8", float=steps.base, quantised=changed)
    assert caught.value.where.startswith(f"first layer that drifts: {layer} (")
    assert not list((tmp_path / "out").glob("*"))
