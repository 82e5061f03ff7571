"""How large an exported file really is: initialiser elements, MACs, zeros and download, read from the file itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from device_agents.packing import pack
from edgewright.errors import EdgewrightError

if TYPE_CHECKING:
    import onnx


class MacsDisagree(EdgewrightError):
    """The exported file computes more than the network that it came from."""


@dataclass(frozen=True)
class FileSize:
    """elements: numbers in all initialisers; macs: multiply-accumulates of a pass; weights: shape by node that has one.

    zeros: exact zeros among the numbers in those weights (of INT8: what stands for zero), of `weighed` in all.
    """

    elements: int
    macs: int
    weights: dict[str, list[int]]
    zeros: int
    weighed: int


def file_size(model: onnx.ModelProto) -> FileSize:
    """Counts Conv, ConvTranspose, Gemm and MatMul of an ONNX model with static shapes (float or QDQ)."""
    from onnx import shape_inference

    inferred = shape_inference.infer_shapes(model, data_prop=True)
    graph = inferred.graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.output, *graph.value_info]
    }
    constants = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    shapes.update(constants)
    stored = _stored(model)
    macs, weights = 0, {}
    counted: dict[str, tuple[int, int]] = {}
    for node in graph.node:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            continue
        weight, output = shapes[node.input[1]], shapes[node.output[0]]
        if node.op_type == "Conv":
            macs += math.prod(output) * math.prod(weight[1:])
        elif node.op_type == "ConvTranspose":
            macs += math.prod(shapes[node.input[0]]) * math.prod(weight[1:])
        else:
            inner = shapes[node.input[0]][-1]
            if node.op_type == "Gemm" and any(
                attribute.name == "transA" and attribute.i for attribute in node.attribute
            ):
                inner = shapes[node.input[0]][0]
            macs += math.prod(output) * inner
        for operand in node.input[:2]:
            if operand in stored:
                weights[node.name] = shapes[operand]
                weight_of, zero = stored[operand]
                counted[weight_of.name] = _zeros(weight_of, zero)
    return FileSize(
        sum(math.prod(dims) for dims in constants.values()),
        macs,
        weights,
        sum(zeros for zeros, _ in counted.values()),
        sum(of for _, of in counted.values()),
    )


def check_macs(written: int, counted: int, file: str) -> None:
    """Raises MacsDisagree where a file (`written`) does more than its network (`counted`); a hundredth is let pass."""
    if written > counted * 1.01:
        raise MacsDisagree(
            f"The file has {written} MACs, the network {counted}",
            where="export",
            remedy=f"look at the exported graph for work done twice: {file}",
        )


def download_size(data: bytes) -> int:
    """Bytes of a file as it travels to a device and as a package holds it (device_agents.packing)."""
    return len(pack(data).data)


def spoken(number: int) -> str:
    """A count as a person says it: 8.60 M, 120.5 k."""
    return f"{number / 1e6:.2f} M" if number >= 1e6 else f"{number / 1e3:.1f} k"


def _stored(model: onnx.ModelProto) -> dict[str, tuple[onnx.TensorProto, onnx.TensorProto | None]]:
    """Tensors whose numbers stand in the file: float initialisers as they are, INT8 ones behind a DequantizeLinear.

    Each with its zero point, None where that is 0.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    found: dict[str, tuple[onnx.TensorProto, onnx.TensorProto | None]] = {
        name: (tensor, None) for name, tensor in constants.items()
    }
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            point = constants.get(node.input[2]) if len(node.input) > 2 else None
            found[node.output[0]] = (constants[node.input[0]], point)
    return found


def _zeros(tensor: onnx.TensorProto, point: onnx.TensorProto | None) -> tuple[int, int]:
    import numpy as np
    from onnx import numpy_helper

    values = numpy_helper.to_array(tensor)
    points = np.unique(numpy_helper.to_array(point)) if point is not None else np.zeros(1)
    # Zero points that differ by channel would each have to be held against theirs; symmetric weights have one.
    return int((values == points[0]).sum()) if points.size == 1 else 0, values.size
