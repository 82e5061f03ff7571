"""The qat step: trains only where INT8 loses too much, keeps what is better, leaves a float network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline import network
from pipeline.steps import qat
from pipeline.steps.base import NetworkSpec
from pipeline.steps.qat import Qat
from pipeline.training import TrainResult
from tests.pipeline.conftest import Built
from tests.pipeline.steps.by_hand import Made, run_step


def _parameters(built: Built, **more: Any) -> dict[str, Any]:
    distil = built.plan.nodes["pruned/distil"].parameters
    shared = {key: distil[key] for key in ("network", "data", "metric", "temperature", "distillation")}
    schedule = {**distil["schedule"], "epochs": 2, "learning_rate": 1e-3}
    return {**shared, "schedule": schedule, "samples": 256, "metric_drop": 0.01, "teacher": None, **more}


def _fragile(built: Built, folder: Path) -> Made:
    """The trained network, with one channel before its head 300 times what it was: INT8 loses the others."""
    spec = NetworkSpec.model_validate(built.plan.nodes["trained/train"].parameters["network"])
    net, plan = network.rebuilt(spec, built.places.recipe, built.artifact("trained/train"))
    with torch.no_grad():
        for name in ("blocks.2.norm2", "blocks.2.shortcut.1"):
            net.get_parameter(f"{name}.weight")[0] *= 300
            net.get_parameter(f"{name}.bias")[0] *= 300
        net.get_parameter("head.weight")[:, 0] /= 300
    folder.mkdir()
    network.keep(net, plan, folder)
    return Made(folder, {})


def test_weights_are_left_to_the_byte_where_int8_loses_little(built: Built, tmp_path: Path) -> None:
    model = built.artifact("trained/train")
    made = run_step(Qat, _parameters(built), {"model": model}, tmp_path, built.places)
    assert made.summary["figure"].startswith("not needed: INT8 loses 0.")
    assert made.summary["history"] == []
    assert made.summary["int8_after"] == made.summary["int8_before"]
    assert made.path(network.WEIGHTS).read_bytes() == model.path(network.WEIGHTS).read_bytes()
    assert made.path(network.PLAN).read_bytes() == model.path(network.PLAN).read_bytes()


def test_fragile_network_is_trained_and_taught_and_its_int8_gets_better(built: Built, tmp_path: Path) -> None:
    model, teacher = _fragile(built, tmp_path / "model"), built.artifact("trained/train")
    parameters = _parameters(built)
    parameters |= {"teacher": parameters["network"], "schedule": {**parameters["schedule"], "learning_rate": 1e-5}}
    made = run_step(Qat, parameters, {"model": model, "teacher": teacher}, tmp_path / "run", built.places)
    summary = made.summary
    assert summary["int8_before"] < summary["int8_after"]
    assert summary["int8_after"] == max(value for _, value in summary["history"])
    assert " to " in summary["figure"] and "2 epochs" in summary["figure"]
    # Float weights under the names that they had, which the exporters take like any other.
    net, _ = network.rebuilt(NetworkSpec.model_validate(parameters["network"]), built.places.recipe, made)
    assert "forward" not in vars(net)
    assert made.path(network.WEIGHTS).read_bytes() != model.path(network.WEIGHTS).read_bytes()


def test_training_that_gains_nothing_is_thrown_away(built: Built, tmp_path: Path) -> None:
    model = built.artifact("trained/train")
    # Nothing may be lost, and at this rate everything is.
    parameters = _parameters(built, metric_drop=-1.0)
    parameters["schedule"] = {**parameters["schedule"], "epochs": 1, "learning_rate": 5.0}
    made = run_step(Qat, parameters, {"model": model}, tmp_path, built.places)
    assert made.summary["figure"].startswith("left as it was") and "gained nothing" in made.summary["figure"]
    assert made.path(network.WEIGHTS).read_bytes() == model.path(network.WEIGHTS).read_bytes()
    assert made.summary["int8_after"] == made.summary["int8_before"]


def test_training_that_fails_is_told_and_leaves_the_weights(built: Built, tmp_path: Path) -> None:
    model = built.artifact("trained/train")
    parameters = _parameters(built, metric_drop=-1.0)
    parameters["schedule"] = {**parameters["schedule"], "learning_rate": 1e30, "clip": None}
    made = run_step(Qat, parameters, {"model": model}, tmp_path, built.places)
    assert made.summary["figure"].startswith("left as it was") and "The loss became" in made.summary["figure"]
    assert made.path(network.WEIGHTS).read_bytes() == model.path(network.WEIGHTS).read_bytes()
    assert made.summary["int8_after"] == made.summary["int8_before"]


def test_int8_that_has_no_metric_after_training_is_not_taken(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = built.artifact("trained/train")
    result = TrainResult(0.1, 1, float("nan"), ((0.1, float("nan")),))
    monkeypatch.setattr(qat, "train_in_int8", lambda *given: result)
    made = run_step(Qat, _parameters(built, metric_drop=-1.0), {"model": model}, tmp_path, built.places)
    assert made.summary["figure"].startswith("left as it was")
    assert made.summary["int8_after"] == made.summary["int8_before"]


@pytest.mark.parametrize("key", ["metric_drop", "samples", "teacher"])
def test_every_parameter_must_be_said(built: Built, key: str) -> None:
    parameters = _parameters(built)
    del parameters[key]
    with pytest.raises(ValueError, match=key):
        Qat.Parameters.model_validate(parameters)
