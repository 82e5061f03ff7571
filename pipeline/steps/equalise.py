"""Evens out the ranges of a network's channels before it is quantised; what it computes in float stays the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline import data, network
from pipeline.pruning.tracer import NotTraceable
from pipeline.quantization.equalise import Equalised, equalise
from pipeline.steps.base import DataSpec, Input, NetworkSpec, Step, StepParameters, Work


class EqualiseParameters(StepParameters):
    """samples: calibration samples that exactness and gain are tried on; threads: fixed, as in training."""

    network: NetworkSpec
    data: DataSpec
    samples: int = 256
    threads: int = 1


class Equalise(Step[EqualiseParameters]):
    """From `model`, leaves the same network with other weights where simulated INT8 gains by it, and its plan.

    A network that can't be traced is left as it is, and so is one that gains too little: the figure says so.
    """

    name: ClassVar[str] = "equalise"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "numpy", "safetensors")
    Parameters: ClassVar[type[StepParameters]] = EqualiseParameters

    def run(self, inputs: Mapping[str, Input], parameters: EqualiseParameters, work: Work) -> dict[str, Any]:
        import torch

        torch.set_num_threads(parameters.threads)
        net, plan = network.rebuilt(parameters.network, work.places.recipe, inputs["model"])
        x = torch.from_numpy(data.load(parameters.data, work.places).calibration.first(parameters.samples).x)
        found, told = None, ""
        try:
            found = equalise(net, x)
        except NotTraceable as error:
            told = f"left as it was: {error.what}"
        network.keep(net, plan, work.out)
        if found is None:
            return {"kept": False, "figure": told}
        return {
            "kept": found.kept,
            "sqnr_before": found.before,
            "sqnr_after": found.after,
            "scaled": found.scaled,
            "left": found.left,
            "figure": _figure(found),
        }


def _figure(found: Equalised) -> str:
    if not found.kept:
        return f"left as it was: {found.before:.1f} dB in INT8, {found.after - found.before:+.1f} dB to be had"
    groups = f"{len(found.scaled)} of {len(found.scaled) + len(found.left)} groups of channels"
    return f"{groups}, in INT8 from {found.before:.1f} to {found.after:.1f} dB"
