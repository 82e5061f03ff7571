"""INT8, dynamic range or FP16 from the float TensorFlow Lite file, with ranges from real calibration samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline import data
from pipeline.export.tflite_file import file_size, tensors
from pipeline.export.tflite_names import leanest
from pipeline.quantization.static import NotQuantisable
from pipeline.quantization.tflite import quantise_tflite
from pipeline.steps.base import DataSpec, Input, Step, StepParameters, Work
from pipeline.steps.tflite_export import MODEL, NAMED, described


class TfliteQuantiseParameters(StepParameters):
    """See quantise_tflite."""

    data: DataSpec
    precision: str
    per_channel: bool
    integer_io: bool
    per_tensor_linear: bool


class TfliteQuantise(Step[TfliteQuantiseParameters]):
    """From `model` (a TfliteExport), leaves model.tflite in less than float32, and named.tflite."""

    name: ClassVar[str] = "tflite_quantise"
    extra: ClassVar[str | None] = "tflite"
    libraries: ClassVar[tuple[str, ...]] = ("ai-edge-quantizer", "ai-edge-litert", "flatbuffers", "numpy")
    Parameters: ClassVar[type[StepParameters]] = TfliteQuantiseParameters

    def run(self, inputs: Mapping[str, Input], parameters: TfliteQuantiseParameters, work: Work) -> dict[str, Any]:
        calibration = data.load(parameters.data, work.places).calibration.x
        named = quantise_tflite(
            inputs["model"].path(NAMED).read_bytes(),
            calibration,
            parameters.precision,
            per_channel=parameters.per_channel,
            integer_io=parameters.integer_io,
            per_tensor_linear=parameters.per_tensor_linear,
        )
        shipped = leanest(named)
        if parameters.integer_io and not all(one.get("scale") for side in tensors(shipped) for one in side):
            raise NotQuantisable(
                "Integer inputs and outputs can't be had: of a network with attention only the linear layers are INT8",
                where="quantise",
                remedy="leave int8.integer_io out of the target's runtime (or --integer-io out of the export)",
            )
        (work.out / NAMED).write_bytes(named)
        (work.out / MODEL).write_bytes(shipped)
        parent, written = inputs["model"].summary, file_size(named)
        told = {
            "int8": f"{len(calibration)} calibration samples",
            "dynamic": "INT8 weights",
            "float16": "FP16 weights",
        }
        return {
            **{key: parent[key] for key in ("params", "macs", "shape", "dtype", "outputs")},
            **described(shipped),
            "zeros": written.zeros,
            "weighed": written.weighed,
            "figure": f"{len(shipped) / 1024:.1f} KiB, {told[parameters.precision]}",
        }
