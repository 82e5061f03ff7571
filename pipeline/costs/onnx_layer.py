"""One layer, several times over, as an ONNX file: float, or INT8 in the QDQ form of onnxruntime's quantiser."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pipeline.costs.form import INPUT_SCALE, WEIGHT_SCALE, Form, Ports, joins
from pipeline.export.to_onnx import INPUT, OUTPUT, numbered

if TYPE_CHECKING:
    import onnx

    from pipeline.costs.layers import Layer


def one_layer_onnx(layer: Layer | None, form: Form) -> tuple[bytes, Ports]:
    """The file, and its inputs and outputs as device_agents.bundle.Tensor has them. None: a graph of one small copy.

    Weighted layers read one input and are added up, so that any number of them fits behind one another whatever
    their widths; all others are a chain. `form.copies` of them are in it.
    """
    writer = _Writer(form)
    return writer.empty() if layer is None else writer.written(layer)


class _Writer:
    """Collects nodes and weights; in INT8 each operator stands between a DequantizeLinear and a QuantizeLinear."""

    def __init__(self, form: Form) -> None:
        import numpy as np

        self._form = form
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._seeded = np.random.default_rng(0)
        self._made = 0
        # Where only linear layers are quantised, what lies between them is float.
        self._integers = False

    def empty(self) -> tuple[bytes, Ports]:
        shape = [1, 8]
        self._node("Neg", [INPUT], {}, OUTPUT)
        return self._file([shape], shape)

    def written(self, layer: Layer) -> tuple[bytes, Ports]:
        self._integers = self._form.precision == "int8" and layer.kind != "linear"
        shapes = _input_shapes(layer)
        if layer.kind == "linear" and self._form.precision == "dynamic":
            shapes *= self._form.copies  # ranges taken of the same input twice would be merged into one
        inputs = [self._entered(name) for name in numbered(INPUT, len(shapes))]
        if joins(layer):
            last = ""
            for place in range(self._form.copies):
                made = self._copy(layer, inputs[place % len(inputs)])
                last = self._op("Add", [last, made]) if last else made
        else:
            last = inputs[0]
            for place in range(self._form.copies):
                last = self._chained(layer, last, inputs, place)
        shape = _output_shape(layer, self._form.copies)
        if self._integers:  # the last QuantizeLinear gives the output
            self._nodes.pop()
            self._nodes[-1].output[0] = OUTPUT
        else:
            self._node("Identity", [last], {}, OUTPUT)
        return self._file(shapes, shape)

    def _copy(self, layer: Layer, given: str) -> str:
        if layer.kind == "linear":
            return self._linear(layer, given)
        strides, kernel = list(layer.stride), list(layer.kernel)
        pads = [(one - 1) // 2 for one in kernel]
        weight = self._weight([layer.outputs, layer.inputs // layer.groups, *kernel], 0)
        bias = self._bias(layer.outputs)
        options = {"strides": strides, "pads": [*pads, *pads], "group": layer.groups, "kernel_shape": kernel}
        return self._op("Conv", [given, weight, bias], options)

    def _linear(self, layer: Layer, given: str) -> str:
        if self._form.precision == "dynamic":
            return self._dynamic(layer, given)
        quantised = self._form.precision == "int8"
        entering = self._requantised(given) if quantised else given
        weight = self._weight([layer.inputs, layer.outputs], 1)
        made = self._node("MatMul", [entering, weight], {})
        if quantised:
            made = self._requantised(made)
        return self._node("Add", [made, self._plain([layer.outputs])], {})

    def _dynamic(self, layer: Layer, given: str) -> str:
        """As quantize_dynamic writes it: ranges of the activations are taken as they come."""
        import numpy as np

        values, scale, point = (self._name() for _ in range(3))
        self._put("DynamicQuantizeLinear", [given], [values, scale, point])
        weight = self._stored(self._seeded.integers(-127, 128, (layer.inputs, layer.outputs)).astype(np.int8))
        sums = self._node("MatMulInteger", [values, weight, point], {})
        floats = self._node("Cast", [sums], {"to": 1})
        factor = self._node("Mul", [scale, self._stored(np.full(1, WEIGHT_SCALE, np.float32))], {})
        return self._node("Add", [self._node("Mul", [floats, factor], {}), self._plain([layer.outputs])], {})

    def _chained(self, layer: Layer, last: str, inputs: list[str], place: int) -> str:
        if layer.kind == "matmul":
            return self._op("MatMul", [last, inputs[1 + place % 2]])
        if layer.kind == "add":
            return self._op("Add", [last, inputs[1]])
        if layer.kind == "pool":  # added to what it was made of, for the next one
            return self._op("Add", [inputs[0], self._op("GlobalAveragePool", [last])])
        if layer.kind == "norm":
            width = [layer.outputs]
            return self._op("LayerNormalization", [last, self._plain(width), self._plain(width)], {"axis": -1})
        return self._op({"softmax": "Softmax", "gelu": "Gelu", "sigmoid": "Sigmoid"}[layer.kind], [last])

    def _op(self, kind: str, inputs: list[str], options: dict[str, Any] | None = None) -> str:
        made = self._node(kind, inputs, options or {})
        return self._requantised(made) if self._integers else made

    def _entered(self, name: str) -> str:
        return self._node("DequantizeLinear", [name, *self._scale()], {}) if self._integers else name

    def _weight(self, shape: list[int], axis: int) -> str:
        """A weight; of INT8 with one scale for each position of `axis`, or one for all."""
        import numpy as np

        if self._form.precision == "int8":
            values = self._stored(self._seeded.integers(-127, 128, shape).astype(np.int8))
            channels = shape[axis] if self._form.per_channel else 0
            scale = np.full(channels, WEIGHT_SCALE, np.float32) if channels else np.float32(WEIGHT_SCALE)
            point = np.zeros(channels, np.int8) if channels else np.int8(0)
            options = {"axis": axis} if channels else {}
            return self._node("DequantizeLinear", [values, self._stored(scale), self._stored(point)], options)
        return self._plain(shape)

    def _bias(self, size: int) -> str:
        import numpy as np

        if self._form.precision == "int8":
            values = self._stored(np.zeros(size, np.int32))
            channels = size if self._form.per_channel else 0
            scale = np.full(channels or (), WEIGHT_SCALE * INPUT_SCALE, np.float32)
            point = np.zeros(channels or (), np.int32)
            options = {"axis": 0} if channels else {}
            return self._node("DequantizeLinear", [values, self._stored(scale), self._stored(point)], options)
        return self._plain([size])

    def _plain(self, shape: list[int]) -> str:
        import numpy as np

        return self._stored((self._seeded.standard_normal(shape) / math.sqrt(shape[-1])).astype(np.float32))

    def _scale(self) -> list[str]:
        """Scale and zero point of an activation. No two scales are alike: equal nodes would be merged into one."""
        import numpy as np

        dtype = np.uint8 if self._form.activations == "uint8" else np.int8
        self._made += 1
        scale = np.float32(INPUT_SCALE * (1 + self._made * 1e-4))
        return [self._stored(scale), self._stored(dtype(0 if self._form.symmetric else 3))]

    def _requantised(self, name: str) -> str:
        """A float tensor by way of integers: what a runtime computes in INT8 up to here."""
        scale = self._scale()
        return self._node("DequantizeLinear", [self._node("QuantizeLinear", [name, *scale], {}), *scale], {})

    def _stored(self, values: Any) -> str:
        import numpy as np
        from onnx import numpy_helper

        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def _node(self, kind: str, inputs: list[str], options: dict[str, Any], output: str = "") -> str:
        name = output or self._name()
        self._put(kind, inputs, [name], options)
        return name

    def _put(self, kind: str, inputs: list[str], outputs: list[str], options: dict[str, Any] | None = None) -> None:
        from onnx import helper

        self._nodes.append(helper.make_node(kind, inputs, outputs, **(options or {})))

    def _name(self) -> str:
        self._made += 1
        return f"t{self._made}"

    def _file(self, shapes: list[list[int]], made: list[int]) -> tuple[bytes, Ports]:
        from onnx import TensorProto, helper

        dtype = self._form.activations if self._integers else "float32"
        code = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8, "float32": TensorProto.FLOAT}[dtype]
        names = numbered(INPUT, len(shapes))
        graph = helper.make_graph(
            self._nodes,
            "g",
            [helper.make_tensor_value_info(name, code, shape) for name, shape in zip(names, shapes, strict=True)],
            [helper.make_tensor_value_info(OUTPUT, code, made)],
            self._weights,
        )
        # Opset 20 knows GELU; the version of the format is one that old boards' onnxruntime reads.
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        ports: Ports = {
            "inputs": [
                {"name": name, "dtype": dtype, "shape": shape} for name, shape in zip(names, shapes, strict=True)
            ],
            "outputs": [{"name": OUTPUT, "dtype": dtype, "shape": made}],
        }
        return model.SerializeToString(deterministic=True), ports


def _input_shapes(layer: Layer) -> list[list[int]]:
    rows = math.prod(layer.size)
    if layer.kind in ("conv", "depthwise"):
        return [[1, layer.inputs, *(size * step for size, step in zip(layer.size, layer.stride, strict=True))]]
    if layer.kind == "linear":
        return [[1, rows, layer.inputs] if rows > 1 else [1, layer.inputs]]
    if layer.kind == "matmul":
        lead = [layer.groups] if layer.groups > 1 else []
        return [
            [*lead, rows, layer.inputs],
            [*lead, layer.inputs, layer.outputs],
            [*lead, layer.outputs, layer.inputs],
        ]
    if layer.kind == "pool":
        return [[1, layer.outputs, rows, 1]]
    shape = [1, layer.groups * rows, layer.outputs]
    return [shape, shape] if layer.kind == "add" else [shape]


def _output_shape(layer: Layer, copies: int) -> list[int]:
    if layer.kind in ("conv", "depthwise"):
        return [1, layer.outputs, *layer.size]
    first = _input_shapes(layer)[0]
    odd = layer.kind == "matmul" and copies % 2
    return [*first[:-1], layer.outputs] if layer.kind == "linear" or odd else first
