"""Quantisation-aware training: the float weights learn to bear INT8 (Jacob et al. 2018, arXiv 1712.05877)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.errors import EdgewrightError
from edgewright.progress import Progress
from pipeline.training import Run, TrainResult, train

if TYPE_CHECKING:
    from torch import Tensor, nn

    Judge = Callable[[nn.Module], float]


class NothingToRound(EdgewrightError):
    """Weights of few values are asked of a network that has none which could be."""


def in_int8(network: nn.Module, judge: Judge, calibration: Tensor, weight_bits: int | None = None) -> float:
    """What `judge` (the metric of a network in evaluation mode) says of simulated INT8.

    calibration: [M, ...], the samples whose least and largest activations are the ranges. weight_bits: see FakeQuant.
    """
    from pipeline.quantization.fakequant import fake_quantised

    with fake_quantised(network, weight_bits) as quant:
        quant.observe(calibration)
        return judge(network)


def train_in_int8(
    run: Run, judge: Judge, calibration: Tensor, scratch: Path, progress: Progress, weight_bits: int | None = None
) -> TrainResult:
    """Trains run.network in place in simulated INT8; it ends in float, with the weights whose INT8 `judge` likes best.
    Those are of `weight_bits` then, where that is given (see FakeQuant).

    Ranges are taken anew from `calibration` [M, ...] for each judgement, as the quantiser will take them from what is
    exported. Raises what `train` raises; resumes as it does.
    """
    from pipeline.quantization.fakequant import fake_quantised

    with fake_quantised(run.network, weight_bits) as quant:

        def judged(network: nn.Module) -> float:
            quant.observe(calibration)
            return judge(network)

        quant.observe(calibration)  # where there is attention, that is known from the first batch on, resumed or not
        result = train(replace(run, judge=judged), scratch, progress)
        if weight_bits is not None:
            quant.settle(calibration[:1])
        return result


def train_with_few_values(run: Run, bits: int, scratch: Path, progress: Progress) -> TrainResult:
    """Trains run.network in place with its weights alone rounded, to `bits`, and leaves them so.

    Raises NothingToRound, and what `train` raises.
    """
    import torch

    from pipeline.quantization.fakequant import fake_quantised

    x = torch.from_numpy(run.part.x[:1])
    with fake_quantised(run.network, bits, activations=False) as quant:
        if not quant.weights_of_few_values(x):
            raise NothingToRound(
                "None of the network's weights can be of few values: no layer multiplies by a parameter as it is",
                where=run.what,
                remedy="leave weight_bits out of the [[shrink]] table",
            )
        result = train(run, scratch, progress)
        quant.settle(x)
    return result
