"""A cell that looks for a winning ticket (Frankle & Carbin 2019, arXiv 1803.03635) and trains its controls."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.network import load_weights
from pipeline.pruning.lottery import reinitialised, rewound
from pipeline.pruning.plan import PruningPlan
from pipeline.pruning.schedule import share_gone
from pipeline.pruning.sparsity import sparsify
from tests.bench.pruning.work.lab import Lab, first

if TYPE_CHECKING:
    from torch import nn


def ticket(lab: Lab, what: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """what: share (of zeros at the end), rounds, epochs (of every training), train, test, seed.

    Test accuracy of: the dense network; the ticket from its early weights (after the first epoch) and from its initial
    ones; the same mask over fresh random weights; a random mask of the same zeros a layer, over the early weights.
    """
    part, test = first(lab.parts.train, what["train"]), first(lab.parts.test, what["test"])
    validation = first(lab.parts.validation, what["validation"])
    seed, full = what["seed"], lab.recipe.train.learning_rate
    schedule = lab.schedule(what["epochs"], full)
    initial = lab.initial(seed)
    with tempfile.TemporaryDirectory(prefix="edgewright-ticket-") as folder:
        kept = Path(folder, "early.safetensors")
        net = copy.deepcopy(initial)
        lab.fine_tune(net, part, schedule, seed, validation, keep_at={1: kept})
        early = copy.deepcopy(initial)
        load_weights(early, kept)
    figures: dict[str, Any] = {"dense": lab.accuracy(net, test)}

    plan = PruningPlan()
    for number in range(1, what["rounds"] + 1):
        plan.actions += sparsify(net, share_gone(what["share"], number, what["rounds"], "geometric"))
        from_initial = copy.deepcopy(net)
        rewound(net, early, plan)
        lab.fine_tune(net, part, schedule, seed, validation, masks=tuple(plan.zeroed))
    names = tuple(plan.zeroed)
    figures["early"] = lab.accuracy(net, test)
    weights = dict(net.named_parameters())
    figures["zeros"] = sum(int((weights[name] == 0).sum()) for name in names) / sum(
        weights[name].numel() for name in names
    )

    rewound(from_initial, initial, plan)
    figures["initial"] = _trained(lab, from_initial, what, names)
    fresh = copy.deepcopy(from_initial)
    rewound(fresh, initial, plan)
    reinitialised(fresh, seed + 1_000)
    figures["fresh"] = _trained(lab, fresh, what, names)
    shuffled = _shuffled(net, early, names, seed)
    figures["random_mask"] = _trained(lab, shuffled, what, names)
    return figures


def _trained(lab: Lab, net: nn.Module, what: Mapping[str, Any], names: tuple[str, ...]) -> float:
    part, test = first(lab.parts.train, what["train"]), first(lab.parts.test, what["test"])
    schedule = lab.schedule(what["epochs"], lab.recipe.train.learning_rate)
    lab.fine_tune(net, part, schedule, what["seed"], first(lab.parts.validation, what["validation"]), masks=names)
    return lab.accuracy(net, test)


def _shuffled(masked: nn.Module, start: nn.Module, names: tuple[str, ...], seed: int) -> nn.Module:
    """`start` with as many zeros in each of the weights as `masked` has there, at random places."""
    import torch

    net, generator = copy.deepcopy(start), torch.Generator().manual_seed(seed)
    ours, theirs = dict(net.named_parameters()), dict(masked.named_parameters())
    with torch.no_grad():
        for name in names:
            zeros = int((theirs[name] == 0).sum())
            places = torch.randperm(ours[name].numel(), generator=generator)[:zeros]
            ours[name].view(-1)[places] = 0
    return net
