"""The rewind step: what is left has exactly the values that it had at the start, or after the early epoch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from safetensors.torch import load_file

from pipeline import network
from pipeline.build import Builder
from pipeline.plan import Plan
from pipeline.pruning.plan import Cut
from pipeline.steps.base import NetworkSpec
from pipeline.steps.train import EARLY
from tests.pipeline.conftest import RECIPE

Make = Callable[[str], tuple[Plan, Builder]]
HEAD = RECIPE[: RECIPE.index("[[shrink]]")].replace("epochs = 6", "epochs = 2") + "[[shrink]]\nname = 'ticket'\n"


@pytest.mark.parametrize("to", ["initial", "early", "random"])
def test_rewind_gives_what_is_left_the_weights_it_had(in_folder: Make, to: str) -> None:
    plan, builder = in_folder(HEAD + f"sparsity = 0.75\nrewind = '{to}'\n")
    done = builder.build(plan, ["ticket/retrain"])
    artifacts = {label: done[f"ticket/{label}"].artifact for label in ("sparsify", "rewind", "retrain")}
    trained = done["trained/train"].artifact
    assert trained is not None
    spec = NetworkSpec.model_validate(plan.nodes["trained/train"].parameters["network"])
    nets = {}
    for label, artifact in artifacts.items():
        assert artifact is not None
        nets[label], taken = network.rebuilt(spec, builder.places.recipe, artifact)
    was = network.original(spec, builder.places.recipe).state_dict()
    if to == "early":
        was = load_file(trained.path(EARLY))
        assert not torch.equal(was["head.weight"], load_file(trained.path(network.WEIGHTS))["head.weight"])
    pruned, back = (dict(nets[label].named_parameters()) for label in ("sparsify", "rewind"))
    for name, value in back.items():
        gone = pruned[name] == 0 if name in taken.zeroed else torch.zeros_like(value, dtype=torch.bool)
        assert (value[gone] == 0).all()
        same = torch.equal(value[~gone], was[name][~gone])
        # Fresh norms and biases start where they started before.
        assert same == (to != "random") or value.dim() == 1, name
    for name in taken.zeroed:
        assert (dict(nets["retrain"].named_parameters())[name][pruned[name] == 0] == 0).all()


def test_rewind_of_a_cut_network_takes_the_surviving_channels(in_folder: Make) -> None:
    plan, builder = in_folder(HEAD + "filters = 0.5\nrewind = 'initial'\n")
    artifact = builder.build(plan, ["ticket/rewind"])["ticket/rewind"].artifact
    assert artifact is not None
    spec = NetworkSpec.model_validate(plan.nodes["trained/train"].parameters["network"])
    net, taken = network.rebuilt(spec, builder.places.recipe, artifact)
    original = network.original(spec, builder.places.recipe)
    cuts = {action.tensor: action.kept for action in taken.actions if isinstance(action, Cut)}
    stem = cuts["stem.weight"]
    assert len(stem) == 8
    assert torch.equal(net.state_dict()["stem.weight"], original.state_dict()["stem.weight"][list(stem)])
    assert not net.training
