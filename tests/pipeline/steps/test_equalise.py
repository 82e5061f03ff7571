"""The equalise step: the same network with other weights, or to the byte the one that came."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline import data, network
from pipeline.distillation import logits_of
from pipeline.export.drift import worst_difference
from pipeline.pruning.plan import PruningPlan
from pipeline.steps.base import DataSpec, NetworkSpec
from pipeline.steps.equalise import Equalise
from tests.pipeline.conftest import Built
from tests.pipeline.steps.by_hand import Made, run_step

NET = """\
import torch
from torch import nn

def make(activation="relu"):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, 1, 1), nn.ReLU() if activation == "relu" else nn.GELU(),
        nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
    )
    with torch.no_grad():
        scale = torch.logspace(-2, 2, 16)
        net[0].weight.mul_(scale.view(16, 1, 1, 1)), net[0].bias.mul_(scale)
        net[2].weight.div_(scale.view(1, 16, 1, 1))
    return net

def by_value():
    class Choosy(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(64, 10)
        def forward(self, x):
            return self.one(x.flatten(1)) if x.sum() > 0 else self.one(-x.flatten(1))
    return Choosy()
"""


def _run(built: Built, folder: Path, factory: str, arguments: dict[str, Any]) -> tuple[Made, Made, Any, NetworkSpec]:
    folder.mkdir()
    (folder / "net.py").write_text(NET)
    places = dataclasses.replace(built.places, recipe=folder)
    spec = NetworkSpec(factory=f"net.py:{factory}", arguments=arguments)
    (folder / "model").mkdir()
    net = network.original(spec, folder).eval()
    network.keep(net, PruningPlan(), folder / "model")
    model = Made(folder / "model", {})
    asked = {"network": spec.model_dump(), "data": built.plan.nodes["trained/train"].parameters["data"], "samples": 64}
    return model, run_step(Equalise, asked, {"model": model}, folder / "run", places), places, spec


def test_uneven_network_is_equalised_and_computes_the_same(built: Built, tmp_path: Path) -> None:
    model, made, places, spec = _run(built, tmp_path / "one", "make", {})
    assert made.summary["kept"]
    assert made.summary["sqnr_after"] > made.summary["sqnr_before"] + 6
    assert "in INT8 from" in made.summary["figure"]
    x = data.load(DataSpec(name="digits"), places).validation.x
    before, after = (
        logits_of(network.rebuilt(spec, places.recipe, one)[0], torch.from_numpy(x)).numpy() for one in (model, made)
    )
    assert worst_difference(before, after) < 1e-4
    assert not np.array_equal(before, after)  # the weights are others
    assert made.path(network.PLAN).read_bytes() == model.path(network.PLAN).read_bytes()


def test_even_network_is_left_to_the_byte_and_the_figure_says_why(built: Built, tmp_path: Path) -> None:
    model, made, *_ = _run(built, tmp_path / "one", "make", {"activation": "gelu"})
    assert not made.summary["kept"]
    assert made.summary["figure"].startswith("left as it was")
    assert made.path(network.WEIGHTS).read_bytes() == model.path(network.WEIGHTS).read_bytes()


def test_network_that_cannot_be_traced_is_left_as_it_is(built: Built, tmp_path: Path) -> None:
    model, made, *_ = _run(built, tmp_path / "one", "by_value", {})
    assert made.summary["kept"] is False
    assert made.summary["figure"].startswith("left as it was")
    assert made.path(network.WEIGHTS).read_bytes() == model.path(network.WEIGHTS).read_bytes()
