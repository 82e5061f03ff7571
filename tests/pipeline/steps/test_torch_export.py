"""The torch steps: either format says what an ONNX export says, passes its check, and is caught where it strays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pipeline import network
from pipeline.export.to_torch import FILES
from pipeline.pruning.plan import PruningPlan
from pipeline.steps.base import NetworkSpec
from pipeline.steps.checking import EXPECTED, CheckFailed, NotSmaller
from pipeline.steps.torch_check import TorchCheck
from pipeline.steps.torch_export import TorchExport
from tests.pipeline.conftest import Built
from tests.pipeline.steps.by_hand import Made, run_step

BOTH = ["torchscript", "pt2"]
CHOOSY = """
from torch import nn

class Choosy(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        y = self.head(x.flatten(1))
        return y if float(x[0, 0, 2, 4]) > float(x[0, 0, 3, 4]) else -y
"""


def _export(built: Built, variant: str, format_: str, folder: Path) -> Made:
    node = built.plan.nodes[f"{variant}/export"]
    parameters = {"network": node.parameters["network"], "data": node.parameters["data"], "format": format_}
    return run_step(TorchExport, parameters, built.inputs(node.id), folder, built.places)


@pytest.fixture(scope="module", params=BOTH)
def exported(request: pytest.FixtureRequest, built: Built, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """The small recipe's two networks in one format, by variant."""
    folder = tmp_path_factory.mktemp("torch")
    return {variant: _export(built, variant, request.param, folder / variant) for variant in ("trained", "pruned")}


def _check(built: Built, exported: dict[str, Made], folder: Path, **changed: Any) -> Made:
    node = built.plan.nodes["pruned/check"]
    inputs: dict[str, Any] = {
        "network": built.inputs(node.id)["network"], "float": exported["pruned"], "base": exported["trained"],
    }  # fmt: skip
    return run_step(TorchCheck, node.parameters, {**inputs, **changed}, folder, built.places)


def test_torch_export_says_what_the_onnx_export_says(built: Built, exported: dict[str, Made]) -> None:
    for variant, made in exported.items():
        told, other = made.summary, built.artifact(f"{variant}/export").summary
        assert [path.name for path in made.folder.iterdir()] == [told["file"]]
        assert told["file"] in FILES.values()
        assert told["bytes"] == made.path(told["file"]).stat().st_size
        for key in ("params", "macs", "shape", "dtype", "outputs", "tensors"):
            assert told[key] == other[key], key
        assert set(told) == set(other)
        assert told["weighed"] == other["weighed"]
    assert exported["pruned"].summary["macs"] < exported["trained"].summary["macs"]


def test_torch_check_gives_figures_and_the_expected_answers(
    built: Built, exported: dict[str, Made], tmp_path: Path
) -> None:
    checked = _check(built, exported, tmp_path)
    figures = checked.summary
    assert figures["float_difference"] < 1e-5
    assert figures["metric_float"] == pytest.approx(figures["metric_torch"], abs=0.01)
    assert figures["parity"] == {"samples": 64, "exact": False, "scale": None}
    ours, onnx = np.load(checked.path(EXPECTED)), np.load(built.artifact("pruned/check").path(EXPECTED))
    assert ours.shape == (64, 10)
    assert np.abs(ours - onnx).max() < 1e-4 * onnx.std()  # two roads from one network


def test_torch_check_of_another_networks_weights_names_the_layer(
    built: Built, exported: dict[str, Made], tmp_path: Path
) -> None:
    node = built.plan.nodes["trained/export"]
    spec = NetworkSpec.model_validate(dict(node.parameters)["network"])
    net, plan = network.rebuilt(spec, built.places.recipe, built.inputs(node.id)["model"])
    with torch.no_grad():
        weight = net.get_parameter("blocks.1.conv1.weight")
        weight.copy_(weight.flip(0))
    (tmp_path / "network").mkdir()
    network.keep(net, plan, tmp_path / "network")
    with pytest.raises(CheckFailed, match="float export departs from torch") as caught:
        run_step(
            TorchCheck, built.plan.nodes["trained/check"].parameters,
            {"network": Made(tmp_path / "network", {}), "float": exported["trained"]}, tmp_path, built.places,
        )  # fmt: skip
    assert caught.value.where.startswith("first layer that drifts: blocks.1.")
    assert list((tmp_path / "out").iterdir()) == []


def test_torch_check_of_what_is_not_smaller_fails(built: Built, exported: dict[str, Made], tmp_path: Path) -> None:
    same = replace(exported["trained"], summary=exported["pruned"].summary)
    with pytest.raises(NotSmaller, match="The pruned file has"):
        _check(built, exported, tmp_path, base=same)


def test_torch_export_of_a_choice_by_value_is_caught(built: Built, tmp_path: Path) -> None:
    (tmp_path / "choosy.py").write_text(CHOOSY)
    places = replace(built.places, recipe=tmp_path)
    spec = NetworkSpec(factory="choosy.py:Choosy")
    net: nn.Module = network.original(spec, tmp_path)
    (tmp_path / "network").mkdir()
    network.keep(net, PruningPlan(), tmp_path / "network")
    parameters = {"network": spec.model_dump(), "data": {"name": "digits"}, "format": "torchscript"}
    with pytest.raises(CheckFailed, match="The torchscript file departs from torch") as caught:
        run_step(TorchExport, parameters, {"model": Made(tmp_path / "network", {})}, tmp_path / "step", places)
    assert "chooses by values" in caught.value.where
    assert list((tmp_path / "step" / "out").iterdir()) == []
