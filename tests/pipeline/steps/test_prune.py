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
from pipeline.pruning import criteria
from pipeline.pruning.selection import ImpossibleRatio
from pipeline.pruning.shrink import Evidence, Wish, shrink
from pipeline.steps.base import NetworkSpec, Work
from pipeline.steps.prune import DidNotShrink, Prune, PruneParameters
from pipeline.training import cross_entropy
from tests.pipeline.conftest import RECIPE, Built


def test_prune_tells_what_is_gone_and_the_network_agrees(built: Built) -> None:
    summary = built.artifact("pruned/prune").summary
    assert summary["blocks_removed"] == ["blocks.0"]
    assert summary["left_alone"]["blocks.1"].startswith("it changes the shape")
    assert summary["left_alone"]["head"] == "its channels are the network's outputs"
    before, after = summary["params"]
    assert after < before / 2
    assert summary["macs"][1] < summary["macs"][0] / 2
    net, plan = network.rebuilt(
        NetworkSpec.model_validate(built.plan.nodes["pruned/prune"].parameters["network"]),
        built.places.recipe,
        built.artifact("pruned/prune"),
    )
    assert sum(parameter.numel() for parameter in net.parameters()) == after
    assert [action.module for action in plan.actions if action.kind == "remove"] == ["blocks.0"]
    for was, now in summary["channels"].values():
        assert (was, now) == (16, 8)


def test_distil_keeps_the_plan_and_changes_the_weights(built: Built) -> None:
    pruned, distilled = built.artifact("pruned/prune"), built.artifact("pruned/distil")
    assert pruned.path(network.PLAN).read_bytes() == distilled.path(network.PLAN).read_bytes()
    assert pruned.path(network.WEIGHTS).read_bytes() != distilled.path(network.WEIGHTS).read_bytes()
    assert json.loads(distilled.path(network.PLAN).read_bytes())["schema"] == "edgewright-pruning/1"


def test_prune_in_two_rounds_reaches_what_was_asked(in_folder: Callable[[str], tuple[Plan, Builder]]) -> None:
    plan, builder = in_folder(
        RECIPE.replace("epochs = 6", "epochs = 1") + "rounds = 2\nround_epochs = 0\nmin_width = 4\n"
    )
    done = builder.build(plan, ["pruned/distil 2/2"])
    first, second = (done[f"pruned/prune {n}/2"].artifact for n in (1, 2))
    assert first is not None
    assert second is not None
    # A quarter of 16 is 12, which rounds up to 16 at an alignment of 8: the first round takes the block alone.
    assert (first.summary["blocks_removed"], first.summary["channels"]) == (["blocks.0"], {})
    assert second.summary["blocks_removed"] == []
    assert {tuple(widths) for widths in second.summary["channels"].values()} == {(16, 8)}
    assert second.summary["params"][0] == first.summary["params"][0]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"blocks": 0.1, "filters": 0.0}, "of 1 removable residual blocks is none"),
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


def _after_pruning(built: Built, criterion: str) -> float:
    """Validation loss of the trained digits network, half of its channels cut by `criterion`, not fine-tuned."""
    spec = NetworkSpec.model_validate(built.plan.nodes["trained/train"].parameters["network"])
    net, _ = network.rebuilt(spec, built.places.recipe, built.artifact("trained/train"))
    original = network.original(spec, built.places.recipe)
    parts = load(Source(None, Path()))
    x, y = torch.from_numpy(parts.train.x[:512]), torch.from_numpy(parts.train.y[:512])
    evidence = Evidence(
        lambda rows: cross_entropy(0.0)(net(x[rows]), y[rows]), list(torch.split(torch.arange(512), 128))
    )
    shrink(net, original, x[:2], Wish(0.0, 0.25, criterion, "local", 4, 4), evidence)
    with torch.no_grad():
        outputs = net.eval()(torch.from_numpy(parts.validation.x))
    return float(cross_entropy(0.0)(outputs, torch.from_numpy(parts.validation.y)))


def test_prune_by_taylor_loses_less_than_at_random_before_any_fine_tuning(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator()
    monkeypatch.setitem(
        criteria.CRITERIA, "random", lambda values, gradients: torch.rand(len(values), generator=generator)
    )
    at_random = []
    for seed in range(9):
        generator.manual_seed(seed)
        at_random.append(_after_pruning(built, "random"))
    # Better than the median of nine draws, by far more than what another seed of the training would change.
    assert _after_pruning(built, "taylor") < sorted(at_random)[4] * 0.8
