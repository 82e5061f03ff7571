"""Dynamic INT8 of ONNX files: INT8 weights of linear layers and embeddings, activations quantised as they come."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.quantization.refusal import AlreadyQuantised, NotQuantisable

if TYPE_CHECKING:
    import onnx

KINDS = ["MatMul", "Gemm", "Gather"]
"""Convolutions stay float: as ConvInteger with INT8 weights onnxruntime 1.19 refuses to load them."""


def quantise_dynamic(model: onnx.ModelProto, per_channel: bool) -> onnx.ModelProto:
    """A float model with its linear layers and embeddings in INT8; names stay. No calibration is needed.

    per_channel: a scale per output channel of a linear layer. Products of two activations stay float. Raises
    NotQuantisable, also where there is nothing to quantise.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if _in_int8(model):
        raise AlreadyQuantised(
            "The ONNX file is quantised already: it has INT8 weights", where="quantise", remedy="give the float export"
        )
    remedy = 'leave "dynamic" out of the target\'s precisions for this model'
    quiet = logging.getLogger()
    level = quiet.level
    quiet.setLevel(logging.ERROR)  # it advises on the root logger to run what was just run
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Straight from the exporter its shapes contradict what the quantiser makes of Gemm.
            ready, made = Path(folder) / "ready.onnx", Path(folder) / "dynamic.onnx"
            quant_pre_process(model, str(ready))
            quantize_dynamic(
                str(ready),
                str(made),
                op_types_to_quantize=KINDS,
                per_channel=per_channel,
                weight_type=QuantType.QInt8,
                extra_options={"MatMulConstBOnly": True},
            )
            found = onnx.load(str(made))
    except Exception as error:  # the quantiser raises many kinds
        raise NotQuantisable(
            f"onnxruntime's quantiser refused the model: {type(error).__name__}: {str(error).partition(chr(10))[0]}",
            where="quantise",
            remedy=remedy,
        ) from error
    finally:
        quiet.setLevel(level)
    if not _in_int8(found):
        raise NotQuantisable(
            "The model has no linear layer and no embedding, and dynamic INT8 is of those alone",
            where="quantise",
            remedy=remedy,
        )
    return found


def _in_int8(model: onnx.ModelProto) -> bool:
    """Whether a matrix or kernel is stored in eight bits; an embedding's are unsigned."""
    from onnx import TensorProto

    kinds = (TensorProto.INT8, TensorProto.UINT8)
    return any(one.data_type in kinds and len(one.dims) > 1 for one in model.graph.initializer)
