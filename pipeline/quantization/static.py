"""Static INT8 in QDQ form by onnxruntime's quantiser, with the settings that were found to pay."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.errors import EdgewrightError
from pipeline.export.to_onnx import INPUT

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray


class NotQuantisable(EdgewrightError):
    """The quantiser refused the model or its calibration data."""


def quantise_static(
    model: onnx.ModelProto, calibration: NDArray[np.float32], activations: str, per_channel: bool, symmetric: bool
) -> onnx.ModelProto:
    """INT8 weights, `activations` (uint8 or int8) activations, ranges by min and max over `calibration` [N, ...].

    The model takes a batch of 1. Raises NotQuantisable.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quiet = logging.getLogger()
    level = quiet.level
    quiet.setLevel(logging.ERROR)  # it advises on the root logger to run what was just run
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ready, made = Path(folder) / "ready.onnx", Path(folder) / "int8.onnx"
            quant_pre_process(model, str(ready))
            quantize_static(
                str(ready),
                str(made),
                _Reader(calibration),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8 if activations == "uint8" else QuantType.QInt8,
                weight_type=QuantType.QInt8,
                per_channel=per_channel,
                calibrate_method=CalibrationMethod.MinMax,
                extra_options={"ActivationSymmetric": symmetric},
            )
            return onnx.load(str(made))
    except EdgewrightError:
        raise
    except Exception as error:  # the quantiser raises many kinds
        raise NotQuantisable(
            f"onnxruntime's quantiser refused the model: {type(error).__name__}: {str(error).partition(chr(10))[0]}",
            where="quantise",
            remedy='leave "int8" out of the target\'s precisions for this model',
        ) from error
    finally:
        quiet.setLevel(level)


class _Reader:
    """Hands the calibration samples to the quantiser one by one."""

    def __init__(self, samples: NDArray[np.float32]) -> None:
        self._samples = iter(samples)

    def get_next(self) -> dict[str, Any] | None:
        sample = next(self._samples, None)
        return None if sample is None else {INPUT: sample[None]}

    # onnxruntime's own base class gives these two; inheriting it would import onnxruntime at the top.
    def __iter__(self) -> _Reader:
        return self

    def __next__(self) -> dict[str, Any]:
        if (found := self.get_next()) is None:
            raise StopIteration
        return found
