"""Lottery tickets: a pruned network whose weights go back to what they were before training, and its control."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from pipeline.pruning.plan import PlanMismatch, PruningPlan, replay

if TYPE_CHECKING:
    from torch import Tensor, nn


def rewound(network: nn.Module, original: nn.Module, plan: PruningPlan) -> None:
    """Gives what is left of a pruned `network` the values that it had in `original`, in place.

    network: what `plan` made; its zeros in the plan's zeroed weights stay. original: the whole architecture with the
    weights to go back to: those of its initialisation (Frankle & Carbin 2019, arXiv 1803.03635), of an early epoch
    (Frankle et al. 2019, arXiv 1903.01611), or of another seed, which is the control. It is left as it is. Buffers
    (batch-norm statistics) go back too. Raises PlanMismatch.
    """
    before = copy.deepcopy(original)
    replay(plan, before)
    values, wanted = before.state_dict(), network.state_dict()
    if differs := [
        name
        for name in {**wanted, **values}
        if name not in wanted or name not in values or wanted[name].shape != values[name].shape
    ]:
        raise PlanMismatch(
            f"{differs[0]!r} differs between the pruned network and the original cut by the same plan",
            where="rewinding",
            remedy="give the plan that made the network, and the architecture that it was made for",
        )
    zeros = _zeros(network, plan.zeroed)
    network.load_state_dict(values)
    _put(zeros)


def reinitialised(network: nn.Module, seed: int) -> None:
    """The random ticket: fresh values in the same shapes, the same zeros; in place. Torch's own generator is kept.

    Each module draws by its own reset_parameters(); parameters of a module without one are drawn from a normal
    distribution with the mean and standard deviation that they have now. A zero in a weight of two or more axes stays
    (of a dense one practically none is exactly zero; the padding row of an embedding is, and shall be). The scale
    follows from the pruned width; `rewound` with an original of another seed keeps that of the original's.
    """
    import torch

    zeros = _zeros(network, [name for name, parameter in network.named_parameters() if parameter.dim() > 1])
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for module in reversed([*network.modules()]):  # parts first: a whole that knows better has the last word
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
                continue
            for parameter in module.parameters(recurse=False):
                if parameter.is_floating_point() and parameter.numel() > 1:
                    parameter.normal_(float(parameter.mean()), float(parameter.std()))
    _put(zeros)


def _zeros(network: nn.Module, names: list[str]) -> list[tuple[Tensor, Tensor]]:
    parameters = dict(network.named_parameters(remove_duplicate=False))
    return [(parameters[name], parameters[name].detach() == 0) for name in names]


def _put(zeros: list[tuple[Tensor, Tensor]]) -> None:
    for values, gone in zeros:
        values.detach().masked_fill_(gone, 0)
