"""Lottery tickets: what pruning left goes back to the weights that it had, or as the control to fresh random ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline import network
from pipeline.pruning.lottery import reinitialised, rewound
from pipeline.steps.base import Input, NetworkSpec, Step, StepParameters, Work
from pipeline.steps.train import EARLY

SAID = {
    "initial": "the initial weights",
    "early": "the early checkpoint",
    "random": "fresh random weights (the control)",
}


class RewindParameters(StepParameters):
    """to: initial, early or random. seed: of the random ones."""

    network: NetworkSpec
    to: str
    seed: int


class Rewind(Step[RewindParameters]):
    """From `model` (pruned), and for `early` the training in `start`, leaves the ticket: the same plan, other weights.

    Frankle & Carbin 2019 (arXiv 1803.03635); early: Frankle et al. 2019 (arXiv 1903.01611).
    """

    name: ClassVar[str] = "rewind"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "safetensors")
    Parameters: ClassVar[type[StepParameters]] = RewindParameters

    def run(self, inputs: Mapping[str, Input], parameters: RewindParameters, work: Work) -> dict[str, Any]:
        net, plan = network.rebuilt(parameters.network, work.places.recipe, inputs["model"])
        if parameters.to == "random":
            reinitialised(net, parameters.seed + 1)  # the factory's own draw took the seed
        else:
            start = network.original(parameters.network, work.places.recipe)
            if parameters.to == "early":
                network.load_weights(start, inputs["start"].path(EARLY))
            rewound(net, start, plan)
        network.keep(net, plan, work.out)
        return {"to": parameters.to, "figure": f"back to {SAID[parameters.to]}"}
