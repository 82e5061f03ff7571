"""The prune step on a trained network: what is gone, what it says of it, and that Taylor knows better than chance."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgewright.progress import Silent
from models.data.digits import load
from models.data.parts import Source
from pipeline import network
from pipeline.build import Builder
from pipeline.plan import Plan
from pipeline.pruning.groups import Size
from pipeline.pruning.plan import Remove
from pipeline.pruning.selection import ImpossibleRatio
from pipeline.pruning.shrink import Outcome, shrink
from pipeline.steps.base import NetworkSpec, Work
from pipeline.steps.prune import DidNotShrink, Prune, PruneParameters, _summary, prune_round
from pipeline.training import cross_entropy
from tests.pipeline.conftest import RECIPE, Built


def test_prune_tells_what_is_gone_and_the_network_agrees(built: Built) -> None:
    summary = built.artifact("pruned/prune").summary
    assert summary["blocks_removed"] == ["blocks.0"]
    assert summary["left_alone"]["blocks.1"].startswith("it changes the shape")
    assert summary["left_alone"]["head"] == "they are the network's outputs"
    before, after = summary["params"]
    assert after < before / 2
    assert summary["macs"][1] < summary["macs"][0] / 2
    net, plan = network.rebuilt(
        NetworkSpec.model_validate(built.plan.nodes["pruned/prune"].parameters["network"]),
        built.places.recipe,
        built.artifact("pruned/prune"),
    )
    assert sum(parameter.numel() for parameter in net.parameters()) == after
    assert [action.module for action in plan.actions if isinstance(action, Remove)] == ["blocks.0"]
    assert set(map(tuple, summary["units"].values())) == {("filters", 16, 8)}
    assert summary["figure"].startswith("taylor, 1 block and 40 of 80 channels removed, ")


def test_distil_keeps_the_plan_and_changes_the_weights(built: Built) -> None:
    pruned, distilled = built.artifact("pruned/prune"), built.artifact("pruned/distil")
    assert pruned.path(network.PLAN).read_bytes() == distilled.path(network.PLAN).read_bytes()
    assert pruned.path(network.WEIGHTS).read_bytes() != distilled.path(network.WEIGHTS).read_bytes()
    assert json.loads(distilled.path(network.PLAN).read_bytes())["schema"] == "edgewright-pruning/2"


def test_prune_in_two_rounds_reaches_what_was_asked(in_folder: Callable[[str], tuple[Plan, Builder]]) -> None:
    plan, builder = in_folder(
        RECIPE.replace("epochs = 6", "epochs = 1") + "rounds = 2\nround_epochs = 0\nmin_width = 4\n"
    )
    done = builder.build(plan, ["pruned/distil 2/2"])
    first, second = (done[f"pruned/prune {n}/2"].artifact for n in (1, 2))
    assert first is not None
    assert second is not None
    assert (first.summary["blocks_removed"], second.summary["blocks_removed"]) == (["blocks.0"], [])
    gone = [sum(was - now for _, was, now in one.summary["units"].values()) for one in (first, second)]
    # A quarter of the five groups of 16 is 20, in steps of the alignment 16; after the second round half is gone.
    assert gone == [16, 24]
    assert second.summary["params"][0] == first.summary["params"][0]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"blocks": 0.1, "filters": 0.0}, "of 1 removable residual blocks"),
        ({"filters": 0.05, "blocks": 0.0}, "takes no channel"),
        ({"filters": 0.9, "blocks": 0.0, "min_width": 8}, "leaves fewer than min_width = 8"),
    ],
)
def test_prune_impossible_ratio_leaves_nothing(
    built: Built, tmp_path: Path, changed: dict[str, Any], says: str
) -> None:
    (tmp_path / "out").mkdir()
    parameters = PruneParameters.model_validate({**built.plan.nodes["pruned/prune"].parameters, **changed})
    with pytest.raises(ImpossibleRatio, match=says):
        Prune().run(
            built.inputs("pruned/prune"),
            parameters,
            Work(tmp_path / "out", tmp_path, built.places, Silent()),
        )
    assert list((tmp_path / "out").iterdir()) == []


def test_prune_that_did_not_shrink_fails(built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import copy

    from pipeline.steps import prune

    def only_says_so(net: Any, original: Any, *rest: Any) -> Any:
        return shrink(copy.deepcopy(net), original, *rest)  # actions are told, the network stays

    monkeypatch.setattr(prune, "shrink", only_says_so)
    (tmp_path / "out").mkdir()
    parameters = PruneParameters.model_validate(built.plan.nodes["pruned/prune"].parameters)
    parameters = parameters.model_copy(update={"criterion": "l1", "blocks": 0.0})
    with pytest.raises(DidNotShrink):
        Prune().run(
            built.inputs("pruned/prune"),
            parameters,
            Work(tmp_path / "out", tmp_path, built.places, Silent()),
        )
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("outcome", "asked", "figure"),
    [
        (
            {"units": {"a": ("heads", 6, 3), "b": ("heads", 18, 9), "c": ("neurons", 384, 288)}},
            {},
            "taylor, 12 of 24 heads and 96 of 384 neurons removed, 31 % of the MACs left out",
        ),
        (
            {"units": {"a": ("filters", 16, 8)}, "blocks": ["x", "y"], "rows": {"w": (1000, 100)}},
            {"layer_importance": "metric", "metric": "top-1"},
            "taylor, 2 blocks, 8 of 16 channels and 900 of 1000 embedding rows removed, 31 % of the MACs left out",
        ),
        (
            {"blocks": ["x"]},
            {"layer_importance": "metric", "metric": "top-1"},
            "metric lost, 1 block removed, 31 % of the MACs left out",
        ),
        ({"rows": {"w": (1000, 100)}}, {}, "900 of 1000 embedding rows removed, 50 % of the parameters left out"),
        ({}, {}, "nothing removed, 50 % of the parameters left out"),
    ],
)
def test_summary_says_what_was_really_removed(
    built: Built, outcome: dict[str, Any], asked: dict[str, Any], figure: str
) -> None:
    parameters = PruneParameters.model_validate({**built.plan.nodes["pruned/prune"].parameters, **asked})
    whole = Size(1, 1, 4)
    made = _summary(parameters, Outcome(whole, whole, whole, **outcome), {"params": [10, 5], "macs": [100, 69]})
    assert made["figure"] == figure


def test_prune_by_taylor_loses_less_than_at_random_before_any_fine_tuning(built: Built, tmp_path: Path) -> None:
    """Validation loss of the trained digits network with a quarter of its channels cut, not fine-tuned."""
    spec = NetworkSpec.model_validate(built.plan.nodes["trained/train"].parameters["network"])
    parts = load(Source(None, Path()))
    work = Work(tmp_path, tmp_path, built.places, Silent())
    asked = PruneParameters.model_validate(built.plan.nodes["pruned/prune"].parameters)

    def after(criterion: str, seed: int = 0) -> float:
        net, plan = network.rebuilt(spec, built.places.recipe, built.artifact("trained/train"))
        changed = {
            "criterion": criterion, "network": spec.model_copy(update={"seed": seed}), "blocks": 0.0, "filters": 0.25,
            "min_width": 4, "alignment": 4, "samples": 512,
        }  # fmt: skip
        original = network.original(spec, built.places.recipe)
        prune_round(net, plan, original, parts, asked.model_copy(update=changed), work)
        with torch.no_grad():
            outputs = net.eval()(torch.from_numpy(parts.validation.x))
        return float(cross_entropy(0.0)(outputs, torch.from_numpy(parts.validation.y)))

    at_random = sorted(after("random", seed) for seed in range(9))
    # Better than the median of nine draws, by far more than what another seed of the training would change.
    assert after("taylor") < at_random[4] * 0.8
