"""Writes a model in onnxruntime's own format, and proves that it is still the same model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from edgewright.errors import EdgewrightError
from pipeline import data
from pipeline.export.drift import worst_difference
from pipeline.export.size import download_size
from pipeline.export.to_ort import to_ort
from pipeline.steps.base import DataSpec, Input, Step, StepParameters, Work
from pipeline.steps.export import MODEL, NAMED

FILE = "model.ort"
SAMPLES = 16
TOLERANCE = 1e-4
"""Of the outputs' spread: onnxruntime lays a float .onnx out for the chip as it loads it, an .ort it takes as it is.

EfficientNet-Lite0 moved by 6e-6; INT8 nets gave the same to the bit."""


class OrtDisagrees(EdgewrightError):
    """The .ort file gives other outputs than the .onnx that it was made from."""


class OrtParameters(StepParameters):
    """data: whose calibration samples both files are run on."""

    data: DataSpec


class Ort(Step[OrtParameters]):
    """From `model` (an export or its INT8), leaves model.ort, and named.onnx for the check. Raises OrtDisagrees."""

    name: ClassVar[str] = "ort"
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "flatbuffers", "numpy")
    Parameters: ClassVar[type[StepParameters]] = OrtParameters

    def run(self, inputs: Mapping[str, Input], parameters: OrtParameters, work: Work) -> dict[str, Any]:
        from pipeline.export.compare import run_file

        model = inputs["model"].path(MODEL).read_bytes()
        made = to_ort(model)
        x = data.load(parameters.data, work.places).calibration.first(SAMPLES).x
        difference = worst_difference(run_file(model, x), run_file(made, x))
        if not difference <= TOLERANCE:
            raise OrtDisagrees(
                f"The .ort file departs from its .onnx by {difference:.2g} of the outputs' spread",
                where="ort",
                remedy='ship the .onnx itself: format = "onnx" in the target',
            )
        (work.out / FILE).write_bytes(made)
        (work.out / NAMED).write_bytes(inputs["model"].path(NAMED).read_bytes())
        inherited = {key: value for key, value in inputs["model"].summary.items() if key != "figure"}
        return {
            **inherited,
            "file": FILE,
            "bytes": len(made),
            "download": download_size(made),
            "figure": f"{len(made) / 1024:.1f} KiB",
        }
