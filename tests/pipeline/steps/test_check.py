"""The check step: what was tampered with after it was made is found, with the layer; what did not shrink fails."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import pytest

from edgewright.progress import Silent
from pipeline.export.lean import leanest
from pipeline.steps.base import Input, Work
from pipeline.steps.check import Check, CheckFailed, NotSmaller
from pipeline.store import Artifact
from tests.pipeline.conftest import Built
from tests.pipeline.export.test_compare import tampered


@dataclass
class Changed:
    """An artifact with other files or figures in the place of some of its own."""

    origin: Artifact
    files: dict[str, Path] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> Mapping[str, Any]:
        return {**self.origin.summary, **self.figures}

    def path(self, name: str) -> Path:
        return self.files.get(name) or self.origin.path(name)


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(built: Built, tmp_path: Path) -> Run:
    def check(node: str, parameters: Mapping[str, Any] | None = None, **changed: Input) -> dict[str, Any]:
        (tmp_path / "out").mkdir(exist_ok=True)
        inputs: dict[str, Input] = {**built.inputs(node), **changed}
        asked = Check.Parameters.model_validate({**built.plan.nodes[node].parameters, **(parameters or {})})
        work = Work(tmp_path / "out", tmp_path, built.places, Silent())
        return Check().run(inputs, asked, work)  # type: ignore[arg-type]

    return check


def _tampered(artifact: Artifact, layer: str, folder: Path) -> Changed:
    model = tampered(onnx.load_from_string(artifact.path("named.onnx").read_bytes()), layer)
    named, shipped = folder / "named.onnx", folder / "model.onnx"
    named.write_bytes(model.SerializeToString())
    shipped.write_bytes(leanest(model))
    return Changed(artifact, {"named.onnx": named, "model.onnx": shipped})


def test_check_gives_the_figures_of_all_three(run: Run, tmp_path: Path) -> None:
    figures = run("pruned+int8/check")
    assert figures["float_difference"] < 1e-4
    assert figures["agreement"] >= 0.95
    assert figures["metric_torch"] == pytest.approx(figures["metric_float"], abs=0.01)
    assert figures["sqnr_db"] > 15
    assert (tmp_path / "out" / "check.json").is_file()


@pytest.mark.parametrize("layer", ["norm", "blocks.1.norm2", "head"])
def test_check_of_a_tampered_float_export_names_the_layer(run: Run, built: Built, tmp_path: Path, layer: str) -> None:
    changed = _tampered(built.artifact("trained/export"), layer, tmp_path)
    with pytest.raises(CheckFailed, match="float export departs from torch") as caught:
        run("trained/check", float=changed)
    assert caught.value.where.startswith(f"first layer that drifts: {layer} (")
    assert "check.float_difference" in caught.value.remedy
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("layer", ["norm", "blocks.1.norm2", "head"])
def test_check_of_a_tampered_int8_file_names_the_layer(run: Run, built: Built, tmp_path: Path, layer: str) -> None:
    changed = _tampered(built.artifact("int8/quantise"), layer, tmp_path)
    with pytest.raises(CheckFailed, match="INT8") as caught:
        run("int8/check", int8=changed)
    assert caught.value.where.startswith(f"first layer that drifts: {layer} (")


def test_check_agreement_below_the_bound_fails(run: Run, built: Built, tmp_path: Path) -> None:
    bounds = {**built.plan.nodes["int8/check"].parameters["bounds"], "metric_drop": 1.0}
    changed = _tampered(built.artifact("int8/quantise"), "head", tmp_path)
    with pytest.raises(CheckFailed, match=r"agrees with float on \d+\.\d% of the samples, 95\.0% is asked"):
        run("int8/check", {"bounds": bounds}, int8=changed)


@pytest.mark.parametrize(
    ("node", "role", "key"),
    [("pruned/check", "base", "bytes"), ("pruned/check", "base", "macs"), ("pruned/check", "base", "elements"),
     ("pruned+int8/check", "float", "bytes")],
)  # fmt: skip
def test_check_of_what_is_not_smaller_fails(run: Run, built: Built, node: str, role: str, key: str) -> None:
    made = built.inputs(node)["int8" if "int8" in node else "float"].summary[key]
    origin = Changed(built.inputs(node)[role], figures={key: made})
    with pytest.raises(NotSmaller, match=f"{made} {key}, what it came from has {made}"):
        run(node, **{role: origin})


def test_check_of_a_weight_that_grew_names_it(run: Run, built: Built) -> None:
    base = built.inputs("pruned/check")["base"]
    weights = copy.deepcopy(dict(base.summary["weights"]))
    weights["blocks.2.norm1/Conv"] = [4, 4, 3, 3]
    with pytest.raises(NotSmaller, match=r"'blocks\.2\.norm1/Conv' grew from \[4, 4, 3, 3\] to \[8, 8, 3, 3\]"):
        run("pruned/check", base=Changed(base, figures={"weights": weights}))


def test_check_with_a_metric_of_the_users_own_judges_by_it(run: Run, built: Built) -> None:
    (built.places.recipe / "own_metric.py").write_text("def worse(outputs, targets):\n    return -abs(outputs).max()\n")
    figures = run("trained/check", {"metric": "own_metric.py:worse"})
    assert figures["metric_float"] < -1
