"""INT8, dynamic-range and FP16 .tflite files by ai-edge-quantizer, with the settings that were found to pay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from edgewright.extras import extra
from pipeline.export.quiet import quiet
from pipeline.export.tflite_file import constant_tensors, operations, parse, tensors
from pipeline.export.tflite_names import serialised
from pipeline.export.tflite_run import fed, interpreter
from pipeline.quantization.static import NotQuantisable

if TYPE_CHECKING:
    from numpy.typing import NDArray

LINEAR = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D")
EMBEDDING = "EMBEDDING_LOOKUP"
"""What is quantised of a network with attention.

All of a transformer in INT8 ran at 0.66 of the speed of float and 10 to 20 dB worse than its linear layers alone.
"""
_WEIGHTED = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "CONV_3D", "BATCH_MATMUL")


def quantise_tflite(
    float_model: bytes,
    calibration: NDArray[Any] | None,
    precision: str,
    *,
    per_channel: bool = True,
    integer_io: bool = False,
    per_tensor_linear: bool = False,
) -> bytes:
    """A .tflite file of to_tflite in less than float32; names stay.

    precision: "int8" (weights and activations, ranges by min and max over `calibration`: [N, ...], channels first as
    the network takes it), "dynamic" (INT8 weights, activations quantised as they come) or "float16" (weights stored
    so). Where there is attention only LINEAR operators are quantised, and embeddings' weights.
    per_channel: one scale per output channel. integer_io: the file takes and gives int8, where its first and last
    layers are quantised. per_tensor_linear: of "dynamic", one scale for linear layers' and embeddings' weights, because
    tflite-runtime 2.14 computes others wrongly, and says nothing.
    The same file gives the same bytes. Raises NotQuantisable, MissingExtra.
    """
    with quiet(), extra("tflite", "the quantisation of TensorFlow Lite files"):
        from ai_edge_quantizer import quantizer
    try:
        with quiet():
            made = quantizer.Quantizer(bytearray(float_model))
            attention = has_attention(float_model)
            if precision == "int8":
                _static(made, attention, per_channel, integer_io)
                if attention:
                    _by_weight(made, (EMBEDDING,), False)  # a scale a row was no more exact
            elif precision == "dynamic":
                _by_weight(made, (*LINEAR, EMBEDDING) if attention else ("*",), per_channel)
                if per_tensor_linear:
                    _by_weight(made, ("FULLY_CONNECTED", EMBEDDING), False)
            else:
                _float16(made)
            ranges = None
            if made.need_calibration:
                assert calibration is not None
                ranges = _ranges(float_model, calibration, made)
            written = serialised(parse(bytes(made.quantize(ranges).quantized_model)))
            interpreter(written)  # it writes files that no interpreter takes, and says nothing
            return written
    except Exception as error:  # the quantiser raises many kinds
        raise NotQuantisable(
            f"ai-edge-quantizer refused the model: {type(error).__name__}: {str(error).strip().partition(chr(10))[0]}",
            where="quantise",
            remedy=f'leave "{precision}" out of the target\'s precisions for this model',
        ) from error


def has_attention(data: bytes) -> bool:
    """True where a softmax leads to a product of two activations, with nothing weighted in between."""
    model = parse(data)
    constants = constant_tensors(model)
    attention: set[int] = set()
    for one in operations(model):
        weighs = not attention.isdisjoint(one.inputs)
        if one.kind == "BATCH_MATMUL" and weighs and constants.keys().isdisjoint(one.inputs):
            return True
        if one.kind == "SOFTMAX" or (weighs and one.kind not in _WEIGHTED):
            attention.update(one.outputs)
    return False


def _granularity(per_channel: bool) -> Any:
    from ai_edge_quantizer import qtyping

    return qtyping.QuantGranularity.CHANNELWISE if per_channel else qtyping.QuantGranularity.TENSORWISE


def _static(made: Any, attention: bool, per_channel: bool, integer_io: bool) -> None:
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    names = qtyping.TFLOperationName
    kinds = [names(kind) for kind in LINEAR] if attention else [names.ALL_SUPPORTED]
    for kind in kinds:
        made.add_static_config(".*", kind, 8, 8, weight_granularity=_granularity(per_channel))
    if not integer_io:
        for kind in (names.INPUT, names.OUTPUT):
            made.update_quantization_recipe(".*", kind, algorithm_key=AlgorithmName.NO_QUANTIZE)


def _by_weight(made: Any, kinds: Iterable[str], per_channel: bool) -> None:
    """INT8 weights, activations that stay float in the file."""
    from ai_edge_quantizer import qtyping

    for kind in kinds:
        made.add_dynamic_config(".*", qtyping.TFLOperationName(kind), 8, granularity=_granularity(per_channel))


def _float16(made: Any) -> None:
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    config = qtyping.OpQuantizationConfig(
        weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
        compute_precision=qtyping.ComputePrecision.FLOAT,
        explicit_dequantize=True,
    )
    made.update_quantization_recipe(
        ".*", qtyping.TFLOperationName.ALL_SUPPORTED, config, algorithm_key=AlgorithmName.FLOAT_CASTING
    )


def _ranges(float_model: bytes, calibration: NDArray[Any], made: Any) -> Any:
    """{tensor: its least and largest value} over all samples.

    The library's own default is a moving average over samples, which clips: 9 to 20 dB were lost by it.
    """
    from ai_edge_quantizer import calibrator
    from ai_edge_quantizer.utils import qsv_utils

    watched = calibrator.Calibrator(bytes(float_model), num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    inputs, _ = tensors(float_model)
    if len(inputs) != 1:
        raise ValueError(f"it has {len(inputs)} inputs, calibration has one")
    samples = [{inputs[0]["name"]: fed(one[None], inputs[0])} for one in calibration]
    for one in samples:  # the calibrator would bend the graph to any shape
        if (shape := list(one[inputs[0]["name"]].shape)) != inputs[0]["shape"]:
            raise ValueError(f"it takes {inputs[0]['shape']}, a calibration sample is {shape}")
    watched.calibrate({watched.get_signature_list().popitem()[0]: samples}, made._recipe_manager)
    return watched.get_model_qsvs()
