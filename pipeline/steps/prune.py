"""One round of structured pruning: layers, blocks, channels, heads and neurons leave the network for good."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from edgewright.errors import EdgewrightError
from pipeline import data, network
from pipeline.pruning.criteria import NEEDS
from pipeline.pruning.evidence import Evidence
from pipeline.pruning.plan import PruningPlan, replay
from pipeline.pruning.recalibrate import recalibrate
from pipeline.pruning.schedule import share_gone
from pipeline.pruning.shrink import Outcome, Wish, shrink
from pipeline.steps.base import DataSpec, Input, NetworkSpec, Step, StepParameters, Work
from pipeline.steps.train import count, loss_function, validation_metric
from pipeline.training import Schedule

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.data.parts import DataParts

BATCH = 128
"""Samples at once where importance is judged, if training does not take fewer (large pictures fill the memory)."""
_NOUNS = {"filters": "channels", "heads": "heads", "neurons": "neurons"}


class DidNotShrink(EdgewrightError):
    """A pruning round after which the network is no smaller."""


class PruneParameters(StepParameters):
    """Shares are of the original network and gone after the last of `rounds`.

    budget: (macs, params or bytes; the share of it that goes). metric: the recipe's, where blocks go by it.
    """

    network: NetworkSpec
    data: DataSpec
    schedule: Schedule
    metric: str | None
    blocks: float
    filters: float
    heads: float
    neurons: float
    budget: tuple[Literal["macs", "params", "bytes"], float] | None
    structures: tuple[str, ...]
    remove: tuple[str, ...] = ()
    widths: dict[str, int] = Field(default_factory=dict)
    vocabulary: bool
    unknown: int | None
    criterion: str
    ranking: str
    layer_importance: str
    min_width: int
    min_heads: int
    skip: tuple[str, ...]
    alignment: int
    samples: int
    recalibrate: bool
    round: int
    rounds: int
    curve: str


class Prune(Step[PruneParameters]):
    """From `model`, leaves a smaller network: weights.safetensors and the whole plan from the original architecture."""

    name: ClassVar[str] = "prune"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy", "safetensors")
    Parameters: ClassVar[type[StepParameters]] = PruneParameters

    def run(self, inputs: Mapping[str, Input], parameters: PruneParameters, work: Work) -> dict[str, Any]:
        import torch

        torch.set_num_threads(parameters.schedule.threads)
        parts = data.load(parameters.data, work.places)
        net, plan = network.rebuilt(parameters.network, work.places.recipe, inputs["model"])
        original = network.original(parameters.network, work.places.recipe)
        example = torch.from_numpy(parts.train.x[:2].copy())
        before, whole = network.measure(net, example[:1]), network.measure(original, example[:1])
        outcome = prune_round(net, plan, original, parts, parameters, work)
        network.forward(net, example, parameters.network)
        after = network.measure(net, example[:1])
        if after.params >= before.params and (outcome.blocks or outcome.units or outcome.rows):
            raise DidNotShrink(
                f"Pruning left {after.params} parameters of {before.params}",
                where="prune",
                remedy="please report this: it is a defect of ours",
            )
        if parameters.recalibrate:
            recalibrate(net, batches_of(parts, parameters.samples, min(BATCH, parameters.schedule.batch)))
        network.keep(net, plan, work.out)
        return _summary(parameters, outcome, {"params": [whole.params, after.params], "macs": [whole.macs, after.macs]})


def prune_round(
    net: nn.Module, plan: PruningPlan, original: nn.Module, parts: DataParts, parameters: PruneParameters, work: Work
) -> Outcome:
    """Makes `net`, which `plan` led to, smaller in place and adds what was done to the plan.

    Importance is judged on the training part. Raises ImpossibleRatio, NotTraceable, MissingEvidence.
    """
    import torch

    def by_now(share: float) -> float:
        return share_gone(share, parameters.round, parameters.rounds, parameters.curve)

    budget = parameters.budget and (parameters.budget[0], by_now(parameters.budget[1]))
    wish = Wish(
        blocks=by_now(parameters.blocks), filters=by_now(parameters.filters), heads=by_now(parameters.heads),
        neurons=by_now(parameters.neurons), budget=budget, remove=parameters.remove,
        widths=parameters.widths, by_now=by_now, structures=parameters.structures,
        criterion=parameters.criterion, ranking=parameters.ranking, layer_importance=parameters.layer_importance,
        min_width=parameters.min_width, min_heads=parameters.min_heads, alignment=parameters.alignment,
        skip=parameters.skip, vocabulary=parameters.vocabulary, unknown=parameters.unknown,
        final=parameters.round == parameters.rounds,
    )  # fmt: skip
    start = None
    if "start" in NEEDS[parameters.criterion]:
        start = copy.deepcopy(original)
        replay(plan, start)
    example = (torch.from_numpy(parts.train.x[:2].copy()),)
    batch = min(BATCH, parameters.schedule.batch)
    everything = list(torch.split(torch.arange(len(parts.train)), batch)) if parameters.vocabulary else None
    outcome = shrink(net, original, example, wish, _evidence(parts, start, parameters, work), everything)
    plan.actions += outcome.actions
    return outcome


def batches_of(parts: DataParts, samples: int, batch: int = BATCH) -> list[tuple[Tensor, ...]]:
    """The first `samples` training inputs in batches of one size, as the network takes them."""
    import torch

    x = torch.from_numpy(parts.train.x[:samples])
    return [(one,) for one in torch.split(x, batch) if len(one) == min(batch, len(x))]


def _evidence(parts: DataParts, start: nn.Module | None, parameters: PruneParameters, work: Work) -> Evidence:
    """Training samples, the recipe's loss on them, and its metric on the validation part."""
    import torch

    x, y = torch.from_numpy(parts.train.x), torch.from_numpy(parts.train.y)
    loss = loss_function(parameters.schedule, work)

    def loss_of(net: nn.Module, rows: Tensor) -> Tensor:
        return loss(net(x[rows]), y[rows])

    def metric_of(net: nn.Module) -> float:
        return validation_metric(net, parts, parameters.metric or "top-1", work.places)

    return Evidence(
        loss_of=loss_of,
        inputs_of=lambda rows: (x[rows],),
        batches=list(torch.split(torch.arange(min(len(x), parameters.samples)), min(BATCH, parameters.schedule.batch))),
        start=start,
        metric_of=metric_of,
        seed=parameters.network.seed,
    )


def _summary(parameters: PruneParameters, outcome: Outcome, sizes: dict[str, list[int]]) -> dict[str, Any]:
    gone = [count(len(outcome.blocks), "block")] if outcome.blocks else []
    for kind, noun in _NOUNS.items():
        widths = [(before, after) for what, before, after in outcome.units.values() if what == kind]
        lost, all_ = sum(before - after for before, after in widths), sum(before for before, _ in widths)
        gone += [f"{lost} of {all_} {noun}"] if lost else []
    if outcome.rows:
        lost, all_ = (
            sum(values) for values in zip(*((was - now, was) for was, now in outcome.rows.values()), strict=True)
        )
        gone.append(f"{lost} of {all_} embedding rows")
    figure = f"{_listed(gone)} removed"
    measure, noun = ("macs", "MACs") if outcome.blocks or outcome.units else ("params", "parameters")
    if measure == "macs":
        by_metric = parameters.layer_importance == "metric" and not outcome.units
        figure = f"{'metric lost' if by_metric else parameters.criterion}, {figure}"
    whole, left = sizes[measure]
    figure = f"{figure}, {1 - left / whole:.0%} of the {noun} left out"
    return {
        **sizes,
        "blocks_removed": outcome.blocks,
        "units": {name: list(found) for name, found in outcome.units.items()},
        "rows": {name: list(found) for name, found in outcome.rows.items()},
        "left_alone": outcome.left_alone,
        "figure": figure.replace("%", " %"),
    }


def _listed(things: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(things[:-1]), things[-1]] if len(things) > 1 else things) or "nothing"
