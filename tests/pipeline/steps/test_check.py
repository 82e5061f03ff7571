"""The check step: what was tampered with after it was made is found, with the layer; what did not shrink fails."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from edgewright.progress import Silent
from pipeline import data, network
from pipeline.export.compare import run_file
from pipeline.export.lean import leanest
from pipeline.pruning.plan import PruningPlan
from pipeline.pruning.sparsity import sparsify
from pipeline.steps.base import DataSpec, Input, NetworkSpec, Work
from pipeline.steps.check import Check
from pipeline.steps.checking import EXPECTED, PARITY, CheckFailed, NotSmaller
from pipeline.steps.export import Export
from pipeline.steps.quantise import Quantise
from pipeline.store import Artifact
from tests.pipeline.conftest import Built
from tests.pipeline.export.test_compare import tampered
from tests.pipeline.steps.by_hand import Made, run_step


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


def test_check_leaves_the_answers_of_the_file_that_ships(run: Run, built: Built, tmp_path: Path) -> None:
    x = data.load(DataSpec(name="digits"), built.places).test.first(PARITY).x
    for node, role in (("trained/check", "float"), ("pruned+int8/check", "quantised")):
        figures = run(node)
        expected = np.load(tmp_path / "out" / EXPECTED)
        assert expected.dtype == np.float32
        assert (expected == run_file(built.inputs(node)[role].path("model.onnx").read_bytes(), x)).all()
        assert figures["parity"]["samples"] == PARITY
        assert figures["parity"]["exact"] is (role == "quantised")


def test_check_tells_the_step_of_the_outputs(run: Run, tmp_path: Path) -> None:
    scale = run("int8/check")["parity"]["scale"]
    steps = np.load(tmp_path / "out" / EXPECTED) / scale
    assert np.abs(steps - np.round(steps)).max() < 1e-4
    assert run("trained/check")["parity"]["scale"] is None


@pytest.mark.parametrize(("precision", "spoken"), [("float16", "FP16"), ("dynamic", "Dynamic range")])
def test_check_of_another_precision_has_the_same_bounds_and_says_its_name(
    run: Run, built: Built, tmp_path: Path, precision: str, spoken: str
) -> None:
    # The step asks nothing of a file but its outputs and its figures: an INT8 file stands in for either.
    figures = run("int8/check", {"precision": precision})
    assert figures["figure"].startswith(f"{spoken} agrees on ")
    assert f"metric_{precision}" in figures
    changed = _tampered(built.artifact("int8/quantise"), "head", tmp_path)
    with pytest.raises(CheckFailed, match=f"{spoken} loses ") as caught:
        run("int8/check", {"precision": precision}, quantised=changed)
    assert f"leave {precision} out of the target's precisions" in caught.value.remedy
    assert "calibration" not in caught.value.remedy
    same = Changed(
        built.artifact("int8/quantise"), figures={"bytes": built.artifact("trained/export").summary["bytes"]}
    )
    with pytest.raises(NotSmaller, match=f"The {precision} file has"):
        run("int8/check", {"precision": precision}, quantised=same)


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
        run("int8/check", quantised=changed)
    assert caught.value.where.startswith(f"first layer that drifts: {layer} (")


def test_check_agreement_below_the_bound_fails(run: Run, built: Built, tmp_path: Path) -> None:
    bounds = {**built.plan.nodes["int8/check"].parameters["bounds"], "metric_drop": 1.0}
    changed = _tampered(built.artifact("int8/quantise"), "head", tmp_path)
    with pytest.raises(CheckFailed, match=r"agrees with float on \d+\.\d% of the samples, 95\.0% is asked"):
        run("int8/check", {"bounds": bounds}, quantised=changed)


@pytest.mark.parametrize(
    ("node", "role", "key"),
    [("pruned/check", "base", "bytes"), ("pruned/check", "base", "macs"), ("pruned/check", "base", "elements"),
     ("pruned+int8/check", "float", "bytes")],
)  # fmt: skip
def test_check_of_what_is_not_smaller_fails(run: Run, built: Built, node: str, role: str, key: str) -> None:
    made = built.inputs(node)["quantised" if "int8" in node else "float"].summary[key]
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


@dataclass
class Sparse:
    """The trained network with 80 % zeros and its own plan, exported and quantised by the steps themselves."""

    network: Made
    float: Made
    int8: Made
    net: nn.Module
    plan: PruningPlan
    spec: NetworkSpec

    def inputs(self) -> dict[str, Any]:
        return {"network": self.network, "float": self.float, "quantised": self.int8}


@pytest.fixture(scope="module")
def sparse(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Sparse:
    folder = tmp_path_factory.mktemp("sparse")

    spec = NetworkSpec.model_validate(dict(built.plan.nodes["trained/check"].parameters)["network"])
    net, plan = network.rebuilt(spec, built.places.recipe, built.inputs("trained/check")["network"])
    plan.actions += sparsify(net, 0.8)
    (folder / "network").mkdir()
    network.keep(net, plan, folder / "network")
    kept = Made(folder / "network", {})
    nodes = built.plan.nodes
    given = {"model": kept}
    exported = run_step(Export, nodes["trained/export"].parameters, given, folder / "float", built.places)
    given = {"model": exported}
    quantised = run_step(Quantise, nodes["int8/quantise"].parameters, given, folder / "int8", built.places)
    return Sparse(kept, exported, quantised, net, plan, spec)


LOOSE = {"float_difference": 0.01, "agreement": 0.0, "metric_drop": 1.0, "samples": 100}


def test_check_of_zeros_finds_them_in_both_files_and_in_the_download(run: Run, built: Built, sparse: Sparse) -> None:
    base = built.inputs("pruned/check")["base"]
    figures = run("int8/check", {"bounds": LOOSE}, base=base, **sparse.inputs())["sparsity"]
    assert figures["pattern"] == "unstructured"
    assert figures["share"] == pytest.approx(0.8, abs=0.001)
    assert figures["float"] == pytest.approx(0.8, abs=0.001)
    assert figures["int8"] >= figures["float"]
    assert sparse.float.summary["download"] < 0.5 * base.summary["download"]
    assert sparse.int8.summary["download"] < 0.5 * built.artifact("int8/quantise").summary["download"]
    for key in ("bytes", "macs", "weights"):
        assert sparse.float.summary[key] == base.summary[key]


def test_check_of_a_dense_network_says_nothing_of_sparsity(run: Run) -> None:
    assert "sparsity" not in run("trained/check")


@pytest.mark.parametrize("name", ["float", "int8"])
def test_check_of_a_file_that_lost_the_zeros_fails(run: Run, built: Built, sparse: Sparse, name: str) -> None:
    dense = built.artifact("trained/export" if name == "float" else "int8/quantise")
    role = "float" if name == "float" else "quantised"
    changed = {**sparse.inputs(), role: Changed(sparse.inputs()[role], figures={"zeros": dense.summary["zeros"]})}
    with pytest.raises(CheckFailed, match=f"the {name} file has .* zeros in its weights, the network"):
        run("int8/check", {"bounds": LOOSE}, **changed)


def test_check_of_a_network_whose_zeros_were_trained_away_names_the_weight(
    run: Run, sparse: Sparse, tmp_path: Path
) -> None:
    (tmp_path / "network").mkdir()
    net = copy.deepcopy(sparse.net)
    name = sparse.plan.zeroed[0]
    with torch.no_grad():
        weight = net.get_parameter(name)
        weight[weight == 0] = 1e-12
    network.keep(net, sparse.plan, tmp_path / "network")
    with pytest.raises(CheckFailed, match=f"'{name}' has 0 zeros, its plan says"):
        run("int8/check", {"bounds": LOOSE}, **{**sparse.inputs(), "network": Made(tmp_path / "network", {})})


def test_check_of_zeros_that_make_no_smaller_download_fails(run: Run, built: Built, sparse: Sparse) -> None:
    base = built.inputs("pruned/check")["base"]
    same = Changed(base, figures={"download": sparse.float.summary["download"]})
    with pytest.raises(NotSmaller, match=r"The sparse file has \d+ bytes to download, what it came from has"):
        run("int8/check", base=same, **sparse.inputs())
    other = Changed(base, figures={"weights": {**base.summary["weights"], "head/Gemm": [10, 99]}})
    with pytest.raises(NotSmaller, match="other shapes than before, though only zeros were made"):
        run("int8/check", base=other, **sparse.inputs())
