"""What a runtime really runs of a file: the operators that it makes of it, and the layers behind them."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.errors import EdgewrightError
from pipeline.gate.layers import Kind, Layer


class Unreadable(EdgewrightError):
    """A file whose graph this machine's runtime does not give."""


@dataclass(frozen=True)
class Graph:
    """operators: how many of each Kind's family run, "sum" standing for all that weigh nothing; layers: the weighted
    ones, in order, as far as a probe can be made of them; weight_bytes: what they read in each pass.

    weighted, floats: operators with weights, and those of them that compute in float; conversions: operators that only
    go between float and integers; partitions: parts of the graph that a delegate took (LiteRT), outside: operators that
    it left.
    """

    operators: dict[Kind, int]
    layers: tuple[Layer, ...]
    weight_bytes: int
    weighted: int
    floats: int
    conversions: int
    partitions: int = 0
    outside: int = 0

    @property
    def count(self) -> int:
        """All operators that run."""
        return sum(self.operators.values())


_CONVOLUTIONS = {
    "Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose", "QLinearConv", "ConvInteger", "CONV_2D", "DEPTHWISE_CONV_2D",
    "TRANSPOSE_CONV", "CONV_3D",
}  # fmt: skip
_LINEAR = {
    "MatMul", "FusedMatMul", "Gemm", "FusedGemm", "QLinearMatMul", "QGemm", "MatMulInteger", "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul", "Attention", "QAttention", "FULLY_CONNECTED", "BATCH_MATMUL",
}  # fmt: skip
_FLOAT = {
    "Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose", "MatMul", "FusedMatMul", "Gemm", "FusedGemm", "Attention",
}  # fmt: skip
_CONVERSIONS = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QUANTIZE", "DEQUANTIZE"}


def read_graph(data: bytes, format_: str, threads: int = 1) -> Graph:
    """The graph of an .onnx file by onnxruntime's CPU, of a .tflite file by LiteRT. Raises Unreadable."""
    try:
        if format_ == "onnx":
            return _onnx(data, threads)
        if format_ == "tflite":
            return _tflite(data)
    except Exception as error:  # runtimes and parsers raise many kinds
        first = str(error).partition("\n")[0]
        raise Unreadable(
            f"The graph can't be read: {type(error).__name__}: {first}",
            where=format_,
            remedy="build the bundle again: ./inv deploy",
        ) from error
    raise Unreadable(
        f"The graph of a .{format_} file is not read",
        where=format_,
        remedy='take a format whose graph is read: format = "onnx" in the target',
    )


def families(kinds: Iterable[str]) -> dict[Kind, int]:
    """How many operators of each family: by what one of them costs however little it computes."""
    found: Counter[Kind] = Counter()
    for kind in kinds:
        found["convolution" if kind in _CONVOLUTIONS else "linear" if kind in _LINEAR else "sum"] += 1
    return dict(found)


def _onnx(data: bytes, threads: int) -> Graph:
    import onnx
    from onnx import shape_inference

    made = _optimised(data, threads)
    kinds = [node.op_type for node in made.graph.node]
    constants = {tensor.name for tensor in made.graph.initializer}
    stored = constants | {
        node.output[0] for node in made.graph.node if node.op_type == "DequantizeLinear" and node.input[0] in constants
    }
    # A product of two activations has no weight: that it is in float is how transformers are quantised.
    weighted = [
        node.op_type
        for node in made.graph.node
        if node.op_type in _CONVOLUTIONS | _LINEAR and stored.intersection(node.input)
    ]
    given = shape_inference.infer_shapes(onnx.load_from_string(data), data_prop=True)
    layers, sizes = _onnx_layers(given)
    return Graph(
        families(kinds),
        tuple(layers),
        sizes,
        len(weighted),
        sum(kind in _FLOAT for kind in weighted),
        sum(kind in _CONVERSIONS for kind in kinds),
    )


def _optimised(data: bytes, threads: int) -> Any:
    """The graph that onnxruntime runs, optimised for this machine: to be looked at, never to be shipped."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
        path = Path(folder) / "optimised.onnx"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return onnx.load(str(path))


def _onnx_layers(model: Any) -> tuple[list[Layer], int]:
    """(layers, bytes of all weights) of a file with inferred shapes."""
    graph = model.graph
    shapes = {
        value.name: [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.output, *graph.value_info]
    }
    sizes = {tensor.name: len(tensor.raw_data) for tensor in graph.initializer}
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in sizes:
            sizes[node.output[0]] = sizes[node.input[0]]
    layers, total = [], 0
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in sizes:
            continue
        total += sizes[node.input[1]]
        told = {one.name: one for one in node.attribute}
        given, weight = shapes[node.input[0]], shapes[node.input[1]]
        if node.op_type == "Conv" and len(weight) == 4:
            stride = told["strides"].ints[0] if "strides" in told else 1
            layers += _convolution(weight, told["group"].i if "group" in told else 1, stride, given[2:])
        elif node.op_type != "Conv":
            flipped = node.op_type == "Gemm" and "transB" in told and told["transB"].i
            inputs, outputs = reversed(weight) if flipped else weight[-2:]
            layers.append(Layer("linear", inputs, outputs, height=math.prod(given[:-1])))
    return layers, total


def _convolution(weight: Sequence[int], groups: int, stride: int, size: Sequence[int]) -> list[Layer]:
    """A convolution by its weight [outputs, inputs a group, height, width]; one in some groups is no Layer."""
    kernel, (height, width) = (weight[2], weight[3]), size
    if groups == 1:
        return [Layer("convolution", weight[1], weight[0], kernel, stride, height, width)]
    if weight[1] == 1 and groups == weight[0]:
        return [Layer("depthwise", groups, groups, kernel, stride, height, width)]
    return []


def _tflite(data: bytes) -> Graph:
    from pipeline.export.tflite_file import constant_tensors, dtype_of, operations, parse, shape_of
    from pipeline.export.tflite_run import interpreter

    model = parse(data)
    tensors, done, constants = model.subgraphs[0].tensors, operations(model), constant_tensors(model)
    # XNNPACK unpacks stored weights as it takes the graph: no operator that runs.
    unpacked = {
        one.outputs[0]: one.inputs[0] for one in done if one.kind == "DEQUANTIZE" and one.inputs[0] in constants
    }
    run = [one for one in done if one.outputs[0] not in unpacked]
    weighted, floats, total, layers = 0, 0, 0, []
    for one in run:
        if one.kind not in _CONVOLUTIONS | _LINEAR:
            continue
        held = unpacked.get(one.inputs[1], one.inputs[1])
        if held not in constants:
            continue
        weighted += 1
        floats += dtype_of(tensors[held]).startswith("float")
        total += constants[held].nbytes
        weight, given = shape_of(tensors[held]), shape_of(tensors[one.inputs[0]])
        if one.kind == "CONV_2D" and weight[3] == given[3]:
            shape = [weight[0], weight[3], *weight[1:3]]
            layers += _convolution(shape, 1, one.options.strideH, given[1:3])
        elif one.kind == "DEPTHWISE_CONV_2D" and weight[3] == given[3]:
            shape = [weight[3], 1, *weight[1:3]]
            layers += _convolution(shape, weight[3], one.options.strideH, given[1:3])
        elif one.kind == "FULLY_CONNECTED":
            layers.append(Layer("linear", weight[1], weight[0], height=max(1, math.prod(given) // weight[1])))
    partitions, outside = delegated(interpreter(data))
    return Graph(
        families(one.kind for one in run),
        tuple(layers),
        total,
        weighted,
        floats,
        sum(one.kind in _CONVERSIONS for one in run),
        partitions,
        outside,
    )


def delegated(interpreter: Any) -> tuple[int, int]:
    """(parts that delegates took, operators that run outside of them) of a TFLite interpreter with its tensors.

    The interpreter lists every operator, taken or not, so they are found from the outputs backwards.
    """
    listed = interpreter._get_ops_details()
    parts = [one for one in listed if one["op_name"] == "DELEGATE"]
    by_output = {int(number): one for one in listed if one["op_name"] != "DELEGATE" for number in one["outputs"]}
    # What a delegate gives, it gives in the operator's stead.
    by_output |= {int(number): one for one in parts for number in one["outputs"]}
    waiting = [int(one["index"]) for one in interpreter.get_output_details()]
    seen: set[int] = set()
    outside = 0
    while waiting:
        one = by_output.get(waiting.pop())
        if one is None or one["index"] in seen:
            continue
        seen.add(one["index"])
        outside += one["op_name"] != "DELEGATE"
        waiting += [int(number) for number in one["inputs"]]
    return len(parts), outside
