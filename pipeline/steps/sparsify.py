"""One round of zeros: the least important weights become zero and stay so; the network keeps its shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pipeline import data, network
from pipeline.pruning.plan import Zeros
from pipeline.pruning.recalibrate import recalibrate
from pipeline.pruning.schedule import share_gone
from pipeline.pruning.sparsity import sparsify, unfit
from pipeline.steps.base import DataSpec, Input, NetworkSpec, Step, StepParameters, Work
from pipeline.steps.prune import batches_of
from pipeline.training import Schedule

if TYPE_CHECKING:
    from torch import nn


class SparsifyParameters(StepParameters):
    """sparsity: share of the weights that are zero after the last of `rounds`."""

    network: NetworkSpec
    data: DataSpec
    schedule: Schedule
    sparsity: float
    pattern: Literal["unstructured", "2:4"]
    scope: Literal["local", "global"]
    samples: int
    recalibrate: bool
    round: int
    rounds: int
    curve: str


class Sparsify(Step[SparsifyParameters]):
    """From `model`, leaves the same network with zeros: weights.safetensors and the plan, which holds them."""

    name: ClassVar[str] = "sparsify"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy", "safetensors")
    Parameters: ClassVar[type[StepParameters]] = SparsifyParameters

    def run(self, inputs: Mapping[str, Input], parameters: SparsifyParameters, work: Work) -> dict[str, Any]:
        import torch

        torch.set_num_threads(parameters.schedule.threads)
        net, plan = network.rebuilt(parameters.network, work.places.recipe, inputs["model"])
        made = sparsify_round(net, parameters)
        left_alone = unfit(net) if parameters.pattern == "2:4" else {}
        # One entry a tensor: a later round's count stands for the earlier ones.
        plan.actions = [action for action in plan.actions if not isinstance(action, Zeros)] + list(made)
        if parameters.recalibrate:
            recalibrate(net, batches_of(data.load(parameters.data, work.places), parameters.samples))
        network.keep(net, plan, work.out)
        zeros, of = sum(one.zeros for one in made), sum(one.of for one in made)
        what = "2:4" if parameters.pattern == "2:4" else f"by magnitude, {parameters.scope}"
        figure = f"{what}, {zeros} of {of} weights are zero ({zeros / max(of, 1):.0%}), the shape stays"
        return {
            "zeros": zeros, "of": of, "pattern": parameters.pattern, "left_alone": left_alone,
            "figure": figure.replace("%", " %"),
        }  # fmt: skip


def sparsify_round(net: nn.Module, parameters: SparsifyParameters) -> list[Zeros]:
    """Sets weights of `net` to zero in place, as many as are wanted after this round."""
    share = share_gone(parameters.sparsity, parameters.round, parameters.rounds, parameters.curve)
    return list(sparsify(net, share, parameters.pattern, parameters.scope))
