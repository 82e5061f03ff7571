"""An ONNX file in less than float32 without calibration: dynamic INT8, or FP16 storage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pipeline import data
from pipeline.export.lean import leanest, without_metadata
from pipeline.export.size import download_size
from pipeline.export.to_onnx import tensors_of
from pipeline.quantization.dynamic import quantise_dynamic
from pipeline.quantization.float16 import store_float16
from pipeline.quantization.refusal import NotQuantisable
from pipeline.steps.base import DataSpec, Input, Step, StepParameters, Work
from pipeline.steps.export import MODEL, NAMED

if TYPE_CHECKING:
    import onnx

SAID = {"dynamic": "INT8 weights", "float16": "FP16 weights"}


class ReduceParameters(StepParameters):
    """per_channel: of dynamic INT8, a scale per output channel."""

    data: DataSpec
    precision: Literal["dynamic", "float16"]
    per_channel: bool = True


class Reduce(Step[ReduceParameters]):
    """From `model` (an export), leaves model.onnx and named.onnx, which onnxruntime has loaded and run once.

    Raises NotQuantisable.
    """

    name: ClassVar[str] = "reduce"
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "numpy")
    Parameters: ClassVar[type[StepParameters]] = ReduceParameters

    def run(self, inputs: Mapping[str, Input], parameters: ReduceParameters, work: Work) -> dict[str, Any]:
        import onnx

        float_model = onnx.load_from_string(inputs["model"].path(NAMED).read_bytes())
        if parameters.precision == "dynamic":
            made = quantise_dynamic(float_model, parameters.per_channel)
        else:
            made = store_float16(float_model)
        named = without_metadata(made)
        shipped = leanest(named)
        _runs(shipped, data.load(parameters.data, work.places).calibration.x[:1], parameters.precision)
        (work.out / NAMED).write_bytes(named.SerializeToString(deterministic=True))
        (work.out / MODEL).write_bytes(shipped)
        parent = inputs["model"].summary
        zeros, weighed = _counted(named)
        return {
            **{key: parent[key] for key in ("params", "macs", "shape", "dtype", "outputs", "file")},
            "tensors": tensors_of(named),
            "bytes": len(shipped),
            "download": download_size(shipped),
            "zeros": zeros,
            "weighed": weighed,
            "figure": f"{len(shipped) / 1024:.1f} KiB, {SAID[parameters.precision]}",
        }


def _runs(shipped: bytes, x: Any, precision: str) -> None:
    """Proves that onnxruntime takes the file and gives numbers."""
    import numpy as np

    from pipeline.export.compare import run_file

    try:
        finite = bool(np.isfinite(run_file(shipped, x)).all())
    except Exception as error:  # onnxruntime raises many kinds
        raise NotQuantisable(
            f"onnxruntime can't run the file: {type(error).__name__}: {str(error).partition(chr(10))[0]}",
            where="quantise",
            remedy=f'leave "{precision}" out of the target\'s precisions for this model',
        ) from error
    if not finite:
        raise NotQuantisable(
            "The file's answer to the first calibration sample is no number",
            where="quantise",
            remedy=f'leave "{precision}" out of the target\'s precisions for this model',
        )


def _counted(model: onnx.ModelProto) -> tuple[int, int]:
    """(exact zeros, numbers) in all matrices and kernels of the file, in whatever type they are stored; scales don't
    count, and INT8 weights are symmetric here: 0 stands for zero."""
    import numpy as np
    from onnx import TensorProto, numpy_helper

    kinds = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT8)
    values = [
        numpy_helper.to_array(one) for one in model.graph.initializer if len(one.dims) > 1 and one.data_type in kinds
    ]
    return sum(int(np.count_nonzero(one == 0)) for one in values), sum(one.size for one in values)
