"""The sparsify step: as many zeros as asked, held through the training after it, and the shape untouched."""

from __future__ import annotations

from collections.abc import Callable

import torch

from pipeline import network
from pipeline.build import Builder
from pipeline.plan import Plan
from pipeline.pruning.plan import Zeros
from pipeline.steps.base import NetworkSpec
from pipeline.store import Artifact
from tests.pipeline.conftest import RECIPE

Make = Callable[[str], tuple[Plan, Builder]]
HEAD = RECIPE[: RECIPE.index("[[shrink]]")].replace("epochs = 6", "epochs = 1") + "[[shrink]]\nname = 'sparse'\n"


def _zeros(plan: Plan, builder: Builder, artifact: Artifact) -> tuple[list[Zeros], dict[str, int]]:
    """What the plan says is zero, and how many exact zeros each of those weights has."""
    spec = NetworkSpec.model_validate(plan.nodes["trained/train"].parameters["network"])
    net, taken = network.rebuilt(spec, builder.places.recipe, artifact)
    told = [action for action in taken.actions if isinstance(action, Zeros)]
    weights = dict(net.named_parameters())
    return told, {one.tensor: int((weights[one.tensor] == 0).sum()) for one in told}


def test_sparsify_in_rounds_reaches_the_share_and_training_holds_it(in_folder: Make) -> None:
    plan, builder = in_folder(HEAD + "sparsity = 0.8\nrounds = 2\nepochs = 2\n")
    done = builder.build(plan, ["sparse/distil 2/2"])
    shares = []
    for label in ("sparsify 1/2", "distil 1/2", "sparsify 2/2", "distil 2/2"):
        artifact = done[f"sparse/{label}"].artifact
        assert artifact is not None
        told, found = _zeros(plan, builder, artifact)
        assert [one.tensor for one in told] == list(dict.fromkeys(one.tensor for one in told))
        for one in told:
            assert found[one.tensor] >= one.zeros
        shares.append(sum(one.zeros for one in told) / sum(one.of for one in told))
    assert [round(share, 3) for share in shares] == [0.4, 0.4, 0.8, 0.8]
    pruned, tuned = (done[f"sparse/{label}"].artifact for label in ("sparsify 2/2", "distil 2/2"))
    assert pruned is not None and tuned is not None
    assert pruned.path(network.PLAN).read_bytes() == tuned.path(network.PLAN).read_bytes()
    assert pruned.path(network.WEIGHTS).read_bytes() != tuned.path(network.WEIGHTS).read_bytes()
    assert pruned.summary["figure"].startswith("by magnitude, global, ")
    assert "(80 %), the shape stays" in pruned.summary["figure"]


def test_sparsify_after_pruning_counts_what_is_left(in_folder: Make) -> None:
    plan, builder = in_folder(HEAD + "filters = 0.5\nsparsity = 0.5\nscope = 'local'\nround_epochs = 0\n")
    done = builder.build(plan, ["sparse/sparsify 2/2"])
    artifact = done["sparse/sparsify 2/2"].artifact
    assert artifact is not None
    told, found = _zeros(plan, builder, artifact)
    for one in told:
        assert abs(found[one.tensor] - one.of / 2) <= 1
    assert max(one.of for one in told) == 8 * 8 * 9  # of 16 x 16 x 9 before


def test_recalibrate_changes_the_statistics_alone(in_folder: Make) -> None:
    recipe = HEAD + "sparsity = 0.8\n[[shrink]]\nname = 'plain'\nsparsity = 0.8\nrecalibrate = false\n"
    plan, builder = in_folder(recipe)
    done = builder.build(plan, ["sparse/sparsify", "plain/sparsify"])
    spec = NetworkSpec.model_validate(plan.nodes["trained/train"].parameters["network"])
    states = []
    for name in ("sparse", "plain"):
        artifact = done[f"{name}/sparsify"].artifact
        assert artifact is not None
        states.append(network.rebuilt(spec, builder.places.recipe, artifact)[0].state_dict())
    differs = {name for name in states[0] if not torch.equal(states[0][name], states[1][name])}
    assert {name.rpartition(".")[2] for name in differs} >= {"running_mean", "running_var"}
    assert {name.rpartition(".")[2] for name in differs} <= {"running_mean", "running_var", "num_batches_tracked"}
