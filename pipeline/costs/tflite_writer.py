"""Writes a .tflite graph operator by operator, in float or INT8: no converter takes part, so a file costs nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgewright.extras import extra
from pipeline.costs.form import INPUT_SCALE, WEIGHT_SCALE, Form, Ports
from pipeline.export.tflite_file import CHANNELS_LAST, shape_of
from pipeline.export.tflite_names import serialised
from pipeline.export.to_onnx import INPUT, OUTPUT, numbered

if TYPE_CHECKING:
    from pipeline.costs.layers import Layer

_INT8 = {
    "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "BATCH_MATMUL": 2, "ADD": 2, "MUL": 2, "PAD": 2, "MEAN": 2, "SOFTMAX": 2,
    "LOGISTIC": 2, "SQUARED_DIFFERENCE": 2, "RSQRT": 2, "DEQUANTIZE": 2, "GELU": 2,
}  # fmt: skip
"""Versions of the kernels that compute in INT8."""


class Writer:
    """One graph by its numbered tensors. integers: all of it is INT8, ends included; else weights may be."""

    def __init__(self, form: Form, integers: bool) -> None:
        with extra("tflite", "the costs of layers in TensorFlow Lite"):
            from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._form = form
        self._integers = integers
        self._graph = schema.SubGraphT()
        self._graph.name, self._graph.tensors, self._graph.operators = b"g", [], []
        self._model = schema.ModelT()
        self._model.version, self._model.description = 3, b""
        self._model.subgraphs, self._model.operatorCodes = [self._graph], []
        self._model.buffers = [schema.BufferT()]
        self._codes: dict[tuple[str, int], int] = {}
        self._values: dict[tuple[Any, ...], Any] = {}
        self._kept: dict[tuple[Any, ...], int] = {}

    def shape(self, number: int) -> list[int]:
        return shape_of(self._graph.tensors[number])

    def input(self, shape: list[int]) -> int:
        return self._activation(shape)

    def added(self, a: int, b: int) -> int:
        return self._elementwise("ADD", a, b, "AddOptions")

    def multiplied(self, a: int, b: int) -> int:
        return self._elementwise("MUL", a, b, "MulOptions")

    def mean(self, number: int, axes: list[int], shape: list[int]) -> int:
        return self.op("MEAN", [number, self._numbers(axes)], shape, "ReducerOptions", {"keepDims": True})

    def numbers(self, shape: list[int]) -> int:
        """A constant of the kind that the activations are of."""
        import numpy as np

        if self._integers:
            return self._constant(self._random(shape, np.int8), "INT8", [WEIGHT_SCALE], [0])
        return self._constant(self._random(shape, np.float32), "FLOAT32")

    def convolution(self, layer: Layer, given: int) -> int:
        """Padded as the converter does: by an operator of its own where the stride makes SAME lopsided."""
        kernel, stride = two(layer.kernel), two(layer.stride)
        shape = [1, *two(layer.size), layer.outputs]
        padded = max(kernel) > 1 and max(stride) > 1
        if padded:
            edges = [[0, 0], *([one // 2, one // 2] for one in kernel), [0, 0]]
            wider = [size + 2 * (one // 2) for size, one in zip(self.shape(given)[1:3], kernel, strict=True)]
            given = self.op("PAD", [given, self._numbers(edges)], [1, *wider, layer.inputs], "PadOptions")
        options = {"padding": int(padded), "strideW": stride[1], "strideH": stride[0]}
        if layer.kind == "depthwise" or layer.inputs == 1:
            weight = self._weight([1, *kernel, layer.outputs], 3)
            options["depthMultiplier"] = layer.outputs // layer.inputs
            entering = [given, weight, self._bias(layer.outputs)]
            return self.op("DEPTHWISE_CONV_2D", entering, shape, "DepthwiseConv2DOptions", options)
        weight = self._weight([layer.outputs, *kernel, layer.inputs // layer.groups], 0)
        return self.op("CONV_2D", [given, weight, self._bias(layer.outputs)], shape, "Conv2DOptions", options)

    def linear(self, layer: Layer, given: int) -> int:
        """Floats come and go; in INT8 they are quantised before and after, as between layers that stay float."""
        shape, quantised = [*self.shape(given)[:-1], layer.outputs], self._form.precision == "int8"
        self._integers = quantised
        if quantised:
            given = self.op("QUANTIZE", [given], self.shape(given))
        entering = [given, self._weight([layer.outputs, layer.inputs], 0), self._bias(layer.outputs)]
        made = self.op("FULLY_CONNECTED", entering, shape, "FullyConnectedOptions", {"keepNumDims": True})
        self._integers = False
        return self.op("DEQUANTIZE", [made], shape) if quantised else made

    def op(
        self,
        kind: str,
        inputs: Sequence[int],
        shape: list[int],
        options: str = "",
        given: dict[str, Any] | None = None,
        scale: float = INPUT_SCALE,
        point: int = 3,
    ) -> int:
        """Adds an operator; the number of the tensor that it makes."""
        one = self._schema.OperatorT()
        one.opcodeIndex = self._code(kind)
        one.inputs, one.outputs = list(inputs), [self._activation(shape, scale, point)]
        if options:
            one.builtinOptionsType = getattr(self._schema.BuiltinOptions, options)
            one.builtinOptions = getattr(self._schema, f"{options}T")()
            for name, value in (given or {}).items():
                setattr(one.builtinOptions, name, value)
        self._graph.operators.append(one)
        made: int = one.outputs[0]
        return made

    def file(self, inputs: Sequence[int], output: int) -> tuple[bytes, Ports]:
        schema = self._schema
        names = [*numbered(INPUT, len(inputs)), OUTPUT]
        for name, number in zip(names, [*inputs, output], strict=True):
            self._graph.tensors[number].name = name.encode()
        self._graph.inputs, self._graph.outputs = list(inputs), [output]
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
        signature.inputs = [self._mapped(name, number) for name, number in zip(names, inputs, strict=False)]
        signature.outputs = [self._mapped(OUTPUT, output)]
        self._model.signatureDefs = [signature]
        told = [self._told(name, number) for name, number in zip(names, [*inputs, output], strict=True)]
        return serialised(self._model), {"inputs": told[:-1], "outputs": told[-1:]}

    def _mapped(self, name: str, number: int) -> Any:
        entry = self._schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), number
        return entry

    def _told(self, name: str, number: int) -> dict[str, Any]:
        tensor = self._graph.tensors[number]
        told: dict[str, Any] = {"name": name, "dtype": "float32", "shape": self.shape(number)}
        if tensor.quantization is not None:
            scale, point = float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])
            told |= {"dtype": "int8", "scale": scale, "zero_point": point}
        if name != OUTPUT and len(told["shape"]) == 4:
            told["layout"] = CHANNELS_LAST
        return told

    def _elementwise(self, kind: str, a: int, b: int, options: str) -> int:
        shape = max(self.shape(a), self.shape(b), key=lambda one: (len(one), math.prod(one)))
        return self.op(kind, [a, b], shape, options)

    def _code(self, kind: str) -> int:
        # Of kernels; tflite-runtime refuses what it doesn't know. FULLY_CONNECTED 5 is the first with keepNumDims.
        version = {"FULLY_CONNECTED": 5}.get(kind, 1 if self._form.precision == "float32" else _INT8.get(kind, 1))
        if (kind, version) not in self._codes:
            code = self._schema.OperatorCodeT()
            number = getattr(self._schema.BuiltinOperator, kind)
            code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
            self._model.operatorCodes.append(code)
            self._codes[kind, version] = len(self._codes)
        return self._codes[kind, version]

    def _activation(self, shape: list[int], scale: float = INPUT_SCALE, point: int = 3) -> int:
        if self._integers:
            return self._tensor(shape, "INT8", 0, [scale], [point])
        return self._tensor(shape, "FLOAT32", 0)

    def _weight(self, shape: list[int], axis: int) -> int:
        import numpy as np

        if self._form.precision == "float32":
            return self.numbers(shape)
        values = self._random(shape, np.int8)
        channels = shape[axis] if self._form.per_channel else 1
        return self._constant(values, "INT8", [WEIGHT_SCALE] * channels, [0] * channels, axis)

    def _bias(self, size: int) -> int:
        import numpy as np

        if not self._integers:
            return self.numbers([size])
        channels = size if self._form.per_channel else 1
        return self._constant(
            np.zeros(size, np.int32), "INT32", [WEIGHT_SCALE * INPUT_SCALE] * channels, [0] * channels
        )

    def _numbers(self, values: Sequence[Any]) -> int:
        import numpy as np

        return self._constant(np.array(values, np.int32), "INT32")

    def _random(self, shape: list[int], dtype: Any) -> Any:
        """The same numbers for the same shape: copies share their buffer."""
        import numpy as np

        key = (tuple(shape), np.dtype(dtype).name)
        if key not in self._values:
            seeded = np.random.default_rng(0)
            made = seeded.integers(-127, 128, shape) if dtype is np.int8 else seeded.standard_normal(shape) / 10
            self._values[key] = made.astype(dtype)
        return self._values[key]

    def _constant(
        self,
        values: Any,
        kind: str,
        scale: list[float] | None = None,
        points: list[int] | None = None,
        axis: int = 0,
    ) -> int:
        import numpy as np

        key = (kind, values.shape, values.tobytes())
        if key not in self._kept:
            buffer = self._schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            self._model.buffers.append(buffer)
            self._kept[key] = len(self._model.buffers) - 1
        return self._tensor(list(values.shape), kind, self._kept[key], scale, points, axis)

    def _tensor(
        self,
        shape: list[int],
        kind: str,
        buffer: int,
        scale: list[float] | None = None,
        points: list[int] | None = None,
        axis: int = 0,
    ) -> int:
        import numpy as np

        tensor = self._schema.TensorT()
        tensor.shape, tensor.type = np.array(shape, np.int32), getattr(self._schema.TensorType, kind)
        tensor.buffer, tensor.name, tensor.hasRank = buffer, f"t{len(self._graph.tensors)}".encode(), True
        if scale is not None:
            tensor.quantization = self._schema.QuantizationParametersT()
            tensor.quantization.scale = np.array(scale, np.float32)
            tensor.quantization.zeroPoint = np.array(points, np.int64)
            tensor.quantization.quantizedDimension = axis
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1


def two(values: Sequence[int]) -> list[int]:
    """Height and width; of one axis alone a height of 1."""
    return [1, *values] if len(values) == 1 else list(values)
