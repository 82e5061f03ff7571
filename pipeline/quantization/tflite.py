"""INT8, dynamic-range and FP16 .tflite files by ai-edge-quantizer, with the settings that were found to pay."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from edgewright.errors import EdgewrightError
from edgewright.extras import extra
from edgewright.quiet import quiet
from pipeline.export.tflite_file import (
    CHANNELS_LAST,
    constant_tensors,
    dtype_of,
    name_of,
    operation_name,
    operations,
    parse,
    tensors,
)
from pipeline.export.tflite_names import serialised
from pipeline.export.tflite_run import interpreter, run_tflite
from pipeline.export.to_onnx import module_of
from pipeline.quantization.ranges import Ranges, Sample, extremes
from pipeline.quantization.refusal import AlreadyQuantised, BadCalibration, NotQuantisable
from pipeline.quantization.tflite_values import WEIGHTED, is_quantised, values, weighted, with_shifted_biases

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

LINEAR = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D")
EMBEDDING = "EMBEDDING_LOOKUP"
"""What is quantised of a network with attention.

All of a transformer in INT8 ran at 0.66 of the speed of float and 10 to 20 dB worse than its linear layers alone.
"""


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
    if precision == "int8":
        form = TfliteForm(float_model, per_channel=per_channel, integer_io=integer_io)
        if calibration is None or not len(calibration):
            raise BadCalibration(
                "There are no calibration samples", where="quantise", remedy="have the data's loader give some"
            )
        with _refusing(precision):
            ranges = extremes(form.activations(calibration))
        return form.quantised(ranges)
    with _refusing(precision):
        made = _quantiser(float_model)
        if precision == "dynamic":
            _by_weight(made, (*LINEAR, EMBEDDING) if has_attention(float_model) else ("*",), per_channel)
            if per_tensor_linear:
                _by_weight(made, ("FULLY_CONNECTED", EMBEDDING), False)
        else:
            _float16(made)
        return _written(made, None)


class TfliteForm:
    """A float .tflite file and its INT8 files, as pipeline.quantization.form.Form asks."""

    def __init__(self, float_model: bytes, *, per_channel: bool = True, integer_io: bool = False) -> None:
        """See quantise_tflite. Raises NotQuantisable, NotTflite, MissingExtra."""
        with extra("tflite", "the quantisation of TensorFlow Lite files"):
            model = parse(float_model)
        if is_quantised(model):
            raise AlreadyQuantised(
                "The TensorFlow Lite file is quantised already: it has tensors with scales",
                where="quantise",
                remedy="give the float export",
            )
        entering, _ = tensors(float_model)
        if len(entering) != 1:
            raise NotQuantisable(
                f"The model has {len(entering)} inputs, calibration has one",
                where="quantise",
                remedy='leave "int8" out of the target\'s precisions for this model',
            )
        self.float_model, self.per_channel, self.integer_io = float_model, per_channel, integer_io
        shape = entering[0]["shape"][1:]
        self.shape = [shape[-1], *shape[:-1]] if entering[0].get("layout") == CHANNELS_LAST else shape
        self.dtype = "int64" if entering[0]["dtype"].startswith("int") else entering[0]["dtype"]
        self.attention = has_attention(float_model)
        self._model = model
        self._places = self._layers()
        self.layers = list(self._places)
        done = weighted(model)
        self.correctable = [
            layer
            for layer, places in self._places.items()
            if len(places) == 1 and done[places[0]].kind in LINEAR and max(done[places[0]].inputs[2:3], default=-1) >= 0
        ]

    def activations(self, x: Array) -> Iterator[Sample]:
        """Every tensor of numbers that the float file computes, its input among them, sample by sample."""
        graph, constants = self._model.subgraphs[0], constant_tensors(self._model)
        used = {int(one) for one in graph.inputs}
        for one in operations(self._model):
            used.update(number for number in (*one.inputs, *one.outputs) if number >= 0)
        numbers = {
            number: name_of(graph.tensors[number])
            for number in sorted(used - constants.keys())
            if dtype_of(graph.tensors[number]).startswith(("float", "int"))
        }
        for found in values(self.float_model, x, numbers):
            yield {numbers[number]: held for number, held in found.items()}

    def quantised(self, ranges: Ranges, left: Collection[str] = ()) -> bytes:
        """The INT8 file; the layers `left` stay float. The same gives the same bytes. Raises NotQuantisable."""
        import numpy as np
        from ai_edge_quantizer import qtyping
        from ai_edge_quantizer.algorithm_manager import AlgorithmName

        graph, done = self._model.subgraphs[0], weighted(self._model)
        ranks = {name_of(one): 0 if one.shape is None else len(one.shape) for one in graph.tensors}
        with _refusing("int8"):
            made = _quantiser(self.float_model)
            _static(made, self.attention, self.per_channel, self.integer_io)
            if self.attention:
                _by_weight(made, (EMBEDDING,), False)  # a scale a row was no more exact
            for place in (place for layer in left for place in self._places[layer]):
                made.update_quantization_recipe(
                    f"(^|;){re.escape(name_of(graph.tensors[done[place].outputs[0]]))};",
                    qtyping.TFLOperationName(done[place].kind),
                    algorithm_key=AlgorithmName.NO_QUANTIZE,
                )
            told = {
                name: {
                    side: np.full((1,) * ranks[name], value, np.float32)
                    for side, value in zip(("min", "max"), ends, strict=True)
                }
                for name, ends in ranges.items()
            }
            return _written(made, told)

    def outputs(self, model: bytes | None, x: Array) -> Array:
        """What the INT8 `model`, or else the float file, gives: float32 [N, ...]."""
        return run_tflite(model or self.float_model, x)

    def layer_values(self, model: bytes | None, x: Array, layers: Collection[str]) -> Iterator[dict[str, Array]]:
        """What each of `layers` gives, its fused activation included, sample by sample: float32 [positions, channels].

        Of an INT8 file: what its eight bits stand for.
        """
        data = model or self.float_model
        done = weighted(parse(data))
        numbers = {layer: done[self._places[layer][-1]].outputs[0] for layer in layers}
        for found in values(data, x, set(numbers.values())):
            yield {
                layer: found[number].reshape(-1, max(1, found[number].shape[-1])) for layer, number in numbers.items()
            }

    def shifted(self, model: bytes, shifts: Mapping[str, Array]) -> bytes:
        """A copy whose INT32 biases are larger by `shifts`."""
        return with_shifted_biases(model, {self._places[layer][0]: shift for layer, shift in shifts.items()})

    def _layers(self) -> dict[str, list[int]]:
        """The operators with weights that are quantised, as places among `weighted`, by their torch modules' names."""
        graph, constants = self._model.subgraphs[0], constant_tensors(self._model)
        found: dict[str, list[int]] = {}
        for place, one in enumerate(weighted(self._model)):
            if one.kind in (LINEAR if self.attention else WEIGHTED) and not constants.keys().isdisjoint(one.inputs[:2]):
                name = operation_name(graph, one)
                found.setdefault(module_of(name) or name, []).append(place)
        return found


@contextlib.contextmanager
def _refusing(precision: str) -> Iterator[None]:
    """What ai-edge-quantizer raises in the block becomes NotQuantisable; what it writes is not seen."""
    try:
        with quiet():
            yield
    except EdgewrightError:
        raise
    except Exception as error:  # the quantiser raises many kinds
        raise NotQuantisable(
            f"ai-edge-quantizer refused the model: {type(error).__name__}: {str(error).strip().partition(chr(10))[0]}",
            where="quantise",
            remedy=f'leave "{precision}" out of the target\'s precisions for this model',
        ) from error


def _quantiser(float_model: bytes) -> Any:
    with extra("tflite", "the quantisation of TensorFlow Lite files"):
        from ai_edge_quantizer import quantizer
    return quantizer.Quantizer(bytearray(float_model))


def _written(made: Any, ranges: Any) -> bytes:
    written = serialised(parse(bytes(made.quantize(ranges).quantized_model)))
    interpreter(written)  # it writes files that no interpreter takes, and says nothing
    return written


def has_attention(data: bytes) -> bool:
    """True where a softmax leads to a product of two activations, with nothing weighted in between."""
    model = parse(data)
    constants = constant_tensors(model)
    attention: set[int] = set()
    for one in operations(model):
        weighs = not attention.isdisjoint(one.inputs)
        if one.kind == "BATCH_MATMUL" and weighs and constants.keys().isdisjoint(one.inputs):
            return True
        if one.kind == "SOFTMAX" or (weighs and one.kind not in WEIGHTED):
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
