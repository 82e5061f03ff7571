"""INT8 from the float export, with ranges from real calibration samples chosen by measured error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from edgewright.files import pretty_json
from pipeline import data
from pipeline.export.lean import leanest, without_metadata
from pipeline.export.size import download_size, file_size
from pipeline.export.to_onnx import tensors_of
from pipeline.metrics import metric
from pipeline.quantization.calibrated import Quantised, Settings, quantised
from pipeline.quantization.refusal import OutOfBounds
from pipeline.quantization.static import OnnxForm
from pipeline.steps.base import DataSpec, Input, Step, StepParameters, Work
from pipeline.steps.checking import CheckFailed
from pipeline.steps.export import MODEL, NAMED

if TYPE_CHECKING:
    from pipeline.quantization.form import Form, Model

REPORT = "quantisation.json"


class CalibrationParameters(StepParameters):
    """What every format's static INT8 is told: see pipeline.quantization.calibrated.Settings.

    samples: how many of the calibration part are used; metric, metric_drop, agreement: the recipe's, for mixed.
    """

    data: DataSpec
    calibration: str = "auto"
    samples: int = 512
    bias_correction: bool = True
    mixed: bool = True
    metric: str = "top-1"
    metric_drop: float = 0.02
    agreement: float = 0.95


class QuantiseParameters(CalibrationParameters):
    """activations: uint8 or int8; per_channel: one scale per output channel; symmetric: activations' zero point 0."""

    activations: str
    per_channel: bool
    symmetric: bool


class Quantise(Step[QuantiseParameters]):
    """From `model` (an export), leaves the INT8 model.onnx and named.onnx, and quantisation.json: how it came to be."""

    name: ClassVar[str] = "quantise"
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "numpy")
    Parameters: ClassVar[type[StepParameters]] = QuantiseParameters

    def run(self, inputs: Mapping[str, Input], parameters: QuantiseParameters, work: Work) -> dict[str, Any]:
        import onnx

        float_model = onnx.load_from_string(inputs["model"].path(NAMED).read_bytes())
        form = OnnxForm(float_model, parameters.activations, parameters.per_channel, parameters.symmetric)
        made = calibrated(form, parameters, work)
        named = without_metadata(made.model)
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
            "quantisation": made.report,
            "figure": f"{len(shipped) / 1024:.1f} KiB, {told(made.report)}",
        }


def calibrated(form: Form[Model], parameters: CalibrationParameters, work: Work) -> Quantised[Model]:
    """INT8 of `form`'s file as `parameters` ask, with its report written.

    Raises NotQuantisable, BadCalibration; CheckFailed where the recipe's bounds can't be held.
    """
    part = data.load(parameters.data, work.places).calibration.first(parameters.samples)
    settings = Settings(
        parameters.calibration,
        parameters.bias_correction,
        parameters.mixed,
        parameters.metric_drop,
        parameters.agreement if parameters.metric == "top-1" else None,
    )
    try:
        made = quantised(form, part.x, part.y, settings, metric(parameters.metric, work.places.recipe))
    except OutOfBounds as error:  # what the check would find; no trouble of the runtime's
        raise CheckFailed(error.what, where=error.where, remedy=error.remedy) from error
    (work.out / REPORT).write_bytes(pretty_json(made.report))
    return made


def told(report: Mapping[str, Any]) -> str:
    """The report in a few words: what is out of the ordinary is named."""
    floats = sum(layer["float"] for layer in report["layers"])
    return ", ".join(
        [
            f"{report['samples']} calibration samples",
            *([report["method"]] if report["method"] != "minmax" else []),
            *([f"{floats} of {len(report['layers'])} layers left in float"] if floats else []),
        ]
    )
