"""Static INT8 in QDQ form by onnxruntime's quantiser, with the settings that were found to pay."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.errors import EdgewrightError
from pipeline.export.compare import feeds

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray


class NotQuantisable(EdgewrightError):
    """The quantiser refused the model or its calibration data."""


LINEAR = ["MatMul", "Gemm", "Gather"]
"""What is quantised of a network with attention: linear layers and embeddings.

Quantising the rest too (softmax, norms, products of activations) cost a ViT 4 dB and a text model with a padding mask
30 dB, and took more time than float.
"""


def quantise_static(
    model: onnx.ModelProto,
    calibration: NDArray[Any] | tuple[NDArray[Any], ...],
    activations: str,
    per_channel: bool,
    symmetric: bool,
) -> onnx.ModelProto:
    """INT8 weights, `activations` (uint8 or int8) activations, ranges by min and max over `calibration` [N, ...].

    The model takes a batch of 1; a tuple of arrays calibrates one of several inputs. All operators are quantised, but
    only LINEAR ones where there is attention. Weights are symmetric: zeros stay zero. Raises NotQuantisable.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quiet = logging.getLogger()
    level = quiet.level
    attention = has_attention(model)
    quiet.setLevel(logging.ERROR)  # it advises on the root logger to run what was just run
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ready, made = Path(folder) / "ready.onnx", Path(folder) / "int8.onnx"
            quant_pre_process(model, str(ready))
            # The option MatMulConstBOnly says the same, but does nothing in QDQ form (onnxruntime 1.31).
            products = _products_of_activations(onnx.load(str(ready))) if attention else []
            quantize_static(
                str(ready),
                str(made),
                _Reader(calibration),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8 if activations == "uint8" else QuantType.QInt8,
                weight_type=QuantType.QInt8,
                per_channel=per_channel,
                op_types_to_quantize=LINEAR if attention else None,
                nodes_to_exclude=products,
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


def has_attention(model: onnx.ModelProto) -> bool:
    """True where a softmax leads to a product of two activations, with nothing weighted in between."""
    constants = {tensor.name for tensor in model.graph.initializer}
    attention: set[str] = set()
    for node in model.graph.node:
        weighs = any(name in attention for name in node.input)
        if node.op_type == "MatMul" and weighs and not constants.intersection(node.input):
            return True
        if node.op_type == "Softmax" or (weighs and node.op_type not in ("MatMul", "Gemm", "Conv")):
            attention.update(node.output)
    return False


def _products_of_activations(model: onnx.ModelProto) -> list[str]:
    constants = {tensor.name for tensor in model.graph.initializer}
    return [
        node.name for node in model.graph.node if node.op_type == "MatMul" and not constants.intersection(node.input)
    ]


class _Reader:
    """Hands the calibration samples to the quantiser one by one."""

    def __init__(self, samples: NDArray[Any] | tuple[NDArray[Any], ...]) -> None:
        self._feeds = feeds(samples)

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)

    # onnxruntime's own base class gives these two; inheriting it would import onnxruntime at the top.
    def __iter__(self) -> _Reader:
        return self

    def __next__(self) -> dict[str, Any]:
        if (found := self.get_next()) is None:
            raise StopIteration
        return found
