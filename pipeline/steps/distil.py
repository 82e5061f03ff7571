"""Fine-tunes a pruned network, taught by the unpruned one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline import data, network
from pipeline.distillation import teacher_of
from pipeline.steps.base import DataSpec, Input, NetworkSpec, Step, StepParameters, Work
from pipeline.steps.train import count, loss_function, percent, validation_metric
from pipeline.training import Run, Schedule, train


class DistilParameters(StepParameters):
    """distillation: weight of the teacher's loss, 0 is plain fine-tuning; temperature softens both sides' logits."""

    network: NetworkSpec
    data: DataSpec
    metric: str
    schedule: Schedule
    temperature: float
    distillation: float


class Distil(Step[DistilParameters]):
    """From `model` (pruned) and `teacher`, leaves the fine-tuned network and its unchanged plan."""

    name: ClassVar[str] = "distil"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy", "safetensors")
    Parameters: ClassVar[type[StepParameters]] = DistilParameters

    def run(self, inputs: Mapping[str, Input], parameters: DistilParameters, work: Work) -> dict[str, Any]:
        import torch

        schedule = parameters.schedule
        torch.set_num_threads(schedule.threads)
        parts = data.load(parameters.data, work.places)
        net, plan = network.rebuilt(parameters.network, work.places.recipe, inputs["model"])
        teacher = None
        if parameters.distillation > 0:
            wise, _ = network.rebuilt(parameters.network, work.places.recipe, inputs["teacher"])
            x = torch.from_numpy(parts.train.x)
            teacher = teacher_of(wise, x, "flip" in schedule.augment, parameters.temperature, parameters.distillation)
        run = Run(net, parts.train, schedule, parameters.network.seed, loss_function(schedule, work), "distil", teacher)
        train(run, work.scratch, work.progress)
        network.keep(net, plan, work.out)
        value = validation_metric(net, parts, parameters.metric, work.places)
        return {
            "validation": value,
            "figure": f"{percent(parameters.metric, value)} on validation, {count(schedule.epochs, 'epoch')}",
        }
