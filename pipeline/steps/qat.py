"""Makes a network ready for INT8 by training it in simulated INT8, where rounding it as it is loses too much."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline import data, network
from pipeline.quantization.qat import in_int8, train_in_int8
from pipeline.steps.base import DataSpec, Input, Step, StepParameters, Work
from pipeline.steps.distil import Taught, taught
from pipeline.steps.train import count, loss_function, percent, validation_metric
from pipeline.training import Run, TrainingFailed

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.data.parts import DataParts
    from pipeline.pruning.plan import PruningPlan
    from pipeline.training import TrainResult


class QatParameters(Taught):
    """schedule: of the training, whose learning rate should be low; samples: calibration samples for the ranges.

    metric_drop: what INT8 may lose of the metric on validation without any training. teacher, temperature,
    distillation, weight_bits: as the distil step has them.
    """

    data: DataSpec
    metric: str
    samples: int
    metric_drop: float


class Qat(Step[QatParameters]):
    """From `model` and `teacher`, leaves the network, in float, whose INT8 does better, and its plan.

    Zeros are held, the plan's and those of few values. The epoch is chosen on validation by the metric in simulated
    INT8; where no training is needed, or it fails, or none of its epochs is better, the weights are left as they are.
    Raises WrongTeacher.
    """

    name: ClassVar[str] = "qat"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy", "safetensors")
    Parameters: ClassVar[type[StepParameters]] = QatParameters

    def run(self, inputs: Mapping[str, Input], parameters: QatParameters, work: Work) -> dict[str, Any]:
        import torch

        torch.set_num_threads(parameters.schedule.threads)
        parts = data.load(parameters.data, work.places)
        net, plan = network.rebuilt(parameters.network, work.places.recipe, inputs["model"])
        calibration = torch.from_numpy(parts.calibration.first(parameters.samples).x)

        def judge(one: nn.Module) -> float:
            return validation_metric(one, parts, parameters.metric, work.places)

        value = judge(net)
        before = after = in_int8(net, judge, calibration, parameters.weight_bits)
        result: TrainResult | None = None
        failed = ""
        if not value - before <= parameters.metric_drop:
            try:
                result = _trained(net, plan, parts, calibration, inputs, parameters, work)
            except TrainingFailed as error:  # there is a network without it
                failed = error.what
            if result and result.best is not None and (result.best > before or math.isnan(before)):
                after = result.best
                value = judge(net)
            else:
                net, _ = network.rebuilt(parameters.network, work.places.recipe, inputs["model"])
        network.keep(net, plan, work.out)
        return {
            "validation": value,
            "int8_before": before,
            "int8_after": after,
            "best_epoch": result.best_epoch if result else None,
            "weight_bits": parameters.weight_bits,
            "history": [list(epoch) for epoch in result.history] if result else [],
            "figure": _figure((value, before, after), result, failed, parameters),
        }


def _trained(
    net: nn.Module,
    plan: PruningPlan,
    parts: DataParts,
    calibration: Tensor,
    inputs: Mapping[str, Input],
    parameters: QatParameters,
    work: Work,
) -> TrainResult:
    schedule, lesson = parameters.schedule, taught(net, parts, inputs, parameters, work)
    run = Run(
        net, parts.train, schedule, parameters.network.seed, loss_function(schedule, work), "qat", lesson,
        masks=plan.zeroed,
    )  # fmt: skip
    try:
        return train_in_int8(
            run,
            lambda one: validation_metric(one, parts, parameters.metric, work.places),
            calibration,
            work.scratch,
            work.progress,
            parameters.weight_bits,
        )
    finally:
        if lesson is not None:
            lesson.close()


def _figure(
    judged: tuple[float, float, float], result: TrainResult | None, failed: str, parameters: QatParameters
) -> str:
    """judged: the metric on validation in float, in INT8 before and in INT8 now; failed: why there is no result."""
    value, before, after = judged
    if failed:
        return f"left as it was: {percent(parameters.metric, before)} in INT8 on validation; {failed}"
    epochs = count(parameters.schedule.epochs - parameters.schedule.begin, "epoch")
    if result is None:
        lost = max(value - before, 0.0)
        told = f"{100 * lost:.1f} points" if parameters.metric == "top-1" else f"{lost:.4g}"
        return f"not needed: INT8 loses {told}"
    was = percent(parameters.metric, before)
    if after == before:
        return f"left as it was: {was} in INT8 on validation, {epochs} gained nothing"
    return f"in INT8 from {was} to {percent(parameters.metric, after)} on validation, {epochs}"
