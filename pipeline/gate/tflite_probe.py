"""Chains of equal small layers as TFLite files: what a probe of LiteRT and tflite-runtime runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.gate.layers import Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCALE, WEIGHT_SCALE = 0.05, 0.1
_VERSIONS = {"sum": (1, 2), "convolution": (1, 3), "depthwise": (1, 3), "linear": (1, 4)}
"""Of each operator, for float and for int8: what old interpreters look at."""


def tflite_chain(layer: Layer, count: int, integers: bool = False) -> bytes:
    """`count` layers one behind another; input [1, H, W, C], of linear layers [rows, C], in float32 or int8.

    All share one weight, so that the file stays small. A layer that can't follow itself comes once. A sum adds the
    chain's own input.
    """
    from ai_edge_litert import schema_py_generated as schema

    from pipeline.export.tflite_names import serialised

    chain = _Chain(layer, integers)
    first = value = chain.tensor("input", chain.shape(inside=True))
    for place in range(count if layer.repeatable else 1):
        made = chain.tensor(f"v{place}", chain.shape(inside=False))
        chain.operate([value, first] if layer.kind == "sum" else [value, chain.weight, chain.bias], made)
        value = made
    chain.graph.tensors[value].name = b"output"
    chain.graph.inputs, chain.graph.outputs = [first], [value]
    model = schema.ModelT()
    model.version = 3
    model.operatorCodes = [chain.code()]
    model.subgraphs = [chain.graph]
    model.buffers = chain.buffers
    return serialised(model)


class _Chain:
    """One graph of the schema as it grows; tensors are their numbers."""

    def __init__(self, layer: Layer, integers: bool) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema: Any = schema
        self.layer, self.integers = layer, integers
        self.buffers: list[Any] = [schema.BufferT()]
        self.graph: Any = schema.SubGraphT()
        self.graph.tensors, self.graph.operators, self.graph.name = [], [], b"probe"
        self.weight = self.bias = -1
        if layer.kind != "sum":
            self._weights()

    def shape(self, inside: bool) -> list[int]:
        """Of the input of a layer (inside), or of its output."""
        layer = self.layer
        if layer.kind == "linear":
            return [layer.height, layer.inputs if inside else layer.outputs]
        if inside:
            return [1, layer.height, layer.width, layer.inputs]
        return [1, -(-layer.height // layer.stride), -(-layer.width // layer.stride), layer.outputs]

    def tensor(self, name: str, shape: list[int], values: NDArray[Any] | None = None, scales: Any = None) -> int:
        """A tensor; without values one that is computed, in int8 with SCALE where the chain is in integers."""
        import numpy as np

        kinds = self.schema.TensorType
        made = self.schema.TensorT()
        made.name, made.shape, made.buffer, made.type = name.encode(), shape, 0, kinds.FLOAT32
        if values is not None:
            made.buffer, made.type = len(self.buffers), getattr(kinds, values.dtype.name.upper())
            self.buffers.append(self.schema.BufferT())
            self.buffers[-1].data = np.frombuffer(values.tobytes(), np.uint8)
        elif self.integers:
            made.type, scales = kinds.INT8, [SCALE]
        if scales is not None:
            made.quantization = self.schema.QuantizationParametersT()
            made.quantization.scale = np.asarray(scales, np.float32)
            made.quantization.zeroPoint = np.zeros(len(scales), np.int64)
            made.quantization.quantizedDimension = 3 if name == "weight" and self.layer.kind == "depthwise" else 0
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def operate(self, inputs: list[int], output: int) -> None:
        one = self.schema.OperatorT()
        one.opcodeIndex, one.inputs, one.outputs = 0, inputs, [output]
        one.builtinOptionsType, one.builtinOptions = self._options()
        self.graph.operators.append(one)

    def code(self) -> Any:
        operators = self.schema.BuiltinOperator
        found = self.schema.OperatorCodeT()
        found.builtinCode = found.deprecatedBuiltinCode = {
            "sum": operators.ADD, "convolution": operators.CONV_2D, "depthwise": operators.DEPTHWISE_CONV_2D,
            "linear": operators.FULLY_CONNECTED,
        }[self.layer.kind]  # fmt: skip
        found.version = _VERSIONS[self.layer.kind][self.integers]
        return found

    def _options(self) -> tuple[int, Any]:
        kinds, layer = self.schema.BuiltinOptions, self.layer
        if layer.kind == "sum":
            return kinds.AddOptions, self.schema.AddOptionsT()
        if layer.kind == "linear":
            return kinds.FullyConnectedOptions, self.schema.FullyConnectedOptionsT()
        apart = layer.kind == "depthwise"
        options = self.schema.DepthwiseConv2DOptionsT() if apart else self.schema.Conv2DOptionsT()
        options.padding = self.schema.Padding.SAME
        options.strideH = options.strideW = layer.stride
        options.dilationHFactor = options.dilationWFactor = 1
        if apart:
            options.depthMultiplier = 1
        return (kinds.DepthwiseConv2DOptions if apart else kinds.Conv2DOptions), options

    def _weights(self) -> None:
        import numpy as np

        layer = self.layer
        shape = [layer.outputs, layer.inputs]
        if layer.kind != "linear":
            apart = layer.kind == "depthwise"
            shape = [1, *layer.kernel, layer.outputs] if apart else [layer.outputs, *layer.kernel, layer.inputs]
        size = int(np.prod(shape))
        if self.integers:
            scales = np.full(layer.outputs, WEIGHT_SCALE)
            self.weight = self.tensor("weight", shape, (np.arange(size) % 15 - 7).astype(np.int8), scales)
            self.bias = self.tensor("bias", [layer.outputs], np.zeros(layer.outputs, np.int32), scales * SCALE)
            return
        # Small and of both signs: a long chain neither grows without end nor ends in denormal numbers.
        values = np.where(np.arange(size) % 3 == 0, 1.0, -0.5).astype(np.float32) * np.float32(layer.outputs / size)
        self.weight = self.tensor("weight", shape, values)
        self.bias = self.tensor("bias", [layer.outputs], np.full(layer.outputs, 0.01, np.float32))
