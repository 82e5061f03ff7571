"""Tells of an ONNX file in QDQ form whether a runtime computes it in integers throughout, and its output's step."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
ARITHMETIC = {*WEIGHTED, "Add", "Mul", "AveragePool", "GlobalAveragePool"}
"""Run by onnxruntime in integers where a DequantizeLinear stands before every operand and a QuantizeLinear behind."""
MOVES = {
    "Clip", "Concat", "Flatten", "Gather", "Identity", "MaxPool", "Pad", "Relu", "Reshape", "Slice", "Split", "Squeeze",
    "Transpose", "Unsqueeze",
}  # fmt: skip
"""Give values that they were given, so they are the same in float as in integers."""
SUMS = {"ReduceMean"}
"""Stay float, but add at most some hundred 8-bit values of one scale: rounding to eight bits hides the order of it."""


SIGNED = "session.qdqisint8allowed"
"""onnxruntime's option to fuse signed activations into integer kernels: on by itself on ARM only, slow on x86."""


def signed_activations(model: bytes) -> bool:
    """Whether an ONNX file quantises something to int8 as it runs (its weights are stored so already)."""
    import onnx
    from onnx import TensorProto

    graph = onnx.load_from_string(model).graph
    constants = {tensor.name: tensor.data_type for tensor in graph.initializer}
    return any(
        node.op_type == "QuantizeLinear" and len(node.input) > 2 and constants.get(node.input[2]) == TensorProto.INT8
        for node in graph.node
    )


def in_integers(model: onnx.ModelProto) -> bool:
    """Whether every weighted operator has quantised operands and results, and no other float arithmetic is in between.

    Then a runtime gives the same to the bit on every machine. False for a float file.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    made_by = {output: node for node in model.graph.node for output in node.output}
    read_by: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            read_by.setdefault(name, []).append(node)

    def quantised(name: str) -> bool:
        """Stands for integers: dequantised, or moved from what was."""
        if not name or name in constants:
            return False
        node = made_by.get(name)
        if node is None:
            return False
        return node.op_type == "DequantizeLinear" or (node.op_type in MOVES and quantised(node.input[0]))

    def requantised(name: str) -> bool:
        readers = read_by.get(name, [])
        return bool(readers) and all(
            node.op_type == "QuantizeLinear" or (node.op_type in MOVES and requantised(node.output[0]))
            for node in readers
        )

    weighted = 0
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear", *MOVES):
            continue
        if node.op_type not in ARITHMETIC | SUMS or not requantised(node.output[0]):
            return False
        operands = node.input[:1] if node.op_type in SUMS else [name for name in node.input if name]
        if not all(quantised(name) for name in operands):
            return False
        weighted += node.op_type in WEIGHTED
    return weighted > 0


def output_scale(model: onnx.ModelProto) -> float | None:
    """The output's step where a DequantizeLinear of one scale gives it (or what only moves its values), else None."""
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    made_by = {output: node for node in model.graph.node for output in node.output}
    node = made_by.get(model.graph.output[0].name)
    while node is not None and node.op_type in MOVES:
        node = made_by.get(node.input[0])
    if node is None or node.op_type != "DequantizeLinear" or node.input[1] not in constants:
        return None
    scale = numpy_helper.to_array(constants[node.input[1]])
    return float(scale.reshape(-1)[0]) if scale.size == 1 else None
