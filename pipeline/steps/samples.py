"""The evaluation set that travels with a bundle, so that the metric is taken on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline import data
from pipeline.steps.base import DataSpec, Input, Step, StepParameters, Work

FILE = "evaluation.npz"


class SamplesParameters(StepParameters):
    data: DataSpec


class Samples(Step[SamplesParameters]):
    """Leaves evaluation.npz: x float32 [N, ...] and y, the test part whole."""

    name: ClassVar[str] = "samples"
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)
    Parameters: ClassVar[type[StepParameters]] = SamplesParameters

    def run(self, inputs: Mapping[str, Input], parameters: SamplesParameters, work: Work) -> dict[str, Any]:
        import numpy as np

        part = data.load(parameters.data, work.places).test
        # Deflated: pictures of 256 grey values shrink to a fifth, and numpy on the device undoes it by itself.
        np.savez_compressed(work.out / FILE, x=part.x, y=part.y)
        return {"samples": len(part), "figure": f"{len(part)} test samples"}
