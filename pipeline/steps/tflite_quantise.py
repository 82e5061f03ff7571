"""INT8, dynamic range or FP16 from the float TensorFlow Lite file; INT8 with ranges chosen by measured error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline.export.tflite_file import file_size, tensors
from pipeline.export.tflite_names import leanest
from pipeline.quantization.refusal import NotQuantisable
from pipeline.quantization.tflite import TfliteForm, quantise_tflite
from pipeline.steps.base import Input, Step, StepParameters, Work
from pipeline.steps.quantise import CalibrationParameters, calibrated, told
from pipeline.steps.tflite_export import MODEL, NAMED, described

SPOKEN = {"dynamic": "INT8 weights", "float16": "FP16 weights"}


class TfliteQuantiseParameters(CalibrationParameters):
    """See quantise_tflite; what is about calibration matters to "int8" alone."""

    precision: str
    per_channel: bool
    integer_io: bool
    per_tensor_linear: bool


class TfliteQuantise(Step[TfliteQuantiseParameters]):
    """From `model` (a TfliteExport), leaves model.tflite in less than float32 and named.tflite.

    Of INT8 also quantisation.json: how it came to be.
    """

    name: ClassVar[str] = "tflite_quantise"
    extra: ClassVar[str | None] = "tflite"
    libraries: ClassVar[tuple[str, ...]] = ("ai-edge-quantizer", "ai-edge-litert", "flatbuffers", "numpy")
    Parameters: ClassVar[type[StepParameters]] = TfliteQuantiseParameters

    def run(self, inputs: Mapping[str, Input], parameters: TfliteQuantiseParameters, work: Work) -> dict[str, Any]:
        float_model = inputs["model"].path(NAMED).read_bytes()
        report: dict[str, Any] = {}
        if parameters.precision == "int8":
            form = TfliteForm(float_model, per_channel=parameters.per_channel, integer_io=parameters.integer_io)
            made = calibrated(form, parameters, work)
            named, report = made.model, {"quantisation": made.report}
        else:
            named = quantise_tflite(
                float_model,
                None,
                parameters.precision,
                per_channel=parameters.per_channel,
                per_tensor_linear=parameters.per_tensor_linear,
            )
        shipped = leanest(named)
        if parameters.integer_io and not all(one.get("scale") for side in tensors(shipped) for one in side):
            raise NotQuantisable(
                "Integer inputs and outputs can't be had: the first or the last layer stays float",
                where="quantise",
                remedy="leave int8.integer_io out of the target's runtime (or --integer-io out of the export)",
            )
        (work.out / NAMED).write_bytes(named)
        (work.out / MODEL).write_bytes(shipped)
        parent, written = inputs["model"].summary, file_size(named)
        said = told(report["quantisation"]) if report else SPOKEN[parameters.precision]
        return {
            **{key: parent[key] for key in ("params", "macs", "shape", "dtype", "outputs")},
            **described(shipped),
            "zeros": written.zeros,
            "weighed": written.weighed,
            **report,
            "figure": f"{len(shipped) / 1024:.1f} KiB, {said}",
        }
