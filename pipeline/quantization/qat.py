"""Quantisation-aware training: the float weights learn to bear INT8 (Jacob et al. 2018, arXiv 1712.05877)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.progress import Progress
from pipeline.training import Run, TrainResult, train

if TYPE_CHECKING:
    from torch import Tensor, nn

    Judge = Callable[[nn.Module], float]


def in_int8(network: nn.Module, judge: Judge, calibration: Tensor) -> float:
    """What `judge` (the metric of a network in evaluation mode) says of simulated INT8.

    calibration: [M, ...], the samples whose least and largest activations are the ranges.
    """
    from pipeline.quantization.fakequant import fake_quantised

    with fake_quantised(network) as quant:
        quant.observe(calibration)
        return judge(network)


def train_in_int8(run: Run, judge: Judge, calibration: Tensor, scratch: Path, progress: Progress) -> TrainResult:
    """Trains run.network in place in simulated INT8; it ends in float, with the weights whose INT8 `judge` likes best.

    Ranges are taken anew from `calibration` [M, ...] for each judgement, as the quantiser will take them from what is
    exported. Raises what `train` raises; resumes as it does.
    """
    from pipeline.quantization.fakequant import fake_quantised

    with fake_quantised(run.network) as quant:

        def judged(network: nn.Module) -> float:
            quant.observe(calibration)
            return judge(network)

        quant.observe(calibration)  # where there is attention, that is known from the first batch on, resumed or not
        return train(replace(run, judge=judged), scratch, progress)
