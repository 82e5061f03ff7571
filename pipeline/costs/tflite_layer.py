"""One layer, several times over, as a .tflite file written without a converter: float, INT8, or INT8 weights alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.costs.form import Form, Ports, joins
from pipeline.costs.tflite_writer import Writer, two

if TYPE_CHECKING:
    from pipeline.costs.layers import Layer


def one_layer_tflite(layer: Layer | None, form: Form) -> tuple[bytes, Ports]:
    """The file, and its inputs and outputs as device_agents.bundle.Tensor has them. None: a graph of one small copy.

    Arranged as one_layer_onnx does. Copies share one buffer of weights: runtimes pack each for itself.
    """
    writer = Writer(form, integers=layer is not None and form.precision == "int8" and layer.kind != "linear")
    if layer is None:
        given = writer.input([1, 8])
        return writer.file([given], writer.op("NEG", [given], [1, 8]))
    return _written(writer, layer, form)


def _written(writer: Writer, layer: Layer, form: Form) -> tuple[bytes, Ports]:
    inputs = [writer.input(shape) for shape in _input_shapes(layer)]
    last = inputs[0]
    for place in range(form.copies):
        if joins(layer):
            made = writer.linear(layer, inputs[0]) if layer.kind == "linear" else writer.convolution(layer, inputs[0])
            last = writer.added(last, made) if place else made
        else:
            last = _chained(writer, layer, last, inputs, place)
    return writer.file(inputs, last)


def _chained(writer: Writer, layer: Layer, last: int, inputs: Sequence[int], place: int) -> int:
    shape = writer.shape(last)
    if layer.kind == "matmul":
        other = inputs[1 + place % 2]
        return writer.op("BATCH_MATMUL", [last, other], [*shape[:-1], writer.shape(other)[-1]], "BatchMatMulOptions")
    if layer.kind == "add":
        return writer.added(last, inputs[1])
    if layer.kind == "pool":
        return writer.added(inputs[0], writer.mean(last, [1, 2], [1, 1, 1, layer.outputs]))
    if layer.kind == "norm":
        return _norm(writer, last, shape)
    if layer.kind == "softmax":
        return writer.op("SOFTMAX", [last], shape, "SoftmaxOptions", {"beta": 1.0}, scale=1 / 256, point=-128)
    if layer.kind == "gelu":
        return writer.op("GELU", [last], shape, "GeluOptions")
    return writer.op("LOGISTIC", [last], shape, scale=1 / 256, point=-128)


def _norm(writer: Writer, last: int, shape: list[int]) -> int:
    """As the converter writes a layer norm: it has no operator of its own."""
    axis, rows = len(shape) - 1, [*shape[:-1], 1]
    mean = writer.mean(last, [axis], rows)
    spread = writer.op("SQUARED_DIFFERENCE", [last, mean], shape, "SquaredDifferenceOptions")
    factor = writer.op("RSQRT", [writer.added(writer.mean(spread, [axis], rows), writer.numbers([1]))], rows)
    shift = writer.multiplied(mean, factor)
    scaled = writer.multiplied(writer.added(writer.multiplied(last, factor), shift), writer.numbers([shape[-1]]))
    return writer.added(scaled, writer.numbers([shape[-1]]))


def _input_shapes(layer: Layer) -> list[list[int]]:
    rows = math.prod(layer.size)
    if layer.kind in ("conv", "depthwise"):
        steps = zip(two(layer.size), two(layer.stride), strict=True)
        return [[1, *(size * step for size, step in steps), layer.inputs]]
    if layer.kind == "linear":
        return [[1, rows, layer.inputs]]
    if layer.kind == "matmul":
        product = [[rows, layer.inputs], [layer.inputs, layer.outputs], [layer.outputs, layer.inputs]]
        return [[layer.groups, *one] for one in product]
    if layer.kind == "pool":
        return [[1, rows, 1, layer.outputs]]
    shape = [1, layer.groups * rows, layer.outputs]
    return [shape, shape] if layer.kind == "add" else [shape]
