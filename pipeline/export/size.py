"""How large an exported file really is: initialiser elements and MACs, read from the file itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class FileSize:
    """elements: numbers in all initialisers; macs: multiply-accumulates of a pass; weights: shape by node."""

    elements: int
    macs: int
    weights: dict[str, list[int]]


def file_size(model: onnx.ModelProto) -> FileSize:
    """Counts Conv, Gemm and MatMul of an ONNX model with static shapes (float or QDQ)."""
    from onnx import shape_inference

    inferred = shape_inference.infer_shapes(model, data_prop=True)
    graph = inferred.graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.output, *graph.value_info]
    }
    constants = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    shapes.update(constants)
    macs, weights = 0, {}
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            continue
        weight, output = shapes[node.input[1]], shapes[node.output[0]]
        if node.op_type == "Conv":
            macs += math.prod(output) * math.prod(weight[1:])
        else:
            inner = shapes[node.input[0]][-1]
            if node.op_type == "Gemm" and any(
                attribute.name == "transA" and attribute.i for attribute in node.attribute
            ):
                inner = shapes[node.input[0]][0]
            macs += math.prod(output) * inner
        weights[node.name] = weight
    return FileSize(sum(math.prod(dims) for dims in constants.values()), macs, weights)
