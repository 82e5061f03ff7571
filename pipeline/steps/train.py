"""Trains the network from nothing, or takes the trained weights that the recipe names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline import data, locate, network
from pipeline.metrics import metric
from pipeline.pruning.plan import PruningPlan
from pipeline.steps.base import DataSpec, Input, NetworkSpec, Places, Step, StepParameters, Work
from pipeline.training import Run, Schedule, cross_entropy, train

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from models.data.parts import DataParts


EARLY = "early.safetensors"


class TrainParameters(StepParameters):
    """weights: a .safetensors file beside the recipe, with its digest; then nothing is trained.

    early: the epoch whose weights are kept for lottery tickets.
    """

    network: NetworkSpec
    data: DataSpec
    metric: str
    schedule: Schedule
    early: int | None = None
    weights: str | None = None
    weights_sha256: str | None = None


class Train(Step[TrainParameters]):
    """Leaves weights.safetensors and an empty pruning plan; early.safetensors, where it trains past that epoch."""

    name: ClassVar[str] = "train"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy", "safetensors")
    Parameters: ClassVar[type[StepParameters]] = TrainParameters

    def run(self, inputs: Mapping[str, Input], parameters: TrainParameters, work: Work) -> dict[str, Any]:
        parts = data.load(parameters.data, work.places)
        net, classes = checked_network(parameters.network, parts, work.places)
        if parameters.schedule.loss == "cross-entropy":
            data.check_labels(parts, classes, f"data = {parameters.data.name!r}")
        if parameters.weights is not None:
            network.load_weights(net, work.places.recipe / parameters.weights)
            net.eval()
            made = f"from {parameters.weights}"
        else:
            schedule = parameters.schedule
            early = parameters.early
            kept = {early: work.out / EARLY} if early is not None and early < schedule.epochs else {}
            loss = loss_function(schedule, work)
            run = Run(net, parts.train, schedule, parameters.network.seed, loss, "train", keep_at=kept)
            train(run, work.scratch, work.progress)
            made = count(parameters.schedule.epochs, "epoch")
        network.keep(net, PruningPlan(), work.out)
        value = validation_metric(net, parts, parameters.metric, work.places)
        return {"validation": value, "figure": f"{percent(parameters.metric, value)} on validation, {made}"}


def checked_network(spec: NetworkSpec, parts: DataParts, places: Places) -> tuple[nn.Module, int]:
    """The untrained module, proven to run on two real samples, and its number of outputs."""
    import torch

    net = network.original(spec, places.recipe)
    outputs = network.forward(net, torch.from_numpy(parts.train.x[:2].copy()), spec)
    return net, int(outputs.shape[-1])


def loss_function(schedule: Schedule, work: Work) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy, or the recipe's own function of (outputs, targets)."""
    if schedule.loss == "cross-entropy":
        return cross_entropy(schedule.label_smoothing)
    function: Callable[[Tensor, Tensor], Tensor] = locate.load(schedule.loss, work.places.recipe, "train.loss")
    return function


def validation_metric(net: nn.Module, parts: DataParts, name: str, places: Places) -> float:
    """The recipe's metric on the validation part: choices are made on it, the test part is kept for the end."""
    import torch

    from pipeline.distillation import logits_of

    outputs = logits_of(net, torch.from_numpy(parts.validation.x)).numpy()
    return metric(name, places.recipe)(outputs, parts.validation.y)


def count(number: int, what: str) -> str:
    """`1 epoch`, `3 epochs`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def percent(name: str, value: float) -> str:
    """A metric as people say it: `92.2 % top-1`."""
    return f"{value:.1%}".replace("%", " %") + " top-1" if name == "top-1" else f"{value:.4g} {name.rpartition(':')[2]}"
