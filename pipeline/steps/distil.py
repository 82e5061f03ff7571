"""Trains what was shrunk, a lottery ticket or a student, taught by the unpruned network or by another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from edgewright.files import canonical_json, sha256_bytes, sha256_file
from pipeline import data, network
from pipeline.distillation.lesson import Together, teaching
from pipeline.pruning.plan import PruningPlan
from pipeline.quantization.qat import train_with_few_values
from pipeline.steps.base import DataSpec, Input, NetworkSpec, Step, StepParameters, Work
from pipeline.steps.train import checked_network, count, loss_function, percent, validation_metric
from pipeline.training import Run, Schedule, train

if TYPE_CHECKING:
    from torch import nn

    from models.data.parts import DataParts


class Taught(StepParameters):
    """A network that is trained, and who teaches it.

    teacher: the network that teaches, None where none does. distillation: weight of its logits' loss, 0 is none;
    temperature softens both sides' logits. weight_bits: the weights end with 2^bits - 1 values for each output channel,
    and are trained so; None for as many as there are floats.
    """

    network: NetworkSpec
    schedule: Schedule
    teacher: NetworkSpec | None
    temperature: float
    distillation: float
    weight_bits: int | None = None


class DistilParameters(Taught):
    """transfer: what is matched between the pairs of `stages` (found if none); floor: what the metric must reach in the
    end, None where more rounds follow."""

    data: DataSpec
    metric: str
    floor: float | None
    transfer: Literal["none", "attention", "hint"]
    transfer_weight: float
    stages: tuple[tuple[str, str], ...]


class Distil(Step[DistilParameters]):
    """From `model` (none: a student, untrained) and `teacher`, leaves the network as of its best epoch, and its plan.

    The best epoch is chosen on the validation part. Zeros of the plan are held. Raises FloorOutOfReach, WrongTeacher,
    NothingToRound.
    """

    name: ClassVar[str] = "distil"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy", "safetensors")
    Parameters: ClassVar[type[StepParameters]] = DistilParameters

    def run(self, inputs: Mapping[str, Input], parameters: DistilParameters, work: Work) -> dict[str, Any]:
        import torch

        schedule = parameters.schedule
        torch.set_num_threads(schedule.threads)
        parts = data.load(parameters.data, work.places)
        if "model" in inputs:
            net, plan = network.rebuilt(parameters.network, work.places.recipe, inputs["model"])
        else:
            net, plan = checked_network(parameters.network, parts, work.places)[0], PruningPlan()
        lesson = taught(
            net, parts, inputs, parameters, work,
            transfer=parameters.transfer, transfer_weight=parameters.transfer_weight, stages=parameters.stages,
        )  # fmt: skip
        run = Run(
            net, parts.train, schedule, parameters.network.seed, loss_function(schedule, work), "distil", lesson,
            masks=plan.zeroed, floor=parameters.floor,
            judge=lambda one: validation_metric(one, parts, parameters.metric, work.places),
        )  # fmt: skip
        try:
            if parameters.weight_bits is None:
                result = train(run, work.scratch, work.progress)
            else:
                result = train_with_few_values(run, parameters.weight_bits, work.scratch, work.progress)
        finally:
            if lesson is not None:
                lesson.close()
        network.keep(net, plan, work.out)
        value = validation_metric(net, parts, parameters.metric, work.places)
        epochs = schedule.epochs - schedule.begin
        made = f", the best of {count(epochs, 'epoch')}"
        if result.best_epoch in (None, schedule.epochs):
            made = f", {count(epochs, 'epoch')}"
        if parameters.weight_bits is not None:
            made += f", weights of {parameters.weight_bits} bits"
        return {
            "validation": value,
            "best_epoch": result.best_epoch,
            "weight_bits": parameters.weight_bits,
            "history": [list(epoch) for epoch in result.history],
            "figure": f"{percent(parameters.metric, value)} on validation{made}",
        }


def taught(
    net: nn.Module, parts: DataParts, inputs: Mapping[str, Input], parameters: Taught, work: Work, **transfer: Any
) -> Together | None:
    """What the network learns from its teacher, or None where nobody teaches; transfer: see `teaching`."""
    import torch

    if parameters.teacher is None:
        return None
    teacher, _ = network.rebuilt(parameters.teacher, work.places.teacher or work.places.recipe, inputs["teacher"])
    return teaching(
        net,
        teacher,
        torch.from_numpy(parts.train.x),
        mirrored="flip" in parameters.schedule.augment,
        temperature=parameters.temperature,
        weight=parameters.distillation,
        seed=parameters.network.seed,
        known_as=_known_as(inputs["teacher"], parameters.teacher, parts),
        **transfer,
    )


def _known_as(teacher: Input, spec: NetworkSpec, parts: DataParts) -> str:
    """A name of the teacher's answers: no other teacher's, nor those on other samples."""
    files = [sha256_file(teacher.path(name)) for name in (network.WEIGHTS, network.PLAN)]
    x = parts.train.x
    samples = [x.shape, str(x.dtype), sha256_bytes(x.tobytes())]
    return sha256_bytes(canonical_json({"spec": spec.model_dump(mode="json"), "files": files, "samples": samples}))
