"""Chains of equal small layers as ONNX files: what a probe of onnxruntime runs."""

from __future__ import annotations

from typing import Any

from pipeline.gate.layers import Layer

OPSET, IR = 18, 8
"""What onnxruntime 1.19, the last one for Python 3.8, reads too."""
SCALE, WEIGHT_SCALE = 0.05, 0.1


def onnx_chain(layer: Layer, count: int, activations: str | None = None) -> bytes:
    """`count` layers one behind another; input [1, C, H, W] float32, of linear layers [rows, C].

    activations: "uint8" or "int8" writes it in QDQ form with INT8 weights, None in float32. All share one weight, so
    that the file stays small. A layer that can't follow itself comes once. A sum adds the chain's own input.
    """
    from onnx import TensorProto, helper

    chain = _Chain(layer, activations)
    value = chain.entered("input")
    for place in range(count if layer.repeatable else 1):
        value = chain.add(value, place)
    chain.nodes[-1].output[0] = "output"
    shape = [layer.height, layer.inputs] if layer.kind == "linear" else [1, layer.inputs, layer.height, layer.width]
    graph = helper.make_graph(
        chain.nodes,
        "probe",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        chain.constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR).SerializeToString()


class _Chain:
    """Nodes and constants of a chain as it grows; a value is named by what its reader reads."""

    def __init__(self, layer: Layer, activations: str | None) -> None:
        self.layer, self.activations = layer, activations
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.first = ""
        if activations:
            self._constant("scale", SCALE, "float32")
            self._constant("zero", 128 if activations == "uint8" else 0, activations)
        if layer.kind != "sum":
            self._weight()

    def entered(self, name: str) -> str:
        self.first = self._requantised(name, "in") if self.activations else name
        return self.first

    def add(self, value: str, place: int) -> str:
        layer, made = self.layer, f"v{place}"
        if layer.kind == "sum":
            self._node("Add", [value, self.first], made)
        elif layer.kind == "linear":
            self._node("MatMul", [value, self.weight], made)
        else:
            (high, wide), group = layer.kernel, layer.inputs if layer.kind == "depthwise" else 1
            pads = [(high - 1) // 2, (wide - 1) // 2, high // 2, wide // 2]
            self._node("Conv", [value, self.weight], made, pads=pads, strides=[layer.stride] * 2, group=group)
        return self._requantised(made, made) if self.activations else made

    def _weight(self) -> None:
        import numpy as np

        layer = self.layer
        shape: tuple[int, ...] = (layer.inputs, layer.outputs)
        if layer.kind != "linear":
            shape = (layer.outputs, 1 if layer.kind == "depthwise" else layer.inputs, *layer.kernel)
        size = int(np.prod(shape))
        axis = 1 if layer.kind == "linear" else 0
        if not self.activations:
            # Small and of both signs: a long chain neither grows without end nor ends in denormal numbers.
            values = np.where(np.arange(size) % 3 == 0, 1.0, -0.5).astype(np.float32).reshape(shape)
            self._constant("weight", values * np.float32(shape[axis] / size), "float32")
            self.weight = "weight"
            return
        self._constant("weight_q", (np.arange(size) % 15 - 7).reshape(shape), "int8")
        self._constant("weight_scale", np.full(layer.outputs, WEIGHT_SCALE), "float32")
        self._constant("weight_zero", np.zeros(layer.outputs), "int8")
        self._node("DequantizeLinear", ["weight_q", "weight_scale", "weight_zero"], "weight", axis=axis)
        self.weight = "weight"

    def _requantised(self, value: str, name: str) -> str:
        self._node("QuantizeLinear", [value, "scale", "zero"], f"{name}_q")
        self._node("DequantizeLinear", [f"{name}_q", "scale", "zero"], f"{name}_f")
        return f"{name}_f"

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))

    def _constant(self, name: str, values: Any, dtype: str) -> None:
        import numpy as np
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
