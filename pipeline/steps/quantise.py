"""INT8 from the float export, with ranges from real calibration samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline import data
from pipeline.export.lean import leanest, without_metadata
from pipeline.export.size import download_size, file_size
from pipeline.export.to_onnx import tensors_of
from pipeline.quantization.static import quantise_static
from pipeline.steps.base import DataSpec, Input, Step, StepParameters, Work
from pipeline.steps.export import MODEL, NAMED


class QuantiseParameters(StepParameters):
    """activations: uint8 or int8; per_channel: one scale per output channel; symmetric: activations' zero point 0."""

    data: DataSpec
    activations: str
    per_channel: bool
    symmetric: bool


class Quantise(Step[QuantiseParameters]):
    """From `model` (an export), leaves the INT8 model.onnx and named.onnx."""

    name: ClassVar[str] = "quantise"
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "numpy")
    Parameters: ClassVar[type[StepParameters]] = QuantiseParameters

    def run(self, inputs: Mapping[str, Input], parameters: QuantiseParameters, work: Work) -> dict[str, Any]:
        import onnx

        float_model = onnx.load_from_string(inputs["model"].path(NAMED).read_bytes())
        calibration = data.load(parameters.data, work.places).calibration.x
        made = quantise_static(
            float_model, calibration, parameters.activations, parameters.per_channel, parameters.symmetric
        )
        named = without_metadata(made)
        shipped = leanest(named)
        (work.out / NAMED).write_bytes(named.SerializeToString(deterministic=True))
        (work.out / MODEL).write_bytes(shipped)
        parent = inputs["model"].summary
        inherited = {key: parent[key] for key in ("params", "macs", "shape", "dtype", "outputs", "file")}
        written = file_size(named)
        return {
            **inherited,
            "tensors": tensors_of(named),
            "bytes": len(shipped),
            "download": download_size(shipped),
            "zeros": written.zeros,
            "weighed": written.weighed,
            "figure": f"{len(shipped) / 1024:.1f} KiB, {len(calibration)} calibration samples",
        }
