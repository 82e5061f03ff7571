"""One round of structured pruning: residual blocks and channels leave the network for good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from edgewright.errors import EdgewrightError
from pipeline import data, network
from pipeline.pruning.schedule import share_after
from pipeline.pruning.shrink import Evidence, Outcome, Wish, shrink
from pipeline.steps.base import DataSpec, Input, NetworkSpec, Step, StepParameters, Work
from pipeline.steps.train import count, loss_function
from pipeline.training import Schedule

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.data.parts import Part


class DidNotShrink(EdgewrightError):
    """A pruning round after which the network is no smaller."""


class PruneParameters(StepParameters):
    """`blocks` and `filters` are shares of the original network that are gone after the last of `rounds`."""

    network: NetworkSpec
    data: DataSpec
    schedule: Schedule
    blocks: float
    filters: float
    criterion: str
    ranking: str
    min_width: int
    alignment: int
    samples: int
    round: int
    rounds: int


class Prune(Step[PruneParameters]):
    """From `model`, leaves a smaller network: weights.safetensors and the whole plan from the original architecture."""

    name: ClassVar[str] = "prune"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy", "safetensors", "torch-pruning")
    Parameters: ClassVar[type[StepParameters]] = PruneParameters

    def run(self, inputs: Mapping[str, Input], parameters: PruneParameters, work: Work) -> dict[str, Any]:
        import torch

        torch.set_num_threads(parameters.schedule.threads)
        part = data.load(parameters.data, work.places).train.first(parameters.samples)
        net, plan = network.rebuilt(parameters.network, work.places.recipe, inputs["model"])
        original = network.original(parameters.network, work.places.recipe)
        example = torch.from_numpy(part.x[:2].copy())
        before, whole = network.measure(net, example[:1]), network.measure(original, example[:1])
        outcome = prune_round(net, original, part, parameters, work)
        network.forward(net, example, parameters.network)
        after = network.measure(net, example[:1])
        if after.params >= before.params and outcome.actions:
            raise DidNotShrink(
                f"Pruning left {after.params} parameters of {before.params}",
                where="prune",
                remedy="please report this: it is a defect of ours",
            )
        plan.actions += outcome.actions
        network.keep(net, plan, work.out)
        return _summary(parameters, outcome, {"params": [whole.params, after.params], "macs": [whole.macs, after.macs]})


def prune_round(net: nn.Module, original: nn.Module, part: Part, parameters: PruneParameters, work: Work) -> Outcome:
    """Makes `net` smaller in place, judging importance on `part`. Raises ImpossibleRatio."""
    import torch

    share = share_after(parameters.round, parameters.rounds)
    wish = Wish(
        parameters.blocks * share, parameters.filters * share, parameters.criterion, parameters.ranking,
        parameters.min_width, parameters.alignment, parameters.round == parameters.rounds,
    )  # fmt: skip
    example = torch.from_numpy(part.x[:2].copy())
    return shrink(net, original, example, wish, _evidence(net, part, parameters.schedule, work))


def _evidence(net: nn.Module, part: Part, schedule: Schedule, work: Work) -> Evidence:
    """Training samples, and the recipe's loss on them."""
    import torch

    x, y = torch.from_numpy(part.x), torch.from_numpy(part.y)
    loss = loss_function(schedule, work)

    def loss_of(rows: Tensor) -> Tensor:
        return loss(net(x[rows]), y[rows])

    return Evidence(loss_of, list(torch.split(torch.arange(len(x)), 128)))


def _summary(parameters: PruneParameters, outcome: Outcome, sizes: dict[str, list[int]]) -> dict[str, Any]:
    gone = [count(len(outcome.blocks), "block")] if outcome.blocks else []
    if outcome.channels:
        lost = sum(before - after for before, after in outcome.channels.values())
        gone.append(f"{lost} of {sum(before for before, _ in outcome.channels.values())} channels")
    whole, left = sizes["macs"]
    what = " and ".join(gone) or "nothing"
    figure = f"{parameters.criterion}, {what} removed, {1 - left / whole:.0%} of the MACs left out"
    return {
        **sizes,
        "blocks_removed": outcome.blocks,
        "channels": {name: list(widths) for name, widths in outcome.channels.items()},
        "left_alone": outcome.left_alone,
        "figure": figure.replace("%", " %"),
    }
